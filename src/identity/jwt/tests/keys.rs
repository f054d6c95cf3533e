//! Keys as people write them, and sets of keys as issuers serve them.
//!
//! Its own file, because here it is the key that is wrong.

use super::*;

fn text(bytes: &'static [u8]) -> &'static str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn openssls_pem_is_taken_in_either_form() {
    for pem in [text(fixture!("rsa.pem")), text(fixture!("rsa.pkcs1.pem"))] {
        let windows = pem.replace('\n', "\r\n");
        for pem in [pem, pem.trim(), &format!("\n {pem}\n"), &windows] {
            let keys = KeySet::of_text(Algorithm::Rs256, pem).unwrap();
            let token = good(Algorithm::Rs256);
            assert!(verify(&token, Algorithm::Rs256, &keys, &expected(), NOW).is_ok());
        }
    }
    assert!(KeySet::of_text(Algorithm::Rs256, text(fixture!("rsa8192.pem"))).is_ok());
}

#[test]
fn a_key_that_cannot_be_meant_is_refused() {
    let rsa = text(fixture!("rsa.pem"));
    let (head, rest) = rsa.split_at(60);
    for (algorithm, key, told) in [
        (Algorithm::Rs256, text(fixture!("rsa1024.pem")), "1024 bits"),
        (Algorithm::Rs256, text(fixture!("p256.pem")), "RS256"),
        (Algorithm::Es256, text(fixture!("p384.pem")), "ES256"),
        (Algorithm::Es256, text(fixture!("ed25519.pem")), "ES256"),
        (Algorithm::EdDsa, rsa, "EdDSA"),
        (Algorithm::Es256, text(fixture!("rsa.pkcs1.pem")), "ES256"),
        (Algorithm::Rs256, "", "PEM"),
        (Algorithm::Rs256, "secret", "PEM"),
        (Algorithm::Rs256, head, "PEM"),
        (Algorithm::Rs256, rest, "PEM"),
        (Algorithm::Rs256, &format!("{rsa}{rsa}"), "PEM"),
        (
            Algorithm::Rs256,
            &rsa.replace("END PUBLIC", "END OTHER"),
            "PEM",
        ),
        (Algorithm::Rs256, &rsa.replacen("MII", "MIJ", 1), "PEM"),
        (
            Algorithm::Rs256,
            "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----",
            "private",
        ),
        (
            Algorithm::Rs256,
            "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----",
            "PEM",
        ),
        (
            Algorithm::Hs256,
            "31 bytes are one too few, so no",
            "31 bytes",
        ),
        (Algorithm::Hs256, "base64:AAAA", "3 bytes"),
        (
            Algorithm::Hs256,
            "base64:not base64 at all, and long enough",
            "base64",
        ),
    ] {
        let fault = KeySet::of_text(algorithm, key).unwrap_err();
        assert!(fault.contains(told), "{told}: {fault}");
        assert!(key.len() < 10 || !fault.contains(key), "{fault}");
    }
}

fn jwk(kid: &str, name: &str) -> String {
    let bytes: &[u8] = match name {
        "rsa" => fixture!("rsa.pkcs8"),
        _ => fixture!("rsa-other.pkcs8"),
    };
    let pair = RsaKeyPair::from_pkcs8(bytes).unwrap();
    let parts = ring::signature::RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
    format!(
        r#"{{"kty":"RSA","kid":"{kid}","use":"sig","alg":"RS256","n":"{}","e":"{}"}}"#,
        encode(&parts.n),
        encode(&parts.e)
    )
}

fn set(keys: &[String]) -> KeySet {
    let document = format!(r#"{{"keys":[{}]}}"#, keys.join(","));
    KeySet::of_document(Algorithm::Rs256, &document).unwrap()
}

fn judged(kid: Option<&str>, keys: &KeySet) -> Result<(), Unresolved> {
    let header = match kid {
        Some(kid) => format!(r#"{{"alg":"RS256","kid":"{kid}"}}"#),
        None => header(Algorithm::Rs256),
    };
    let token = token_of(Algorithm::Rs256, &header, &payload(NOW + 60));
    verify(&token, Algorithm::Rs256, keys, &expected(), NOW).map(drop)
}

#[test]
fn the_kid_chooses_among_the_keys_and_nothing_else() {
    let keys = set(&[jwk("old", "other"), jwk("new", "rsa")]);
    assert_eq!(judged(Some("new"), &keys), Ok(()));
    assert_eq!(judged(Some("old"), &keys), Err(Unresolved::BadSignature));
    for kid in ["NEW", "newer", "", "x"] {
        assert_eq!(
            judged(Some(kid), &keys),
            Err(Unresolved::UnknownKey),
            "{kid}"
        );
    }
    // Without a kid a few are tried.
    assert_eq!(judged(None, &keys), Ok(()));
    let mut many = vec![jwk("other", "other"); 4];
    many.push(jwk("new", "rsa"));
    assert_eq!(judged(None, &set(&many)), Err(Unresolved::BadSignature));
    assert_eq!(judged(Some("new"), &set(&many)), Ok(()));
}

#[test]
fn a_key_without_kid_may_be_any() {
    let unnamed = jwk("x", "rsa").replace(r#""kid":"x","#, "");
    let keys = set(&[unnamed]);
    assert_eq!(judged(Some("whatever"), &keys), Ok(()));
    assert_eq!(judged(None, &keys), Ok(()));
    assert!(keys.is_unnamed() && !set(&[jwk("a", "rsa")]).is_unnamed());
}

#[test]
fn keys_for_something_else_are_left_out() {
    let good = jwk("good", "rsa");
    for (from, to) in [
        (r#""use":"sig""#, r#""use":"enc""#),
        (r#""use":"sig""#, r#""key_ops":["sign"]"#),
        (r#""use":"sig""#, r#""d":"AQ""#),
        (r#""alg":"RS256""#, r#""alg":"RS512""#),
        (r#""alg":"RS256""#, r#""alg":1"#),
        (r#""kty":"RSA""#, r#""kty":"EC""#),
        (r#""kid":"good""#, r#""kid":1"#),
        (r#""e":""#, r#""e":"A"#),
        (r#""n":""#, r#""n":"*"#),
        (r#""n":""#, r#""n":"AQAB","nn":""#),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        let document = format!(r#"{{"keys":[{bad},1,null,{{}}]}}"#);
        let fault = KeySet::of_document(Algorithm::Rs256, &document).unwrap_err();
        assert_eq!(fault, "has no key for RS256", "{to}");
    }
    assert_eq!(judged(Some("good"), &set(&[good])), Ok(()));
}

#[test]
fn a_document_that_holds_no_keys_is_refused() {
    for document in [
        "",
        "{}",
        "[]",
        r#"{"keys":{}}"#,
        r#"{"keys":[]}"#,
        r#"{"keys":[],"keys":[]}"#,
        "<html>",
        "-----BEGIN PUBLIC KEY-----",
    ] {
        assert!(
            KeySet::of_document(Algorithm::Rs256, document).is_err(),
            "{document}"
        );
    }
    let secret = format!(r#"{{"keys":[{{"kty":"oct","k":"{}"}}]}}"#, encode(SECRET));
    assert!(KeySet::of_document(Algorithm::Hs256, &secret).is_err());
}

#[test]
fn a_plain_public_key_is_a_document_too() {
    let keys = KeySet::of_document(Algorithm::Rs256, text(fixture!("rsa.pem"))).unwrap();
    assert_eq!(judged(None, &keys), Ok(()));
}

#[test]
fn a_set_prints_no_key() {
    assert_eq!(format!("{:?}", keys(Algorithm::Hs256)), "1 keys");
}
