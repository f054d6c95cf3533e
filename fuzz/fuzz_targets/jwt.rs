//! Whatever a token says, it counts only if it is signed, in force and for us; whatever a key's document says, it is keys or none.
#![no_main]

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ficus::identity::jwt::claims::Expected;
use ficus::identity::jwt::keys::KeySet;
use ficus::identity::jwt::{Algorithm, verify};
use hmac::{Hmac, Mac};
use libfuzzer_sys::fuzz_target;
use sha2::Sha256;

const NOW: i64 = 1_700_000_000;
const LEEWAY: i64 = 30;
const SECRET: &str = "a secret that is long enough for HS256";

static KEYS: LazyLock<[(Algorithm, KeySet); 4]> = LazyLock::new(|| {
    let pem = [
        (Algorithm::Hs256, SECRET),
        (
            Algorithm::Rs256,
            include_str!("../../tests/fixtures/jwt/rsa.pem"),
        ),
        (
            Algorithm::Es256,
            include_str!("../../tests/fixtures/jwt/p256.pem"),
        ),
        (
            Algorithm::EdDsa,
            include_str!("../../tests/fixtures/jwt/ed25519.pem"),
        ),
    ];
    pem.map(|(algorithm, text)| {
        let keys = KeySet::of_text(algorithm, text).expect("a good key");
        (algorithm, keys)
    })
});

static EXPECTED: LazyLock<Expected> = LazyLock::new(|| Expected {
    audience: vec!["ficus".to_owned()],
    issuer: Some("https://id.example".to_owned()),
    leeway: LEEWAY,
    tenant: Some("/app/tenant".to_owned()),
    user: Some("sub".to_owned()),
    tier: Some("tier".to_owned()),
});

fuzz_target!(|text: &str| {
    // As it is: nobody here has a private key, and the secret is not in the seeds.
    for (algorithm, keys) in &*KEYS {
        let judged = verify(text, *algorithm, keys, &EXPECTED, NOW);
        assert!(judged.is_err(), "{} is forged", algorithm.as_str());
        let _ = KeySet::of_document(*algorithm, text);
    }
    // And genuinely signed: the first line is the header, the rest the payload.
    let (header, payload) = text
        .split_once('\n')
        .unwrap_or((r#"{"alg":"HS256"}"#, text));
    let signed = format!(
        "{}.{}",
        encode(header.as_bytes()),
        encode(payload.as_bytes())
    );
    let mac = <Hmac<Sha256> as Mac>::new_from_slice(SECRET.as_bytes()).expect("a secret");
    let signature: [u8; 32] = mac.chain_update(&signed).finalize().into_bytes().into();
    let token = format!("{signed}.{}", encode(&signature));
    let [(_, secret), public @ ..] = &*KEYS;
    for (algorithm, keys) in public {
        assert!(verify(&token, *algorithm, keys, &EXPECTED, NOW).is_err());
    }
    let Ok(verified) = verify(&token, Algorithm::Hs256, secret, &EXPECTED, NOW) else {
        return;
    };
    assert!(verified.until > NOW);
    let said: serde_json::Value = serde_json::from_str(payload).expect("JSON");
    assert_eq!(said["iss"], "https://id.example");
    if let Some(user) = &verified.user {
        let id = said["sub"]
            .as_str()
            .map_or_else(|| said["sub"].to_string(), str::to_owned);
        assert_eq!(user.id(), id);
        assert!(user.id().bytes().all(|b| b.is_ascii_graphic()));
    }
    // Its end is its end, and a changed byte of its signature is another's signature.
    assert!(verify(&token, Algorithm::Hs256, secret, &EXPECTED, verified.until).is_err());
    let mut forged = signature;
    forged[text.len() % 32] ^= 1;
    let forged = format!("{signed}.{}", encode(&forged));
    assert!(verify(&forged, Algorithm::Hs256, secret, &EXPECTED, NOW).is_err());
});

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
