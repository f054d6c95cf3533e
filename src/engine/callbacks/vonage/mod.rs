//! The delivery receipts of Vonage's SMS API: a digest over the sorted fields, which come by query, form or JSON.
//!
//! Its own file, and pure: one a vendor's API. The algorithm: developer.vonage.com, "Signing messages". Vonage's own libraries differ: those for PHP,
//! Python and Java sign what is signed here, the one for Node another text. Java's drops fields without a value, the others keep them: either is taken.

use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;

use super::rank::{Cause, Delivery};
use super::received::{Fields, Received, field};
use super::report::{Refused, Report};
use crate::engine::provider::sms::Signature;
use crate::engine::sms::{Account, Gateway};
use crate::secret::Secret;

/// What is signed is believed for so long, and no sooner than that by the sender's clock.
pub const FRESH: TimeDelta = TimeDelta::minutes(5);

/// An account without a signature secret signs nothing: whoever calls this has seen another proof.
pub fn read(
    received: &Received<'_>,
    account: &Account,
    signature: Signature,
    now: DateTime<Utc>,
) -> Result<Report, Refused> {
    let fields = received.fields().ok_or(Refused::Unreadable)?;
    if let Some(secret) = &account.signing {
        verify(&fields, signature, secret, now)?;
    }
    let id = field(&fields, "messageId").ok_or(Refused::Unreadable)?;
    let word = field(&fields, "status").ok_or(Refused::Unreadable)?;
    let key = field(&fields, "api-key");
    if key.is_some_and(|it| it != account.key.reveal()) {
        return Err(Refused::Misaddressed);
    }
    let delivery = Delivery::of(Gateway::Vonage, word).ok_or(Refused::Ignored)?;
    let code = field(&fields, "err-code").unwrap_or_default();
    let cause = code
        .parse()
        .map_or(Cause::None, |it| Cause::of(Gateway::Vonage, it));
    let identity = match (&account.signing, field(&fields, "nonce")) {
        (Some(_), Some(nonce)) => vec![b"nonce".as_slice(), nonce.as_bytes()],
        _ => vec![received.query.as_bytes(), received.body],
    };
    let report = Report::about(id, word, delivery, &identity);
    // A code of 0 is no fault.
    let code = if cause == Cause::None { "" } else { code };
    Ok(report.coded(code, cause).of_part())
}

fn verify(
    fields: &Fields,
    signature: Signature,
    secret: &Secret,
    now: DateTime<Utc>,
) -> Result<(), Refused> {
    let given = field(fields, "sig").ok_or(Refused::Forged)?;
    let is_ours = |with_blanks| {
        let expected = sign(&canonical(fields, with_blanks), signature, secret);
        // Some of the libraries write them large. All of one, so that no letter can be changed.
        let large = expected.to_ascii_uppercase();
        bool::from(expected.as_bytes().ct_eq(given.as_bytes()))
            || bool::from(large.as_bytes().ct_eq(given.as_bytes()))
    };
    if !is_ours(true) && !is_ours(false) {
        return Err(Refused::Forged);
    }
    let at = field(fields, "timestamp").and_then(|it| it.parse().ok());
    let at = at.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    match at {
        Some(at) if (now - at).abs() <= FRESH => Ok(()),
        _ => Err(Refused::Stale),
    }
}

/// `&name=value` of each but the signature, by name, with no `&` and `=` in a value.
fn canonical(fields: &Fields, with_blanks: bool) -> String {
    let mut signed: Vec<&(String, String)> = fields
        .iter()
        .filter(|(name, value)| name != "sig" && (with_blanks || !value.is_empty()))
        .collect();
    signed.sort();
    signed
        .iter()
        .map(|(name, value)| format!("&{name}={}", value.replace(['&', '='], "_")))
        .collect()
}

fn sign(signed: &str, signature: Signature, secret: &Secret) -> String {
    match signature {
        Signature::Md5Hash => hex(&Md5::new()
            .chain_update(signed)
            .chain_update(secret.reveal())
            .finalize()),
        Signature::HmacMd5 => mac::<Hmac<Md5>>(signed, secret),
        Signature::HmacSha1 => mac::<Hmac<Sha1>>(signed, secret),
        Signature::HmacSha256 => mac::<Hmac<Sha256>>(signed, secret),
        Signature::HmacSha512 => mac::<Hmac<Sha512>>(signed, secret),
    }
}

fn mac<M: Mac + hmac::digest::KeyInit>(signed: &str, secret: &Secret) -> String {
    // HMAC takes a key of any length.
    let Ok(mac) = <M as Mac>::new_from_slice(secret.reveal().as_bytes()) else {
        return String::new();
    };
    hex(&mac.chain_update(signed).finalize().into_bytes())
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
