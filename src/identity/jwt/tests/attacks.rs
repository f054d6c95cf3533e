//! What people do to tokens.
//!
//! Its own file, because each of these has been somebody's hole.

use super::*;
use proptest::prelude::*;

fn refused(algorithm: Algorithm, token: &str) -> Unresolved {
    judge(algorithm, token).expect_err(token)
}

#[test]
fn a_public_key_is_no_secret() {
    let forge = |secret: &[u8]| {
        let signed = format!(
            "{}.{}",
            encode(header(Algorithm::Hs256)),
            encode(payload(NOW + 60))
        );
        let signature = hmac_sha256(secret, signed.as_bytes());
        format!("{signed}.{}", encode(signature))
    };
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
        let pem = key_text(algorithm);
        for secret in [pem, pem.trim(), ""] {
            assert_eq!(
                refused(algorithm, &forge(secret.as_bytes())),
                Unresolved::WrongAlgorithm
            );
        }
        // Nor may a configuration mistake it for one.
        assert!(KeySet::of_text(Algorithm::Hs256, pem).is_err());
    }
}

#[test]
fn the_token_does_not_choose_its_algorithm() {
    for ours in Algorithm::ALL {
        for its in Algorithm::ALL.into_iter().filter(|its| *its != ours) {
            // Signed with its own good key of ours, and said to be another's.
            let token = token_of(ours, &header(its), &payload(NOW + 60));
            assert_eq!(refused(ours, &token), Unresolved::WrongAlgorithm);
            assert_eq!(refused(ours, &good(its)), Unresolved::WrongAlgorithm);
        }
        for alg in [
            "none", "None", "NONE", "nOnE", "", " ", "HS256 ", "hs256", "rs256", "RS512", "PS256",
            "ES256K", "EDDSA", "Ed25519",
        ] {
            let header = format!(r#"{{"alg":"{alg}"}}"#);
            let signed = token_of(ours, &header, &payload(NOW + 60));
            assert_eq!(refused(ours, &signed), Unresolved::WrongAlgorithm, "{alg}");
            let stripped = &signed[..signed.rfind('.').unwrap() + 1];
            assert_eq!(refused(ours, stripped), Unresolved::WrongAlgorithm, "{alg}");
        }
        let without = token_of(ours, r#"{"typ":"JWT"}"#, &payload(NOW + 60));
        assert_eq!(refused(ours, &without), Unresolved::WrongAlgorithm);
    }
}

#[test]
fn a_header_that_is_no_header_is_malformed() {
    let name = Algorithm::Rs256.as_str();
    for header in [
        r#"{"alg":["RS256"]}"#.to_owned(),
        r#"{"alg":null}"#.to_owned(),
        r#"{"alg":1}"#.to_owned(),
        format!(r#"{{"alg":"{name}","kid":1}}"#),
        format!(r#"{{"alg":"{name}","alg":"{name}"}}"#),
        format!(r#"{{"alg":"none","\u0061lg":"{name}"}}"#),
        format!(r#"{{"alg":"{name}","crit":["exp"],"exp":1}}"#),
        format!(r#"{{"alg":"{name}","crit":["b64"],"b64":false}}"#),
        format!(r#"{{"alg":"{name}","crit":[]}}"#),
        format!(r#"["{name}"]"#),
        format!(r#"{{"alg":"{name}"}}x"#),
        format!("\u{feff}{{\"alg\":\"{name}\"}}"),
        String::new(),
    ] {
        let token = token_of(Algorithm::Rs256, &header, &payload(NOW + 60));
        assert_eq!(
            refused(Algorithm::Rs256, &token),
            Unresolved::Malformed,
            "{header}"
        );
    }
}

#[test]
fn a_key_that_the_token_brings_along_is_not_looked_at() {
    // The attacker's own key, everywhere where a token may carry one; signed with it.
    let attacker = ring::signature::RsaKeyPair::from_pkcs8(fixture!("rsa-other.pkcs8")).unwrap();
    let parts = ring::signature::RsaPublicKeyComponents::<Vec<u8>>::from(attacker.public());
    let jwk = format!(
        r#"{{"kty":"RSA","n":"{}","e":"{}"}}"#,
        encode(&parts.n),
        encode(&parts.e)
    );
    let pem = std::str::from_utf8(fixture!("rsa-other.pem")).unwrap();
    let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    for extra in [
        format!(r#""jwk":{jwk}"#),
        format!(r#""x5c":["{der}"]"#),
        r#""jku":"http://127.0.0.1:9/keys""#.to_owned(),
        r#""x5u":"http://127.0.0.1:9/keys""#.to_owned(),
        r#""kid":"../../dev/null""#.to_owned(),
        r#""kid":"' union select 'key""#.to_owned(),
    ] {
        let header = format!(r#"{{"alg":"RS256",{extra}}}"#);
        let signed = format!("{}.{}", encode(&header), encode(payload(NOW + 60)));
        let mut signature = vec![0; attacker.public().modulus_len()];
        let random = ring::rand::SystemRandom::new();
        let scheme = &ring::signature::RSA_PKCS1_SHA256;
        attacker
            .sign(scheme, &random, signed.as_bytes(), &mut signature)
            .unwrap();
        let forged = format!("{signed}.{}", encode(&signature));
        assert_eq!(
            refused(Algorithm::Rs256, &forged),
            Unresolved::BadSignature,
            "{extra}"
        );
        // The same header on a genuine token is harmless.
        let genuine = token_of(Algorithm::Rs256, &header, &payload(NOW + 60));
        assert!(judge(Algorithm::Rs256, &genuine).is_ok(), "{extra}");
    }
}

#[test]
fn a_signature_that_is_stripped_or_another_tokens_is_bad() {
    for algorithm in Algorithm::ALL {
        let token = good(algorithm);
        let (signed, signature) = token.rsplit_once('.').unwrap();
        assert_eq!(
            refused(algorithm, &format!("{signed}.")),
            Unresolved::BadSignature
        );
        let other = token_of(algorithm, &header(algorithm), &payload(NOW + 61));
        let (other, _) = other.rsplit_once('.').unwrap();
        assert_eq!(
            refused(algorithm, &format!("{other}.{signature}")),
            Unresolved::BadSignature
        );
        let zeros = encode(vec![0; 64]);
        assert_eq!(
            refused(algorithm, &format!("{signed}.{zeros}")),
            Unresolved::BadSignature
        );
    }
}

#[test]
fn what_has_not_three_parts_is_another_kind_of_token() {
    let token = good(Algorithm::Hs256);
    let (signed, _) = token.rsplit_once('.').unwrap();
    for text in [
        "",
        ".",
        "17|abc",
        "opaque",
        signed,
        &format!("{token}."),
        &format!("{token}.x.y"),
        "....",
        "a b",
    ] {
        assert_eq!(
            refused(Algorithm::Hs256, text),
            Unresolved::Unrecognised,
            "{text}"
        );
    }
    assert_eq!(refused(Algorithm::Hs256, ".."), Unresolved::Malformed);
}

#[test]
fn base64_has_one_form() {
    let token = good(Algorithm::EdDsa);
    let parts: Vec<&str> = token.split('.').collect();
    // 64 bytes leave four bits unused in the last letter: set, they decode to the same bytes elsewhere.
    let last = parts[2].chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let at = alphabet.find(last).unwrap();
    let twin = alphabet.as_bytes()[at | 1] as char;
    assert_ne!(last, twin);
    let stem = &parts[2][..parts[2].len() - 1];
    let joined = |signature: &str| format!("{}.{}.{signature}", parts[0], parts[1]);
    for signature in [
        format!("{stem}{twin}"),
        format!("{}==", parts[2]),
        format!("{}=", parts[2]),
        format!(" {}", parts[2]),
        format!("{}\n", parts[2]),
        parts[2].replace(['-', '_'], "+"),
        format!("{}%3D", parts[2]),
    ] {
        if signature != parts[2] {
            assert_eq!(
                refused(Algorithm::EdDsa, &joined(&signature)),
                Unresolved::Malformed,
                "{signature:?}"
            );
        }
    }
}

#[test]
fn every_changed_byte_of_a_token_is_refused() {
    let mut changed = 0;
    for algorithm in Algorithm::ALL {
        let (token, keys) = (good(algorithm), keys(algorithm));
        for at in 0..token.len() {
            for byte in [
                b'A',
                b'.',
                b'-',
                b'=',
                token.as_bytes()[at] ^ 1,
                token.as_bytes()[at] ^ 0x20,
            ] {
                let mut bytes = token.clone().into_bytes();
                if bytes[at] == byte {
                    continue;
                }
                bytes[at] = byte;
                let Ok(text) = std::str::from_utf8(&bytes) else {
                    continue;
                };
                changed += 1;
                assert!(
                    verify(text, algorithm, &keys, &expected(), NOW).is_err(),
                    "byte {at} as {byte} of {token}"
                );
            }
        }
    }
    assert!(changed > 4_000, "{changed}");
}

#[test]
fn a_byte_more_or_less_anywhere_is_refused() {
    let (token, keys) = (good(Algorithm::Es256), keys(Algorithm::Es256));
    for at in 0..=token.len() {
        let longer = format!("{}A{}", &token[..at], &token[at..]);
        assert!(
            verify(&longer, Algorithm::Es256, &keys, &expected(), NOW).is_err(),
            "{at}"
        );
        if at < token.len() {
            let shorter = format!("{}{}", &token[..at], &token[at + 1..]);
            assert!(
                verify(&shorter, Algorithm::Es256, &keys, &expected(), NOW).is_err(),
                "{at}"
            );
        }
    }
}

#[test]
fn a_token_beyond_the_limit_is_refused_unread() {
    let padding = "x".repeat(jws::TOKEN_LIMIT);
    let long = format!(r#"{{"sub":"7","exp":{},"x":"{padding}"}}"#, NOW + 60);
    let token = token_of(Algorithm::Hs256, &header(Algorithm::Hs256), &long);
    assert_eq!(refused(Algorithm::Hs256, &token), Unresolved::Malformed);
    let deep = format!(r#"{{"x":{}}}"#, "[".repeat(3000));
    let token = token_of(Algorithm::Hs256, &header(Algorithm::Hs256), &deep);
    assert_eq!(refused(Algorithm::Hs256, &token), Unresolved::Malformed);
}

proptest! {
    #[test]
    fn no_text_is_a_token(text in "[A-Za-z0-9._=-]{0,200}") {
        prop_assert!(judge(Algorithm::Hs256, &text).is_err());
    }

    #[test]
    fn no_header_and_payload_make_it_panic(header in "\\PC{0,40}", payload in "\\PC{0,40}") {
        let _ = judge(Algorithm::Hs256, &token_of(Algorithm::Hs256, &header, &payload));
    }
}
