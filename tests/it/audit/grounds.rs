//! Why, on what evidence, and when: what stands beside a change.
//!
//! Its own file, because it is about what is kept and not about what is done to it.

use axum::http::{Method, StatusCode};
use ficus::flags::State;
use ficus::rollout::{self, Author, Role, Source, Terms};
use serde_json::json;

use crate::control_stage::{Stage, terms};

#[tokio::test]
async fn an_automatons_evidence_stands_beside_its_change_and_in_the_chain() {
    let stage = Stage::new().await;
    let author = Author::new("guard", Source::Guard, "errors")
        .with_evidence(json!({ "errors": 31, "n": 200 }));
    let change = rollout::set_flag(
        stage.pool(),
        &Terms::of(author),
        &"acme".parse().unwrap(),
        "dashboard",
        State::Modern,
    )
    .await
    .unwrap();
    let detail = rollout::change(stage.pool(), change.revision)
        .await
        .unwrap();
    assert_eq!(detail.evidence, Some(json!({ "errors": 31, "n": 200 })));
    assert_eq!(detail.change.source, "guard");
}

#[tokio::test]
async fn a_confirmed_change_says_when_the_proxies_had_it() {
    let stage = Stage::new().await;
    let token = stage.token(Role::Operator).await;
    stage.prompt_proxy("p1").await;
    let body = json!({ "state": "modern", "reason": "go" });
    let written = stage
        .ask(
            Method::PUT,
            "/api/v1/flags/1/dashboard",
            Some(&token),
            Some(body),
        )
        .await;
    assert_eq!(written.body["confirmed"], true, "{}", written.body);
    let shown = stage
        .ask(
            Method::GET,
            &format!("/api/v1/changes/{}", written.body["revision"]),
            Some(&token),
            None,
        )
        .await
        .body;
    let seen = &shown["confirmation"];
    assert_eq!(
        (&seen["confirmed"], &seen["proxies"][0]["name"]),
        (&true.into(), &"p1".into()),
        "{shown}"
    );
    let times = [
        &shown["requested_at"],
        &seen["committed_at"],
        &seen["first_ack_at"],
        &seen["last_ack_at"],
    ];
    assert!(times.iter().all(|at| at.is_string()), "{shown}");
}

#[tokio::test]
async fn a_person_who_says_no_why_is_refused_by_every_way() {
    let stage = Stage::new().await;
    let admin = stage.token(Role::Admin).await;
    for (method, path, body) in [
        (
            Method::PUT,
            "/api/v1/flags/1/dashboard",
            json!({ "state": "modern", "reason": " \t" }),
        ),
        (Method::POST, "/api/v1/rollback", json!({ "all": true })),
        (
            Method::POST,
            "/api/v1/tokens",
            json!({ "name": "x", "role": "viewer" }),
        ),
        (
            Method::DELETE,
            "/api/v1/tokens/admin",
            json!({ "reason": "" }),
        ),
        (
            Method::POST,
            "/api/v1/api-keys",
            json!({ "name": "x", "tenant": "1" }),
        ),
    ] {
        let answer = stage.ask(method, path, Some(&admin), Some(body)).await;
        assert_eq!(
            answer.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{path}: {}",
            answer.body
        );
        assert!(
            answer.body["detail"].as_str().unwrap().contains("reason"),
            "{path}: {}",
            answer.body
        );
    }
    for args in [
        &["flag", "set", "1", "dashboard", "modern", "--reason", " "][..],
        &["rollback", "--all", "--yes", "--reason", ""],
        &["token", "revoke", "admin"],
    ] {
        assert_eq!(stage.ficus(&admin, args).await.code, 2, "{args:?}");
    }
    let mut silent = terms();
    silent.author.reason = None;
    let fault = rollout::set_override(stage.pool(), &silent, None)
        .await
        .unwrap_err();
    assert!(fault.to_string().contains("needs a reason"), "{fault}");
    silent.dry_run = true;
    assert_eq!(
        rollout::set_override(stage.pool(), &silent, None)
            .await
            .unwrap()
            .changed,
        1,
        "a dry run is taken back"
    );
}

#[tokio::test]
async fn a_statement_that_wrote_two_tables_is_undone_as_one() {
    let stage = Stage::new().await;
    rollout::set_flag(
        stage.pool(),
        &terms(),
        &"acme".parse().unwrap(),
        "dashboard",
        State::Modern,
    )
    .await
    .unwrap();
    sqlx::raw_sql("delete from ficus.tenant where id = 1")
        .execute(stage.pool())
        .await
        .unwrap();
    let gone = rollout::newest(stage.pool()).await.unwrap();
    let undone = rollout::undo(stage.pool(), &terms(), gone).await.unwrap();
    assert_eq!(undone.changed, 2);
    assert_eq!(stage.state(1, "dashboard").await.as_deref(), Some("modern"));
}
