//! The rollback's promise: it returns when every live proxy has applied it, and says who has not.
//!
//! Its own file, because this is the product's first promise; the proxies are rows that the test moves.

use std::time::{Duration, Instant};

use axum::http::Method;
use ficus::rollout::{self, ProxyState, Role};
use serde_json::json;

use crate::control_stage::{Stage, run, terms};

const ROLLBACK: &str = "/api/v1/rollback";

async fn with_modern_tenant_two() -> Stage {
    let stage = Stage::new().await;
    let two = "2".parse().unwrap();
    rollout::set_flag(
        stage.pool(),
        &terms(),
        &two,
        "dashboard",
        ficus::flags::State::Modern,
    )
    .await
    .unwrap();
    stage
}

#[tokio::test]
async fn a_rollback_returns_when_both_proxies_have_applied_it_with_the_time_of_each() {
    let stage = with_modern_tenant_two().await;
    stage.prompt_proxy("a").await;
    stage.prompt_proxy("b").await;
    let token = stage.token(Role::Operator).await;
    let answer = stage
        .ask(
            Method::POST,
            ROLLBACK,
            Some(&token),
            Some(json!({ "tenants": ["2"], "reason": "broken" })),
        )
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["confirmed"], true);
    assert_eq!(answer.body["changed"], 1);
    assert_eq!(answer.body["revision"], stage.revision().await);
    for (nth, name) in ["a", "b"].iter().enumerate() {
        let proxy = &answer.body["proxies"][nth];
        assert_eq!(
            (proxy["name"].as_str(), proxy["state"].as_str()),
            (Some(*name), Some("confirmed"))
        );
        assert!(
            proxy["ms"]
                .as_f64()
                .is_some_and(|ms| (0.0..5000.0).contains(&ms)),
            "{proxy}"
        );
    }
    let detail = rollout::change(stage.pool(), ficus::ids::Revision(stage.revision().await))
        .await
        .unwrap();
    assert_eq!(
        (
            detail.change.actor.as_str(),
            detail.change.reason.as_deref()
        ),
        ("operator", Some("broken"))
    );
}

#[tokio::test]
async fn a_rollback_that_was_done_already_is_confirmed_at_once() {
    let stage = Stage::new().await;
    // The token first: making one is a change too, and this proxy has applied every change.
    let token = stage.token(Role::Operator).await;
    stage.proxy("a").await;
    let answer = stage
        .ask(
            Method::POST,
            ROLLBACK,
            Some(&token),
            Some(json!({ "tenants": ["2"], "reason": "x" })),
        )
        .await;
    assert_eq!(
        (&answer.body["changed"], &answer.body["confirmed"]),
        (&json!(0), &json!(true))
    );
    assert_eq!(answer.body["proxies"][0]["ms"], 0.0);
}

#[tokio::test]
async fn a_proxy_that_lags_is_waited_for_until_it_applies() {
    let stage = with_modern_tenant_two().await;
    stage.proxy("slow").await;
    let change = rollout::roll_back(stage.pool(), &terms(), &rollout::Scope::All)
        .await
        .unwrap();
    let waiting = rollout::confirm(stage.pool(), &change, Duration::from_secs(20));
    let applying = async {
        sqlx::query(
            "update ficus.instance set applied_revision = $1, applied_at = clock_timestamp()",
        )
        .bind(change.revision.0)
        .execute(stage.pool())
        .await
        .unwrap();
    };
    let (outcome, ()) = tokio::join!(waiting, applying);
    assert!(outcome.confirmed);
    assert!(outcome.proxies[0].ms.is_some_and(|ms| ms > 0.0));
}

#[tokio::test]
async fn a_proxy_that_goes_silent_while_waited_for_becomes_dead() {
    let stage = with_modern_tenant_two().await;
    stage.prompt_proxy("well").await;
    stage.silent_proxy("dying", 9.5).await;
    let change = rollout::roll_back(stage.pool(), &terms(), &rollout::Scope::All)
        .await
        .unwrap();
    let outcome = rollout::confirm(stage.pool(), &change, Duration::from_secs(20)).await;
    assert!(outcome.confirmed);
    assert_eq!(outcome.proxies[0].state, ProxyState::Dead);
}

