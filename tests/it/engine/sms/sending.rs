//! A text that is handed in: what its vendor gets, what it costs, and what keeps it from leaving.
//!
//! Its own file, because this is the way of one text; what a vendor's answers come to is in `outcomes`.

use serde_json::json;

use super::super::bed::message;
use super::{Bed, GATEWAYS, LEFT, SENT, text};
use crate::support::process::eventually;
use crate::support::sms::{SmsVendors, Trouble};

#[tokio::test]
async fn each_vendor_gets_the_text_in_its_own_form_and_it_is_paid_for_once() {
    let bed = Bed::start().await;
    let tables = &bed.engine.tables;
    let (left, sent) = (tables.legacy(LEFT).await, tables.legacy(SENT).await);
    let list: Vec<_> = GATEWAYS
        .iter()
        .enumerate()
        .map(|(place, gateway)| text(&format!("+1 555 000 020{place}"), gateway))
        .collect();
    let answer = bed.engine.accept(&json!(list)).await;
    for (place, gateway) in GATEWAYS.iter().enumerate() {
        let id = answer["accepted"][place]["id"].as_str().expect("an id");
        let shown = bed.engine.until_status(id, "accepted").await;
        assert_eq!(shown["channel"], "sms");
        assert_eq!(
            shown["attempts"].as_array().map(Vec::len),
            Some(1),
            "{shown}"
        );
        let taken = bed.vendors.taken_by(&format!("1555000020{place}"));
        assert_eq!(
            (taken.vendor, taken.text.as_str()),
            (*gateway, "Hello"),
            "{taken:?}"
        );
        assert!(taken.from.ends_with("15550000002"), "{taken:?}");
        assert_eq!(taken.from.starts_with('+'), *gateway == "twilio");
        let callback = taken.callback.expect("a callback");
        assert!(
            callback.starts_with(&format!("http://mail.test/webhooks/{gateway}/")),
            "{callback}"
        );
        if ["vonage", "infobip"].contains(gateway) {
            assert_eq!(taken.ours.as_deref(), Some(id));
        }
    }
    tables.until_legacy(SENT, sent + 4).await;
    assert_eq!(tables.legacy(LEFT).await, left - 4);
    assert!(bed.engine.mail.seen().messages.is_empty());
    let counted = bed.engine.metrics.encode(None);
    for gateway in GATEWAYS {
        let line = format!(
            "ficus_messages_total{{channel=\"sms\",provider=\"{gateway}\",outcome=\"sent\"}} 1"
        );
        assert!(counted.contains(&line), "{line} is not in\n{counted}");
    }
}

#[tokio::test]
async fn vonages_other_api_takes_texts_too() {
    let bed = Bed::with("api = \"messages\"").await;
    let id = bed.accept(&text("+15550000201", "vonage")).await;
    let shown = bed.engine.until_status(&id, "accepted").await;
    assert_eq!(shown["attempts"][0]["code"], "202", "{shown}");
    assert_eq!(bed.vendors.taken_by("201").ours, Some(id));
}

#[tokio::test]
async fn texts_and_mails_of_one_request_have_each_their_quota() {
    let bed = Bed::start().await;
    let tables = &bed.engine.tables;
    tables
        .change_legacy("update email_s_m_s_limit_rates set sms = 1, email = 10 where owner_id = 2")
        .await;
    let list = json!([
        text("+15550000201", "twilio"),
        message("ann@example.com"),
        text("+15550000202", "twilio"),
        message("bea@example.com"),
    ]);
    let answer = bed.engine.accept(&list).await;
    let places = |part: &str| -> Vec<u64> {
        let list = answer[part].as_array().expect("a list");
        list.iter().filter_map(|it| it["index"].as_u64()).collect()
    };
    assert_eq!(
        (places("accepted"), places("rejected")),
        (vec![0, 1, 3], vec![2])
    );
    assert_eq!(answer["rejected"][0]["code"], "quota");
    bed.engine.mails(2).await;
    assert_eq!(tables.legacy(LEFT).await, 0);
    let mails = "select email::bigint from email_s_m_s_limit_rates where owner_id = 2";
    assert_eq!(tables.legacy(mails).await, 8);
}

#[tokio::test]
async fn a_sender_is_the_tenants_own_or_the_text_does_not_leave() {
    let bed = Bed::start().await;
    bed.engine
        .tables
        .change_legacy("insert into sms_sender_ids (owner_id, sender_id) values (2, 'Bluebird')")
        .await;
    let from = |to: &str, sender: &str| {
        let mut text = text(to, "plivo");
        text["content"]["from"] = json!(sender);
        text
    };
    let own = bed.accept(&from("+15550000201", "Bluebird")).await;
    let other = bed.accept(&from("+15550000202", "SomeBank")).await;
    bed.engine.until_status(&own, "accepted").await;
    assert_eq!(bed.vendors.taken_by("201").from, "Bluebird");
    let shown = bed.engine.until_status(&other, "failed").await;
    assert_eq!(shown["attempts"][0]["code"], "bad-sender", "{shown}");
    assert_eq!(bed.vendors.seen().asked, 1);
}

