//! The operations on the control state, each asked of a real PostgreSQL.
//!
//! Its own file, because these promises hold for every caller: API, command line and embedded mode.

use ficus::flags::{Effect, State};
use ficus::ids::{Revision, TenantId, TenantRef};
use ficus::rollout::{self, Class, Error, FlagFilter, NewTenant, Role, Scope, TenantPatch, Terms};

use crate::control_stage::{Stage, author, terms};

fn tenant(name: &str) -> TenantRef {
    name.parse().unwrap()
}

async fn flip(stage: &Stage, name: &str, capability: &str, state: State) -> rollout::Change {
    rollout::set_flag(stage.pool(), &terms(), &tenant(name), capability, state)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_flip_is_one_revision_and_one_audit_row_with_its_author() {
    let stage = Stage::new().await;
    let before = stage.revision().await;
    let change = flip(&stage, "acme", "dashboard", State::Modern).await;
    assert_eq!((change.revision, change.changed), (Revision(before + 1), 1));
    let detail = rollout::change(stage.pool(), change.revision)
        .await
        .unwrap();
    assert_eq!(
        (detail.change.actor.as_str(), detail.change.source.as_str()),
        ("kim", "api")
    );
    assert_eq!(detail.change.reason.as_deref(), Some("because"));
    assert_eq!(detail.change.at, change.at);
    assert_eq!(detail.items[0].after.as_ref().unwrap()["state"], "modern");
}

#[tokio::test]
async fn a_flip_that_was_done_already_succeeds_and_takes_no_revision() {
    let stage = Stage::new().await;
    let first = flip(&stage, "1", "dashboard", State::Modern).await;
    let again = flip(&stage, "1", "dashboard", State::Modern).await;
    assert_eq!((again.revision, again.changed), (first.revision, 0));
    let legacy = flip(&stage, "2", "dashboard", State::Legacy).await;
    assert_eq!(
        (legacy.revision, legacy.changed),
        (first.revision, 0),
        "no row is legacy already"
    );
}

#[tokio::test]
async fn an_unknown_tenant_or_capability_is_named() {
    let stage = Stage::new().await;
    let fault = rollout::set_flag(
        stage.pool(),
        &terms(),
        &tenant("9"),
        "dashboard",
        State::Modern,
    )
    .await
    .unwrap_err();
    assert_eq!(fault.to_string(), "there is no tenant 9");
    let fault = rollout::set_flag(stage.pool(), &terms(), &tenant("1"), "nope", State::Modern)
        .await
        .unwrap_err();
    assert_eq!(fault.to_string(), "there is no capability \"nope\"");
}

#[tokio::test]
async fn of_two_writers_that_expect_the_same_revision_one_wins() {
    let stage = Stage::new().await;
    let now = Revision(stage.revision().await);
    let terms = Terms {
        expect_revision: Some(now),
        ..terms()
    };
    let (beta, acme) = (tenant("beta"), tenant("acme"));
    let (a, b) = tokio::join!(
        rollout::set_flag(stage.pool(), &terms, &acme, "dashboard", State::Modern),
        rollout::set_flag(stage.pool(), &terms, &beta, "dashboard", State::Modern),
    );
    let lost = match (a, b) {
        (Ok(_), Err(lost)) | (Err(lost), Ok(_)) => lost,
        other => panic!("expected one winner: {other:?}"),
    };
    assert!(
        matches!(lost, Error::Conflict { expected, actual } if expected == now && actual > now),
        "{lost}"
    );
}

#[tokio::test]
async fn a_dry_run_shows_what_would_change_and_changes_nothing() {
    let stage = Stage::new().await;
    let before = stage.revision().await;
    let terms = Terms {
        dry_run: true,
        ..terms()
    };
    let change = rollout::set_flag(
        stage.pool(),
        &terms,
        &tenant("1"),
        "dashboard",
        State::Modern,
    )
    .await
    .unwrap();
    assert_eq!((change.changed, change.revision), (1, Revision(before)));
    assert_eq!(change.preview[0].after.as_ref().unwrap()["state"], "modern");
    assert_eq!(stage.state(1, "dashboard").await, None);
    assert_eq!(stage.revision().await, before);
}

#[tokio::test]
async fn a_writer_that_holds_the_clock_is_named() {
    let stage = Stage::new().await;
    let mut holder = stage.pool().begin().await.unwrap();
    sqlx::raw_sql("set local application_name = 'somebody'")
        .execute(&mut *holder)
        .await
        .unwrap();
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid() from ficus.clock for update")
        .fetch_one(&mut *holder)
        .await
        .unwrap();
    let fault = rollout::set_flag(
        stage.pool(),
        &terms(),
        &tenant("1"),
        "dashboard",
        State::Modern,
    )
    .await
    .unwrap_err();
    let Error::Locked(blockers) = fault else {
        panic!("{fault}")
    };
    assert_eq!(
        (blockers[0].pid, blockers[0].application.as_str()),
        (pid, "somebody")
    );
    assert!(blockers[0].query_start.is_some());
}

#[tokio::test]
async fn a_rollback_of_tenants_moves_all_their_flags_in_one_change() {
    let stage = Stage::new().await;
    for (name, capability) in [
        ("1", "dashboard"),
        ("1", "messaging"),
        ("2", "dashboard"),
        ("3", "dashboard"),
    ] {
        flip(&stage, name, capability, State::Modern).await;
    }
    flip(&stage, "2", "messaging", State::Shadow).await;
    let before = stage.revision().await;
    let scope = Scope::Tenants(vec![tenant("acme"), tenant("2")]);
    let change = rollout::roll_back(stage.pool(), &terms(), &scope)
        .await
        .unwrap();
    assert_eq!((change.changed, change.revision), (4, Revision(before + 1)));
    assert_eq!(stage.state(2, "messaging").await.as_deref(), Some("legacy"));
    assert_eq!(
        stage.state(3, "dashboard").await.as_deref(),
        Some("modern"),
        "the others stay"
    );
    let again = rollout::roll_back(stage.pool(), &terms(), &scope)
        .await
        .unwrap();
    assert_eq!((again.changed, again.revision), (0, change.revision));
}

#[tokio::test]
async fn a_rollback_with_one_unknown_tenant_moves_nobody() {
    let stage = Stage::new().await;
    flip(&stage, "1", "dashboard", State::Modern).await;
    let scope = Scope::Tenants(vec![tenant("1"), tenant("9")]);
    let fault = rollout::roll_back(stage.pool(), &terms(), &scope)
        .await
        .unwrap_err();
    assert!(matches!(fault, Error::UnknownTenant(_)), "{fault}");
    assert_eq!(stage.state(1, "dashboard").await.as_deref(), Some("modern"));
}

#[tokio::test]
async fn a_rollback_of_a_capability_or_of_all_is_an_override_until_it_is_cleared() {
    let stage = Stage::new().await;
    for scope in [Scope::All, Scope::Capability("dashboard".into())] {
        assert_eq!(
            rollout::roll_back(stage.pool(), &terms(), &scope)
                .await
                .unwrap()
                .changed,
            1
        );
        assert_eq!(
            rollout::roll_back(stage.pool(), &terms(), &scope)
                .await
                .unwrap()
                .changed,
            0
        );
    }
    let standing = rollout::overrides(stage.pool()).await.unwrap();
    assert_eq!(
        standing
            .iter()
            .map(|it| it.capability.as_deref())
            .collect::<Vec<_>>(),
        [None, Some("dashboard")]
    );
    assert_eq!(standing[0].reason.as_deref(), Some("because"));
    assert_eq!(
        rollout::clear_override(stage.pool(), &terms(), None)
            .await
            .unwrap()
            .changed,
        1
    );
    assert_eq!(
        rollout::clear_override(stage.pool(), &terms(), None)
            .await
            .unwrap()
            .changed,
        0
    );
    assert_eq!(
        rollout::overrides(stage.pool()).await.unwrap().len(),
        1,
        "the other stays"
    );
}

#[tokio::test]
async fn an_undo_restores_what_the_change_replaced_once() {
    let stage = Stage::new().await;
    let made = flip(&stage, "1", "dashboard", State::Shadow).await;
    let moved = flip(&stage, "1", "dashboard", State::Modern).await;
    assert_eq!(
        rollout::undo(stage.pool(), &terms(), moved.revision)
            .await
            .unwrap()
            .changed,
        1
    );
    assert_eq!(stage.state(1, "dashboard").await.as_deref(), Some("shadow"));
    assert_eq!(
        rollout::undo(stage.pool(), &terms(), moved.revision)
            .await
            .unwrap()
            .changed,
        0
    );
    assert_eq!(
        rollout::undo(stage.pool(), &terms(), made.revision)
            .await
            .unwrap()
            .changed,
        1
    );
    assert_eq!(stage.state(1, "dashboard").await, None, "there was no row");
}

#[tokio::test]
async fn an_undo_refuses_when_a_row_has_changed_since() {
    let stage = Stage::new().await;
    let made = flip(&stage, "1", "dashboard", State::Shadow).await;
    flip(&stage, "1", "dashboard", State::Modern).await;
    let fault = rollout::undo(stage.pool(), &terms(), made.revision)
        .await
        .unwrap_err();
    assert!(
        matches!(fault, Error::Superseded { rows: 1, .. }),
        "{fault}"
    );
    assert_eq!(stage.state(1, "dashboard").await.as_deref(), Some("modern"));
}

#[tokio::test]
async fn overrides_and_classes_can_be_undone_and_new_tenants_cannot() {
    let stage = Stage::new().await;
    let button = rollout::roll_back(stage.pool(), &terms(), &Scope::All)
        .await
        .unwrap();
    let cleared = rollout::clear_override(stage.pool(), &terms(), None)
        .await
        .unwrap();
    assert_eq!(
        rollout::undo(stage.pool(), &terms(), cleared.revision)
            .await
            .unwrap()
            .changed,
        1
    );
    assert_eq!(
        rollout::undo(stage.pool(), &terms(), button.revision)
            .await
            .unwrap()
            .changed,
        1
    );
    assert_eq!(rollout::overrides(stage.pool()).await.unwrap(), []);

    let patch = TenantPatch {
        class: Some(Class::High),
        ..TenantPatch::default()
    };
    let classed = rollout::set_tenant(stage.pool(), &terms(), &tenant("1"), &patch)
        .await
        .unwrap();
    assert_eq!(
        rollout::undo(stage.pool(), &terms(), classed.revision)
            .await
            .unwrap()
            .changed,
        1
    );
    let acme = rollout::tenant(stage.pool(), &tenant("acme"))
        .await
        .unwrap();
    assert_eq!((acme.class.as_str(), acme.class_pinned), ("low", false));

    let made = rollout::set_tenant(stage.pool(), &terms(), &tenant("7"), &patch)
        .await
        .unwrap();
    let fault = rollout::undo(stage.pool(), &terms(), made.revision)
        .await
        .unwrap_err();
    assert!(matches!(fault, Error::NotUndoable { .. }), "{fault}");
    let fault = rollout::undo(stage.pool(), &terms(), Revision(999))
        .await
        .unwrap_err();
    assert!(
        matches!(fault, Error::UnknownChange(Revision(999))),
        "{fault}"
    );
}

fn row(id: i64, slug: &str, name: &str, class: Option<Class>) -> NewTenant {
    NewTenant {
        id,
        slug: Some(slug.into()),
        name: name.into(),
        class,
    }
}

#[tokio::test]
async fn an_import_is_one_change_keeps_what_is_empty_and_changes_nothing_twice() {
    let stage = Stage::new().await;
    let before = stage.revision().await;
    let rows = [
        row(1, "", "", Some(Class::High)),
        row(2, "bravo", "Bravo", None),
        row(50, "new", "New", None),
    ];
    let change = rollout::import_tenants(stage.pool(), &terms(), &rows)
        .await
        .unwrap();
    assert_eq!((change.changed, change.revision), (3, Revision(before + 1)));
    let acme = rollout::tenant(stage.pool(), &tenant("acme"))
        .await
        .unwrap();
    assert_eq!(
        (acme.name.as_str(), acme.class.as_str(), acme.class_pinned),
        ("Acme", "high", true)
    );
    let new = rollout::tenant(stage.pool(), &tenant("new")).await.unwrap();
    assert_eq!(
        (new.id, new.class.as_str(), new.class_pinned),
        (TenantId(50), "low", false)
    );
    let again = rollout::import_tenants(stage.pool(), &terms(), &rows)
        .await
        .unwrap();
    assert_eq!((again.changed, again.revision), (0, change.revision));
}

#[tokio::test]
async fn an_import_that_takes_anothers_slug_changes_nothing() {
    let stage = Stage::new().await;
    let rows = [row(60, "sixty", "", None), row(61, "acme", "", None)];
    let fault = rollout::import_tenants(stage.pool(), &terms(), &rows)
        .await
        .unwrap_err();
    assert_eq!(fault.to_string(), "the slug belongs to another tenant");
    assert!(rollout::tenant(stage.pool(), &tenant("60")).await.is_err());
    let fault = rollout::import_tenants(stage.pool(), &terms(), &[row(0, "x", "", None)])
        .await
        .unwrap_err();
    assert!(matches!(fault, Error::BadRows(faults) if faults.len() == 1));
}

#[tokio::test]
async fn capabilities_are_registered_once_and_their_effect_follows_the_configuration() {
    let stage = Stage::new().await;
    let wanted = |name: &str, effect| rollout::Wanted {
        name: name.to_owned(),
        effect,
        split_by: None,
    };
    let wanted = [
        wanted("dashboard", Effect::Write),
        wanted("billing", Effect::Read),
    ];
    assert_eq!(
        rollout::register_capabilities(stage.pool(), &terms(), &wanted)
            .await
            .unwrap()
            .changed,
        2
    );
    assert_eq!(
        rollout::register_capabilities(stage.pool(), &terms(), &wanted)
            .await
            .unwrap()
            .changed,
        0
    );
    assert_eq!(
        rollout::capability(stage.pool(), "dashboard")
            .await
            .unwrap()
            .effect,
        "write"
    );
    assert_eq!(
        rollout::capabilities(stage.pool()).await.unwrap().len(),
        3,
        "none is taken away"
    );
}

#[tokio::test]
async fn a_token_is_known_until_it_is_revoked() {
    let stage = Stage::new().await;
    let text = rollout::create_token(stage.pool(), &author(), "ci", Role::Operator)
        .await
        .unwrap();
    let digest = rollout::token_digest(&text).unwrap();
    let holder = rollout::verify_token(stage.pool(), &digest)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((holder.name.as_str(), holder.role), ("ci", Role::Operator));
    assert!(
        rollout::create_token(stage.pool(), &author(), "ci", Role::Admin)
            .await
            .is_err(),
        "one name, one token"
    );
    assert!(
        rollout::revoke_token(stage.pool(), &author(), "ci")
            .await
            .unwrap()
    );
    assert!(
        !rollout::revoke_token(stage.pool(), &author(), "ci")
            .await
            .unwrap(),
        "revoked already"
    );
    assert_eq!(
        rollout::verify_token(stage.pool(), &digest).await.unwrap(),
        None
    );
    assert!(
        rollout::list_tokens(stage.pool()).await.unwrap()[0]
            .revoked_at
            .is_some()
    );
    assert!(matches!(
        rollout::revoke_token(stage.pool(), &author(), "no").await,
        Err(Error::UnknownToken(_))
    ));
}

#[tokio::test]
async fn lists_go_on_after_their_cursor() {
    let stage = Stage::new().await;
    for name in ["1", "2", "3"] {
        flip(&stage, name, "dashboard", State::Modern).await;
        flip(&stage, name, "messaging", State::Shadow).await;
    }
    let filter = FlagFilter {
        after: Some((TenantId(1), "messaging".into())),
        ..FlagFilter::default()
    };
    let flags = rollout::flags(stage.pool(), &filter, 2).await.unwrap();
    assert_eq!(
        flags
            .iter()
            .map(|it| (it.tenant.0, it.capability.as_str()))
            .collect::<Vec<_>>(),
        [(2, "dashboard"), (2, "messaging")]
    );
    let filter = FlagFilter {
        tenant: Some(tenant("beta")),
        state: Some(State::Shadow),
        ..FlagFilter::default()
    };
    assert_eq!(
        rollout::flags(stage.pool(), &filter, 10)
            .await
            .unwrap()
            .len(),
        1
    );
    let filter = FlagFilter {
        capability: Some("messaging".into()),
        ..FlagFilter::default()
    };
    assert_eq!(
        rollout::flags(stage.pool(), &filter, 10)
            .await
            .unwrap()
            .len(),
        3
    );
    let tenants = rollout::tenants(stage.pool(), Some(TenantId(1)), 10)
        .await
        .unwrap();
    assert_eq!(tenants.iter().map(|it| it.id.0).collect::<Vec<_>>(), [2, 3]);
    let newest = rollout::changes(stage.pool(), None, 1).await.unwrap();
    let before = rollout::changes(stage.pool(), Some(newest[0].revision), 1)
        .await
        .unwrap();
    assert_eq!(before[0].revision.0, newest[0].revision.0 - 1);
}

#[tokio::test]
async fn a_flags_history_is_told_newest_first() {
    let stage = Stage::new().await;
    flip(&stage, "1", "dashboard", State::Shadow).await;
    flip(&stage, "1", "messaging", State::Modern).await;
    flip(&stage, "1", "dashboard", State::Modern).await;
    let history = rollout::flag_history(stage.pool(), &tenant("1"), Some("dashboard"), None, 10)
        .await
        .unwrap();
    let steps: Vec<_> = history
        .iter()
        .map(|it| (it.before.as_deref(), it.after.as_deref()))
        .collect();
    assert_eq!(
        steps,
        [(Some("shadow"), Some("modern")), (None, Some("shadow"))]
    );
    let of_all = rollout::flag_history(stage.pool(), &tenant("1"), None, None, 10)
        .await
        .unwrap();
    assert_eq!(of_all.len(), 3);
    let flag = rollout::flag(stage.pool(), &tenant("2"), "dashboard")
        .await
        .unwrap();
    assert_eq!(
        (flag.state.0, flag.revision),
        (State::Legacy, Revision(0)),
        "no row is legacy"
    );
}

#[tokio::test]
async fn the_status_counts_tenants_by_side_and_shows_who_is_forced() {
    let stage = Stage::new().await;
    flip(&stage, "1", "dashboard", State::Modern).await;
    flip(&stage, "2", "dashboard", State::Shadow).await;
    rollout::roll_back(
        stage.pool(),
        &terms(),
        &Scope::Capability("messaging".into()),
    )
    .await
    .unwrap();
    stage.silent_proxy("quiet", 11.0).await;
    let status = rollout::status(stage.pool()).await.unwrap();
    let counts: Vec<_> = status
        .capabilities
        .iter()
        .map(|it| (it.modern, it.shadow, it.legacy, it.forced_legacy))
        .collect();
    assert_eq!(counts, [(1, 1, 1, false), (0, 0, 3, true)]);
    assert_eq!(status.overrides.len(), 1);
    assert!(!status.instances[0].is_live());
}

#[tokio::test]
async fn a_process_that_is_dead_for_more_than_a_day_is_forgotten() {
    let stage = Stage::new().await;
    stage.silent_proxy("gone", 86_500.0).await;
    stage.silent_proxy("yesterday", 80_000.0).await;
    assert_eq!(rollout::prune_instances(stage.pool()).await.unwrap(), 1);
    assert_eq!(
        rollout::instances(stage.pool()).await.unwrap()[0].name,
        "yesterday"
    );
}
