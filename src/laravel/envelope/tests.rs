//! What Laravel and openssl have sealed, opened; and what anybody has changed of it, refused.
//!
//! Its own file, because the vectors are long. Others seal with it too.

use aes::cipher::{BlockEncryptMut, KeyIvInit};
use proptest::prelude::*;

use super::*;

/// Bytes 00 to 1f.
pub const KEY: &str = "base64:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const IV: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

pub fn key() -> AppKey {
    AppKey::parse(&Secret::new(KEY), Cipher::Aes256Cbc).unwrap()
}

fn envelope(iv: &str, value: &str, mac: &str, tag: &str) -> String {
    STANDARD.encode(format!(
        r#"{{"iv":"{iv}","value":"{value}","mac":"{mac}","tag":"{tag}"}}"#
    ))
}

/// Seals as Laravel does. The vectors below hold this to what PHP and openssl computed.
pub fn seal(plain: &[u8]) -> String {
    let value = STANDARD.encode(
        cbc::Encryptor::<Aes256>::new_from_slices(&key().bytes, &IV)
            .unwrap()
            .encrypt_padded_vec_mut::<Pkcs7>(plain),
    );
    let iv = STANDARD.encode(IV);
    let mac = <Hmac<Sha256> as Mac>::new(&key().mac_block().into())
        .chain_update(&iv)
        .chain_update(&value)
        .finalize()
        .into_bytes();
    let mut text = [0; 64];
    write_hex(&mac, &mut text);
    envelope(&iv, &value, std::str::from_utf8(&text).unwrap(), "")
}

fn opener(key: &str, cipher: Cipher) -> Opener {
    Opener::new(&AppKey::parse(&Secret::new(key), cipher).unwrap()).unwrap()
}

fn open(text: &str) -> Result<Vec<u8>, Unopened> {
    Opener::new(&key())
        .unwrap()
        .open(text.as_bytes(), &mut [0; OPENED_LIMIT])
        .map(<[u8]>::to_vec)
}

const HUNTER2: &str = "1GIvuhrzQ2V/fWF6Y07/Og==";
const HUNTER2_MAC: &str = "325563fe66661eb2832bc6e666d6361221c5bff7e49138d171c275956f029388";

