//! What a plan proposes, shows and refuses; with the waves of the migrations that it was made for.
//!
//! Its own file, because a plan is read before anybody moves.

use ficus::rollout::Error;
use ficus::rollout::wave::{self, Defaults, Draft, Plan};

use super::{complete, count, draft, looking, on_modern, plan, run, try_plan, with_classes};
use crate::control_stage::terms;

fn by_class(capability: &str, defaults: Defaults) -> Plan {
    Plan {
        capability: capability.to_owned(),
        defaults,
        ..Plan::default()
    }
}

/// Internal and test tenants first, then by volume, a week each.
#[tokio::test]
async fn four_waves_by_volume_move_everyone_class_after_class() {
    let db = with_classes(4, 30, 12, 3).await;
    let weekly = Defaults {
        bake: Some("7d".to_owned()),
        ..Defaults::default()
    };
    let (change, waves) = wave::plan(db.pool(), &terms(), &by_class("messaging", weekly), None)
        .await
        .unwrap();
    assert_eq!(change.changed, 4);
    let seen: Vec<_> = waves
        .iter()
        .map(|it| (it.name.as_str(), it.tenants, it.bake_seconds))
        .collect();
    let week = 7 * 86_400;
    assert_eq!(
        seen,
        [
            ("messaging-internal", 4, week),
            ("messaging-low", 30, week),
            ("messaging-medium", 12, week),
            ("messaging-high", 3, week)
        ]
    );
    run(db.pool(), "update ficus.wave set bake = '0', gates = '{}'").await;
    let mut moved = 0;
    for planned in &waves {
        complete(db.pool(), &planned.name).await;
        moved += planned.tenants;
        assert_eq!(on_modern(db.pool(), "messaging").await.len(), moved);
    }
    assert_eq!(moved, 49);
}

/// Internal accounts first, then 5, 20, 50 and 100 % of everybody else.
#[tokio::test]
async fn a_dark_launch_takes_internal_accounts_first_and_then_shares_of_the_rest() {
    let db = with_classes(3, 25, 10, 5).await;
    let waves = vec![
        draft("billing-internal", &["internal"], &[100.0]),
        draft(
            "billing-all",
            &["low", "medium", "high"],
            &[5.0, 20.0, 50.0, 100.0],
        ),
    ];
    let planned = plan(db.pool(), "dashboard", waves).await;
    let steps: Vec<usize> = planned[1].steps.iter().map(|step| step.tenants).collect();
    assert_eq!(steps, [2, 8, 20, 40]);
    complete(db.pool(), "billing-internal").await;
    let mut before = on_modern(db.pool(), "dashboard").await;
    assert_eq!(before.len(), 3);
    super::start(db.pool(), "billing-all").await;
    for step in steps {
        let now = on_modern(db.pool(), "dashboard").await;
        assert_eq!(now.len(), 3 + step);
        assert!(now.is_superset(&before), "nobody leaves");
        before = now;
        super::advance(db.pool(), "billing-all").await;
    }
}

#[tokio::test]
async fn a_plan_shows_the_shares_of_the_last_seven_days_and_the_largest_tenant() {
    let db = with_classes(1, 2, 0, 1).await;
    run(
        db.pool(),
        "insert into ficus.traffic (day, tenant_id, capability, side, requests, errors)
         select (now() at time zone 'UTC')::date - d.ago, t.id, c.name, 'legacy', t.requests, 0
         from (values (1, 10), (2, 30), (3, 60), (4, 100)) as t (id, requests)
         cross join (values (0), (1)) as d (ago) cross join (values ('messaging'), ('dashboard')) as c (name);
         insert into ficus.traffic values ((now() at time zone 'UTC')::date - 7, 1, 'dashboard', 'legacy', 100000, 0)",
    )
    .await;
    let (_, waves) = wave::plan(
        db.pool(),
        &looking(),
        &by_class("dashboard", Defaults::default()),
        None,
    )
    .await
    .unwrap();
    let low = &waves[1].steps[0];
    assert_eq!((low.tenants, low.tenants_percent), (2, 50.0));
    assert_eq!(
        (low.requests_percent, low.sends_percent),
        (Some(45.0), Some(45.0))
    );
    let largest = low.largest.as_ref().unwrap();
    assert_eq!((largest.tenant.0, largest.requests_percent), (3, 30.0));
    assert_eq!(
        count(db.pool(), "select count(*) from ficus.wave").await,
        0,
        "a look stores nothing"
    );
}

