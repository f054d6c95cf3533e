//! The mail catcher's page: a list, each message, and the list as JSON.
//!
//! Its own file, because everything that is shown was written by somebody else and is escaped here.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::store::{Message, Store};

/// Serves until it is aborted.
pub async fn serve(listener: TcpListener, store: Arc<Store>) {
    if let Err(error) = axum::serve(listener, router(store)).await {
        tracing::warn!(%error, "the mail catcher's page stopped");
    }
}

fn router(store: Arc<Store>) -> Router {
    Router::new()
        .route("/", get(list))
        .route("/messages.json", get(list_as_json))
        .route("/messages/{number}", get(show))
        .with_state(store)
}

async fn list(State(store): State<Arc<Store>>) -> Response {
    let rows: String = store
        .newest_first()
        .iter()
        .map(|message| row(message))
        .collect();
    page(
        "Caught mail",
        &format!(
            "<p>{} received.</p><table><tr><th>When<th>From<th>To<th>Subject</tr>{rows}</table>",
            store.received()
        ),
    )
}

fn row(message: &Message) -> String {
    let subject = message
        .header("subject")
        .unwrap_or_else(|| "(no subject)".to_owned());
    format!(
        "<tr><td>{}<td>{}<td>{}<td><a href=\"/messages/{}\">{}</a></tr>",
        message.received_at.format("%H:%M:%S"),
        escape(&message.sender),
        escape(&message.recipients.join(", ")),
        message.number,
        escape(&subject)
    )
}

async fn show(State(store): State<Arc<Store>>, Path(number): Path<u64>) -> Response {
    match store.get(number) {
        Some(message) => page(
            &format!("Message {number}"),
            &format!(
                "<p><a href=\"/\">all</a></p><pre>{}</pre>",
                escape(&String::from_utf8_lossy(&message.raw))
            ),
        ),
        None => (
            StatusCode::NOT_FOUND,
            page(
                "No such message",
                "<p>It never came, or it made room for newer ones. <a href=\"/\">All</a></p>",
            ),
        )
            .into_response(),
    }
}

async fn list_as_json(State(store): State<Arc<Store>>) -> Json<Value> {
    let messages: Vec<Value> = store
        .newest_first()
        .iter()
        .map(|message| describe(message))
        .collect();
    Json(json!({ "received": store.received(), "messages": messages }))
}

fn describe(message: &Message) -> Value {
    json!({
        "number": message.number,
        "received_at": message.received_at,
        "from": message.sender,
        "to": message.recipients,
        "subject": message.header("subject"),
        "campaign": message.header("x-campaign"),
        "bytes": message.raw.len(),
    })
}

fn page(title: &str, body: &str) -> Response {
    const STYLE: &str = "body{font:16px/1.5 system-ui;margin:2rem auto;max-width:70rem;padding:0 1rem}td,th{text-align:left;padding:.2rem 1rem .2rem 0}pre{white-space:pre-wrap}";
    let title = escape(title);
    let html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{STYLE}</style><h1>{title}</h1>{body}"
    );
    // Whatever a message holds, nothing in it runs.
    (
        [(
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'",
        )],
        Html(html),
    )
        .into_response()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn markup_in_a_message_is_shown_and_not_run() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(folder.path()).unwrap());
        store
            .add(
                "<b>@x".to_owned(),
                vec!["\"q\"@y".to_owned()],
                "Subject: <script>alert('1')</script>\r\n\r\n<img>".into(),
            )
            .unwrap();
        for answer in [
            list(State(store.clone())).await,
            show(State(store.clone()), Path(1)).await,
        ] {
            let body = axum::body::to_bytes(answer.into_body(), 1 << 20)
                .await
                .unwrap();
            let html = String::from_utf8(body.to_vec()).unwrap();
            assert!(html.contains("&lt;script&gt;"), "{html}");
            assert!(
                !html.contains("<script>") && !html.contains("<img>") && !html.contains("<b>@"),
                "{html}"
            );
        }
    }

    #[tokio::test]
    async fn a_message_that_is_not_there_is_404() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(folder.path()).unwrap());
        assert_eq!(
            show(State(store), Path(7)).await.status(),
            StatusCode::NOT_FOUND
        );
    }
}
