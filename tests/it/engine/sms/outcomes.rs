//! Each answer that a vendor can give, and what the text becomes by it: told well, told badly, told by half, and not at all.
//!
//! Its own file, because it is one table, and every row of it is a way to send twice or never.

use serde_json::{Value, json};

use super::{Bed, LEFT, text};
use crate::support::sms::Trouble;

struct Row {
    gateway: &'static str,
    trouble: Trouble,
    /// As its tenant sees it.
    becomes: &'static str,
    code: &'static str,
}

fn row(gateway: &'static str, trouble: Trouble, becomes: &'static str, code: &'static str) -> Row {
    Row {
        gateway,
        trouble,
        becomes,
        code,
    }
}

fn say(status: u16, body: &Value) -> Trouble {
    Trouble::Say(status, body.to_string())
}

fn taken(status: u16, body: &Value) -> Trouble {
    Trouble::TakenAnd(status, body.to_string())
}

fn vonage(statuses: &[&str]) -> Value {
    let part = |status: &&str| json!({ "status": status, "message-id": "0A1", "error-text": "no" });
    let parts: Vec<Value> = statuses.iter().map(part).collect();
    json!({ "message-count": parts.len().to_string(), "messages": parts })
}

fn infobip(place: usize, group: i64, id: i64) -> Value {
    let to = number(place)[1..].to_owned();
    json!({ "messages": [{ "messageId": "x", "destination": to, "status": { "groupId": group, "id": id, "name": "n" } }] })
}

fn number(place: usize) -> String {
    format!("+155500004{place:02}")
}

fn rows() -> Vec<Row> {
    use Trouble::{TakenAnd, TakenAndHalf, TakenAndSilent, TakenLate};
    let garbage = || TakenAnd(200, "<html>".to_owned());
    let late = || TakenLate(std::time::Duration::from_millis(300));
    let html = "<html>".to_owned();
    vec![
        row(
            "twilio",
            say(400, &json!({ "code": 21211, "status": 400 })),
            "failed",
            "twilio 21211",
        ),
        row(
            "twilio",
            say(400, &json!({ "code": 21610, "status": 400 })),
            "failed",
            "opted-out 21610",
        ),
        row(
            "twilio",
            say(404, &json!({ "code": 20404, "status": 404 })),
            "failed",
            "twilio 20404",
        ),
        row(
            "twilio",
            taken(500, &json!({ "code": 20500, "status": 500 })),
            "uncertain",
            "twilio 20500",
        ),
        row("twilio", TakenAnd(503, html.clone()), "uncertain", "503"),
        row("twilio", TakenAnd(500, html), "uncertain", "500"),
        row("twilio", TakenAndHalf, "uncertain", "201 unread"),
        row("twilio", garbage(), "uncertain", "200 unread"),
        row("twilio", TakenAndSilent, "uncertain", "no-answer"),
        row("twilio", late(), "accepted", "201"),
        row(
            "twilio",
            say(
                201,
                &json!({ "sid": "SM1", "status": "failed", "error_code": 30007 }),
            ),
            "failed",
            "twilio 30007",
        ),
        row(
            "vonage",
            taken(200, &vonage(&["0", "1"])),
            "accepted",
            "partial 1/2",
        ),
        row(
            "vonage",
            say(200, &vonage(&["6", "6"])),
            "failed",
            "vonage 6",
        ),
        row(
            "vonage",
            taken(200, &vonage(&["5"])),
            "uncertain",
            "vonage 5",
        ),
        row("vonage", TakenAndHalf, "uncertain", "200 unread"),
        row("vonage", garbage(), "uncertain", "200 unread"),
        row("vonage", TakenAndSilent, "uncertain", "no-answer"),
        row(
            "plivo",
            say(
                202,
                &json!({ "message_uuid": [], "invalid_number": [number(17)[1..]] }),
            ),
            "failed",
            "invalid-number",
        ),
        row(
            "plivo",
            say(403, &json!({ "error": "geo" })),
            "failed",
            "403",
        ),
        row(
            "plivo",
            say(409, &json!({ "error": "conflict" })),
            "failed",
            "409",
        ),
        row("plivo", TakenAnd(502, String::new()), "uncertain", "502"),
        row("plivo", TakenAndHalf, "uncertain", "202 unread"),
        row("plivo", late(), "accepted", "202"),
        row("infobip", say(200, &infobip(23, 5, 6)), "failed", "5/6"),
        row("infobip", say(200, &infobip(24, 5, 23)), "accepted", "5/23"),
        row(
            "infobip",
            taken(200, &infobip(25, 5, 21)),
            "uncertain",
            "5/21",
        ),
        row("infobip", TakenAnd(500, String::new()), "uncertain", "500"),
        row("infobip", TakenAndSilent, "uncertain", "no-answer"),
        row("infobip", garbage(), "uncertain", "200 unread"),
    ]
}

#[tokio::test]
async fn each_answer_has_its_outcome_and_what_may_have_been_taken_is_asked_for_once() {
    let bed = Bed::start().await;
    let left = bed.engine.tables.legacy(LEFT).await;
    let rows = rows();
    let mut list = Vec::new();
    for (place, row) in rows.iter().enumerate() {
        bed.vendors.will(&number(place), [row.trouble.clone()]);
        bed.vendors.will(&number(place)[1..], [row.trouble.clone()]);
        list.push(text(&number(place), row.gateway));
    }
    let answer = bed.engine.accept(&json!(list)).await;
    let mut kept = 0;
    for (place, row) in rows.iter().enumerate() {
        let id = answer["accepted"][place]["id"].as_str().expect("an id");
        let shown = bed.engine.until_status(id, row.becomes).await;
        let what = format!("{place} {} {:?}: {shown}", row.gateway, row.trouble);
        assert_eq!(
            shown["attempts"].as_array().map(Vec::len),
            Some(1),
            "{what}"
        );
        assert_eq!(shown["attempts"][0]["code"], row.code, "{what}");
        kept += i64::from(row.becomes != "failed");
    }
    assert_eq!(
        bed.vendors.seen().asked,
        rows.len(),
        "nothing was asked for twice"
    );
    // What was refused is not paid for; what may have been taken is.
    bed.engine.tables.until_legacy(LEFT, left - kept).await;
    let gone = "select count(*) from ficus.suppression where channel = 'sms' and recipient = '+15550000401' and reason = 'unsubscribed'";
    crate::support::process::eventually("who has opted out gets nothing more", || async {
        (bed.engine.tables.ficus(gone).await == 1).then_some(())
    })
    .await;
    let again = bed.engine.accept(&json!([text(&number(1), "plivo")])).await;
    assert_eq!(again["rejected"][0]["code"], "suppressed");
}
