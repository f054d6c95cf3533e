//! Signatures against the published ones, and what a change of the mail does to them.
//!
//! Its own file, because the published mail and its keys serve the tests of the other files too.

use std::io::Write;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use ring::signature::{ED25519, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, UnparsedPublicKey};

use super::*;

/// The private key of RFC 8463, A.2, which it has from RFC 8032; here as PKCS#8.
pub const RFC_8463_PEM: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
";
const ED25519_PUBLIC: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
/// Of RFC 8463, A.2: an RSAPublicKey behind the 22 bytes that say so.
const RSA_PUBLIC: &str = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB";

/// The mail of RFC 8463, A.3.
const MAIL: &str = "From: Joe SixPack <joe@football.example.com>\r
To: Suzie Q <suzie@shopping.example.net>\r
Subject: Is dinner ready?\r
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r
Message-ID: <20030712040037.46341.5F8J@football.example.com>\r
\r
Hi.\r
\r
We lost the game.  Are you hungry yet?\r
\r
Joe.\r
";
const NAMES: [&str; 8] = [
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "from",
    "subject",
    "date",
];
const BODY_HASH: &str = "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=";
const ED25519_FIELD: &str = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r
 d=football.example.com; i=@football.example.com;\r
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r
 subject : date : message-id : from : subject : date;\r
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r
 b=";
const ED25519_SIGNATURE: &str =
    "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==";
const RSA_FIELD: &str = "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r
 d=football.example.com; i=@football.example.com;\r
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :\r
 date : message-id : from : subject : date;\r
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r
 b=";
const RSA_SIGNATURE: &str = "F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2JzdA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=";

/// What openssl prints, given this.
pub fn openssl(arguments: &str, input: &str) -> String {
    let mut openssl = Command::new("openssl")
        .args(arguments.split(' '))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl runs");
    let mut stdin = openssl.stdin.take().unwrap();
    // What makes a key reads nothing, and may be gone.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let done = openssl.wait_with_output().unwrap();
    assert!(done.status.success(), "{arguments}: {done:?}");
    String::from_utf8(done.stdout).unwrap()
}

fn decode(base64: &str) -> Vec<u8> {
    STANDARD.decode(base64).unwrap()
}

fn at() -> DateTime<Utc> {
    DateTime::from_timestamp(1_528_637_909, 0).unwrap()
}

fn signer() -> Signer {
    let key = Secret::new(RFC_8463_PEM);
    Signer::new("football.example.com", "brisbane", &key).unwrap()
}

fn sign(mail: &str) -> String {
    signer().sign(mail.as_bytes(), at()).unwrap()
}

#[test]
fn the_ed25519_signature_of_rfc_8463_is_made_again() {
    let (head, body) = Head::split(MAIL.as_bytes()).unwrap();
    assert_eq!(hash_body(body), BODY_HASH);
    let bytes = signed_bytes(&head, &NAMES, ED25519_FIELD);
    let signature = signer().key.sign(&bytes).unwrap();
    assert_eq!(STANDARD.encode(signature), ED25519_SIGNATURE);
}

/// Its key of 1024 bits is none to sign with any more, so the signature is checked instead.
#[test]
fn the_rsa_signature_of_rfc_8463_is_over_what_we_would_sign() {
    let (head, _) = Head::split(MAIL.as_bytes()).unwrap();
    let bytes = signed_bytes(&head, &NAMES, RSA_FIELD);
    let public = UnparsedPublicKey::new(
        &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
        decode(RSA_PUBLIC)[22..].to_vec(),
    );
    assert_eq!(public.verify(&bytes, &decode(RSA_SIGNATURE)), Ok(()));
}

#[test]
fn a_signature_looks_like_this_and_is_its_keys() {
    let field = sign(MAIL);
    let expected = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; t=1528637909;\r
 d=football.example.com;\r
 s=brisbane;\r
 h=from:from:to:subject:subject:date:message-id;\r
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r
 b=";
    let signature = field.strip_prefix(expected).expect(&field);
    let (head, _) = Head::split(MAIL.as_bytes()).unwrap();
    let names = head.signed_names().unwrap();
    let hash = digest::digest(&digest::SHA256, &signed_bytes(&head, &names, expected));
    let public = UnparsedPublicKey::new(&ED25519, decode(ED25519_PUBLIC));
    let signature = decode(&signature.replace("\r\n", "").replace(' ', ""));
    assert_eq!(public.verify(hash.as_ref(), &signature), Ok(()));
}

#[test]
fn a_second_from_or_subject_in_front_is_noticed() {
    let (head, _) = Head::split(MAIL.as_bytes()).unwrap();
    let names = head.signed_names().unwrap();
    for added in ["From: Eve <eve@evil.test>\r\n", "subject: Win\r\n"] {
        let forged = format!("{added}{MAIL}");
        let (forged, _) = Head::split(forged.as_bytes()).unwrap();
        assert_ne!(head.relaxed(&names), forged.relaxed(&names), "{added}");
    }
}

