//! What a flag that goes back to legacy does with the tenant's messages: held, returned or sent, and whoever moved it.
//!
//! Its own file, because the engine knows of no flag: triggers of the control state tell it, in the flag's own transaction.

use std::sync::Arc;

use super::bed::{Engine, Tables};
use super::campaigns::{change, crowd};
use crate::support::process::eventually;
use crate::support::smtp::Script;

const SLOW: &str = "tenant_under_way = 5\nconnections = 1";
const HELD: &str = "select count(*) from ficus.hold where tenant_id = 2 and campaign_id = 0";
const LOGGED: &str = "select count(*) from campaign_logs where campaign_id = 21 and sent = 1203";
const PLACED: &str =
    "select count(*) from schedule_emails as s join campaigns as c on c.id = s.campaign_id
    where s.owner_id = 2 and s.status = 'pending' and c.name like '% (the rest)'";
const MODERN: &str = "update ficus.flag set state = 'modern' where tenant_id = 2";
const LEGACY: &str = "update ficus.flag set state = 'legacy' where tenant_id = 2";

/// An engine that sends campaign 21 of a tenant whose flag is modern.
async fn sending(rule: &str) -> Engine {
    let tables = Tables::new().await;
    crowd(&tables).await;
    change(
        &tables,
        "insert into ficus.tenant (id, slug) values (2, 'bluebird');
         insert into ficus.capability (name, effect) values ('messaging', 'send'), ('dashboard', 'read');
         insert into ficus.flag (tenant_id, capability, state) values (2, 'messaging', 'modern')",
    )
    .await;
    let engine = Engine::with(
        Arc::clone(&tables),
        Script::default(),
        &format!("{SLOW}\n{rule}"),
    )
    .await;
    eventually("the rule stands", || async {
        (tables
            .ficus("select count(*) from ficus.rollback_rule")
            .await
            == 1)
            .then_some(())
    })
    .await;
    engine.send(21).await;
    engine.mails(50).await;
    engine
}

async fn until_still(tables: &Tables) {
    let open = "select count(*) from ficus.attempt as a where not exists (select from ficus.attempt_end as e where e.id = a.id and e.number = a.number)";
    eventually("all attempts have ended", || async {
        (tables.ficus(open).await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn by_default_a_rollback_holds_what_is_unsent_and_the_way_back_lets_it_go() {
    let engine = sending("").await;
    let tables = &engine.tables;
    change(tables, LEGACY).await;
    assert_eq!(tables.ficus(HELD).await, 1, "in the flag's own transaction");
    until_still(tables).await;
    let sent = engine.mail.seen().messages.len();
    assert!(sent < 1203, "it was held too late to show anything");
    assert_eq!(
        tables
            .ficus("select count(*) from ficus.message_operation where operation = 'hold' and tenant_id = 2 and reason = 'rolled back'")
            .await,
        1
    );
    change(tables, MODERN).await;
    assert_eq!(tables.ficus(HELD).await, 0);
    tables.until_legacy(LOGGED, 1).await;
    assert_eq!(engine.mail.seen().messages.len(), 1203);
}

#[tokio::test]
async fn a_persons_hold_outlasts_the_way_back() {
    let engine = sending("").await;
    let tables = &engine.tables;
    change(
        tables,
        "select ficus.hold_messages(2, 0, 'kim', 'test', 'mine')",
    )
    .await;
    change(tables, LEGACY).await;
    change(tables, MODERN).await;
    assert_eq!(tables.ficus(HELD).await, 1);
}

#[tokio::test]
async fn an_override_holds_everybody_whose_flag_is_modern_and_its_end_lets_them_go() {
    let engine = sending("").await;
    let tables = &engine.tables;
    change(
        tables,
        "insert into ficus.override (capability, action) values ('dashboard', 'force-legacy')",
    )
    .await;
    assert_eq!(tables.ficus(HELD).await, 0, "another capability's");
    for wide in [
        "insert into ficus.override (capability, action) values ('messaging', 'force-legacy')",
        "insert into ficus.override (capability, action) values (null, 'force-legacy')",
    ] {
        change(tables, wide).await;
        assert_eq!(tables.ficus(HELD).await, 1);
    }
    change(
        tables,
        "delete from ficus.override where capability = 'messaging'",
    )
    .await;
    assert_eq!(tables.ficus(HELD).await, 1, "the other one stands");
    change(
        tables,
        "delete from ficus.override where capability is null",
    )
    .await;
    assert_eq!(tables.ficus(HELD).await, 0);
}

#[tokio::test]
async fn a_rollback_may_return_what_is_unsent_or_let_it_be_sent() {
    let engine = sending("on_rollback = \"return\"").await;
    let tables = &engine.tables;
    change(tables, LEGACY).await;
    tables.until_legacy(PLACED, 1).await;
    assert!(engine.mail.seen().messages.len() < 1203);

    let engine = sending("on_rollback = \"drain\"").await;
    change(&engine.tables, LEGACY).await;
    assert_eq!(engine.tables.ficus(HELD).await, 0);
    engine.tables.until_legacy(LOGGED, 1).await;
}

/// What was listed for legacy is legacy's; everything else is sent from here, and nothing by both.
#[tokio::test]
async fn a_tenant_that_comes_again_during_its_return_is_sent_for_by_both_sides_and_twice_by_none() {
    let engine = sending("on_rollback = \"return\"").await;
    let tables = &engine.tables;
    change(tables, LEGACY).await;
    eventually("the return has begun", || async {
        (tables.ficus("select count(*) from ficus.handback").await == 1).then_some(())
    })
    .await;
    change(tables, MODERN).await;
    eventually("the campaign's end", || async {
        (tables
            .ficus("select count(*) from ficus.campaign_run where state <> 'done'")
            .await
            == 0)
            .then_some(())
    })
    .await;
    tables.until_legacy(PLACED, 1).await;
    let theirs = tables
        .legacy("select count(*) from campaign_emails as r join campaigns as c on c.id = r.campaign_id where c.owner_id = 2 and c.name like '% (the rest)'")
        .await;
    assert_eq!(engine.mail.seen().messages.len() as i64 + theirs, 1203);
}
