//! What stands in legacy's rows, and how vendors sign what they report: written a second time, from the vendors' own words.
//!
//! Its own file, because a test that signed with our code would agree with it whatever it does.

use aes::Aes256;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockEncryptMut, KeyIvInit};
use hmac::{Hmac, Mac};
use serde_json::json;
use sha1::Sha1;
use sha2::{Digest, Sha256};

const KEY: &[u8; 32] = b"only-for-tests-only-for-tests-01";
/// The same, as Laravel's configuration has it.
pub const APP_KEY: &str = "base64:b25seS1mb3ItdGVzdHMtb25seS1mb3ItdGVzdHMtMDE=";

/// As Laravel's `encrypt()` does with a text.
pub fn seal(text: &str) -> String {
    let iv: [u8; 16] = rand::random();
    let plain = format!("s:{}:\"{text}\";", text.len());
    let value = cbc::Encryptor::<Aes256>::new(KEY.into(), &iv.into())
        .encrypt_padded_vec_mut::<Pkcs7>(plain.as_bytes());
    let (iv, value) = (STANDARD.encode(iv), STANDARD.encode(value));
    let mac = hmac_sha256(KEY, &format!("{iv}{value}"));
    let envelope = json!({ "iv": iv, "value": value, "mac": hex(&mac), "tag": "" });
    STANDARD.encode(envelope.to_string())
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn hmac_sha256(key: &[u8], text: &str) -> Vec<u8> {
    let mac = <Hmac<Sha256> as Mac>::new_from_slice(key).expect("a key");
    mac.chain_update(text).finalize().into_bytes().to_vec()
}

pub type Fields<'a> = &'a [(&'a str, &'a str)];

/// As a browser sends it.
pub fn form(fields: Fields<'_>) -> String {
    let mut url = reqwest::Url::parse("http://form/").expect("a URL");
    url.query_pairs_mut().extend_pairs(fields);
    url.query().unwrap_or_default().to_owned()
}

/// `X-Twilio-Signature`.
pub fn twilio(token: &str, url: &str, fields: Fields<'_>) -> String {
    let mut sorted = fields.to_vec();
    sorted.sort_unstable();
    let text: String = sorted
        .iter()
        .map(|(name, value)| format!("{name}{value}"))
        .collect();
    let mac = <Hmac<Sha1> as Mac>::new_from_slice(token.as_bytes()).expect("a key");
    let mac = mac
        .chain_update(format!("{url}{text}"))
        .finalize()
        .into_bytes();
    STANDARD.encode(mac)
}

/// `sig`, with HMAC and SHA-256.
pub fn vonage(secret: &str, fields: Fields<'_>) -> String {
    let mut sorted = fields.to_vec();
    sorted.sort_unstable();
    let text: String = sorted
        .iter()
        .map(|(name, value)| format!("&{name}={}", value.replace(['&', '='], "_")))
        .collect();
    hex(&hmac_sha256(secret.as_bytes(), &text))
}

/// `Authorization` of the Messages API.
pub fn bearer(secret: &str, claims: &serde_json::Value) -> String {
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!(
        "{}.{}",
        part(&json!({ "typ": "JWT", "alg": "HS256" })),
        part(claims)
    );
    let mac = hmac_sha256(secret.as_bytes(), &text);
    format!("Bearer {text}.{}", URL_SAFE_NO_PAD.encode(mac))
}

pub fn sha256(text: &str) -> String {
    hex(&Sha256::digest(text))
}

/// `X-Plivo-Signature-V2`.
pub fn plivo(token: &str, url: &str, nonce: &str) -> String {
    STANDARD.encode(hmac_sha256(token.as_bytes(), &format!("{url}{nonce}")))
}