#[test]
fn the_longest_head_is_folded() {
    let key = openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048", "");
    let label = "d".repeat(63);
    let domain = format!("{label}.{label}.test");
    let signer = Signer::new(&domain, "2026a", &Secret::new(key)).unwrap();
    let mut mail = format!("{MAIL}To: x\r\n");
    for name in [
        "Reply-To",
        "MIME-Version",
        "Content-Type",
        "Content-Transfer-Encoding",
        "List-Unsubscribe",
        "List-Unsubscribe-Post",
        "X-Campaign",
        "Message-Id",
    ] {
        mail.insert_str(0, &format!("{name}: x\r\n"));
    }
    let field = signer.sign(mail.as_bytes(), at()).unwrap();
    assert_eq!(lines::check(field.as_bytes()), Ok(()));
    for line in field.lines().filter(|line| !line.starts_with(" d=")) {
        assert!(line.len() <= 78, "{line}");
    }
    assert!(field.ends_with("==\r\n"), "{field}");
}

#[test]
fn a_mail_that_relays_would_change_or_that_has_no_sender_is_not_signed() {
    for (mail, expected) in [
        ("From: a\nTo: b\n\nhi\n", Fault::Lines),
        ("From: a\r\n\r\nhi", Fault::Lines),
        ("", Fault::Lines),
        ("From: a\r\nTo\r\n\r\nhi\r\n", Fault::Head),
        ("To: a\r\n\r\nFrom: b\r\n", Fault::From),
    ] {
        assert_eq!(
            signer().sign(mail.as_bytes(), at()),
            Err(expected),
            "{mail:?}"
        );
    }
}

#[test]
fn a_time_that_no_verifier_reads_is_brought_within_what_it_does() {
    for (at, expected) in [
        (DateTime::<Utc>::MIN_UTC, "t=0;"),
        (DateTime::<Utc>::MAX_UTC, "t=999999999999;"),
    ] {
        let field = signer().sign(MAIL.as_bytes(), at).unwrap();
        assert!(field.contains(expected), "{field}");
    }
}

#[test]
fn a_signer_without_a_name_or_a_key_is_refused() {
    let key = || Secret::new(RFC_8463_PEM);
    let bad = |domain: &str, selector: &str| Signer::new(domain, selector, &key()).err();
    for domain in [
        "",
        "test",
        "Acorn.test",
        "acorn.test.",
        "bücher.test",
        "a b.test",
    ] {
        assert_eq!(bad(domain, "s"), Some(BadSigner::Domain), "{domain}");
    }
    for selector in ["", "a.", ".a", "-a", "a-", "a_b", "a b", "a;d=x", "ü"] {
        assert_eq!(
            bad("acorn.test", selector),
            Some(BadSigner::Selector),
            "{selector}"
        );
    }
    assert_eq!(bad("acorn.test", "March.2026-A"), None);
    let domain = |bytes: usize| format!("{}.test", ["d"; 90].join(".").split_at(bytes - 5).0);
    assert_eq!(bad(&domain(178), &"s".repeat(63)), None);
    assert_eq!(bad(&domain(180), "s"), Some(BadSigner::Domain));
    assert_eq!(
        bad("acorn.test", &"s".repeat(64)),
        Some(BadSigner::Selector)
    );
    assert_eq!(
        Signer::new("acorn.test", "s", &Secret::new("x"))
            .unwrap_err()
            .to_string(),
        "the key is no private key in PEM; expected \"-----BEGIN PRIVATE KEY-----\""
    );
}

#[test]
fn a_key_does_not_print() {
    assert_eq!(
        format!("{:?}", signer()),
        "Signer { domain: \"football.example.com\", selector: \"brisbane\", key: *** }"
    );
    let source = Source {
        selector: "s".to_owned(),
        key: Secret::new(RFC_8463_PEM),
    };
    assert_eq!(
        format!("{source:?}"),
        "Source { selector: \"s\", key: *** }"
    );
}

proptest! {
    #[test]
    fn a_body_that_a_relay_spaces_anew_keeps_its_signature(
        lines in prop::collection::vec("[a-zé.\t ]{0,8}", 0..6),
        added in "[ \t]{1,3}",
        empty in 0..4_usize,
    ) {
        let mail = |lines: &[String], end: &str| {
            format!("From: a\r\nSubject: b\r\n\r\n{}{end}", lines.iter().map(|line| format!("{line}\r\n")).collect::<String>())
        };
        let signed = sign(&mail(&lines, ""));
        let spaced: Vec<_> = lines.iter().map(|line| line.replace([' ', '\t'], &added) + &added).collect();
        prop_assert_eq!(&signed, &sign(&mail(&spaced, &"\r\n".repeat(empty))));
        let mut changed = lines;
        changed.push("another".to_owned());
        prop_assert_ne!(signed, sign(&mail(&changed, "")));
    }

    #[test]
    fn a_head_that_a_relay_folds_anew_keeps_its_signature(words in prop::collection::vec("[!-~é]{1,9}", 1..9)) {
        let mail = |space: &str| format!("From: a\r\nSubject:{space}{}\r\n\r\nhi\r\n", words.join(space));
        prop_assert_eq!(sign(&mail(" ")), sign(&mail("\r\n \t")));
        prop_assert_eq!(sign(&mail(" ")), sign(&mail(" ").replace("Subject:", "SUBJECT :")));
    }

    #[test]
    fn no_bytes_make_the_signer_panic(mail: Vec<u8>, text in "[a:\r\n ]{0,40}") {
        let _ = signer().sign(&mail, at());
        if let Ok(field) = signer().sign(format!("From: a\r\n{text}\r\n").as_bytes(), at()) {
            prop_assert_eq!(lines::check(field.as_bytes()), Ok(()));
        }
    }
}
