//! Waves in the schema: audited, of a sound form, and with a membership that nobody edits.
//!
//! Its own file, because these hold for psql as for ficus.

use super::{count, refusal, revision, run, text, with_tenants};

const WAVE: &str = "insert into ficus.wave (name, capability, place, classes, steps, bake, salt)
                    values ('first', 'dashboard', 1, '{low}', '{500,10000}', '1 hour', 's')";

#[tokio::test]
async fn every_write_to_a_wave_has_a_revision_and_an_audit_row() {
    let db = with_tenants(1).await;
    let before = revision(db.pool()).await;
    run(db.pool(), WAVE).await;
    run(db.pool(), "update ficus.wave set auto = true").await;
    run(db.pool(), "update ficus.wave set auto = true").await;
    assert_eq!(revision(db.pool()).await, before + 2);
    let seen = text(
        db.pool(),
        "select string_agg(entity || ' ' || capability || ' ' || coalesce(before ->> 'auto', '-') || ' ' || (after ->> 'auto'), ', ' order by revision)
         from ficus.change_item where entity = 'wave'",
    )
    .await;
    assert_eq!(
        seen.as_deref(),
        Some("wave dashboard - false, wave dashboard false true")
    );
}

#[tokio::test]
async fn a_wave_that_cannot_be_is_refused() {
    let db = with_tenants(1).await;
    run(db.pool(), WAVE).await;
    for (change, constraint) in [
        ("steps = '{0}'", "wave_steps_rise"),
        ("steps = '{10001}'", "wave_steps_rise"),
        ("steps = '{500,500}'", "wave_steps_rise"),
        ("steps = '{}'", "wave_steps_rise"),
        ("steps = '{null}'", "wave_steps_rise"),
        ("classes = '{huge}'", "wave_classes_known"),
        ("bake = '-1 second'", "wave_bake_never_negative"),
        ("salt = 'a|b'", "wave_salt_form"),
        ("state = 'over'", "wave_state_known"),
        ("state = 'running'", "wave_state_fits_step"),
        (
            "step = 3, step_at = now(), size = 1, state = 'running'",
            "wave_step_is_one_of_its_steps",
        ),
        ("step = 1", "wave_"),
        ("name = 'other'", "cannot change"),
        ("capability = 'messaging'", "cannot change"),
    ] {
        let error = refusal(db.pool(), &format!("update ficus.wave set {change}")).await;
        assert!(error.contains(constraint), "{change}: {error}");
    }
}

#[tokio::test]
async fn membership_is_stored_once_and_not_edited() {
    let db = with_tenants(2).await;
    run(db.pool(), WAVE).await;
    run(
        db.pool(),
        "insert into ficus.wave_member (wave_id, tenant_id, capability, rank, step, hash, algorithm, class)
         select id, 1, 'dashboard', 1, 1, 7, 'w1', 'low' from ficus.wave",
    )
    .await;
    for change in [
        "step = 2",
        "rank = 9",
        "hash = 1",
        "class = 'high'",
        "tenant_id = 2",
    ] {
        let error = refusal(db.pool(), &format!("update ficus.wave_member set {change}")).await;
        assert!(error.contains("is not edited"), "{change}: {error}");
    }
    run(db.pool(), "update ficus.wave_member set moved_revision = 3").await;
    run(db.pool(), "delete from ficus.tenant where id = 1").await;
    assert_eq!(
        count(db.pool(), "select count(*) from ficus.wave_member").await,
        0
    );
}

#[tokio::test]
async fn what_a_gate_said_stays_said() {
    let db = with_tenants(1).await;
    run(db.pool(), WAVE).await;
    run(
        db.pool(),
        "insert into ficus.gate_result (wave_id, revision, step, gate, outcome, detail) select id, 1, 1, 'go', 'pass', '' from ficus.wave",
    )
    .await;
    for sql in [
        "update ficus.gate_result set outcome = 'fail'",
        "delete from ficus.gate_result",
        "truncate ficus.gate_result",
    ] {
        let error = refusal(db.pool(), sql).await;
        assert!(error.contains("append-only"), "{sql}: {error}");
    }
}

#[tokio::test]
async fn the_order_of_a_wave_is_the_same_in_sql() {
    let db = with_tenants(1).await;
    assert_eq!(
        count(db.pool(), "select ficus.hash32('w1', 'ficus', '*', '1001')").await,
        i64::from(ficus::rollout::wave::cohort::order(
            "ficus",
            ficus::ids::TenantId(1001)
        ))
    );
}

#[tokio::test]
async fn the_application_runs_waves_and_may_not_forge_them_and_the_reader_only_looks() {
    let db = with_tenants(1).await;
    run(
        db.pool(),
        &format!(
            "begin; set local role ficus_app; {WAVE}; update ficus.wave set auto = true; commit"
        ),
    )
    .await;
    run(
        db.pool(),
        "begin; set local role ficus_read; select * from ficus.wave; select * from ficus.wave_member;
         select * from ficus.wave_named; select * from ficus.gate_result; commit",
    )
    .await;
    for sql in [
        "set local role ficus_app; delete from ficus.wave",
        "set local role ficus_app; delete from ficus.wave_member",
        "set local role ficus_app; update ficus.wave_member set step = 2",
        "set local role ficus_read; update ficus.wave set auto = false",
    ] {
        let error = refusal(db.pool(), sql).await;
        assert!(error.contains("permission denied"), "{sql}: {error}");
    }
}
