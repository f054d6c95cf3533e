//! The keys that may have signed a token: one of the configuration, or the set that a URL serves.
//!
//! Pure, and its own file, because a JWK Set is a stranger's document too: what is not a key for the algorithm of the
//! configuration is left out, and what is left is bounded.

use std::fmt;

use serde_json::{Map, Value};

use super::json;
use super::key::{Algorithm, Key, decode_url};

/// Keys of a set that are kept; identity providers serve two or three.
const MOST_KEYS: usize = 32;
/// Keys that a token without `kid` is tried with: each costs a verification.
const MOST_TRIED: usize = 4;

/// Keys for one algorithm, never none.
pub struct KeySet {
    keys: Vec<(Option<String>, Key)>,
    /// What it was made of, to see whether a fetch brought anything new.
    text: Box<str>,
}

impl KeySet {
    /// The one key of a configuration.
    pub fn of_text(algorithm: Algorithm, text: &str) -> Result<Self, String> {
        let key = Key::parse(algorithm, text)?;
        Ok(Self {
            keys: vec![(None, key)],
            text: text.into(),
        })
    }

    /// What a URL serves: a JWK Set (RFC 7517) or one key in PEM. The error is a sentence without its subject.
    pub fn of_document(algorithm: Algorithm, document: &str) -> Result<Self, String> {
        if algorithm == Algorithm::Hs256 {
            return Err("HS256 has no public key that a URL could serve".to_owned());
        }
        if document.trim_start().starts_with("-----BEGIN") {
            return Self::of_text(algorithm, document);
        }
        let object = json::object(document.as_bytes()).ok_or("is neither a JWK Set nor PEM")?;
        let keys = object
            .get("keys")
            .and_then(Value::as_array)
            .ok_or("is JSON without a list of \"keys\"")?;
        let keys: Vec<_> = keys
            .iter()
            .filter_map(|jwk| read_jwk(algorithm, jwk.as_object()?))
            .take(MOST_KEYS)
            .collect();
        if keys.is_empty() {
            return Err(format!("has no key for {}", algorithm.as_str()));
        }
        Ok(Self {
            keys,
            text: document.into(),
        })
    }

    /// The keys that a token of this `kid` may be signed with. A key without one may be any.
    pub fn candidates(&self, kid: Option<&str>) -> impl Iterator<Item = &Key> {
        self.keys
            .iter()
            .filter(move |(own, _)| match (own.as_deref(), kid) {
                (Some(own), Some(kid)) => own == kid,
                _ => true,
            })
            .take(MOST_TRIED)
            .map(|(_, key)| key)
    }

    /// Whether tokens are matched to keys by trying: then a key that is not known yet shows as a bad signature.
    pub fn is_unnamed(&self) -> bool {
        self.keys.iter().any(|(kid, _)| kid.is_none())
    }

    pub fn is_same(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys", self.keys.len())
    }
}

/// A JWK for this algorithm and for signatures; `None` is somebody else's.
fn read_jwk(algorithm: Algorithm, jwk: &Map<String, Value>) -> Option<(Option<String>, Key)> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let number = |name: &str| decode_url(text(name)?);
    let for_this = match text("alg") {
        // RFC 9864 names the curve in the algorithm.
        Some("Ed25519") => algorithm == Algorithm::EdDsa,
        Some(name) => name == algorithm.as_str(),
        None => !jwk.contains_key("alg"),
    };
    let for_signatures = match jwk.get("use") {
        None => true,
        Some(usage) => usage == "sig",
    };
    let may_verify = match jwk.get("key_ops") {
        None => true,
        Some(uses) => uses
            .as_array()
            .is_some_and(|uses| uses.iter().any(|it| it == "verify")),
    };
    // Whoever serves the private part serves a key that anybody may sign with.
    if !for_this || !for_signatures || !may_verify || jwk.contains_key("d") {
        return None;
    }
    let key = match (algorithm, text("kty")?, text("crv")) {
        (Algorithm::Rs256, "RSA", _) => {
            let (modulus, exponent) = (number("n")?, number("e")?);
            Key::rsa_numbers(without_zeros(&modulus), without_zeros(&exponent)).ok()?
        }
        (Algorithm::Es256, "EC", Some("P-256")) => {
            let (x, y) = (number("x")?, number("y")?);
            if (x.len(), y.len()) != (32, 32) {
                return None;
            }
            Key::p256(&[&[4], &x[..], &y[..]].concat())
        }
        (Algorithm::EdDsa, "OKP", Some("Ed25519")) => {
            let x = number("x").filter(|x| x.len() == 32)?;
            Key::ed25519(&x)
        }
        _ => return None,
    };
    let kid = match jwk.get("kid") {
        None => None,
        Some(kid) => Some(kid.as_str()?.to_owned()),
    };
    Some((kid, key))
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}
