//! The status callbacks of Vonage's Messages API: JSON, with a token that has the body's digest in it.
//!
//! Its own file, and pure: one a vendor's API. The token is a JSON Web Token (RFC 7515, 7519) by HS256 and no other algorithm: what a token says of
//! itself chooses nothing. The claims: developer.vonage.com, "Decoding signed webhooks".

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::rank::{Cause, Delivery};
use super::received::Received;
use super::report::{Refused, Report};
use super::vonage::{FRESH, hex};
use crate::engine::sms::{Account, Gateway};
use crate::secret::Secret;

/// Bytes of a token. Vonage's have some four hundred.
const TOKEN_LIMIT: usize = 4096;

#[derive(Deserialize)]
struct Head {
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    iat: Option<i64>,
    exp: Option<i64>,
    jti: Option<String>,
    api_key: Option<String>,
    payload_hash: Option<String>,
}

/// Whether the body is one of this API's, and not a receipt of the SMS API's.
pub fn is_one(received: &Received<'_>) -> bool {
    let body = serde_json::from_slice::<Value>(received.body).unwrap_or_default();
    received.is_json() && body["message_uuid"].is_string()
}

/// An account without a signature secret signs nothing: whoever calls this has seen another proof.
pub fn read(
    received: &Received<'_>,
    account: &Account,
    now: DateTime<Utc>,
) -> Result<Report, Refused> {
    let nonce = match &account.signing {
        Some(secret) => Some(verify(received, account, secret, now)?),
        None => None,
    };
    let body: Value = serde_json::from_slice(received.body).map_err(|_| Refused::Unreadable)?;
    let text = |name: &str| body[name].as_str().ok_or(Refused::Unreadable);
    let (id, word) = (text("message_uuid")?, text("status")?);
    let delivery = Delivery::of(Gateway::Vonage, word).ok_or(Refused::Ignored)?;
    let identity: &[u8] = match nonce.as_ref() {
        Some(nonce) => nonce.as_bytes(),
        None => received.body,
    };
    // A number, or the end of the address of its description.
    let error = &body["error"];
    let title = error["title"].as_str().unwrap_or_default();
    let kind = error["type"].as_str().unwrap_or_default();
    let code = kind.rsplit(['#', '/']).next().unwrap_or_default();
    let code = if code.is_empty() { title } else { code };
    let cause = match delivery {
        Delivery::Undelivered => Cause::Unknown,
        _ => Cause::None,
    };
    Ok(Report::about(id, word, delivery, &[identity]).coded(code, cause))
}

/// What makes the token this one.
fn verify(
    received: &Received<'_>,
    account: &Account,
    secret: &Secret,
    now: DateTime<Utc>,
) -> Result<String, Refused> {
    let shown = received.header("authorization").ok_or(Refused::Unsigned)?;
    let (scheme, token) = shown.split_once(' ').ok_or(Refused::Forged)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Refused::Forged);
    }
    let claims = claims_of(token, secret)?;
    if claims.api_key.as_deref() != Some(account.key.reveal()) {
        return Err(Refused::Forged);
    }
    let expected = hex(&Sha256::digest(received.body));
    let told = claims.payload_hash.unwrap_or_default();
    if !bool::from(
        expected
            .as_bytes()
            .ct_eq(told.to_ascii_lowercase().as_bytes()),
    ) {
        return Err(Refused::Forged);
    }
    let at = claims.iat.and_then(|it| DateTime::from_timestamp(it, 0));
    let is_over = claims.exp.is_some_and(|exp| exp < now.timestamp());
    match at {
        Some(at) if (now - at).abs() <= FRESH && !is_over => {}
        _ => return Err(Refused::Stale),
    }
    // A token without a name of its own is known by all of it.
    Ok(claims.jti.unwrap_or_else(|| token.to_owned()))
}

fn claims_of(token: &str, secret: &Secret) -> Result<Claims, Refused> {
    if token.len() > TOKEN_LIMIT {
        return Err(Refused::Forged);
    }
    let (signed, mac) = token.rsplit_once('.').ok_or(Refused::Forged)?;
    let (head, claims) = signed.split_once('.').ok_or(Refused::Forged)?;
    // Padding and loose bits are refused by the engine: one spelling.
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| Refused::Forged);
    let head: Head = serde_json::from_slice(&decode(head)?).map_err(|_| Refused::Forged)?;
    if head.alg != "HS256" {
        return Err(Refused::Algorithm);
    }
    let key = <Hmac<Sha256> as Mac>::new_from_slice(secret.reveal().as_bytes());
    let key = key.map_err(|_| Refused::Forged)?;
    key.chain_update(signed)
        .verify_slice(&decode(mac)?)
        .map_err(|_| Refused::Forged)?;
    serde_json::from_slice(&decode(claims)?).map_err(|_| Refused::Forged)
}

#[cfg(test)]
mod tests;
