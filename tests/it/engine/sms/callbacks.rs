//! What vendors report of texts: believed when they have signed it, once, for the message that it is about; else 403, and nothing has changed.
//!
//! Its own file, because here strangers speak; in which order they do is in `order`.

use chrono::Utc;
use serde_json::{Value, json};

use super::reporting::FORM;
use super::{Bed, GATEWAYS, LEFT, SENT, text};
use crate::support::process::eventually;
use crate::support::sms::sign;
use crate::support::sms::{SECRET, TWILIO_ID, Trouble, VONAGE_KEY};

/// Everything that a callback could change.
const STATE: &str = "select (select count(*) from ficus.callback) + (select coalesce(sum(rank), 0) from ficus.delivery) + (select count(*) from ficus.event)
    + (select count(*) from ficus.attempt_end) + (select count(*) from ficus.suppression)";

#[tokio::test]
async fn each_vendors_report_is_taken_at_the_texts_own_address_and_replays_change_nothing() {
    let bed = Bed::start().await;
    for (place, gateway) in GATEWAYS.iter().enumerate() {
        let (id, taken) = bed.accepted(&format!("+1555000050{place}"), gateway).await;
        let answer = bed.report(&taken, false).await;
        assert_eq!(answer.status(), 200, "{gateway}");
        let shown = bed.engine.status(&id).await;
        assert_eq!(
            shown["delivery"]["status"], "undelivered",
            "{gateway}: {shown}"
        );
        assert_eq!(bed.report(&taken, true).await.status(), 200);
        let shown = bed.engine.status(&id).await;
        assert_eq!(
            shown["delivery"]["status"], "delivered",
            "{gateway}: {shown}"
        );
        assert_eq!(shown["status"], "accepted");
        let before = bed.engine.tables.ficus(STATE).await;
        assert_eq!(bed.report(&taken, true).await.status(), 403);
        assert_eq!(bed.engine.tables.ficus(STATE).await, before);
        let counted = (
            bed.callbacks(gateway, "recorded"),
            bed.callbacks(gateway, "replayed"),
        );
        assert_eq!(counted, (2, 1), "{gateway}");
    }
    // Who has opted out, or is nobody's number, gets nothing more.
    let gone: Vec<(String, String)> = sqlx::query_as(
        "select recipient, reason from ficus.suppression where channel = 'sms' order by recipient",
    )
    .fetch_all(bed.engine.tables.pool())
    .await
    .expect("suppressions");
    let reasons: Vec<&str> = gone.iter().map(|(_, reason)| reason.as_str()).collect();
    assert_eq!(
        reasons,
        ["bounced", "unsubscribed", "unsubscribed"],
        "{gone:?}"
    );
}

#[tokio::test]
async fn what_is_forged_changes_nothing_and_is_counted() {
    let bed = Bed::start().await;
    let (_, ours) = bed.accepted("+15550000501", "twilio").await;
    let (_, other) = bed.accepted("+15550000502", "twilio").await;
    let (url, elsewhere) = (
        ours.callback.clone().expect("one"),
        other.callback.clone().expect("one"),
    );
    let fields = [
        ("MessageSid", ours.reference.as_str()),
        ("MessageStatus", "delivered"),
        ("AccountSid", TWILIO_ID),
    ];
    let before = bed.engine.tables.ficus(STATE).await;
    assert_eq!(bed.twilio(&url, "another-tenants", &fields).await, 403);
    assert_eq!(
        bed.post(&url, &[FORM], sign::form(&fields)).await.status(),
        403
    );
    // Signed for one message, sent to another's address; and said of one at another's address.
    let signature = sign::twilio(SECRET, &url, &fields);
    let headers = [FORM, ("x-twilio-signature", signature.as_str())];
    assert_eq!(
        bed.post(&elsewhere, &headers, sign::form(&fields))
            .await
            .status(),
        403
    );
    assert_eq!(bed.twilio(&elsewhere, SECRET, &fields).await, 403);
    // A token with one letter changed, another gateway's, and none of ours.
    let changed = match url.ends_with('A') {
        true => format!("{}B", &url[..url.len() - 1]),
        false => format!("{}A", &url[..url.len() - 1]),
    };
    for url in [
        changed,
        url.replace("/twilio/", "/plivo/"),
        "http://mail.test/webhooks/twilio/x.y".to_owned(),
    ] {
        assert_eq!(bed.twilio(&url, SECRET, &fields).await, 403, "{url}");
    }
    let sha256 = [
        FORM,
        ("x-twilio-signature", signature.as_str()),
        (
            "x-twilio-webhooks-signature-settings",
            "key=x,algorithm=MD5",
        ),
    ];
    assert_eq!(
        bed.post(&url, &sha256, sign::form(&fields)).await.status(),
        403
    );
    assert_eq!(bed.engine.tables.ficus(STATE).await, before);
    assert_eq!(bed.callbacks("twilio", "algorithm"), 1);
    assert_eq!(bed.callbacks("twilio", "misaddressed"), 1);
    assert!(bed.callbacks("twilio", "forged") >= 4);
    assert_eq!(
        bed.twilio(&url, SECRET, &fields).await,
        200,
        "and it is good all the same"
    );
}

