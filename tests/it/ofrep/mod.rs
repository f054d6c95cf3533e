//! OFREP as an OpenFeature provider speaks it: which side a tenant is on, and for whom that may be asked.
//!
//! Its own folder, because its words are the protocol's.

mod stream;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use ficus::rollout::{self, Role};
use serde_json::{Value, json};

use crate::control_stage::{Answer, Stage, author};

const BULK: &str = "/ofrep/v1/evaluate/flags";

async fn evaluate(
    stage: &Stage,
    header: (&str, &str),
    path: &str,
    body: &str,
    etag: Option<&str>,
) -> Answer {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header.0, header.1)
        .header("content-type", "application/json");
    if let Some(etag) = etag {
        request = request.header("if-none-match", etag);
    }
    stage
        .send(request.body(Body::from(body.to_owned())).unwrap())
        .await
}

/// Tenant 1 on modern for the dashboard, as the snapshot of this process has it; tokens of an app of tenant 1, and of a viewer.
async fn stage() -> (Stage, String, String) {
    let stage = Stage::new().await;
    sqlx::query(
        "insert into ficus.flag (tenant_id, capability, state) values (1, 'dashboard', 'modern')",
    )
    .execute(stage.pool())
    .await
    .unwrap();
    stage.load_snapshot().await;
    let app =
        rollout::create_ofrep_token(stage.pool(), &author(), "app", &["acme".parse().unwrap()])
            .await
            .unwrap();
    let viewer = stage.token(Role::Viewer).await;
    (stage, app, viewer)
}

fn asks_for(key: &str) -> String {
    json!({ "context": { "targetingKey": key } }).to_string()
}

#[tokio::test]
async fn one_flag_is_answered_with_side_reason_and_revision() {
    let (stage, app, _) = stage().await;
    let bearer = format!("Bearer {app}");
    let path = format!("{BULK}/dashboard");
    for header in [
        ("authorization", bearer.as_str()),
        ("x-api-key", app.as_str()),
    ] {
        let answer = evaluate(&stage, header, &path, &asks_for("acme"), None).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let body = &answer.body;
        assert_eq!(
            (
                &body["key"],
                &body["value"],
                &body["variant"],
                &body["reason"]
            ),
            (
                &"dashboard".into(),
                &true.into(),
                &"modern".into(),
                &"TARGETING_MATCH".into()
            )
        );
        assert_eq!(body["metadata"]["version"], stage.flags.revision().0);
    }
    let missing = evaluate(
        &stage,
        ("x-api-key", &app),
        &format!("{BULK}/nope"),
        &asks_for("1"),
        None,
    )
    .await;
    assert_eq!(
        (
            missing.status,
            &missing.body["errorCode"],
            &missing.body["key"]
        ),
        (
            StatusCode::NOT_FOUND,
            &"FLAG_NOT_FOUND".into(),
            &"nope".into()
        )
    );
}

#[tokio::test]
async fn a_token_of_one_tenant_learns_nothing_of_another_and_opens_no_other_route() {
    let (stage, app, viewer) = stage().await;
    for key in ["2", "beta", "99", "no-such", "A b"] {
        for path in [BULK.to_owned(), format!("{BULK}/dashboard")] {
            let answer = evaluate(&stage, ("x-api-key", &app), &path, &asks_for(key), None).await;
            assert_eq!(
                (answer.status, answer.body),
                (StatusCode::FORBIDDEN, Value::from("")),
                "{key}"
            );
        }
    }
    let nobody = evaluate(
        &stage,
        ("x-api-key", "ficus_AAAA"),
        BULK,
        &asks_for("1"),
        None,
    )
    .await;
    assert_eq!(
        (nobody.status, nobody.body),
        (StatusCode::UNAUTHORIZED, Value::from(""))
    );
    assert_eq!(
        stage
            .ask(Method::GET, "/api/v1/status", Some(&app), None)
            .await
            .status,
        StatusCode::FORBIDDEN
    );
    let other = evaluate(
        &stage,
        ("x-api-key", &viewer),
        BULK,
        &asks_for("beta"),
        None,
    )
    .await;
    assert_eq!(
        other.status,
        StatusCode::OK,
        "who may read everything may ask for everyone"
    );
}