#[tokio::test]
async fn connections_are_kept_between_texts() {
    let bed = Bed::with("").await;
    for number in 0..20 {
        let id = bed
            .accept(&text(&format!("+155500003{number:02}"), "twilio"))
            .await;
        bed.engine.until_status(&id, "accepted").await;
    }
    let seen = bed.vendors.seen();
    assert_eq!((seen.taken.len(), seen.connections.len()), (20, 1));
}

#[tokio::test]
async fn an_account_that_is_refused_holds_its_texts_and_nothing_else() {
    let bed = Bed::start().await;
    bed.vendors.refuse_logins(true);
    let first = bed.accept(&text("+15550000201", "twilio")).await;
    eventually("the account is refused", || async {
        let shown = bed.engine.status(&first).await;
        (shown["status"] == "deferred").then_some(())
    })
    .await;
    let second = bed.accept(&text("+15550000202", "twilio")).await;
    let other = bed.accept(&text("+15550000203", "plivo")).await;
    bed.engine.accept(&message("ann@example.com")).await;
    bed.engine.mails(1).await;
    let held = eventually("the second is held", || async {
        let shown = bed.engine.status(&second).await;
        (shown["status"] == "deferred").then_some(shown)
    })
    .await;
    assert_eq!(held["attempts"][0]["code"], "held", "{held}");
    eventually("the other gateway is asked by itself", || async {
        let shown = bed.engine.status(&other).await;
        (shown["status"] == "deferred").then_some(())
    })
    .await;
    assert_eq!(bed.vendors.seen().asked, 2, "each gateway was asked once");
    let alerts = "select count(*) from ficus.alert where resolved_at is null and key in ('sms-gateway/2/twilio', 'sms-gateway/2/plivo')";
    eventually("people are told", || async {
        (bed.engine.tables.ficus(alerts).await == 2).then_some(())
    })
    .await;
    let mail = "select count(*) from ficus.alert where key = 'mail-server/2'";
    assert_eq!(bed.engine.tables.ficus(mail).await, 0);
}

#[tokio::test]
async fn a_throttled_text_waits_as_long_as_was_asked_and_uses_no_attempt() {
    let bed = Bed::start().await;
    bed.vendors.will("201", [Trouble::Throttled(1)]);
    let id = bed.accept(&text("+15550000201", "plivo")).await;
    let shown = bed.engine.until_status(&id, "accepted").await;
    let attempts = shown["attempts"].as_array().expect("a list");
    assert_eq!(
        (attempts.len(), &attempts[0]["code"]),
        (2, &json!("429")),
        "{shown}"
    );
    assert_eq!(bed.vendors.taken().len(), 1);
}

#[tokio::test]
async fn a_gateway_that_is_away_costs_nothing_and_the_text_leaves_when_it_is_back() {
    let [away] = crate::support::process::free_ports();
    let bed = Bed::before(away, "").await;
    let left = bed.engine.tables.legacy(LEFT).await;
    let id = bed.accept(&text("+15550000201", "twilio")).await;
    let shown = bed.engine.until_status(&id, "deferred").await;
    assert_eq!(shown["attempts"][0]["code"], "away", "{shown}");
    // The tenant's mails do not wait with it.
    bed.engine.accept(&message("ann@example.com")).await;
    bed.engine.mails(1).await;
    let back = SmsVendors::listen(away).await;
    bed.engine.until_status(&id, "accepted").await;
    assert_eq!(back.taken().len(), 1);
    assert_eq!(bed.engine.tables.legacy(LEFT).await, left - 1);
}

#[tokio::test]
async fn an_account_that_is_mended_sends_what_was_held() {
    let bed = Bed::before_all("account_wait = \"1s\"\n").await;
    bed.vendors.refuse_logins(true);
    let ids = [
        bed.accept(&text("+15550000201", "twilio")).await,
        bed.accept(&text("+15550000202", "twilio")).await,
    ];
    for id in &ids {
        bed.engine.until_status(id, "deferred").await;
    }
    bed.vendors.refuse_logins(false);
    for id in &ids {
        bed.engine.until_status(id, "accepted").await;
    }
    assert_eq!(bed.vendors.taken().len(), 2);
    let open =
        "select count(*) from ficus.alert where key like 'sms-gateway/%' and resolved_at is null";
    eventually("the alert is over", || async {
        (bed.engine.tables.ficus(open).await == 0).then_some(())
    })
    .await;
}