#[tokio::test]
async fn an_overheard_report_of_plivo_cannot_be_sent_again_with_other_words() {
    let bed = Bed::start().await;
    let (id, taken) = bed.accepted("+15550000501", "plivo").await;
    let url = taken.callback.clone().expect("a callback");
    let signature = sign::plivo(SECRET, &url, "n1");
    let headers = [
        FORM,
        ("x-plivo-signature-v2", signature.as_str()),
        ("x-plivo-signature-v2-nonce", "n1"),
    ];
    let said =
        |word: &str| sign::form(&[("MessageUUID", taken.reference.as_str()), ("Status", word)]);
    assert_eq!(
        bed.post(&url, &headers, said("undelivered")).await.status(),
        200
    );
    assert_eq!(
        bed.post(&url, &headers, said("delivered")).await.status(),
        403
    );
    let shown = bed.engine.status(&id).await;
    assert_eq!(shown["delivery"]["status"], "undelivered", "{shown}");
    assert_eq!(bed.callbacks("plivo", "replayed"), 1);
}

/// A row with a signature secret: the column is the operator's, and the default map has none.
const SIGNED: &str = "[engine.legacy.sms]\nservice = \"select provider::text, api_key::text, api_secret::text, sender_id::text, api_secret::text, null::text, array[]::text[] from sms_services where owner_id = $1 and is_active and ($2::text is null or provider = $2) order by id limit 1\"";

#[tokio::test]
async fn an_account_of_vonages_that_signs_is_believed_by_its_signature_alone() {
    let bed = Bed::with(SIGNED).await;
    let (id, taken) = bed.accepted("+15550000501", "vonage").await;
    let url = taken.callback.clone().expect("a callback");
    let send = async |seconds: i64, nonce: &str, key: &str, at: &str| {
        let time = (Utc::now().timestamp() + seconds).to_string();
        let mut fields = vec![
            ("messageId", taken.reference.as_str()),
            ("status", "delivered"),
            ("err-code", "0"),
            ("timestamp", time.as_str()),
            ("nonce", nonce),
        ];
        let sig = sign::vonage(key, &fields);
        fields.push(("sig", &sig));
        let path = format!("{at}?{}", sign::form(&fields));
        bed.engine
            .service
            .get(2, path.strip_prefix("http://mail.test").expect("ours"), "")
            .await
            .status()
    };
    let unsigned = sign::form(&[
        ("messageId", taken.reference.as_str()),
        ("status", "delivered"),
    ]);
    assert_eq!(bed.post(&url, &[FORM], unsigned).await.status(), 403);
    assert_eq!(send(0, "n1", "another", &url).await, 403);
    assert_eq!(send(-400, "n1", SECRET, &url).await, 403);
    assert_eq!(bed.callbacks("vonage", "stale"), 1);
    // At legacy's address it is found by its name.
    let legacy = "http://mail.test/api/webhooks/vonage/dlr";
    assert_eq!(send(0, "n1", SECRET, legacy).await, 200);
    assert_eq!(
        send(1, "n1", SECRET, &url).await,
        403,
        "the nonce was taken"
    );
    assert_eq!(
        bed.engine.status(&id).await["delivery"]["status"],
        "delivered"
    );
}

#[tokio::test]
async fn a_token_of_the_messages_api_is_for_one_body_and_one_time() {
    let bed = Bed::with(&format!("api = \"messages\"\n{SIGNED}")).await;
    let (id, taken) = bed.accepted("+15550000501", "vonage").await;
    let url = taken.callback.clone().expect("a callback");
    let body = json!({ "message_uuid": taken.reference, "status": "delivered", "channel": "sms" })
        .to_string();
    let json = ("content-type", "application/json");
    let claims = json!({ "iat": Utc::now().timestamp(), "jti": "t1", "api_key": VONAGE_KEY, "payload_hash": sign::sha256(&body) });
    let token = sign::bearer(SECRET, &claims);
    let unsigned = bed.post(&url, &[json], body.clone()).await;
    assert_eq!(unsigned.status(), 503, "it is to be signed and sent again");
    assert!(unsigned.headers().contains_key("retry-after"));
    let shown = [json, ("authorization", token.as_str())];
    assert_eq!(
        bed.post(&url, &shown, body.replace("delivered", "rejected"))
            .await
            .status(),
        403
    );
    assert_eq!(bed.post(&url, &shown, body.clone()).await.status(), 200);
    assert_eq!(bed.post(&url, &shown, body).await.status(), 403);
    let shown = bed.engine.status(&id).await;
    assert_eq!(shown["delivery"]["status"], "delivered", "{shown}");
}