#[test]
fn the_vector_opens() {
    let text = envelope("AAECAwQFBgcICQoLDA0ODw==", HUNTER2, HUNTER2_MAC, "");
    assert_eq!(open(&text), Ok(br#"s:7:"hunter2";"#.to_vec()));
    assert_eq!(
        seal(br#"s:7:"hunter2";"#),
        text,
        "the tests' own sealing is Laravel's"
    );
}

#[test]
fn laravels_other_ciphers_open_with_the_same_call() {
    let sealed = [
        (
            "base64:AAECAwQFBgcICQoLDA0ODw==",
            Cipher::Aes128Cbc,
            "eyJpdiI6IldQV25HeHdRbTdSUWNoVTYyMFY5SWc9PSIsInZhbHVlIjoieVRSd1Npb2h0NDQxc0ZERE51NlRQQT09IiwibWFjIjoiZjA1N2E2NjdmMGNhM2QzMTdkZTNkYTZmMzg5NThhOTQxYTc3NGMxNDU5NWFiOWU0Y2FiYjJmZDY5YmM2YTc5OSIsInRhZyI6IiJ9",
        ),
        (
            "base64:AAECAwQFBgcICQoLDA0ODw==",
            Cipher::Aes128Gcm,
            "eyJpdiI6IkYwNzNEZWdqc1BaaTlCN2siLCJ2YWx1ZSI6ImlLZG9ndGpiRlkzMGY5b25BZEU9IiwibWFjIjoiIiwidGFnIjoiVSt3T1pjbG5FbXR2SkVRaU1weG10QT09In0=",
        ),
        (
            KEY,
            Cipher::Aes256Gcm,
            "eyJpdiI6Ik1hYmJmTlZWNHZIK2FhM3MiLCJ2YWx1ZSI6ImE3bDdYUjAxTkJTMFpidkdkRG89IiwibWFjIjoiIiwidGFnIjoiY1Qvc2Z5eU51cGxneVN0SWkrbXJqdz09In0=",
        ),
    ];
    for (key, cipher, text) in sealed {
        let opener = opener(key, cipher);
        let open = |text: &str| opener.open_long(text.as_bytes());
        assert_eq!(open(text), Ok(br#"s:7:"hunter2";"#.to_vec()));
        let json = String::from_utf8(STANDARD.decode(text).unwrap()).unwrap();
        for (whole, part) in [
            (r#""value":""#, r#""value":"AAAA"#),
            (r#""tag":""#, r#""tag":"AAAA"#),
            (r#""mac":""#, r#""mac":"00"#),
            (r#""tag""#, r#""gat""#),
        ] {
            let changed = STANDARD.encode(json.replace(whole, part));
            assert!(open(&changed).is_err(), "{cipher:?} {part}");
        }
    }
}

#[test]
fn a_tag_that_is_cut_short_is_refused() {
    let opener = opener(KEY, Cipher::Aes256Gcm);
    let sealed = |tag: &str| {
        STANDARD.encode(format!(
            r#"{{"iv":"MabbfNVV4vH+aa3s","value":"a7l7XR01NBS0ZbvGdDo=","mac":"","tag":"{tag}"}}"#
        ))
    };
    let open = |tag: &str| opener.open_long(sealed(tag).as_bytes());
    assert!(open("cT/sfyyNuplgyStIi+mrjw==").is_ok());
    for tag in ["", "cT/s", "cT/sfyyNuplgySt="] {
        assert_eq!(open(tag), Err(Unopened::Malformed), "{tag:?}");
    }
}

#[test]
fn escaped_slashes_and_a_missing_tag_are_older_laravels() {
    let json = format!(
        r#"{{"iv":"AAECAwQFBgcICQoLDA0ODw==","value":"{}","mac":"{HUNTER2_MAC}"}}"#,
        HUNTER2.replace('/', "\\/")
    );
    assert_eq!(
        open(&STANDARD.encode(json)),
        Ok(br#"s:7:"hunter2";"#.to_vec())
    );
}

#[test]
fn a_tag_is_refused() {
    assert_eq!(
        open(&envelope(
            "AAECAwQFBgcICQoLDA0ODw==",
            HUNTER2,
            HUNTER2_MAC,
            "AAAA"
        )),
        Err(Unopened::Malformed)
    );
}

#[test]
fn padding_that_turns_into_white_space_is_refused() {
    let text = envelope("AAECAwQFBgcICQoLDA0ODw==", HUNTER2, HUNTER2_MAC, "");
    let json = STANDARD.decode(text).unwrap();
    for space in [b' ', b'\t', b'\n', b'\r'] {
        let padded = STANDARD.encode([&json[..], &[space]].concat());
        assert_eq!(open(&padded), Err(Unopened::Malformed));
    }
}

#[test]
fn an_upper_case_mac_is_another_mac() {
    let text = envelope(
        "AAECAwQFBgcICQoLDA0ODw==",
        HUNTER2,
        &HUNTER2_MAC.to_uppercase(),
        "",
    );
    assert_eq!(open(&text), Err(Unopened::BadMac));
}

#[test]
fn another_key_opens_nothing() {
    let other = opener(&"k".repeat(32), Cipher::Aes256Cbc);
    assert_eq!(
        other.open(seal(b"text").as_bytes(), &mut [0; OPENED_LIMIT]),
        Err(Unopened::BadMac)
    );
}

#[test]
fn a_key_of_another_length_or_alphabet_is_refused_without_showing_it() {
    for text in [
        "",
        "base64:",
        "base64:AAAA",
        "base64:*",
        "base64:AAECAwQFBgcICQoLDA0ODw==",
        "short",
    ] {
        let fault = AppKey::parse(&Secret::new(text), Cipher::Aes256Cbc)
            .err()
            .unwrap();
        assert!(fault.starts_with("app_key "), "{fault}");
    }
}

proptest! {
    #[test]
    fn what_is_sealed_opens(plain in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(open(&seal(&plain)), Ok(plain));
    }

    #[test]
    fn any_changed_byte_is_refused(plain in prop::collection::vec(any::<u8>(), 0..120), at: prop::sample::Index, byte: u8) {
        let mut text = seal(&plain).into_bytes();
        let at = at.index(text.len());
        prop_assume!(text[at] != byte);
        text[at] = byte;
        prop_assert!(Opener::new(&key()).unwrap().open(&text, &mut [0; OPENED_LIMIT]).is_err());
    }

    #[test]
    fn any_changed_byte_under_the_base64_is_refused(plain in prop::collection::vec(any::<u8>(), 0..120), at: prop::sample::Index, byte: u8) {
        let mut json = STANDARD.decode(seal(&plain)).unwrap();
        let at = at.index(json.len());
        prop_assume!(json[at] != byte);
        json[at] = byte;
        prop_assert!(open(&STANDARD.encode(&json)).is_err(), "{}", String::from_utf8_lossy(&json));
    }

    #[test]
    fn a_cut_text_is_refused(plain in prop::collection::vec(any::<u8>(), 0..120), at: prop::sample::Index) {
        let text = seal(&plain);
        prop_assert!(open(&text[..at.index(text.len())]).is_err());
    }

    #[test]
    fn garbage_is_refused(text in prop::collection::vec(any::<u8>(), 0..2 * TEXT_LIMIT)) {
        prop_assert!(Opener::new(&key()).unwrap().open(&text, &mut [0; OPENED_LIMIT]).is_err());
    }

    #[test]
    fn json_without_the_key_is_refused(iv in "[A-Za-z0-9+/=]{0,30}", value in "[A-Za-z0-9+/=]{0,90}", mac in "[0-9a-f]{0,70}", tag in "[a-z]{0,3}") {
        prop_assert!(open(&envelope(&iv, &value, &mac, &tag)).is_err());
    }
}
