//! Plivo's callbacks: HMAC over the address and a nonce, and not over what is said.
//!
//! Its own file, and pure: one a vendor. The algorithms: plivo.com/docs/messaging/concepts/signature-validation (V2, which messages have) and
//! plivo.com/docs/voice/concepts/signature-validation (V3, which covers the fields; taken where it is shown). Under V2 one callback that was overheard
//! could be sent again with any words: that its nonce is taken once, and its address is one message's, is what stands against it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use http::Method;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::rank::{Cause, Delivery};
use super::received::{Fields, Received, field, parse, spellings};
use super::report::{Refused, Report};
use crate::engine::sms::{Account, Gateway};
use crate::secret::Secret;

/// By the token of the account that sent, and by its main account's.
const SECOND: [&str; 2] = ["x-plivo-signature-v2", "x-plivo-signature-ma-v2"];
const SECOND_NONCE: &str = "x-plivo-signature-v2-nonce";
const THIRD: [&str; 2] = ["x-plivo-signature-v3", "x-plivo-signature-ma-v3"];
const THIRD_NONCE: &str = "x-plivo-signature-v3-nonce";

pub fn read(received: &Received<'_>, account: &Account) -> Result<Report, Refused> {
    let nonce = verify(received, &account.secret)?;
    let fields = received.fields().ok_or(Refused::Unreadable)?;
    let id = field(&fields, "MessageUUID").ok_or(Refused::Unreadable)?;
    let word = field(&fields, "Status").ok_or(Refused::Unreadable)?;
    let delivery = Delivery::of(Gateway::Plivo, word).ok_or(Refused::Ignored)?;
    let code = field(&fields, "ErrorCode").unwrap_or_default();
    let cause = code
        .parse()
        .map_or(Cause::None, |it| Cause::of(Gateway::Plivo, it));
    // 000: none.
    let code = if cause == Cause::None { "" } else { code };
    let mut report = Report::about(id, word, delivery, &[nonce.as_bytes()])
        .coded(code, cause)
        .of_part();
    // What was answered when it was sent is the first part's.
    if let Some(parent) = field(&fields, "ParentMessageUUID").filter(|it| !it.is_empty()) {
        report.reference = parent.to_owned();
    }
    Ok(report)
}

/// The nonce that was signed.
fn verify<'a>(received: &'a Received<'_>, secret: &Secret) -> Result<&'a str, Refused> {
    let third = THIRD.iter().any(|name| received.header(name).is_some());
    let (names, nonce) = match third {
        true => (THIRD, THIRD_NONCE),
        false => (SECOND, SECOND_NONCE),
    };
    let nonce = received.header(nonce).filter(|it| !it.is_empty());
    let nonce = nonce.ok_or(Refused::Forged)?;
    let given: Vec<&str> = names
        .iter()
        .filter_map(|name| received.header(name))
        .flat_map(|it| it.split(','))
        .map(str::trim)
        .collect();
    let form = received.form();
    let is_ours = |url: String| {
        let signed = match third {
            true => third_text(received.method, &url, &form, nonce),
            false => format!("{}{nonce}", without_query(&url)),
        };
        let expected = mac(secret, &signed);
        let mut given = given.iter();
        given.any(|it| bool::from(expected.as_bytes().ct_eq(it.as_bytes())))
    };
    let mut urls = received.urls.iter().flat_map(|it| spellings(it));
    match urls.any(is_ours) {
        true => Ok(nonce),
        false => Err(Refused::Forged),
    }
}

fn without_query(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}

/// Of a POST the query, sorted, then the form's names and values; of a GET the query alone.
fn third_text(method: &Method, url: &str, form: &Fields, nonce: &str) -> String {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let mut query = parse(query);
    query.sort();
    let query: Vec<String> = query
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let query = query.join("&");
    let mut form = form.clone();
    form.sort();
    let said: String = form
        .iter()
        .map(|(name, value)| format!("{name}{value}"))
        .collect();
    let is_post = *method == Method::POST;
    let mark = if query.is_empty() && said.is_empty() {
        ""
    } else {
        "?"
    };
    let dot = if is_post && !query.is_empty() && !said.is_empty() {
        "."
    } else {
        ""
    };
    format!("{base}{mark}{query}{dot}{said}.{nonce}")
}

fn mac(secret: &Secret, signed: &str) -> String {
    // HMAC takes a key of any length.
    let Ok(mac) = <Hmac<Sha256> as Mac>::new_from_slice(secret.reveal().as_bytes()) else {
        return String::new();
    };
    STANDARD.encode(mac.chain_update(signed).finalize().into_bytes())
}

#[cfg(test)]
mod tests;