#[tokio::test]
async fn an_uncertain_text_is_settled_by_its_report_and_paid_for_once() {
    let bed = Bed::start().await;
    let tables = &bed.engine.tables;
    let (left, sent) = (tables.legacy(LEFT).await, tables.legacy(SENT).await);
    bed.vendors
        .will("501", [Trouble::TakenAnd(500, String::new())]);
    let id = bed.accept(&text("+15550000501", "twilio")).await;
    bed.engine.until_status(&id, "uncertain").await;
    assert_eq!(
        bed.report(&bed.vendors.taken_by("501"), true)
            .await
            .status(),
        200
    );
    let shown = bed.engine.until_status(&id, "accepted").await;
    assert_eq!(shown["delivery"]["status"], "delivered", "{shown}");
    tables.until_legacy(SENT, sent + 1).await;
    assert_eq!(tables.legacy(LEFT).await, left - 1);
    let by: String =
        sqlx::query_scalar("select source || ' ' || after from ficus.message_operation")
            .fetch_one(tables.pool())
            .await
            .expect("a trace");
    assert_eq!(by, "callback sent");
}

#[tokio::test]
async fn a_report_that_comes_before_the_answer_settles_it_too() {
    let bed = Bed::start().await;
    bed.vendors.will("501", [Trouble::TakenAndSilent]);
    let id = bed.accept(&text("+15550000501", "twilio")).await;
    let taken = eventually("the vendor has it", || async { bed.vendors.taken().pop() }).await;
    assert_eq!(bed.report(&taken, true).await.status(), 200);
    assert_eq!(bed.engine.status(&id).await["status"], "sending");
    let shown = bed.engine.until_status(&id, "accepted").await;
    assert_eq!(
        shown["attempts"][0]["code"], "no-answer",
        "it was never answered: {shown}"
    );
    assert_eq!(shown["delivery"]["status"], "delivered");
}

#[tokio::test]
async fn legacys_row_of_a_campaigns_text_says_what_its_vendor_says() {
    let bed = Bed::start().await;
    let path = "/campaign/send-sms/campaign-23/21/twilio";
    bed.engine.service.get(2, path, "application/json").await;
    let tables = &bed.engine.tables;
    tables
        .until_legacy(
            "select count(*) from campaign_logs where campaign_id = 23",
            1,
        )
        .await;
    let before = tables.legacy(SENT).await;
    bed.report(&bed.vendors.taken_by("201"), true).await;
    bed.report(&bed.vendors.taken_by("202"), false).await;
    let rows = "select count(*) from sms_logs where (phone, status) = ('+15550000201', 'delivered') or (phone, status, error) = ('+15550000202', 'undelivered', '30005')";
    tables.until_legacy(rows, 2).await;
    assert_eq!(
        tables.legacy(SENT).await,
        before,
        "they were counted when they were sent"
    );
}

#[tokio::test]
async fn a_report_of_a_message_that_is_not_ours_is_a_miss_and_of_one_that_is_is_none() {
    let bed = Bed::start().await;
    let (_, taken) = bed.accepted("+15550000501", "twilio").await;
    let path = "http://mail.test/api/webhooks/twilio/status";
    let of = |id: &str| sign::form(&[("MessageSid", id), ("MessageStatus", "delivered")]);
    for body in [of("SMdemo-2"), String::new(), "x=1".to_owned()] {
        let answer = bed.post(path, &[FORM], body).await;
        assert_eq!(answer.status(), 404);
        assert!(answer.headers().contains_key("x-ficus-miss"));
    }
    assert_eq!(bed.callbacks("twilio", "missed"), 3);
    let forged = bed.post(path, &[FORM], of(&taken.reference)).await;
    assert_eq!(forged.status(), 403);
    assert!(!forged.headers().contains_key("x-ficus-miss"));
    let fields = [
        ("MessageSid", taken.reference.as_str()),
        ("MessageStatus", "delivered"),
    ];
    assert_eq!(bed.twilio(path, SECRET, &fields).await, 200);
    let shown: Value = bed
        .engine
        .service
        .get(2, "/campaign/schedule-sms", "application/json")
        .await
        .json()
        .await
        .expect("JSON");
    assert_eq!(shown["total"], 1);
}
