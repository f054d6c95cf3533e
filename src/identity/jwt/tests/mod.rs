//! Tokens from the outside: made with real keys, taken from the RFCs, forged.
//!
//! This file holds the makers; what is tried stands in the files beside it.

mod attacks;
mod claims;
mod keys;
mod remembering;
mod vectors;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};

use super::*;

pub const NOW: i64 = 1_700_000_000;
pub const SECRET: &str = "a secret that is long enough for HS256";

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/fixtures/jwt/",
            $name
        ))
    };
}
pub(super) use fixture;

/// The public half of what [`sign`] signs with, as a configuration has it.
pub fn key_text(algorithm: Algorithm) -> &'static str {
    let pem: &[u8] = match algorithm {
        Algorithm::Hs256 => SECRET.as_bytes(),
        Algorithm::Rs256 => fixture!("rsa.pem"),
        Algorithm::Es256 => fixture!("p256.pem"),
        Algorithm::EdDsa => fixture!("ed25519.pem"),
    };
    std::str::from_utf8(pem).unwrap()
}

pub fn keys(algorithm: Algorithm) -> KeySet {
    KeySet::of_text(algorithm, key_text(algorithm)).unwrap()
}

pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn sign(algorithm: Algorithm, signed: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    match algorithm {
        Algorithm::Hs256 => hmac_sha256(SECRET.as_bytes(), signed),
        Algorithm::Rs256 => {
            let pair = RsaKeyPair::from_pkcs8(fixture!("rsa.pkcs8")).unwrap();
            let mut signature = vec![0; pair.public().modulus_len()];
            pair.sign(&RSA_PKCS1_SHA256, &random, signed, &mut signature)
                .unwrap();
            signature
        }
        Algorithm::Es256 => {
            let scheme = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let pair = EcdsaKeyPair::from_pkcs8(scheme, fixture!("p256.pkcs8"), &random).unwrap();
            pair.sign(&random, signed).unwrap().as_ref().to_vec()
        }
        Algorithm::EdDsa => {
            let pair =
                Ed25519KeyPair::from_pkcs8_maybe_unchecked(fixture!("ed25519.pkcs8")).unwrap();
            pair.sign(signed).as_ref().to_vec()
        }
    }
}

pub fn hmac_sha256(secret: &[u8], signed: &[u8]) -> Vec<u8> {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
    ring::hmac::sign(&key, signed).as_ref().to_vec()
}

/// A genuine signature over whatever header and payload.
pub fn token_of(algorithm: Algorithm, header: &str, payload: &str) -> String {
    let signed = format!("{}.{}", encode(header), encode(payload));
    let signature = sign(algorithm, signed.as_bytes());
    format!("{signed}.{}", encode(signature))
}

pub fn header(algorithm: Algorithm) -> String {
    format!(r#"{{"alg":"{}","typ":"JWT"}}"#, algorithm.as_str())
}

/// A good token of user 7 on tier pro, of tenant 2, for a minute from [`NOW`].
pub fn good(algorithm: Algorithm) -> String {
    token_of(algorithm, &header(algorithm), &payload(NOW + 60))
}

pub fn payload(exp: i64) -> String {
    format!(r#"{{"sub":"7","tier":"pro","tenant":2,"exp":{exp}}}"#)
}

pub fn expected() -> Expected {
    Expected {
        leeway: 30,
        tenant: Some("tenant".to_owned()),
        user: Some("sub".to_owned()),
        tier: Some("tier".to_owned()),
        ..Expected::default()
    }
}

/// What comes of a token at [`NOW`].
pub fn judge(algorithm: Algorithm, token: &str) -> Result<Verified, Unresolved> {
    verify(token, algorithm, &keys(algorithm), &expected(), NOW)
}

#[test]
fn a_good_token_of_each_algorithm_names_user_tier_and_tenant() {
    for algorithm in Algorithm::ALL {
        let verified = judge(algorithm, &good(algorithm)).unwrap();
        assert_eq!(
            verified.user.as_deref(),
            User::new("7", Some("pro")).as_ref()
        );
        assert_eq!(verified.tenant, Named::parse("2"));
        assert_eq!(verified.until, NOW + 90);
    }
}

use super::super::{Named, User};
