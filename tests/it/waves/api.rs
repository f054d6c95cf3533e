//! Waves by the admin API and the command line: what is printed, who may, and with which code it ends.
//!
//! Its own file, because operators and scripts stand on exactly this.

use axum::http::{Method, StatusCode};
use ficus::rollout::Role;
use serde_json::json;

use super::{baked, count, run};
use crate::control_stage::Stage;

/// The stage's three tenants, and one of them internal.
async fn stage() -> Stage {
    let stage = Stage::new().await;
    run(
        stage.pool(),
        "update ficus.tenant set class = 'internal' where id = 1",
    )
    .await;
    stage
}

#[tokio::test]
async fn a_plan_is_looked_at_then_stored_started_advanced_and_taken_back() {
    let stage = stage().await;
    let token = stage.token(Role::Operator).await;
    let ran = stage
        .ficus(&token, &["wave", "plan", "dashboard", "--output", "table"])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stdout.contains("dashboard-internal") && ran.stdout.contains("66.67 %"),
        "{}",
        ran.stdout
    );
    assert!(ran.stderr.contains("nothing was stored"), "{}", ran.stderr);
    assert_eq!(
        count(stage.pool(), "select count(*) from ficus.wave").await,
        0
    );

    let plan = [
        "wave",
        "plan",
        "dashboard",
        "--bake",
        "0s",
        "--gate",
        "go",
        "--reason",
        "week 9",
    ];
    let ran = stage.ficus(&token, &plan).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json()["waves"][1]["name"], "dashboard-low");

    let start = [
        "wave",
        "start",
        "dashboard-internal",
        "--reason",
        "go",
        "--no-wait",
    ];
    let ran = stage.ficus(&token, &start).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json()["wave"]["on_modern"], 1);
    assert_eq!(stage.state(1, "dashboard").await.as_deref(), Some("modern"));

    let advance = [
        "wave",
        "advance",
        "dashboard-internal",
        "--reason",
        "go",
        "--no-wait",
    ];
    let ran = stage.ficus(&token, &advance).await;
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(
        ran.stderr.contains("no person has said go"),
        "{}",
        ran.stderr
    );

    let go = [
        "wave",
        "go",
        "dashboard-internal",
        "--reason",
        "seen",
        "--no-wait",
    ];
    assert_eq!(stage.ficus(&token, &go).await.code, 0);
    let ran = stage.ficus(&token, &advance).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json()["wave"]["state"], "complete");

    let back = [
        "rollback",
        "--wave",
        "dashboard-internal",
        "--reason",
        "INC-42",
        "--no-wait",
    ];
    let ran = stage.ficus(&token, &back).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(stage.state(1, "dashboard").await.as_deref(), Some("legacy"));

    let ran = stage
        .ficus(&token, &["wave", "list", "--output", "table"])
        .await;
    assert!(
        ran.stdout.contains("held") && ran.stdout.contains("INC-42"),
        "{}",
        ran.stdout
    );
    let ran = stage
        .ficus(
            &token,
            &["wave", "show", "dashboard-internal", "--output", "table"],
        )
        .await;
    assert!(
        ran.stdout.contains("a person has said go"),
        "{}",
        ran.stdout
    );
}

#[tokio::test]
async fn bad_plans_and_wrong_moments_end_with_2_and_3_and_change_nothing() {
    let stage = stage().await;
    let token = stage.token(Role::Operator).await;
    let huge = stage.file("huge.toml", "[[wave]]\nclasses = ['huge']\n");
    let empty = stage.file("empty.toml", "[[wave]]\nclasses = ['high']\n");
    let unread = stage.file("unread.toml", "[[wave]]\nclass = 'low'\n");
    let stranger = stage.file("stranger.csv", "wave,tenant\nfirst,77\n");
    let reason = ["--reason", "x"];
    let before = stage.revision().await;
    for (args, code, expected) in [
        (vec!["--file", &huge], 2, "class \"huge\" is not known"),
        (vec!["--file", &empty], 2, "over no tenants"),
        (vec!["--file", &unread], 2, "unknown field"),
        (vec!["--file", &stranger], 2, "there is no tenant 77"),
        (vec!["--steps", "5,101"], 2, "101 is no percent"),
        (vec!["--steps", "-5"], 2, "-5 is no percent"),
        (vec!["--steps", "x"], 2, "invalid"),
        (vec!["--bake", "-1h"], 2, "is negative"),
        (vec!["--gate", "moon"], 2, "is not defined"),
        (vec!["--gate", "reconcile:quota"], 2, "is not defined"),
    ] {
        let all: Vec<&str> = ["wave", "plan", "dashboard"]
            .into_iter()
            .chain(args)
            .chain(reason)
            .collect();
        let ran = stage.ficus(&token, &all).await;
        assert_eq!(ran.code, code, "{all:?}: {ran:?}");
        assert!(ran.stderr.contains(expected), "{all:?}: {}", ran.stderr);
    }
    let ran = stage
        .ficus(&token, &["wave", "start", "none", "--reason", "x"])
        .await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(stage.revision().await, before);
    stage
        .ficus(&token, &["wave", "plan", "dashboard", "--reason", "x"])
        .await;
    for verb in ["advance", "go"] {
        let ran = stage
            .ficus(&token, &["wave", verb, "dashboard-low", "--reason", "x"])
            .await;
        assert_eq!(ran.code, 3, "{verb}: {ran:?}");
    }
    let stale = [
        "wave",
        "start",
        "dashboard-internal",
        "--reason",
        "x",
        "--expect-revision",
        "1",
    ];
    assert_eq!(stage.ficus(&token, &stale).await.code, 4);
}

