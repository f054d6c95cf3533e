//! The rollback of a wave: exactly those who stand on modern because of it, and the wave on hold.
//!
//! Its own file, because what a rollback leaves alone matters as much as what it takes.

use ficus::flags::State;
use ficus::rollout::wave::{self, WaveState};
use ficus::rollout::{Scope, roll_back, set_flag, undo};

use super::{advance, baked, draft, guard, on_modern, plan, run, start, with_classes};
use crate::control_stage::terms;
use crate::support::Database;

/// Ten tenants, of whom the wave has moved the half.
async fn halfway() -> Database {
    let db = with_classes(0, 10, 0, 0).await;
    plan(
        db.pool(),
        "dashboard",
        vec![draft("w", &["low"], &[50.0, 100.0])],
    )
    .await;
    start(db.pool(), "w").await;
    db
}

fn whole() -> Scope {
    Scope::Wave("w".to_owned())
}

async fn state(db: &Database) -> WaveState {
    wave::wave(db.pool(), "w").await.unwrap().wave.state
}

#[tokio::test]
async fn a_rollback_takes_everyone_back_whom_the_wave_moved_and_holds_it() {
    let db = halfway().await;
    advance(db.pool(), "w").await;
    run(
        db.pool(),
        "insert into ficus.tenant (id) values (99); insert into ficus.flag (tenant_id, capability, state) values (99, 'dashboard', 'modern')",
    )
    .await;
    let change = roll_back(db.pool(), &terms(), &whole()).await.unwrap();
    assert_eq!(change.changed, 11, "ten flags and the wave");
    assert_eq!(on_modern(db.pool(), "dashboard").await, [99].into());
    assert_eq!(state(&db).await, WaveState::Held);
    let again = roll_back(db.pool(), &terms(), &whole()).await.unwrap();
    assert_eq!((again.changed, again.revision), (0, change.revision));
}

#[tokio::test]
async fn whom_a_person_has_set_to_modern_since_stays() {
    let db = halfway().await;
    let tenant = *on_modern(db.pool(), "dashboard").await.first().unwrap();
    let named = tenant.to_string().parse().unwrap();
    for to in [State::Legacy, State::Modern] {
        set_flag(db.pool(), &terms(), &named, "dashboard", to)
            .await
            .unwrap();
    }
    roll_back(db.pool(), &terms(), &whole()).await.unwrap();
    assert_eq!(on_modern(db.pool(), "dashboard").await, [tenant].into());
}

#[tokio::test]
async fn other_capabilities_of_its_tenants_stay() {
    let db = halfway().await;
    run(
        db.pool(),
        "insert into ficus.flag (tenant_id, capability, state) select id, 'messaging', 'modern' from ficus.tenant",
    )
    .await;
    roll_back(db.pool(), &terms(), &whole()).await.unwrap();
    assert_eq!(on_modern(db.pool(), "messaging").await.len(), 10);
}

#[tokio::test]
async fn resumed_it_moves_those_again_whom_it_took_back_and_bakes_anew() {
    let db = halfway().await;
    let moved = on_modern(db.pool(), "dashboard").await;
    roll_back(db.pool(), &terms(), &whole()).await.unwrap();
    let done = wave::resume(db.pool(), &terms(), "w").await.unwrap();
    assert_eq!((done.wave.state, done.wave.step), (WaveState::Running, 1));
    assert_eq!(on_modern(db.pool(), "dashboard").await, moved);
    roll_back(db.pool(), &terms(), &whole()).await.unwrap();
    assert!(
        on_modern(db.pool(), "dashboard").await.is_empty(),
        "a second time as well"
    );
}

