//! Infobip's delivery reports: JSON, and unsigned.
//!
//! Its own file, and pure: one a vendor. The format: infobip.com/docs/api/channels/sms, delivery reports. Nothing is signed, so that the message's own
//! address is the proof; an account may have a user and a password beside it, which Infobip shows.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::rank::{Cause, Delivery};
use super::received::Received;
use super::report::{Refused, Report};
use crate::engine::sms::Account;

/// One callback may be about several messages: what is of `message` is its report.
pub fn read(received: &Received<'_>, account: &Account, message: Uuid) -> Result<Report, Refused> {
    if let Some(login) = &account.signing {
        let expected = format!("Basic {}", STANDARD.encode(login.reveal()));
        let given = received.header("authorization").unwrap_or_default();
        if !bool::from(expected.as_bytes().ct_eq(given.as_bytes())) {
            return Err(Refused::Forged);
        }
    }
    let body: Value = serde_json::from_slice(received.body).map_err(|_| Refused::Unreadable)?;
    let results = body["results"].as_array().ok_or(Refused::Unreadable)?;
    let id = message.to_string();
    let is_ours = |it: &&Value| it["messageId"] == id.as_str() || it["callbackData"] == id.as_str();
    let result = results.iter().find(is_ours).ok_or(Refused::Misaddressed)?;
    let (status, error) = (&result["status"], &result["error"]);
    let group = status["groupId"].as_i64().ok_or(Refused::Unreadable)?;
    let delivery = Delivery::of_group(group).ok_or(Refused::Ignored)?;
    let said = status["groupName"].as_str().unwrap_or_default();
    let code = error["id"].as_i64().unwrap_or_default();
    let cause = match (delivery, error["permanent"].as_bool()) {
        (Delivery::Undelivered, Some(true)) => Cause::Permanent,
        (Delivery::Undelivered, Some(false)) => Cause::Transient,
        (Delivery::Undelivered, None) => Cause::Unknown,
        _ => Cause::None,
    };
    let code = match cause {
        Cause::None => String::new(),
        _ => code.to_string(),
    };
    let reference = result["messageId"].as_str().unwrap_or(&id);
    Ok(Report::about(reference, said, delivery, &[received.body]).coded(&code, cause))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};
    use serde_json::json;

    use super::super::tests::account;
    use super::*;
    use crate::engine::sms::Gateway;
    use crate::secret::Secret;

    const OURS: Uuid = Uuid::from_u128(7);

    fn read(body: &Value, login: Option<(&str, &str)>) -> Result<Report, Refused> {
        let mut account = account(Gateway::Infobip, "key", "");
        let mut headers = HeaderMap::new();
        if let Some((expected, given)) = login {
            account.signing = Some(Secret::new(expected));
            let given = format!("Basic {}", STANDARD.encode(given));
            headers.insert("authorization", given.parse().unwrap());
        }
        let body = body.to_string();
        let received = Received {
            method: &Method::POST,
            urls: &[],
            query: "",
            headers: &headers,
            body: body.as_bytes(),
        };
        super::read(&received, &account, OURS)
    }

    fn result(group: i64, permanent: bool) -> Value {
        json!({ "results": [
            { "messageId": "another", "status": { "groupId": 3, "groupName": "DELIVERED" } },
            { "bulkId": "b", "messageId": OURS, "to": "15550000201", "status": { "groupId": group, "groupName": "G", "id": 1 },
              "error": { "groupId": 1, "id": 27, "permanent": permanent } },
        ]})
    }

    #[test]
    fn of_several_results_the_messages_own_is_read() {
        let report = read(&result(2, true), None).unwrap();
        assert_eq!(
            (report.delivery, report.cause, report.code.as_str()),
            (Delivery::Undelivered, Cause::Permanent, "27")
        );
        assert_eq!(
            read(&result(4, false), None).unwrap().cause,
            Cause::Transient
        );
        let report = read(&result(3, true), None).unwrap();
        assert_eq!(
            (report.delivery, report.code.as_str()),
            (Delivery::Delivered, "")
        );
        let others = json!({ "results": [{ "messageId": "another", "status": { "groupId": 3 } }] });
        assert_eq!(read(&others, None), Err(Refused::Misaddressed));
        for bad in [
            json!({}),
            json!([]),
            json!({ "results": [{ "messageId": OURS }] }),
        ] {
            assert_eq!(read(&bad, None), Err(Refused::Unreadable), "{bad}");
        }
    }

    #[test]
    fn an_account_with_a_login_believes_who_shows_it() {
        assert!(read(&result(3, false), Some(("u:p", "u:p"))).is_ok());
        assert_eq!(
            read(&result(3, false), Some(("u:p", "u:q"))),
            Err(Refused::Forged)
        );
    }
}
