//! Plivo: JSON, and a 202 that may name numbers that it will not send to.
//!
//! Its own file: one a vendor. The format: plivo.com/docs/messaging/api/message.

use serde_json::{Value, json};

use super::call::{Answer, Call, Login, Outgoing, Payload, Verdict};
use crate::engine::retry::Class;
use crate::engine::sms::{Number, Sender};
use crate::secret::Secret;

/// By the account's id and token. The id stands in the path, which ends with a slash.
pub fn call(base: &str, user: &Secret, password: &Secret, message: &Outgoing<'_>) -> Call {
    let mut body = json!({
        "dst": message.to.digits(),
        "text": message.text,
        "type": "sms",
    });
    match message.from {
        Sender::Pool(pool) => body["powerpack_uuid"] = Value::from(pool.as_str()),
        other => body["src"] = Value::from(other.bare()),
    }
    if let Some(url) = message.callback {
        body["url"] = Value::from(url);
        body["method"] = Value::from("POST");
    }
    Call {
        url: format!("{base}/v1/Account/{}/Message/", user.reveal()),
        login: Login::Basic {
            user: user.clone(),
            password: password.clone(),
        },
        payload: Payload::Json(body),
    }
}

pub fn read(answer: &Answer<'_>, to: &Number) -> Verdict {
    if !answer.is_success() {
        let class = match answer.status {
            // Here it is the recipient's country that is not allowed, and not the account.
            403 => Class::Permanent,
            _ => answer.class(),
        };
        return Verdict::of(class, answer.status.to_string());
    }
    let body = answer.json().unwrap_or(Value::Null);
    let texts = |name: &str| {
        let list = body[name].as_array().map_or(&[][..], Vec::as_slice);
        list.iter().filter_map(Value::as_str)
    };
    let is_ours = |number: &str| Number::parse(number).is_ok_and(|it| it == *to);
    if texts("invalid_number").any(is_ours) {
        return Verdict::of(Class::Permanent, "invalid-number");
    }
    match texts("message_uuid").next() {
        Some(id) if !id.is_empty() => Verdict::accepted(answer.status.to_string(), id),
        _ => Verdict::unread(answer.status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> Verdict {
        let to = Number::parse("+15550000201").unwrap();
        let answer = Answer {
            status,
            retry_after: None,
            body: body.as_bytes(),
        };
        super::read(&answer, &to)
    }

    #[test]
    fn each_status_has_its_class() {
        let error = r#"{"error":"not allowed","api_id":"a"}"#;
        for status in [400, 403, 404, 405, 409, 422] {
            assert_eq!(read(status, error).class, Class::Permanent, "{status}");
        }
        for status in [401, 402] {
            assert_eq!(read(status, error).class, Class::Account, "{status}");
        }
        for status in [500, 502, 503, 504] {
            assert_eq!(read(status, error).class, Class::Uncertain, "{status}");
        }
        assert_eq!(read(429, error).class, Class::RateLimited(None));
    }

    #[test]
    fn a_202_is_asked_for_the_recipient() {
        let accepted = read(
            202,
            r#"{"message":"message(s) queued","message_uuid":["u1"],"api_id":"a"}"#,
        );
        assert_eq!(accepted, Verdict::accepted("202", "u1"));
        let ours =
            r#"{"message":"m","message_uuid":[],"api_id":"a","invalid_number":["15550000201"]}"#;
        assert_eq!(
            read(202, ours),
            Verdict::of(Class::Permanent, "invalid-number")
        );
        // Somebody else's number is invalid, ours was taken.
        let other = r#"{"message_uuid":["u1"],"api_id":"a","invalid_number":["15550000999"]}"#;
        assert_eq!(read(202, other), accepted);
        for body in ["", "{}", r#"{"message_uuid":[]}"#, "{\"message_uuid\":[\"u"] {
            assert_eq!(read(202, body).class, Class::Uncertain, "{body}");
        }
    }
}