#[tokio::test]
async fn past_a_gate_goes_an_administrator_and_nobody_else() {
    let stage = stage().await;
    let (operator, admin) = (
        stage.token(Role::Operator).await,
        stage.token(Role::Admin).await,
    );
    stage
        .ficus(&operator, &["wave", "plan", "dashboard", "--reason", "x"])
        .await;
    stage
        .ficus(
            &operator,
            &[
                "wave",
                "start",
                "dashboard-internal",
                "--reason",
                "x",
                "--no-wait",
            ],
        )
        .await;
    baked(stage.pool(), "dashboard-internal").await;
    let past = [
        "wave",
        "advance",
        "dashboard-internal",
        "--skip-gate",
        "guard",
        "--reason",
        "INC-42",
        "--no-wait",
    ];
    let ran = stage.ficus(&operator, &past).await;
    assert_eq!(ran.code, 7, "{ran:?}");
    let ran = stage.ficus(&admin, &past).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("went past guard"), "{}", ran.stderr);
    let kept = "select count(*) from ficus.change where entity = 'wave' and actor = 'admin' and reason = 'INC-42'
                and evidence -> 'gates' @> '[{\"gate\": \"guard\", \"outcome\": \"skipped\"}]'";
    assert_eq!(count(stage.pool(), kept).await, 1);
    // What an operator's advance may say has no room for it.
    let smuggled = json!({ "reason": "x", "gates": ["guard"] });
    let path = "/api/v1/waves/dashboard-internal/advance";
    let answer = stage
        .ask(Method::POST, path, Some(&operator), Some(smuggled))
        .await;
    assert_eq!(
        answer.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn a_proxy_by_itself_knows_no_waves() {
    let stage = stage().await;
    let socket = stage.listen_locally("a.sock").await;
    let args = [
        "rollback", "--wave", "w", "--reason", "x", "--local", &socket,
    ];
    let ran = crate::control_stage::run(&[], &args).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stderr.contains("a proxy knows no waves"),
        "{}",
        ran.stderr
    );
}

#[tokio::test]
async fn a_sync_takes_the_classes_over_and_leaves_what_was_set_by_hand() {
    use std::sync::Arc;
    use std::time::Duration;

    use ficus::rollout::queries::{Config, Queries, Query};

    let stage = stage().await;
    run(
        stage.pool(),
        "update ficus.tenant set class_pinned = true where id = 1;
         create table user_sent_records (owner_id bigint, type text, created_at timestamp);
         insert into user_sent_records select t.id, 'email', now() at time zone 'UTC' - t.ago
         from (values (1, 28000, interval '27 days 23 hours'), (2, 27000, '27 days 23 hours'), (3, 10500, '7 days'), (9, 28000, '27 days 23 hours'))
             as t (id, number, ago) cross join generate_series(1, t.number)",
    )
    .await;
    let defaults = ficus::config::Config::parse("", std::iter::empty()).unwrap();
    let terms = crate::control_stage::terms();
    let queries = Arc::new(Queries::new(stage.pool().clone(), defaults.rollout));
    ficus::rollout::sync_tenants(stage.pool(), &terms, &queries)
        .await
        .unwrap();
    let classes: Vec<(i64, String)> =
        sqlx::query_as("select id, class from ficus.tenant order by id")
            .fetch_all(stage.pool())
            .await
            .unwrap();
    let of = |id: i64, class: &str| (id, class.to_owned());
    assert_eq!(
        classes,
        [
            of(1, "internal"),
            of(2, "low"),
            // Since a week: 1,500 a day.
            of(3, "medium"),
            of(9, "medium")
        ]
    );
    let again = ficus::rollout::sync_tenants(stage.pool(), &terms, &queries)
        .await
        .unwrap();
    assert_eq!(again.changed, 0);
    for sql in [
        "select 1",
        "select -1, 5",
        "select 2, null::int",
        "select 2, 'NaN'::float8",
        "delete from ficus.tenant",
    ] {
        let volume = Query {
            sql: sql.to_owned(),
            deadline: Duration::from_secs(5),
        };
        let config = Config {
            volume,
            ..Config::default()
        };
        let bad = Queries::new(stage.pool().clone(), config);
        let fault = ficus::rollout::sync_tenants(stage.pool(), &terms, &bad)
            .await
            .unwrap_err();
        assert!(
            fault.to_string().contains("rollout.volume_query"),
            "{sql}: {fault}"
        );
    }
    let token = stage.token(Role::Operator).await;
    let ran = stage
        .ficus(&token, &["tenant", "sync", "--reason", "x"])
        .await;
    assert_eq!(ran.code, 1, "this stage has no configuration: {ran:?}");
    assert!(ran.stderr.contains("no configuration"), "{}", ran.stderr);
}
