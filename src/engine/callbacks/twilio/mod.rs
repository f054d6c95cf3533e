//! Twilio's callbacks: HMAC over the URL and the form's fields, in base64.
//!
//! Its own file, and pure: one a vendor. The algorithm: twilio.com/docs/usage/webhooks/webhooks-security.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::rank::{Cause, Delivery};
use super::received::{Fields, Received, field, parse, spellings};
use super::report::{Refused, Report};
use crate::engine::sms::{Account, Gateway};
use crate::secret::Secret;

const SIGNATURE: &str = "x-twilio-signature";
/// `key=…,algorithm=HMAC_SHA256`: with it the secret is another, a key that the account shares with Twilio.
const SETTINGS: &str = "x-twilio-webhooks-signature-settings";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Sha1,
    Sha256,
}

pub fn read(received: &Received<'_>, account: &Account) -> Result<Report, Refused> {
    // The account says which it is. An account with a shared key is signed for with that key, and never with the token any more.
    let (algorithm, secret) = match (algorithm(received.header(SETTINGS))?, &account.signing) {
        (Algorithm::Sha256, Some(key)) => (Algorithm::Sha256, key),
        (Algorithm::Sha1, None) => (Algorithm::Sha1, &account.secret),
        _ => return Err(Refused::Algorithm),
    };
    let form = received.form();
    verify(received, &form, algorithm, secret)?;
    let id = field(&form, "MessageSid").ok_or(Refused::Unreadable)?;
    let word = field(&form, "MessageStatus").ok_or(Refused::Unreadable)?;
    if field(&form, "AccountSid").is_some_and(|it| it != account.key.reveal()) {
        return Err(Refused::Misaddressed);
    }
    let delivery = Delivery::of(Gateway::Twilio, word).ok_or(Refused::Ignored)?;
    let code = field(&form, "ErrorCode").unwrap_or_default();
    let cause = code
        .parse()
        .map_or(Cause::None, |it| Cause::of(Gateway::Twilio, it));
    // It signs no time and no nonce: the same once more is a replay.
    let signature = received.header(SIGNATURE).unwrap_or_default();
    Ok(Report::about(id, word, delivery, &[signature.as_bytes()]).coded(code, cause))
}

/// As a header says. What is not known is refused, and nothing is guessed.
fn algorithm(settings: Option<&str>) -> Result<Algorithm, Refused> {
    let Some(settings) = settings else {
        return Ok(Algorithm::Sha1);
    };
    let mut named = settings
        .split(',')
        .filter_map(|it| it.trim().strip_prefix("algorithm="));
    match (named.next(), named.next()) {
        (Some("HMAC_SHA256"), None) => Ok(Algorithm::Sha256),
        _ => Err(Refused::Algorithm),
    }
}

fn verify(
    received: &Received<'_>,
    form: &Fields,
    algorithm: Algorithm,
    secret: &Secret,
) -> Result<(), Refused> {
    let given = received.header(SIGNATURE).ok_or(Refused::Forged)?;
    // A body that is no form is signed by its digest in the query, and by nothing else.
    if !received.is_form() && !is_body_of(received) {
        return Err(Refused::Forged);
    }
    let is_ours = |url: &String| {
        let expected = sign(algorithm, secret, url, form);
        bool::from(expected.as_bytes().ct_eq(given.as_bytes()))
    };
    let mut urls = received.urls.iter().flat_map(|it| spellings(it));
    match urls.any(|url| is_ours(&url)) {
        true => Ok(()),
        false => Err(Refused::Forged),
    }
}

fn is_body_of(received: &Received<'_>) -> bool {
    let query = parse(received.query);
    let told = field(&query, "bodySHA256").unwrap_or_default();
    let digest = Sha256::digest(received.body);
    let expected: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    expected.as_bytes().ct_eq(told.as_bytes()).into()
}

/// The URL, then each field's name and value, in the order of the names; of fields of one name each value once, in their order.
fn sign(algorithm: Algorithm, secret: &Secret, url: &str, form: &Fields) -> String {
    let mut fields: Vec<(&str, &str)> = form
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    fields.sort_unstable();
    fields.dedup();
    let mut signed = url.to_owned();
    for (name, value) in fields {
        signed.push_str(name);
        signed.push_str(value);
    }
    match algorithm {
        Algorithm::Sha1 => mac::<Hmac<Sha1>>(secret, &signed),
        Algorithm::Sha256 => mac::<Hmac<Sha256>>(secret, &signed),
    }
}

fn mac<M: Mac + hmac::digest::KeyInit>(secret: &Secret, signed: &str) -> String {
    // HMAC takes a key of any length.
    let Ok(mac) = <M as Mac>::new_from_slice(secret.reveal().as_bytes()) else {
        return String::new();
    };
    STANDARD.encode(mac.chain_update(signed).finalize().into_bytes())
}

#[cfg(test)]
pub mod tests;