#[tokio::test]
async fn without_traffic_the_shares_of_it_are_unknown_and_not_nothing() {
    let db = with_classes(0, 2, 0, 0).await;
    let planned = plan(db.pool(), "dashboard", Vec::new()).await;
    let step = &planned[0].steps[0];
    assert_eq!((step.requests_percent, step.sends_percent), (None, None));
    assert_eq!(step.largest, None);
}

#[tokio::test]
async fn a_plan_that_cannot_be_is_refused_with_every_reason_and_changes_nothing() {
    let db = with_classes(1, 2, 0, 0).await;
    let bad = |change: fn(&mut Draft)| {
        let mut wave = draft("a", &["low"], &[100.0]);
        change(&mut wave);
        wave
    };
    let cases: [(Draft, &str); 12] = [
        (
            bad(|it| it.classes = vec!["huge".into()]),
            "class \"huge\" is not known",
        ),
        (
            bad(|it| it.classes = vec!["medium".into()]),
            "over no tenants",
        ),
        (bad(|it| it.classes = vec![]), "neither classes nor tenants"),
        (
            bad(|it| it.tenants = vec!["1".into()]),
            "classes and tenants",
        ),
        (bad(|it| it.steps = Some(vec![101.0])), "101 is no percent"),
        (bad(|it| it.steps = Some(vec![-5.0])), "-5 is no percent"),
        (bad(|it| it.steps = Some(vec![50.0, 20.0])), "steps rise"),
        (bad(|it| it.bake = Some("-1h".into())), "is negative"),
        (
            bad(|it| it.gates = Some(vec!["moon".into()])),
            "gate \"moon\" is not defined",
        ),
        (
            bad(|it| it.gates = Some(vec!["reconcile:quota".into()])),
            "gate \"reconcile:quota\" is not defined",
        ),
        (bad(|it| it.name = Some("No Name".into())), "is no name"),
        (
            bad(|it| (it.classes, it.tenants) = (vec![], vec!["77".into()])),
            "there is no tenant 77",
        ),
    ];
    let before = count(db.pool(), "select revision from ficus.clock").await;
    for (wave, expected) in cases {
        let fault = try_plan(db.pool(), "dashboard", vec![wave])
            .await
            .unwrap_err();
        assert!(fault.to_string().contains(expected), "{expected}: {fault}");
    }
    let two = vec![
        bad(|it| it.steps = Some(vec![0.0])),
        bad(|it| it.bake = Some("soon".into())),
    ];
    let Err(Error::BadPlan(faults)) = try_plan(db.pool(), "dashboard", two).await else {
        panic!("a bad plan");
    };
    assert!(
        faults.len() >= 3,
        "each fault, and that the name stands twice: {faults:?}"
    );
    assert_eq!(
        count(db.pool(), "select revision from ficus.clock").await,
        before
    );
}

#[tokio::test]
async fn a_second_plan_waits_until_the_first_has_started_or_ended() {
    let db = with_classes(0, 2, 2, 0).await;
    plan(
        db.pool(),
        "dashboard",
        vec![draft("first", &["low"], &[100.0])],
    )
    .await;
    let fault = try_plan(db.pool(), "dashboard", Vec::new())
        .await
        .unwrap_err();
    assert!(
        fault.to_string().contains("first is planned already"),
        "{fault}"
    );
    complete(db.pool(), "first").await;
    let planned = plan(db.pool(), "dashboard", Vec::new()).await;
    assert_eq!(planned.len(), 1, "only the class that has tenants left");
    assert_eq!(planned[0].name, "dashboard-medium");
}
