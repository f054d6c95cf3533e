//! What programs stand on beside the routes themselves: the OpenAPI document, keys of writes, the stream of changes.
//!
//! Its own file, because each of these is a promise of all routes at once.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use ficus::control::endpoints;
use ficus::flags::State;
use ficus::rollout::{self, Role};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::control_stage::{Answer, Stage, terms};
use crate::support::process::client;

#[tokio::test]
async fn the_document_is_openapi_3_1_and_names_every_route_of_the_router_and_no_other() {
    let stage = Stage::new().await;
    let document = stage
        .ask(Method::GET, "/api/openapi.json", None, None)
        .await
        .body;
    oas3::from_json(document.to_string()).expect("OpenAPI 3.1");
    let mut named = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        named.extend(
            item.as_object()
                .unwrap()
                .keys()
                .map(|method| format!("{} {path}", method.to_uppercase())),
        );
    }
    let mut routed: Vec<String> = endpoints()
        .iter()
        .map(|it| format!("{} {}", it.method, it.path))
        .collect();
    named.sort();
    routed.sort();
    assert_eq!(named, routed);
    let mut references = Vec::new();
    collect(&document, &mut references);
    for reference in references {
        let place = reference
            .strip_prefix('#')
            .expect("a place in this document");
        assert!(
            document.pointer(place).is_some(),
            "{reference} leads nowhere"
        );
    }
}

fn collect(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            into.extend(
                fields
                    .get("$ref")
                    .and_then(Value::as_str)
                    .map(str::to_owned),
            );
            fields.values().for_each(|it| collect(it, into));
        }
        Value::Array(items) => items.iter().for_each(|it| collect(it, into)),
        _ => {}
    }
}

async fn keyed(stage: &Stage, token: &str, key: &str, path: &str, body: &Value) -> Answer {
    let request = Request::builder()
        .method(if path.ends_with("tokens") {
            Method::POST
        } else {
            Method::PUT
        })
        .uri(path)
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .header("idempotency-key", key);
    stage
        .send(request.body(Body::from(body.to_string())).unwrap())
        .await
}

const FLAG: &str = "/api/v1/flags/1/dashboard";

#[tokio::test]
async fn the_same_write_with_the_same_key_is_done_once_and_answered_alike() {
    let stage = Stage::new().await;
    let token = stage.token(Role::Operator).await;
    let body = json!({ "state": "modern", "reason": "go" });
    let first = keyed(&stage, &token, "k1", FLAG, &body).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.body);
    // In between somebody takes it back: a repetition must not move it again.
    rollout::set_flag(
        stage.pool(),
        &terms(),
        &"acme".parse().unwrap(),
        "dashboard",
        State::Legacy,
    )
    .await
    .unwrap();
    let again = keyed(&stage, &token, "k1", FLAG, &body).await;
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(stage.state(1, "dashboard").await.as_deref(), Some("legacy"));

    let other = keyed(
        &stage,
        &token,
        "k1",
        FLAG,
        &json!({ "state": "shadow", "reason": "go" }),
    )
    .await;
    assert_eq!(
        (other.status, &other.body["code"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &"key-reused".into())
    );
}

#[tokio::test]
async fn twenty_at_once_with_one_key_make_one_change() {
    let stage = Stage::new().await;
    let token = stage.token(Role::Operator).await;
    let before = stage.revision().await;
    let body = json!({ "state": "modern", "reason": "go" });
    let all =
        futures_util::future::join_all((0..20).map(|_| keyed(&stage, &token, "k", FLAG, &body)))
            .await;
    assert!(
        all.iter()
            .all(|it| it.status == StatusCode::OK && it.body == all[0].body),
        "{}",
        all[0].body
    );
    assert_eq!(stage.revision().await, before + 1);
}

#[tokio::test]
async fn a_key_is_its_callers_own_is_forgotten_after_a_day_and_repeats_no_secret() {
    let stage = Stage::new().await;
    let (operator, admin) = (
        stage.token(Role::Operator).await,
        stage.token(Role::Admin).await,
    );
    let body = json!({ "state": "modern", "reason": "go" });
    assert_eq!(
        keyed(&stage, &operator, "k", FLAG, &body).await.body["changed"],
        1
    );
    assert_eq!(
        keyed(&stage, &admin, "k", FLAG, &body).await.body["changed"],
        0,
        "another caller's key"
    );
    sqlx::query("update ficus.idempotency set made_at = made_at - interval '25 hours'")
        .execute(stage.pool())
        .await
        .unwrap();
    assert_eq!(
        keyed(&stage, &operator, "k", FLAG, &body).await.body["changed"],
        0,
        "done again, and nothing to do"
    );

    let body = json!({ "name": "ci", "role": "viewer", "reason": "ci" });
    let made = keyed(&stage, &admin, "t", "/api/v1/tokens", &body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let again = keyed(&stage, &admin, "t", "/api/v1/tokens", &body).await;
    assert_eq!(
        (again.status, &again.body["code"]),
        (StatusCode::CONFLICT, &"done-once".into())
    );
    let kept: i64 = sqlx::query_scalar(
        "select count(*) from ficus.idempotency where answer like '%ficus!_%' escape '!'",
    )
    .fetch_one(stage.pool())
    .await
    .unwrap();
    assert_eq!(kept, 0, "a token's text is stored nowhere");
}

/// Reads until `enough` says so.
async fn read(
    stage: &Stage,
    token: &str,
    last: Option<i64>,
    enough: impl Fn(&str) -> bool,
) -> String {
    let url = format!("{}/api/v1/events", stage.listen().await);
    let mut request = client().get(url).bearer_auth(token);
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let mut answer = request.send().await.unwrap();
    let mut text = String::new();
    let read = async {
        while !enough(&text) {
            text += &String::from_utf8_lossy(&answer.chunk().await.unwrap().unwrap());
        }
    };
    timeout(Duration::from_secs(30), read)
        .await
        .expect("events");
    text
}

#[tokio::test]
async fn a_stream_resumes_after_the_last_event_without_loss_and_beats_when_nothing_happens() {
    let stage = Stage::new().await;
    let token = stage.token(Role::Viewer).await;
    let seen = stage.revision().await;
    for state in [State::Modern, State::Legacy, State::Shadow] {
        rollout::set_flag(
            stage.pool(),
            &terms(),
            &"acme".parse().unwrap(),
            "dashboard",
            state,
        )
        .await
        .unwrap();
    }
    let text = read(&stage, &token, Some(seen), |text| {
        text.contains("event: beat")
    })
    .await;
    let ids: Vec<i64> = text
        .lines()
        .filter_map(|line| line.strip_prefix("id: ")?.parse().ok())
        .collect();
    assert_eq!(ids, [seen + 1, seen + 2, seen + 3], "{text}");
    let text = read(&stage, &token, Some(seen + 2), |text| text.contains("id: ")).await;
    assert!(
        text.contains(&format!("id: {}", seen + 3))
            && !text.contains(&format!("id: {}\n", seen + 2)),
        "{text}"
    );
}
