//! Vonage's Messages API: JSON, 202 for yes and a problem document for no.
//!
//! Its own file: one a vendor's API. The format: developer.vonage.com/api/messages-olympus, version 1.

use serde_json::{Value, json};

use super::call::{Answer, Call, Login, Outgoing, Payload, Verdict};
use crate::engine::sms::segments::{self, Alphabet};
use crate::secret::Secret;

/// Characters of a text.
pub const TEXT_LIMIT: usize = 1000;

pub fn call(base: &str, user: &Secret, password: &Secret, message: &Outgoing<'_>) -> Call {
    let encoding = match segments::count(message.text).alphabet {
        Alphabet::Gsm7 => "text",
        Alphabet::Ucs2 => "unicode",
    };
    let mut body = json!({
        "message_type": "text",
        "channel": "sms",
        "to": message.to.digits(),
        "from": message.from.bare(),
        "text": message.text,
        "client_ref": message.id,
        "sms": { "encoding_type": encoding },
    });
    if let Some(url) = message.callback {
        body["webhook_url"] = Value::from(url);
        body["webhook_version"] = Value::from("v1");
    }
    Call {
        url: format!("{base}/v1/messages"),
        login: Login::Basic {
            user: user.clone(),
            password: password.clone(),
        },
        payload: Payload::Json(body),
    }
}

pub fn read(answer: &Answer<'_>) -> Verdict {
    if !answer.is_success() {
        return Verdict::of(answer.class(), answer.status.to_string());
    }
    let body = answer.json().unwrap_or(Value::Null);
    match body["message_uuid"].as_str() {
        Some(id) if !id.is_empty() => Verdict::accepted(answer.status.to_string(), id),
        _ => Verdict::unread(answer.status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::retry::Class;

    fn read(status: u16, body: &str) -> Verdict {
        super::read(&Answer {
            status,
            retry_after: None,
            body: body.as_bytes(),
        })
    }

    #[test]
    fn a_message_is_accepted_by_its_uuid() {
        let plain = read(202, r#"{"message_uuid":"aaa"}"#);
        assert_eq!(plain, Verdict::accepted("202", "aaa"));
        let failover = read(
            202,
            r#"{"message_uuid":"aaa","workflow_id":"3TcNjguHxr2vcCZ9Ddsnq6tw8yQUpZ9rMHv9QXSxLan5ibMxqSzLdx9"}"#,
        );
        assert_eq!(failover, plain);
        for body in ["", "{}", "{\"message_uu", "<html>"] {
            assert_eq!(read(202, body).class, Class::Uncertain, "{body}");
        }
    }

    #[test]
    fn a_problem_goes_by_its_status() {
        let problem = r#"{"type":"https://developer.vonage.com/api-errors#x","title":"T","detail":"D","instance":"i","invalid_parameters":[{"name":"to","reason":"r"}]}"#;
        for (status, class) in [
            (422, Class::Permanent),
            (401, Class::Account),
            (402, Class::Account),
            (403, Class::Account),
            (429, Class::RateLimited(None)),
            (500, Class::Uncertain),
        ] {
            assert_eq!(read(status, problem).class, class, "{status}");
        }
    }
}