#[tokio::test]
async fn resumed_it_leaves_whom_a_person_took_back_one_by_one() {
    let db = halfway().await;
    let mut moved = on_modern(db.pool(), "dashboard").await;
    let one = moved.pop_first().unwrap();
    let one = Scope::Tenants(vec![one.to_string().parse().unwrap()]);
    roll_back(db.pool(), &terms(), &one).await.unwrap();
    assert_eq!(
        state(&db).await,
        WaveState::Running,
        "one tenant holds no wave"
    );
    roll_back(db.pool(), &terms(), &whole()).await.unwrap();
    wave::resume(db.pool(), &terms(), "w").await.unwrap();
    assert_eq!(on_modern(db.pool(), "dashboard").await, moved);
}

#[tokio::test]
async fn what_the_guard_takes_back_holds_the_wave_and_a_person_brings_it_on_again() {
    for scope in ["tenant", "wave", "capability", "all"] {
        let db = halfway().await;
        let moved = on_modern(db.pool(), "dashboard").await;
        let first = moved.first().unwrap().to_string().parse().unwrap();
        let taken = match scope {
            "tenant" => Scope::Tenants(vec![first]),
            "wave" => whole(),
            "capability" => Scope::Capability("dashboard".to_owned()),
            _ => Scope::All,
        };
        roll_back(db.pool(), &guard(), &taken).await.unwrap();
        assert_eq!(state(&db).await, WaveState::Held, "{scope}");
        run(db.pool(), "delete from ficus.override").await;
        wave::resume(db.pool(), &terms(), "w").await.unwrap();
        assert_eq!(on_modern(db.pool(), "dashboard").await, moved, "{scope}");
    }
}

#[tokio::test]
async fn a_wave_that_has_not_started_is_held_all_the_same() {
    let db = with_classes(0, 2, 0, 0).await;
    plan(db.pool(), "dashboard", vec![draft("w", &["low"], &[100.0])]).await;
    roll_back(db.pool(), &terms(), &whole()).await.unwrap();
    assert_eq!(state(&db).await, WaveState::Held);
    assert!(wave::start(db.pool(), &terms(), "w").await.is_err());
    wave::resume(db.pool(), &terms(), "w").await.unwrap();
    start(db.pool(), "w").await;
}

#[tokio::test]
async fn a_complete_wave_is_taken_back_as_well() {
    let db = halfway().await;
    advance(db.pool(), "w").await;
    baked(db.pool(), "w").await;
    assert_eq!(
        advance(db.pool(), "w").await.wave.state,
        WaveState::Complete
    );
    roll_back(db.pool(), &terms(), &whole()).await.unwrap();
    assert!(on_modern(db.pool(), "dashboard").await.is_empty());
    assert_eq!(state(&db).await, WaveState::Held);
}

#[tokio::test]
async fn taken_back_and_aborted_its_tenants_join_the_next_wave_and_move() {
    let db = halfway().await;
    roll_back(db.pool(), &terms(), &whole()).await.unwrap();
    wave::abort(db.pool(), &terms(), "w").await.unwrap();
    let planned = plan(db.pool(), "dashboard", Vec::new()).await;
    assert_eq!(planned[0].tenants, 10);
    start(db.pool(), &planned[0].name).await;
    assert_eq!(on_modern(db.pool(), "dashboard").await.len(), 10);
}

#[tokio::test]
async fn a_transition_of_a_wave_is_not_undone_but_its_flags_are() {
    let db = halfway().await;
    let revision = wave::wave(db.pool(), "w").await.unwrap().wave.revision;
    let fault = undo(db.pool(), &terms(), revision).await.unwrap_err();
    assert!(fault.to_string().contains("rollback --wave"), "{fault}");
    let flags = ficus::ids::Revision(revision.0 - 1);
    undo(db.pool(), &terms(), flags).await.unwrap();
    assert!(on_modern(db.pool(), "dashboard").await.is_empty());
}

#[tokio::test]
async fn an_unknown_wave_is_named() {
    let db = with_classes(0, 1, 0, 0).await;
    let fault = roll_back(db.pool(), &terms(), &whole()).await.unwrap_err();
    assert_eq!(fault.to_string(), "there is no wave \"w\"");
}
