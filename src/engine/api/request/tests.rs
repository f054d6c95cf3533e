//! The tests of a message as a sender writes it.
//!
//! Its own file, because each fault is a case of its own.

use serde_json::json;

use super::*;

const TENANT: TenantId = TenantId(7);

fn item() -> Value {
    json!({
        "type": "email",
        "recipient": { "email": "Ann@example.com", "name": "Ann" },
        "content": { "subject": "News", "body_html": "<p>Hello</p>", "from_email": "shop@example.com" },
    })
}

fn with(place: &str, value: Value) -> Value {
    let mut item = item();
    *item
        .pointer_mut(place.rsplit_once('/').unwrap().0)
        .unwrap()
        .as_object_mut()
        .unwrap()
        .entry(place.rsplit_once('/').unwrap().1)
        .or_insert(Value::Null) = value;
    item
}

fn code(item: Value) -> &'static str {
    read(item, TENANT, Utc::now(), None).unwrap_err().code
}

#[test]
fn a_message_is_for_whom_it_names() {
    let message = read(item(), TENANT, Utc::now(), None).unwrap();
    assert_eq!(
        (message.recipient.as_str(), message.due_at),
        ("Ann@example.com", None)
    );
    assert!(!message.body.contains("Ann@"), "the address stands once");
}

#[test]
fn each_fault_is_precise() {
    for (place, value, expected) in [
        ("/recipient/email", json!("nobody"), "address"),
        (
            "/recipient/email",
            json!("a@b.test\r\nBcc: c@d.test"),
            "address",
        ),
        ("/recipient/name", json!("Ann\r\nBcc: c@d.test"), "address"),
        ("/content/from_email", json!("@"), "address"),
        ("/content/reply_to", json!(""), "address"),
        (
            "/content/subject",
            json!("News\r\nBcc: c@d.test"),
            "subject",
        ),
        (
            "/content/body_html",
            json!("x".repeat(BODY_LIMIT + 1)),
            "size",
        ),
        ("/content/body_html", Value::Null, "content"),
        (
            "/content/attachments",
            json!([{ "filename": "a.pdf" }]),
            "attachments",
        ),
        (
            "/content/attachments",
            json!([{ "filename": "a.pdf", "url": "http://a.test/" }]),
            "attachments",
        ),
        (
            "/content/attachments",
            json!([{ "filename": "a.pdf", "url": "https://169.254.169.254/latest" }]),
            "attachments",
        ),
        (
            "/content/attachments",
            json!([{ "filename": "a.pdf", "url": "https://0x7f.1/" }]),
            "attachments",
        ),
        (
            "/content/attachments",
            json!([{ "filename": "a.pdf", "url": "https://[::ffff:10.0.0.1]/" }]),
            "attachments",
        ),
        (
            "/content/attachments",
            json!([{ "filename": "a.pdf", "base64": "no base64!" }]),
            "attachments",
        ),
        ("/tenant_id", json!(8), "tenant"),
        ("/type", json!("fax"), "shape"),
        ("/sent_at", json!("x"), "shape"),
        ("/send_at", json!("2999-01-01T00:00:00Z"), "send_at"),
        ("/idempotency_key", json!("two words"), "idempotency_key"),
        ("/variables", json!({ "x": "1" }), "none"),
        (
            "/provider_config",
            json!({ "smtp_host": "a.test", "smtp_port": 25, "smtp_password": "hunter2" }),
            "provider_config",
        ),
    ] {
        match read(with(place, value.clone()), TENANT, Utc::now(), None) {
            Err(fault) => assert_eq!(fault.code, expected, "{place}: {}", fault.detail),
            Ok(_) => assert_eq!("none", expected, "{place} = {value}"),
        }
    }
}

#[test]
fn a_variable_without_a_value_is_told_by_name() {
    let mut item = with("/content/body_html", json!("<p>{first} {last}</p>"));
    item["variables"] = json!({ "first": "Ann" });
    let fault = read(item, TENANT, Utc::now(), None).unwrap_err();
    assert_eq!(
        (fault.code, fault.detail.as_str()),
        ("variable", "the recipient has no value for {last}")
    );
    // Without variables braces are text, such as a style's.
    assert!(
        read(
            with("/content/body_html", json!("<style>p{color:red}</style>")),
            TENANT,
            Utc::now(),
            None
        )
        .is_ok()
    );
}

#[test]
fn a_fault_repeats_no_value() {
    let fault = read(
        with("/campaign_id", json!("ann@example.com")),
        TENANT,
        Utc::now(),
        None,
    )
    .unwrap_err();
    assert_eq!(fault.code, "shape");
    assert!(!fault.detail.contains("ann"), "{}", fault.detail);
}

#[test]
fn the_same_message_has_the_same_key_and_print_whatever_its_ids() {
    let of = |item| {
        let message = read(item, TENANT, Utc::now(), None).unwrap();
        (message.key, message.fingerprint)
    };
    let keyed = with("/idempotency_key", json!("order-7"));
    let mut again = keyed.clone();
    again["message_id"] = json!(Uuid::now_v7());
    again["created_at"] = json!("2026-02-07T01:00:00Z");
    assert_eq!(of(keyed.clone()), of(again));
    let mut other = keyed.clone();
    other["content"]["subject"] = json!("Other news");
    assert_eq!(of(keyed.clone()).0, of(other.clone()).0);
    assert_ne!(of(keyed).1, of(other).1);
    // Without any key each is its own.
    assert_ne!(of(item()).0, of(item()).0);
    // A campaign's recipient is one, however the address is spelt.
    let campaign = with("/campaign_id", json!(3));
    let mut shouted = campaign.clone();
    shouted["recipient"]["email"] = json!("ANN@EXAMPLE.COM");
    assert_eq!(of(campaign).0, of(shouted).0);
}

#[test]
fn what_is_no_message_at_all_is_told() {
    for item in [json!(null), json!([]), json!("x"), json!({})] {
        assert_eq!(code(item), "shape");
    }
}
