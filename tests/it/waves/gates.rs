//! Gates: what holds a wave, what lets it pass, and what is kept of it.
//!
//! Its own file, because a gate that does not know must never say yes.

use std::collections::BTreeMap;
use std::time::Duration;

use ficus::rollout::queries::{Config, Queries, Query};
use ficus::rollout::wave::{self, Defaults, Outcome, Plan, WaveState};
use ficus::rollout::{Error, change};

use super::{
    advance, baked, count, draft, looking, on_modern, plan, run, start, verdict, with_classes,
};
use crate::control_stage::terms;
use crate::support::Database;

/// A wave of two steps with these gates and a bake time of an hour, in its first step.
async fn in_first_step(gates: &[&str]) -> Database {
    let db = with_classes(0, 10, 0, 0).await;
    let mut wave = draft("w", &["low"], &[20.0, 100.0]);
    wave.bake = Some("1h".to_owned());
    wave.gates = Some(gates.iter().map(|it| (*it).to_owned()).collect());
    plan(db.pool(), "dashboard", vec![wave]).await;
    start(db.pool(), "w").await;
    db
}

async fn closed(db: &Database, skip: &[&str]) -> Vec<(String, Outcome)> {
    let skip: Vec<String> = skip.iter().map(|it| (*it).to_owned()).collect();
    match wave::advance(db.pool(), &terms(), "w", None, &skip).await {
        Err(Error::Gates { results, .. }) => {
            let closed = results.into_iter().filter(|it| !it.outcome.lets_pass());
            closed.map(|it| (it.gate, it.outcome)).collect()
        }
        Ok(_) => Vec::new(),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_step_bakes_before_the_next_and_a_refusal_changes_nothing() {
    let db = in_first_step(&[]).await;
    let before = count(db.pool(), "select revision from ficus.clock").await;
    assert_eq!(closed(&db, &[]).await, [("bake".to_owned(), Outcome::Wait)]);
    assert_eq!(
        count(db.pool(), "select revision from ficus.clock").await,
        before
    );
    assert_eq!(on_modern(db.pool(), "dashboard").await.len(), 2);
    baked(db.pool(), "w").await;
    assert_eq!(closed(&db, &[]).await, []);
    assert_eq!(on_modern(db.pool(), "dashboard").await.len(), 10);
}

#[tokio::test]
async fn only_a_pass_of_the_guard_opens_its_gate() {
    let db = in_first_step(&["guard"]).await;
    baked(db.pool(), "w").await;
    let gate = |outcome| vec![("guard".to_owned(), outcome)];
    assert_eq!(
        closed(&db, &[]).await,
        gate(Outcome::Wait),
        "nobody has judged"
    );
    for (word, outcome) in [
        ("insufficient", Outcome::Wait),
        ("no-data", Outcome::Wait),
        ("fail", Outcome::Fail),
    ] {
        verdict(db.pool(), "dashboard", word).await;
        assert_eq!(closed(&db, &[]).await, gate(outcome), "{word}");
    }
    verdict(db.pool(), "dashboard", "pass").await;
    run(
        db.pool(),
        "insert into ficus.verdict (capability, tenant_id, at, verdict, evidence)
         select 'dashboard', min(tenant_id), clock_timestamp(), 'fail', '{}' from ficus.wave_member where step = 1",
    )
    .await;
    assert_eq!(
        closed(&db, &[]).await,
        gate(Outcome::Fail),
        "one of its tenants fails"
    );
    run(
        db.pool(),
        "delete from ficus.verdict where tenant_id is not null",
    )
    .await;
    assert_eq!(closed(&db, &[]).await, []);
}

#[tokio::test]
async fn a_person_says_go_for_one_step_and_not_for_the_next() {
    let db = in_first_step(&["go"]).await;
    baked(db.pool(), "w").await;
    assert_eq!(closed(&db, &[]).await, [("go".to_owned(), Outcome::Wait)]);
    wave::go(db.pool(), &terms(), "w").await.unwrap();
    let again = wave::go(db.pool(), &terms(), "w").await.unwrap();
    assert_eq!(again.change.changed, 0);
    assert_eq!(closed(&db, &[]).await, []);
    baked(db.pool(), "w").await;
    assert_eq!(closed(&db, &[]).await, [("go".to_owned(), Outcome::Wait)]);
}

#[tokio::test]
async fn shadow_is_not_available_and_an_administrator_goes_past_it_on_the_record() {
    let db = in_first_step(&["shadow", "go"]).await;
    baked(db.pool(), "w").await;
    let expected = [
        ("go".to_owned(), Outcome::Wait),
        ("shadow".to_owned(), Outcome::NotAvailable),
    ];
    let mut seen = closed(&db, &[]).await;
    seen.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(seen, expected);
    assert_eq!(closed(&db, &["shadow"]).await.len(), 1, "one is not both");
    let skip = ["shadow".to_owned(), "go".to_owned()];
    let done = wave::advance(db.pool(), &terms(), "w", None, &skip)
        .await
        .unwrap();
    let stored: Vec<(String, String)> =
        sqlx::query_as("select gate, outcome from ficus.gate_result where step = 1 order by gate")
            .fetch_all(db.pool())
            .await
            .unwrap();
    let of = |gate: &str, outcome: &str| (gate.to_owned(), outcome.to_owned());
    assert_eq!(
        stored,
        [
            of("bake", "pass"),
            of("go", "skipped"),
            of("shadow", "skipped")
        ]
    );
    let audited = change(db.pool(), done.wave.revision).await.unwrap();
    assert_eq!(audited.change.entity, "wave");
    let evidence: serde_json::Value =
        sqlx::query_scalar("select evidence from ficus.change where revision = $1")
            .bind(done.wave.revision.0)
            .fetch_one(db.pool())
            .await
            .unwrap();
    assert_eq!(evidence["gates"][1]["outcome"], "skipped", "{evidence}");
}

#[tokio::test]
async fn a_gate_that_the_wave_does_not_have_cannot_be_gone_past() {
    let db = in_first_step(&["go"]).await;
    let skip = ["guard".to_owned()];
    let fault = wave::advance(db.pool(), &terms(), "w", None, &skip)
        .await
        .unwrap_err();
    assert!(fault.to_string().contains("no gate \"guard\""), "{fault}");
}

fn queries(db: &Database, sql: &str) -> Queries {
    let query = Query {
        sql: sql.to_owned(),
        deadline: Duration::from_secs(5),
    };
    let reconcile = BTreeMap::from([("quota".to_owned(), query)]);
    Queries::new(
        db.pool().clone(),
        Config {
            reconcile,
            ..Config::default()
        },
    )
}

#[tokio::test]
async fn a_reconciliation_lets_pass_when_it_finds_no_row() {
    let db = with_classes(0, 4, 0, 0).await;
    run(
        db.pool(),
        "create table quota (owner bigint, drift int); insert into quota values (7, 2)",
    )
    .await;
    let quota = queries(&db, "select owner, drift from quota where drift <> 0;");
    let mut draft = draft("w", &["low"], &[50.0, 100.0]);
    draft.gates = Some(vec!["reconcile:quota".to_owned()]);
    let asked = Plan {
        capability: "dashboard".to_owned(),
        waves: vec![draft],
        defaults: Defaults::default(),
        salt: None,
    };
    wave::plan(db.pool(), &terms(), &asked, Some(&quota))
        .await
        .unwrap();
    start(db.pool(), "w").await;
    let look = looking();
    let advance = || wave::advance(db.pool(), &look, "w", Some(&quota), &[]);
    let Err(Error::Gates { results, .. }) = advance().await else {
        panic!("a closed gate");
    };
    assert_eq!(results[1].outcome, Outcome::Fail);
    assert!(
        results[1].detail.contains("\"owner\": 7"),
        "{}",
        results[1].detail
    );
    run(db.pool(), "update quota set drift = 0").await;
    assert_eq!(advance().await.unwrap().gates[1].outcome, Outcome::Pass);
    for (sql, outcome) in [
        ("select 1 from missing", Outcome::Wait),
        (
            "insert into quota values (1, 1) returning owner",
            Outcome::Wait,
        ),
        ("select pg_sleep(1)", Outcome::Wait),
    ] {
        let mut broken = queries(&db, sql);
        if sql.contains("sleep") {
            let query = Query {
                sql: sql.to_owned(),
                deadline: Duration::from_millis(50),
            };
            let reconcile = BTreeMap::from([("quota".to_owned(), query)]);
            let config = Config {
                reconcile,
                ..Config::default()
            };
            broken = Queries::new(db.pool().clone(), config);
        }
        let refused = wave::advance(db.pool(), &looking(), "w", Some(&broken), &[]).await;
        let Err(Error::Gates { results, .. }) = refused else {
            panic!("{sql}: a closed gate");
        };
        assert_eq!(results[1].outcome, outcome, "{sql}: {}", results[1].detail);
    }
    assert_eq!(
        count(db.pool(), "select count(*) from quota").await,
        1,
        "read-only"
    );
    let refused = wave::advance(db.pool(), &looking(), "w", None, &[]).await;
    let Err(Error::Gates { results, .. }) = refused else {
        panic!("a closed gate");
    };
    assert_eq!(
        results[1].outcome,
        Outcome::NotAvailable,
        "where there is no configuration"
    );
}

#[tokio::test]
async fn under_an_override_no_wave_starts_or_advances() {
    let db = in_first_step(&[]).await;
    baked(db.pool(), "w").await;
    run(
        db.pool(),
        "insert into ficus.override (capability, action) values ('dashboard', 'force-legacy')",
    )
    .await;
    let fault = wave::advance(db.pool(), &terms(), "w", None, &[])
        .await
        .unwrap_err();
    assert!(fault.to_string().contains("forced to legacy"), "{fault}");
    run(db.pool(), "delete from ficus.override").await;
    advance(db.pool(), "w").await;
}

#[tokio::test]
async fn a_wave_waits_for_the_one_before_it() {
    let db = with_classes(2, 2, 0, 0).await;
    plan(
        db.pool(),
        "dashboard",
        vec![
            draft("first", &["internal"], &[100.0]),
            draft("second", &["low"], &[100.0]),
        ],
    )
    .await;
    start(db.pool(), "first").await;
    let fault = wave::start(db.pool(), &terms(), "second")
        .await
        .unwrap_err();
    assert!(
        fault
            .to_string()
            .contains("first comes before it and is running"),
        "{fault}"
    );
    assert_eq!(
        advance(db.pool(), "first").await.wave.state,
        WaveState::Complete
    );
    start(db.pool(), "second").await;
}

#[tokio::test]
async fn a_dry_run_of_a_step_shows_who_would_move_and_moves_nobody() {
    let db = in_first_step(&[]).await;
    baked(db.pool(), "w").await;
    let done = wave::advance(db.pool(), &looking(), "w", None, &[])
        .await
        .unwrap();
    assert_eq!(
        (done.wave.step, done.change.changed),
        (2, 9),
        "eight flags and the wave"
    );
    assert_eq!(
        done.change
            .preview
            .iter()
            .filter(|it| it.entity == "flag")
            .count(),
        8
    );
    assert_eq!(on_modern(db.pool(), "dashboard").await.len(), 2);
}
