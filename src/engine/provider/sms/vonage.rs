//! Vonage's SMS API: every answer is 200, and each part of a text has a status of its own.
//!
//! Its own file: one a vendor's API. The format: developer.vonage.com/api/sms.

use std::time::Duration;

use serde_json::Value;

use super::call::{Answer, Call, Login, Outgoing, Payload, Verdict, number};
use crate::engine::retry::Class;
use crate::engine::sms::segments::{self, Alphabet};
use crate::secret::Secret;

/// Characters of a callback's URL.
pub const CALLBACK_LIMIT: usize = 100;

/// A callback that is longer than may be is left out: the account's own is told then.
pub fn call(base: &str, user: &Secret, password: &Secret, message: &Outgoing<'_>) -> Call {
    let kind = match segments::count(message.text).alphabet {
        Alphabet::Gsm7 => "text",
        Alphabet::Ucs2 => "unicode",
    };
    let mut form = vec![
        ("from", message.from.bare().to_owned()),
        ("to", message.to.digits().to_owned()),
        ("text", message.text.to_owned()),
        ("type", kind.to_owned()),
        ("status-report-req", "1".to_owned()),
        ("client-ref", message.id.to_string()),
    ];
    let callback = message.callback.filter(|url| url.len() <= CALLBACK_LIMIT);
    form.extend(callback.map(|url| ("callback", url.to_owned())));
    Call {
        url: format!("{base}/sms/json"),
        login: Login::Basic {
            user: user.clone(),
            password: password.clone(),
        },
        payload: Payload::Form(form),
    }
}

/// Of several parts some may be accepted and others not: then the recipient gets some, and sending all of them again would repeat those.
pub fn read(answer: &Answer<'_>) -> Verdict {
    if !answer.is_success() {
        return Verdict::of(answer.class(), answer.status.to_string());
    }
    let body = answer.json().unwrap_or(Value::Null);
    let parts = body["messages"].as_array().map_or(&[][..], Vec::as_slice);
    let statuses: Option<Vec<i64>> = parts.iter().map(|it| number(&it["status"])).collect();
    let Some(statuses) = statuses.filter(|it| !it.is_empty()) else {
        return Verdict::unread(answer.status);
    };
    let accepted = statuses.iter().filter(|it| **it == 0).count();
    if accepted > 0 {
        let first = parts
            .iter()
            .zip(&statuses)
            .find(|(_, status)| **status == 0);
        let id = first.and_then(|(part, _)| part["message-id"].as_str());
        let code = match accepted == statuses.len() {
            true => "0".to_owned(),
            false => format!("partial {accepted}/{}", statuses.len()),
        };
        return Verdict::accepted(code, id.unwrap_or_default());
    }
    let (part, status) = (&parts[0], statuses[0]);
    let text = part["error-text"].as_str().unwrap_or_default();
    Verdict::of(
        by_status(status, wait_in(text).or(answer.retry_after)),
        format!("vonage {status}"),
    )
}

fn by_status(status: i64, wait: Option<Duration>) -> Class {
    match status {
        1 | 10 => Class::RateLimited(wait),
        2 | 3 | 6 | 7 | 12 | 15 | 22 | 23 | 29 | 33 => Class::Permanent,
        4 | 8 | 9 | 11 | 14 | 32 => Class::Account,
        5 => Class::Uncertain,
        // Refused in words that are newer than this table.
        _ => Class::Transient(None),
    }
}

/// The text says how long to wait, in milliseconds, in brackets: "Throughput Rate Exceeded - please wait \[ 250 \] and retry".
fn wait_in(text: &str) -> Option<Duration> {
    let (_, rest) = text.split_once('[')?;
    let (millis, _) = rest.split_once(']')?;
    Some(Duration::from_millis(millis.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn verdict(parts: &Value) -> Verdict {
        let count = parts.as_array().map_or(0, Vec::len);
        let body = json!({ "message-count": count.to_string(), "messages": parts }).to_string();
        read(&Answer {
            status: 200,
            retry_after: None,
            body: body.as_bytes(),
        })
    }

    #[test]
    fn each_status_has_its_class() {
        let table = [
            (&[2, 3, 6, 7, 12, 15, 22, 23, 29, 33][..], Class::Permanent),
            (&[1, 10], Class::RateLimited(None)),
            (&[4, 8, 9, 11, 14, 32], Class::Account),
            (&[5], Class::Uncertain),
            (&[13, 99, -1], Class::Transient(None)),
        ];
        for (statuses, expected) in table {
            for status in statuses {
                let told = verdict(&json!([{ "status": status.to_string(), "error-text": "no" }]));
                assert_eq!(told.class, expected, "{status}");
                assert_eq!(told.code, format!("vonage {status}"));
            }
        }
    }

    #[test]
    fn a_wait_in_brackets_is_milliseconds() {
        let text = "Throughput Rate Exceeded - please wait [ 250 ] and retry";
        let told = verdict(&json!([{ "status": "1", "error-text": text }]));
        let wait = Some(Duration::from_millis(250));
        assert_eq!(told.class, Class::RateLimited(wait));
    }

    #[test]
    fn one_part_that_was_accepted_makes_the_message_accepted() {
        let part =
            |status: &str, id: &str| json!({ "status": status, "message-id": id, "to": "1" });
        let all = verdict(&json!([part("0", "A"), part("0", "B")]));
        assert_eq!(all, Verdict::accepted("0", "A"));
        let some = verdict(&json!([part("1", ""), part("0", "B"), part("0", "C")]));
        assert_eq!(some, Verdict::accepted("partial 2/3", "B"));
        let none = verdict(&json!([part("6", ""), part("6", "")]));
        assert_eq!(none.class, Class::Permanent);
    }

    #[test]
    fn a_200_that_says_nothing_is_uncertain_and_another_status_speaks_for_itself() {
        for body in [
            "",
            "{}",
            r#"{"messages":[]}"#,
            r#"{"messages":[{"to":"1"}]}"#,
            "{\"mess",
        ] {
            let answer = |status| Answer {
                status,
                retry_after: None,
                body: body.as_bytes(),
            };
            assert_eq!(read(&answer(200)).class, Class::Uncertain, "{body}");
            assert_eq!(read(&answer(401)).class, Class::Account);
            assert_eq!(read(&answer(429)).class, Class::RateLimited(None));
        }
    }
}
