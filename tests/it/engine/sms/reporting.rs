//! The vendors' side of callbacks: what they would send for a text that they have taken, signed as they sign.
//!
//! Its own file, because every test of reports speaks in their names.

use reqwest::{Method, Response};
use serde_json::json;

use super::{Bed, text};
use crate::support::sms::sign::{self, Fields};
use crate::support::sms::{SECRET, TWILIO_ID, Taken, VONAGE_KEY};

pub const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

impl Bed {
    pub async fn post(&self, url: &str, headers: &[(&str, &str)], body: String) -> Response {
        let path = url.strip_prefix("http://mail.test").unwrap_or(url);
        let headers: Vec<(&str, String)> = headers
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        let service = &self.engine.service;
        service.send_body(Method::POST, path, &headers, body).await
    }

    /// Signed as Twilio does, by this token, for this URL.
    pub async fn twilio(&self, url: &str, token: &str, fields: Fields<'_>) -> u16 {
        let signature = sign::twilio(token, url, fields);
        let headers = [FORM, ("x-twilio-signature", signature.as_str())];
        self.post(url, &headers, sign::form(fields))
            .await
            .status()
            .as_u16()
    }

    /// As the vendor of this text would report it, in its own words for delivered or not.
    pub async fn report(&self, taken: &Taken, is_delivered: bool) -> Response {
        let url = taken.callback.as_deref().expect("a callback");
        let (id, word) = (
            taken.reference.as_str(),
            if is_delivered { "delivered" } else { "failed" },
        );
        match taken.vendor {
            "twilio" => {
                let fields = [
                    ("MessageSid", id),
                    ("MessageStatus", word),
                    ("AccountSid", TWILIO_ID),
                    ("ErrorCode", if is_delivered { "" } else { "30005" }),
                ];
                let signature = sign::twilio(SECRET, url, &fields);
                let headers = [FORM, ("x-twilio-signature", signature.as_str())];
                self.post(url, &headers, sign::form(&fields)).await
            }
            "vonage" => {
                let code = if is_delivered { "0" } else { "9" };
                let fields = [
                    ("messageId", id),
                    ("status", word),
                    ("err-code", code),
                    ("api-key", VONAGE_KEY),
                ];
                self.post(url, &[FORM], sign::form(&fields)).await
            }
            "plivo" => {
                let code = if is_delivered { "000" } else { "200" };
                let fields = [("MessageUUID", id), ("Status", word), ("ErrorCode", code)];
                let nonce = format!("{id}{word}");
                let signature = sign::plivo(SECRET, url, &nonce);
                let headers = [
                    FORM,
                    ("x-plivo-signature-v2", signature.as_str()),
                    ("x-plivo-signature-v2-nonce", nonce.as_str()),
                ];
                self.post(url, &headers, sign::form(&fields)).await
            }
            _ => {
                let group = if is_delivered { 3 } else { 2 };
                let result = json!({ "messageId": id, "status": { "groupId": group, "groupName": "G" }, "error": { "id": 1, "permanent": true } });
                let body = json!({ "results": [result] }).to_string();
                self.post(url, &[("content-type", "application/json")], body)
                    .await
            }
        }
    }

    /// An accepted text, and what its vendor has of it.
    pub async fn accepted(&self, number: &str, gateway: &str) -> (String, Taken) {
        let id = self.accept(&text(number, gateway)).await;
        self.engine.until_status(&id, "accepted").await;
        (id, self.vendors.taken_by(&number[1..]))
    }
}
