//! Infobip: JSON, an id of ours for each message, and a status for each recipient inside a 200.
//!
//! Its own file: one a vendor. The format: infobip.com/docs/api/channels/sms, `/sms/3/messages`; the statuses:
//! infobip.com/docs/essentials/api-essentials/response-status-and-error-codes.

use serde_json::{Value, json};

use super::call::{Answer, Call, Login, Outgoing, Payload, Verdict, number};
use crate::engine::retry::Class;
use crate::secret::Secret;

/// With our id for the message: sent again under it, Infobip says that it has it.
pub fn call(base: &str, key: &Secret, message: &Outgoing<'_>) -> Call {
    let mut item = json!({
        "sender": message.from.bare(),
        "destinations": [{ "to": message.to.digits(), "messageId": message.id }],
        "content": { "text": message.text },
    });
    if let Some(url) = message.callback {
        item["webhooks"] = json!({
            "delivery": { "url": url },
            "contentType": "application/json",
            "callbackData": message.id,
        });
    }
    Call {
        url: format!("{base}/sms/3/messages"),
        login: Login::App(key.clone()),
        payload: Payload::Json(json!({ "messages": [item] })),
    }
}

pub fn read(answer: &Answer<'_>, message: &Outgoing<'_>) -> Verdict {
    if !answer.is_success() {
        return Verdict::of(answer.class(), answer.status.to_string());
    }
    let body = answer.json().unwrap_or(Value::Null);
    let list = body["messages"].as_array().map_or(&[][..], Vec::as_slice);
    let id = message.id.to_string();
    let is_ours = |it: &&Value| {
        let to = it["destination"].as_str().or(it["to"].as_str());
        it["messageId"] == id.as_str()
            || to.is_some_and(|to| to.trim_start_matches('+') == message.to.digits())
    };
    let Some(entry) = list.iter().find(is_ours) else {
        return Verdict::unread(answer.status);
    };
    let status = &entry["status"];
    let (Some(group), Some(code)) = (number(&status["groupId"]), number(&status["id"])) else {
        return Verdict::unread(answer.status);
    };
    let reference = entry["messageId"].as_str().unwrap_or(&id);
    match by_status(group, code) {
        Class::Accepted => Verdict::accepted(format!("{group}/{code}"), reference),
        Class::RateLimited(_) => Verdict::of(
            Class::RateLimited(answer.retry_after),
            format!("{group}/{code}"),
        ),
        class => Verdict::of(class, format!("{group}/{code}")),
    }
}

/// By Infobip's groups (0 accepted, 1 pending, 2 undeliverable, 3 delivered, 4 expired, 5 rejected) and, of those rejected, by the id.
fn by_status(group: i64, id: i64) -> Class {
    match (group, id) {
        // We chose the id, and it has it already: an attempt before this one was accepted.
        (_, 23) => Class::Accepted,
        (0 | 1 | 3, _) => Class::Accepted,
        (_, 20) => Class::RateLimited(None),
        // No credit, an account that is not ready or not allowed.
        (_, 12 | 17 | 19) => Class::Account,
        // A fault of its own, of which it does not say how far it got.
        (_, 21) => Class::Uncertain,
        (2 | 4 | 5, _) => Class::Permanent,
        _ => Class::Uncertain,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::engine::sms::{Number, Sender};

    fn read(status: u16, body: &str) -> Verdict {
        let answer = Answer {
            status,
            retry_after: None,
            body: body.as_bytes(),
        };
        let message = Outgoing {
            id: Uuid::from_u128(7),
            to: &Number::parse("+15550000201").unwrap(),
            from: &Sender::Name("Acme".to_owned()),
            text: "x",
            callback: None,
        };
        super::read(&answer, &message)
    }

    fn class(group: i64, id: i64) -> Class {
        let body = json!({ "bulkId": "b", "messages": [
            { "messageId": "other", "status": { "groupId": 1, "id": 26 }, "destination": "15550000999" },
            { "messageId": Uuid::from_u128(7), "status": { "groupId": group, "groupName": "g", "id": id, "name": "n", "description": "d" }, "destination": "15550000201" },
        ]});
        read(200, &body.to_string()).class
    }

    #[test]
    fn each_status_inside_a_200_has_its_class() {
        for id in [6, 8, 10, 11, 13, 14, 18, 24, 25, 51, 52, 77] {
            assert_eq!(class(5, id), Class::Permanent, "{id}");
        }
        for id in [12, 17, 19] {
            assert_eq!(class(5, id), Class::Account, "{id}");
        }
        assert_eq!(class(5, 20), Class::RateLimited(None));
        assert_eq!(class(5, 21), Class::Uncertain);
        assert_eq!(class(5, 23), Class::Accepted, "it has our id already");
        for (group, id) in [(1, 3), (1, 7), (1, 26), (0, 0), (3, 2), (3, 5)] {
            assert_eq!(class(group, id), Class::Accepted, "{group}/{id}");
        }
        for (group, id) in [(2, 4), (2, 9), (4, 15), (4, 29)] {
            assert_eq!(class(group, id), Class::Permanent, "{group}/{id}");
        }
    }

    #[test]
    fn an_error_of_either_version_goes_by_its_status() {
        let second = r#"{"requestError":{"serviceException":{"messageId":"UNAUTHORIZED","text":"Invalid login details"}}}"#;
        let third =
            r#"{"errorCode":"E401","description":"d","action":"a","violations":[],"resources":[]}"#;
        for body in [second, third] {
            for (status, expected) in [
                (400, Class::Permanent),
                (401, Class::Account),
                (403, Class::Account),
                (404, Class::Permanent),
                (429, Class::RateLimited(None)),
                (500, Class::Uncertain),
                (503, Class::Uncertain),
            ] {
                assert_eq!(read(status, body).class, expected, "{status}");
            }
        }
    }

    #[test]
    fn an_answer_of_the_second_version_is_read_too_and_one_about_others_is_uncertain() {
        let old =
            r#"{"messages":[{"messageId":"x","to":"15550000201","status":{"groupId":1,"id":26}}]}"#;
        assert_eq!(read(200, old), Verdict::accepted("1/26", "x"));
        for body in [
            "",
            "{}",
            r#"{"messages":[]}"#,
            r#"{"messages":[{"messageId":"x","to":"15550000999","status":{"groupId":1,"id":26}}]}"#,
            r#"{"messages":[{"messageId":"x","to":"15550000201"}]}"#,
        ] {
            assert_eq!(read(200, body).class, Class::Uncertain, "{body}");
        }
    }
}