#[tokio::test]
async fn a_bad_question_is_answered_in_the_protocols_words() {
    let (stage, app, _) = stage().await;
    for (body, code) in [
        ("{", "PARSE_ERROR"),
        ("{}", "INVALID_CONTEXT"),
        (r#"{"context":{}}"#, "TARGETING_KEY_MISSING"),
        (
            r#"{"context":{"targetingKey":""}}"#,
            "TARGETING_KEY_MISSING",
        ),
        (r#"{"context":{"targetingKey":1}}"#, "INVALID_CONTEXT"),
    ] {
        let bulk = evaluate(&stage, ("x-api-key", &app), BULK, body, None).await;
        assert_eq!(
            (bulk.status, &bulk.body["errorCode"], bulk.body.get("key")),
            (StatusCode::BAD_REQUEST, &code.into(), None),
            "{body}"
        );
        let one = evaluate(
            &stage,
            ("x-api-key", &app),
            &format!("{BULK}/dashboard"),
            body,
            None,
        )
        .await;
        assert_eq!(
            (one.status, &one.body["errorCode"], &one.body["key"]),
            (StatusCode::BAD_REQUEST, &code.into(), &"dashboard".into()),
            "{body}"
        );
    }
}

#[tokio::test]
async fn an_unchanged_answer_is_304_and_any_attribute_of_the_context_makes_it_another() {
    let (stage, app, _) = stage().await;
    let first = evaluate(&stage, ("x-api-key", &app), BULK, &asks_for("acme"), None).await;
    assert_eq!(
        first.body["flags"].as_array().unwrap().len(),
        2,
        "{}",
        first.body
    );
    assert_eq!(
        first.body["eventStreams"][0]["endpoint"]["requestUri"],
        "/ofrep/v1/events"
    );
    let etag = first.headers["etag"].to_str().unwrap().to_owned();
    assert!(!etag.starts_with("W/"));
    for known in [etag.clone(), format!("\"x\", W/{etag}"), "*".to_owned()] {
        let same = evaluate(
            &stage,
            ("x-api-key", &app),
            BULK,
            &asks_for("acme"),
            Some(&known),
        )
        .await;
        assert_eq!(
            (same.status, &same.headers["etag"], same.body),
            (
                StatusCode::NOT_MODIFIED,
                &etag.parse().unwrap(),
                Value::from("")
            )
        );
    }
    let gold = json!({ "context": { "targetingKey": "acme", "plan": "gold" } }).to_string();
    assert_eq!(
        evaluate(&stage, ("x-api-key", &app), BULK, &gold, Some(&etag))
            .await
            .status,
        StatusCode::OK
    );
    sqlx::query("update ficus.flag set state = 'legacy'")
        .execute(stage.pool())
        .await
        .unwrap();
    stage.load_snapshot().await;
    let moved = evaluate(
        &stage,
        ("x-api-key", &app),
        BULK,
        &asks_for("acme"),
        Some(&etag),
    )
    .await;
    assert_eq!(moved.status, StatusCode::OK);
    assert_eq!(moved.body["flags"][0]["value"], false);
}

#[tokio::test]
async fn an_answer_is_never_older_than_the_event_that_asked_for_it() {
    let (stage, app, _) = stage().await;
    let newer = stage.flags.revision().0 + 1;
    let late = evaluate(
        &stage,
        ("x-api-key", &app),
        &format!("{BULK}?flagConfigEtag=r{newer}"),
        &asks_for("acme"),
        None,
    )
    .await;
    assert_eq!(
        (late.status, &late.headers["retry-after"]),
        (StatusCode::SERVICE_UNAVAILABLE, &"1".parse().unwrap())
    );
    let known = newer - 1;
    let now = evaluate(
        &stage,
        ("x-api-key", &app),
        &format!("{BULK}?flagConfigEtag=r{known}"),
        &asks_for("acme"),
        None,
    )
    .await;
    assert_eq!(now.status, StatusCode::OK);
}
