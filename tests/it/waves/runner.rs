//! The leader's job: what goes on by itself, and what waits for a person.
//!
//! Its own file, because automation may go forward only where a person said so.

use ficus::rollout::wave::{self, WaveState, advance_waves};
use ficus::rollout::{Scope, roll_back};
use sqlx::PgPool;

use super::{baked, draft, guard, on_modern, plan, run, start, with_classes};
use crate::control_stage::terms;
use crate::support::Database;

/// Two waves that go by themselves, the first of them started.
async fn by_themselves() -> Database {
    let db = with_classes(2, 10, 0, 0).await;
    let auto = |name, class, steps: &[f64]| {
        let mut wave = draft(name, &[class], steps);
        (wave.auto, wave.bake) = (Some(true), Some("1h".to_owned()));
        wave
    };
    let waves = vec![
        auto("first", "internal", &[100.0]),
        auto("second", "low", &[20.0, 100.0]),
    ];
    plan(db.pool(), "dashboard", waves).await;
    db
}

async fn state(pool: &PgPool, name: &str) -> (WaveState, usize) {
    let wave = wave::wave(pool, name).await.unwrap().wave;
    (wave.state, wave.step)
}

async fn tick(db: &Database) {
    advance_waves(db.pool(), None).await.unwrap();
}

#[tokio::test]
async fn a_wave_that_was_told_to_goes_on_when_it_has_baked_and_then_the_next_one_starts() {
    let db = by_themselves().await;
    tick(&db).await;
    assert_eq!(
        state(db.pool(), "first").await,
        (WaveState::Planned, 0),
        "a person starts the first"
    );
    start(db.pool(), "first").await;
    tick(&db).await;
    assert_eq!(
        state(db.pool(), "first").await,
        (WaveState::Running, 1),
        "it bakes"
    );
    baked(db.pool(), "first").await;
    tick(&db).await;
    assert_eq!(state(db.pool(), "first").await, (WaveState::Complete, 1));
    tick(&db).await;
    assert_eq!(state(db.pool(), "second").await, (WaveState::Running, 1));
    assert_eq!(on_modern(db.pool(), "dashboard").await.len(), 4);
    let (actor, source): (String, String) =
        sqlx::query_as("select actor, source from ficus.change order by revision desc limit 1")
            .fetch_one(db.pool())
            .await
            .unwrap();
    assert_eq!((actor.as_str(), source.as_str()), ("ficus", "wave"));
}

#[tokio::test]
async fn a_wave_that_nobody_told_to_waits() {
    let db = by_themselves().await;
    run(db.pool(), "update ficus.wave set auto = false").await;
    start(db.pool(), "first").await;
    baked(db.pool(), "first").await;
    tick(&db).await;
    assert_eq!(state(db.pool(), "first").await, (WaveState::Running, 1));
}

#[tokio::test]
async fn a_pause_a_hold_and_an_end_hold_against_the_runner() {
    for held in ["pause", "rollback", "guard", "abort"] {
        let db = by_themselves().await;
        start(db.pool(), "first").await;
        baked(db.pool(), "first").await;
        let scope = Scope::Wave("first".to_owned());
        match held {
            "pause" => wave::pause(db.pool(), &terms(), "first").await.map(|_| ()),
            "abort" => wave::abort(db.pool(), &terms(), "first").await.map(|_| ()),
            "guard" => roll_back(
                db.pool(),
                &guard(),
                &Scope::Tenants(vec!["1".parse().unwrap()]),
            )
            .await
            .map(|_| ()),
            _ => roll_back(db.pool(), &terms(), &scope).await.map(|_| ()),
        }
        .unwrap();
        let before = (
            state(db.pool(), "first").await,
            on_modern(db.pool(), "dashboard").await,
        );
        tick(&db).await;
        tick(&db).await;
        let after = (
            state(db.pool(), "first").await,
            on_modern(db.pool(), "dashboard").await,
        );
        assert_eq!(before, after, "{held}");
        assert_eq!(
            state(db.pool(), "second").await,
            (WaveState::Planned, 0),
            "{held}"
        );
    }
}

#[tokio::test]
async fn what_a_person_took_back_the_runner_does_not_move_again() {
    let db = by_themselves().await;
    start(db.pool(), "first").await;
    let one = Scope::Tenants(vec!["1".parse().unwrap()]);
    roll_back(db.pool(), &terms(), &one).await.unwrap();
    for _ in 0..5 {
        for name in ["first", "second"] {
            run(
                db.pool(),
                &format!("update ficus.wave set step_at = step_at - bake where name = '{name}' and state = 'running'"),
            )
            .await;
        }
        tick(&db).await;
    }
    assert_eq!(state(db.pool(), "second").await, (WaveState::Complete, 2));
    assert_eq!(on_modern(db.pool(), "dashboard").await, (2..=12).collect());
}
