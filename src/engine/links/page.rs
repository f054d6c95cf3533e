//! The pages that readers of mails see: to unsubscribe, and what a link leads to that leads nowhere.
//!
//! Its own file, because these are for strangers: no account, no navigation, no script, nothing from elsewhere, and nothing
//! that says whether a link was ever good.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::modern::page::Escaped;

/// What a page may do: nothing but show itself and send its form back. Nobody may put it into a frame of theirs, where a
/// reader would press a button that he does not see.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// For when the database is away, in seconds.
const AGAIN: HeaderValue = HeaderValue::from_static("10");

/// Asks whether to unsubscribe. The button sends the form to this same address.
pub fn confirm(sender: Option<&str>) -> Response {
    let question = match sender {
        Some(name) => format!(
            "<p>You will get no more of these e-mails from {}.</p>",
            Escaped(name)
        ),
        None => "<p>You will get no more of these e-mails from their sender.</p>".to_owned(),
    };
    let form = format!(
        "{question}\n<form method=\"post\"><button type=\"submit\">Unsubscribe</button></form>"
    );
    page(StatusCode::OK, "Unsubscribe", &form)
}

pub fn unsubscribed(sender: Option<&str>) -> Response {
    let body = match sender {
        Some(name) => format!(
            "<p role=\"status\">You will get no more of these e-mails from {}. Nothing else is needed.</p>",
            Escaped(name)
        ),
        None => {
            "<p role=\"status\">You will get no more of these e-mails. Nothing else is needed.</p>"
                .to_owned()
        }
    };
    page(StatusCode::OK, "You are unsubscribed", &body)
}

/// For links that are not ours, and for links whose target is not known: nobody is told which.
pub fn nowhere() -> Response {
    page(
        StatusCode::NOT_FOUND,
        "This link leads nowhere",
        "<p>It may be incomplete, or too old. Try it from the e-mail itself.</p>",
    )
}

pub fn away() -> Response {
    let mut response = page(
        StatusCode::SERVICE_UNAVAILABLE,
        "Please try again",
        "<p>This service is not available for a moment. Nothing was changed.</p>",
    );
    response.headers_mut().insert(header::RETRY_AFTER, AGAIN);
    response
}

fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width\">
<title>{title}</title>
<style>
body {{ font: 18px/1.5 sans-serif; max-width: 32rem; margin: 0 auto; padding: 2rem 1rem; color: #222; background: #fff }}
button {{ font: inherit; padding: .6rem 1.2rem; color: #fff; background: #1a5fb4; border: 2px solid #1a5fb4; border-radius: 4px }}
button:focus-visible {{ outline: 3px solid #222; outline-offset: 2px }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"
    );
    const HEADERS: [(HeaderName, &str); 6] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        // The address is a key to what it does.
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
    ];
    (status, HEADERS, html).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_senders_name_cannot_become_markup() {
        for response in [
            confirm(Some("<b>Fern</b> & Moss")),
            unsubscribed(Some("<b>Fern</b> & Moss")),
        ] {
            let page = axum::body::to_bytes(response.into_body(), 10_000).await;
            let page = String::from_utf8(page.unwrap().to_vec()).unwrap();
            assert!(
                page.contains("from &lt;b&gt;Fern&lt;/b&gt; &amp; Moss."),
                "{page}"
            );
        }
    }
}