#[tokio::test]
async fn the_command_says_confirmed_on_how_many_in_what_time() {
    let stage = with_modern_tenant_two().await;
    stage.prompt_proxy("a").await;
    stage.prompt_proxy("b").await;
    let token = stage.token(Role::Operator).await;
    let ran = stage
        .ficus(
            &token,
            &[
                "rollback", "--tenant", "beta", "--reason", "broken", "--output", "table",
            ],
        )
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stdout.contains("changed 1 row, revision"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.contains("confirmed on 2/2 proxies in "),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.contains("\n  a  confirmed  ") && ran.stdout.contains("\n  b  confirmed  "),
        "{}",
        ran.stdout
    );
}

#[tokio::test]
async fn the_command_names_who_lags_says_what_to_do_and_exits_5() {
    let stage = with_modern_tenant_two().await;
    stage.prompt_proxy("a").await;
    stage.proxy("stuck").await;
    let token = stage.token(Role::Operator).await;
    let args = [
        "rollback",
        "--tenant",
        "2",
        "--reason",
        "broken",
        "--timeout",
        "300ms",
        "--output",
        "table",
    ];
    let ran = stage.ficus(&token, &args).await;
    assert_eq!(ran.code, 5, "{ran:?}");
    assert!(
        ran.stdout.contains("NOT confirmed: applied on 1/2 proxies"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stderr.contains("stuck lags at revision"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr
            .contains("ficus rollback --tenant 2 --reason TEXT --local"),
        "{}",
        ran.stderr
    );
    assert_eq!(
        stage.state(2, "dashboard").await.as_deref(),
        Some("legacy"),
        "the change stands"
    );
}

#[tokio::test]
async fn a_dead_proxy_is_named_and_not_waited_for() {
    let stage = with_modern_tenant_two().await;
    stage.prompt_proxy("a").await;
    stage.silent_proxy("dead", 35.0).await;
    let token = stage.token(Role::Operator).await;
    let start = Instant::now();
    let ran = stage
        .ficus(
            &token,
            &[
                "rollback",
                "--all",
                "--yes",
                "--reason",
                "x",
                "--timeout",
                "25s",
                "--output",
                "table",
            ],
        )
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "it was waited for"
    );
    assert!(
        ran.stdout.contains("confirmed on 1/1 proxies"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stderr.contains("dead is dead: no heartbeat for 3"),
        "{}",
        ran.stderr
    );
}

#[tokio::test]
async fn where_every_proxy_is_silent_nothing_is_confirmed() {
    let stage = with_modern_tenant_two().await;
    stage.silent_proxy("cut-off", 35.0).await;
    let token = stage.token(Role::Operator).await;
    let ran = stage
        .ficus(&token, &["rollback", "--tenant", "2", "--reason", "x"])
        .await;
    assert_eq!(
        (ran.code, &ran.json()["confirmed"]),
        (5, &json!(false)),
        "{ran:?}"
    );
}

#[tokio::test]
async fn without_waiting_the_command_ends_at_once_with_0() {
    let stage = with_modern_tenant_two().await;
    stage.proxy("stuck").await;
    let token = stage.token(Role::Operator).await;
    let ran = stage
        .ficus(
            &token,
            &["rollback", "--tenant", "2", "--reason", "x", "--no-wait"],
        )
        .await;
    assert_eq!(
        (ran.code, &ran.json()["waited"]),
        (0, &json!(false)),
        "{ran:?}"
    );
}

#[tokio::test]
async fn on_sockets_every_proxy_is_rolled_back_and_one_that_is_gone_is_named() {
    let stage = Stage::new().await;
    let (a, b) = (
        stage.listen_locally("a.sock").await,
        stage.listen_locally("b.sock").await,
    );
    let args = [
        "rollback", "--all", "--yes", "--reason", "dark", "--output", "table", "--local", &a,
        "--local", &b,
    ];
    let ran = run(&[], &args).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stdout.contains("confirmed on 2/2 proxies"),
        "{}",
        ran.stdout
    );
    let action = &stage.flags.local_actions()[0];
    assert_eq!(
        (action.actor.as_str(), action.reason.as_str()),
        ("kim", "dark")
    );

    let gone = a.replace("a.sock", "gone.sock");
    let ran = run(
        &[],
        &[
            "rollback", "--all", "--yes", "--reason", "dark", "--local", &a, "--local", &gone,
        ],
    )
    .await;
    assert_eq!(ran.code, 5, "{ran:?}");
    assert!(ran.stderr.contains("gone.sock"), "{}", ran.stderr);
    let ran = run(
        &[],
        &[
            "rollback", "--all", "--yes", "--reason", "dark", "--local", &gone,
        ],
    )
    .await;
    assert_eq!(ran.code, 1, "{ran:?}");
}
