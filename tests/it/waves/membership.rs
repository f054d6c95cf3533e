//! Who belongs to a wave stays what was stored, whatever is edited afterwards.
//!
//! Its own file, because "nobody ever leaves by an edit" is the promise that no hash at request time can give.

use ficus::ids::TenantId;
use ficus::rollout::Class;
use ficus::rollout::wave::{Percent, cohort};

use super::{advance, complete, count, draft, members, on_modern, plan, run, start, with_classes};

#[tokio::test]
async fn what_is_stored_is_exactly_the_order_by_hash() {
    let db = with_classes(0, 40, 0, 0).await;
    plan(
        db.pool(),
        "dashboard",
        vec![draft("w", &["low"], &[5.0, 20.0, 50.0])],
    )
    .await;
    start(db.pool(), "w").await;
    let steps: Vec<Percent> = [5.0, 20.0, 50.0].map(|it| it.try_into().unwrap()).to_vec();
    let expected = cohort::assign(
        "ficus",
        (1..=40).map(|id| (TenantId(id), Class::Low)),
        &steps,
    );
    let stored: Vec<(i64, i32, i16, i64, String, String)> = sqlx::query_as(
        "select tenant_id, rank, step, hash, algorithm, class from ficus.wave_member order by rank",
    )
    .fetch_all(db.pool())
    .await
    .unwrap();
    assert_eq!(stored.len(), 20);
    for (row, member) in stored.iter().zip(&expected) {
        assert_eq!(
            (row.0, row.1 as usize, row.2 as usize, row.3),
            (
                member.tenant.0,
                member.rank,
                member.step,
                i64::from(member.hash)
            )
        );
        assert_eq!((row.4.as_str(), row.5.as_str()), ("w1", "low"));
    }
}

#[tokio::test]
async fn edits_of_percent_salt_and_class_and_new_tenants_move_nobody() {
    let db = with_classes(0, 40, 5, 0).await;
    plan(
        db.pool(),
        "dashboard",
        vec![
            draft("w", &["low"], &[5.0, 50.0, 100.0]),
            draft("next", &["medium"], &[100.0]),
        ],
    )
    .await;
    start(db.pool(), "w").await;
    let (first, second) = (
        members(db.pool(), "w", 1).await,
        members(db.pool(), "w", 2).await,
    );
    assert_eq!(on_modern(db.pool(), "dashboard").await, first);
    run(
        db.pool(),
        "update ficus.wave set steps = '{1,2,3}', salt = 'other', classes = '{high}' where name = 'w';
         update ficus.tenant set class = 'medium' where id % 2 = 0;
         insert into ficus.tenant (id, class) select generate_series(101, 140), 'low'",
    )
    .await;
    assert_eq!(on_modern(db.pool(), "dashboard").await, first);
    advance(db.pool(), "w").await;
    assert_eq!(on_modern(db.pool(), "dashboard").await, second);
    advance(db.pool(), "w").await;
    assert_eq!(on_modern(db.pool(), "dashboard").await.len(), 40);
}

#[tokio::test]
async fn tenants_who_come_later_join_the_next_wave() {
    let db = with_classes(0, 4, 3, 0).await;
    plan(
        db.pool(),
        "dashboard",
        vec![
            draft("low", &["low"], &[100.0]),
            draft("medium", &["medium"], &[100.0]),
        ],
    )
    .await;
    start(db.pool(), "low").await;
    run(
        db.pool(),
        "insert into ficus.tenant (id, class) values (50, 'low')",
    )
    .await;
    advance(db.pool(), "low").await;
    assert_eq!(members(db.pool(), "low", 1).await, (1..=4).collect());
    start(db.pool(), "medium").await;
    assert_eq!(members(db.pool(), "medium", 1).await, [5, 6, 7, 50].into());
}

#[tokio::test]
async fn a_wave_over_named_tenants_takes_these_and_no_others() {
    let db = with_classes(0, 9, 0, 0).await;
    let mut chosen = draft("chosen", &[], &[50.0, 100.0]);
    chosen.tenants = vec!["2".into(), "5".into(), "7".into()];
    plan(db.pool(), "dashboard", vec![chosen]).await;
    complete(db.pool(), "chosen").await;
    assert_eq!(on_modern(db.pool(), "dashboard").await, [2, 5, 7].into());
}

#[tokio::test]
async fn a_tenant_on_modern_already_belongs_to_no_wave() {
    let db = with_classes(0, 3, 0, 0).await;
    run(
        db.pool(),
        "insert into ficus.flag (tenant_id, capability, state) values (2, 'dashboard', 'modern')",
    )
    .await;
    plan(db.pool(), "dashboard", vec![draft("w", &["low"], &[100.0])]).await;
    complete(db.pool(), "w").await;
    assert_eq!(members(db.pool(), "w", 1).await, [1, 3].into());
}

#[tokio::test]
async fn whom_a_person_has_set_to_legacy_no_wave_moves() {
    let db = with_classes(0, 3, 0, 0).await;
    run(
        db.pool(),
        "insert into ficus.flag (tenant_id, capability, state) values (2, 'dashboard', 'legacy')",
    )
    .await;
    plan(db.pool(), "dashboard", vec![draft("w", &["low"], &[100.0])]).await;
    let done = start(db.pool(), "w").await;
    assert_eq!(on_modern(db.pool(), "dashboard").await, [1, 3].into());
    assert_eq!((done.wave.size, done.wave.on_modern), (Some(3), 2));
    let detail = ficus::rollout::wave::wave(db.pool(), "w").await.unwrap();
    assert_eq!(detail.by_step[0].kept, 1);
}

#[tokio::test]
async fn an_aborted_wave_keeps_who_has_moved_and_frees_the_others() {
    let db = with_classes(0, 10, 0, 0).await;
    plan(
        db.pool(),
        "dashboard",
        vec![draft("w", &["low"], &[20.0, 100.0])],
    )
    .await;
    start(db.pool(), "w").await;
    let moved = on_modern(db.pool(), "dashboard").await;
    ficus::rollout::wave::abort(db.pool(), &crate::control_stage::terms(), "w")
        .await
        .unwrap();
    assert_eq!(on_modern(db.pool(), "dashboard").await, moved);
    let planned = plan(db.pool(), "dashboard", Vec::new()).await;
    assert_eq!(planned[0].tenants, 8);
    run(
        db.pool(),
        "update ficus.wave set bake = '0', gates = '{}' where name = 'dashboard-low'",
    )
    .await;
    complete(db.pool(), "dashboard-low").await;
    assert_eq!(
        count(
            db.pool(),
            "select count(*) from ficus.flag where state = 'modern'"
        )
        .await,
        10
    );
}
