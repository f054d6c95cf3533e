//! A signed token in the compact form (RFC 7515, 7.1), taken apart and verified, strictly.
//!
//! Pure, and its own file, because it stands between a stranger's text and "this is who I am": what is not exactly what
//! the RFC writes is refused, and nothing in the token chooses how it is verified.

use serde_json::{Map, Value};

use super::json;
use super::key::{Algorithm, decode_url};
use super::keys::KeySet;
use crate::identity::Unresolved;

/// The longest token that is looked at, in bytes.
pub const TOKEN_LIMIT: usize = 8 * 1024;

/// The longest key id: some are URLs.
const KID_LIMIT: usize = 256;

/// A token taken apart, of which nothing is believed yet.
pub struct Unverified<'a> {
    /// What is signed: header, dot and payload as they came.
    signed: &'a str,
    signature: Vec<u8>,
    algorithm: Option<String>,
    kid: Option<String>,
    payload: Map<String, Value>,
}

impl<'a> Unverified<'a> {
    /// Takes the text apart. [`Unresolved::Unrecognised`]: it has not the three parts of a signed token.
    pub fn parse(token: &'a str) -> Result<Self, Unresolved> {
        if token.len() > TOKEN_LIMIT {
            return Err(Unresolved::Malformed);
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Unresolved::Unrecognised);
        };
        let decode = |part: &str| decode_url(part).ok_or(Unresolved::Malformed);
        let read = |part: &str| json::object(&decode(part)?).ok_or(Unresolved::Malformed);
        let mut header = read(header)?;
        // Extensions that must be understood (RFC 7515, 4.1.11): none is. Of the rest of a header, such as a key that
        // the token brings along (jwk, jku, x5c, x5u), nothing is read.
        if header.contains_key("crit") {
            return Err(Unresolved::Malformed);
        }
        let signature = decode(signature)?;
        let signed = &token[..token.rfind('.').unwrap_or_default()];
        Ok(Self {
            signed,
            signature,
            algorithm: take_text(&mut header, "alg")?,
            kid: take_text(&mut header, "kid")?.filter(|kid| kid.len() <= KID_LIMIT),
            payload: read(payload)?,
        })
    }

    /// Who says that it was issued, unproven: to leave another issuer's token to its own resolver.
    pub fn issuer(&self) -> Option<&str> {
        self.payload.get("iss")?.as_str()
    }

    /// The payload, if one of `keys` signed it with `algorithm`.
    pub fn verify(
        self,
        algorithm: Algorithm,
        keys: &KeySet,
    ) -> Result<Map<String, Value>, Unresolved> {
        // "none" and every other spelling are other algorithms.
        if self.algorithm.as_deref() != Some(algorithm.as_str()) {
            return Err(Unresolved::WrongAlgorithm);
        }
        let mut candidates = keys.candidates(self.kid.as_deref()).peekable();
        if candidates.peek().is_none() {
            return Err(Unresolved::UnknownKey);
        }
        let is_signed = candidates.any(|key| key.verifies(self.signed.as_bytes(), &self.signature));
        match is_signed {
            true => Ok(self.payload),
            false => Err(Unresolved::BadSignature),
        }
    }
}

/// A header's text, if it is there; anything else in its place is no header of a token.
fn take_text(header: &mut Map<String, Value>, key: &str) -> Result<Option<String>, Unresolved> {
    match header.remove(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Unresolved::Malformed),
    }
}
