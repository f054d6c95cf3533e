//! Twilio: a message created by a form, and an answer that is a message or one of two kinds of error.
//!
//! Its own file: one a vendor. The format: twilio.com/docs/messaging/api/message-resource; the codes: twilio.com/docs/api/errors.

use serde_json::Value;

use super::call::{Answer, Call, Login, Outgoing, Payload, Verdict, number};
use crate::engine::retry::Class;
use crate::engine::sms::Sender;
use crate::secret::Secret;

/// By the account's id and token. The id stands in the path.
pub fn call(base: &str, user: &Secret, password: &Secret, message: &Outgoing<'_>) -> Call {
    let from = match message.from {
        Sender::Pool(pool) => ("MessagingServiceSid", pool.clone()),
        other => ("From", other.with_plus().to_owned()),
    };
    let mut form = vec![
        ("To", message.to.as_str().to_owned()),
        from,
        ("Body", message.text.to_owned()),
    ];
    form.extend(
        message
            .callback
            .map(|url| ("StatusCallback", url.to_owned())),
    );
    Call {
        url: format!("{base}/2010-04-01/Accounts/{}/Messages.json", user.reveal()),
        login: Login::Basic {
            user: user.clone(),
            password: password.clone(),
        },
        payload: Payload::Form(form),
    }
}

pub fn read(answer: &Answer<'_>) -> Verdict {
    let body = answer.json().unwrap_or(Value::Null);
    if !answer.is_success() {
        // Both kinds of error have it under this name.
        let code = number(&body["code"]);
        return refused(answer, code);
    }
    let (sid, status) = (body["sid"].as_str(), body["status"].as_str());
    match (sid, status) {
        // Created, and over at once.
        (Some(_), Some("failed" | "undelivered")) => {
            let code = number(&body["error_code"]).unwrap_or_default();
            let class = by_code(code).unwrap_or(Class::Permanent);
            Verdict::of(class, format!("{} {code}", told(code)))
        }
        (Some(sid), Some(_)) if !sid.is_empty() => {
            Verdict::accepted(answer.status.to_string(), sid)
        }
        _ => Verdict::unread(answer.status),
    }
}

fn refused(answer: &Answer<'_>, code: Option<i64>) -> Verdict {
    let Some(code) = code else {
        return Verdict::of(answer.class(), answer.status.to_string());
    };
    // An answer of 5xx may have been given after the message was taken, whatever its code.
    let class = match (answer.class(), by_code(code)) {
        (Class::Uncertain, _) => Class::Uncertain,
        (_, Some(Class::RateLimited(_))) => Class::RateLimited(answer.retry_after),
        (_, Some(class)) => class,
        (class, None) => class,
    };
    Verdict::of(class, format!("{} {code}", told(code)))
}

/// Codes whose meaning the status does not say. Twilio splits codes from time to time, so what is not here goes by the status.
fn by_code(code: i64) -> Option<Class> {
    match code {
        // No such number, one that cannot be reached, no route to it, a text that is too long, a country that is not allowed, opted out.
        21211 | 21212 | 21614 | 21612 | 21617 | 21408 | 21610 => Some(Class::Permanent),
        20429 => Some(Class::RateLimited(None)),
        // The login; a sender that is not the account's, and what that code was split into; a trial account; a suspended one.
        20003 | 21606 | 21607 | 21659..=21661 | 21608 | 30002 => Some(Class::Account),
        // Twilio's own words: a retry may send twice.
        20500 => Some(Class::Uncertain),
        _ => None,
    }
}

/// Before the code: by the first word the recipient's wish is known.
fn told(code: i64) -> &'static str {
    match code {
        21610 => super::OPTED_OUT,
        _ => "twilio",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn class(status: u16, body: &Value) -> Class {
        let body = body.to_string();
        read(&Answer {
            status,
            retry_after: Some(Duration::from_secs(3)),
            body: body.as_bytes(),
        })
        .class
    }

    /// The object that Twilio has had for years, and the one that it is moving to.
    fn errors(code: i64, status: u16) -> [Value; 2] {
        [
            json!({ "code": code, "message": "m", "more_info": "https://www.twilio.com/docs/errors/1", "status": status }),
            json!({ "type": "t", "title": "T", "status": status, "code": code, "detail": "d", "instance": "i", "errors": [{ "detail": "d", "pointer": "/To" }] }),
        ]
    }

    #[test]
    fn each_code_has_its_class_in_both_forms_of_an_error() {
        let wait = Some(Duration::from_secs(3));
        let table = [
            (400, 21211, Class::Permanent),
            (400, 21212, Class::Permanent),
            (400, 21614, Class::Permanent),
            (400, 21612, Class::Permanent),
            (400, 21617, Class::Permanent),
            (403, 21408, Class::Permanent),
            (400, 21610, Class::Permanent),
            (429, 20429, Class::RateLimited(wait)),
            (400, 20429, Class::RateLimited(wait)),
            (401, 20003, Class::Account),
            (400, 21606, Class::Account),
            (400, 21607, Class::Account),
            (400, 21660, Class::Account),
            (400, 21608, Class::Account),
            (403, 30002, Class::Account),
            (500, 20500, Class::Uncertain),
            (503, 21211, Class::Uncertain),
            (400, 21602, Class::Permanent),
            (401, 99999, Class::Account),
            (429, 99999, Class::RateLimited(wait)),
            (404, 20404, Class::Permanent),
        ];
        for (status, code, expected) in table {
            for body in errors(code, status) {
                assert_eq!(class(status, &body), expected, "{status} {code}");
            }
        }
    }

    #[test]
    fn a_message_is_accepted_by_its_sid_and_a_yes_without_one_is_uncertain() {
        let body = json!({ "sid": "SM1", "status": "queued", "num_segments": "1", "error_code": null, "price": null });
        let body = body.to_string();
        let read = |body: &[u8]| {
            read(&Answer {
                status: 201,
                retry_after: None,
                body,
            })
        };
        assert_eq!(read(body.as_bytes()), Verdict::accepted("201", "SM1"));
        for bad in [
            "",
            "<html>",
            r#"{"sid":"SM1""#,
            r#"{"status":"queued"}"#,
            "[]",
        ] {
            assert_eq!(read(bad.as_bytes()).class, Class::Uncertain, "{bad}");
        }
    }

    #[test]
    fn what_was_created_and_failed_at_once_is_not_accepted() {
        let body = |code: i64| json!({ "sid": "SM1", "status": "failed", "error_code": code });
        assert_eq!(class(201, &body(21610)), Class::Permanent);
        assert_eq!(class(201, &body(30002)), Class::Account);
        assert_eq!(class(201, &body(30007)), Class::Permanent);
    }

    #[test]
    fn who_has_opted_out_is_known_by_the_code() {
        let body = errors(21610, 400)[0].to_string();
        let verdict = read(&Answer {
            status: 400,
            retry_after: None,
            body: body.as_bytes(),
        });
        assert_eq!(verdict.code, "opted-out 21610");
    }
}
