//! Laravel 8's encrypted strings: base64 of JSON `{iv, value, mac, tag}`, opened with the application's key.
//!
//! Its own file, because it is the one place where bytes that anybody may send meet the key: the MAC is verified,
//! in constant time, before anything is decrypted. The format is `Illuminate\Encryption\Encrypter` with AES-256-CBC.

use std::borrow::Cow;

use aes::Aes256;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockDecryptMut, InnerIvInit, KeyInit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use serde::Deserialize;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::cookie::VALUE_LIMIT;
use crate::identity::Unresolved;
use crate::secret::Secret;

/// What a text within the limit can hold at most, once it is not base64 any more.
pub const OPENED_LIMIT: usize = VALUE_LIMIT / 4 * 3;

/// APP_KEY, as `config/app.php` reads it.
pub struct AppKey([u8; 32]);

impl AppKey {
    /// `base64:` and the base64 of 32 bytes, or 32 bytes as they are. The error says what is wrong, and not what was read.
    pub fn parse(text: &Secret) -> Result<Self, &'static str> {
        let bytes = match text.reveal().strip_prefix("base64:") {
            Some(encoded) => STANDARD.decode(encoded).map_err(|_| "app_key is not base64 after \"base64:\": copy APP_KEY from the application's .env as it stands")?,
            None => text.reveal().as_bytes().to_vec(),
        };
        let key = bytes.try_into().map_err(|_| "app_key has not 32 bytes: expected Laravel's APP_KEY for AES-256-CBC, \"base64:\" and 44 characters")?;
        Ok(Self(key))
    }

    /// As HMAC wants it, for SHA-1 and SHA-256 alike: zeros up to one block (RFC 2104, section 2).
    pub fn mac_block(&self) -> [u8; 64] {
        let mut block = [0; 64];
        block[..32].copy_from_slice(&self.0);
        block
    }
}

/// The key with its schedules computed, once for the process.
pub struct Opener {
    mac: Hmac<Sha256>,
    cipher: Aes256,
}

/// Unknown fields are refused: Laravel has written these four since 8.54, and the first three before.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed<'a> {
    #[serde(borrow)]
    iv: Cow<'a, str>,
    #[serde(borrow)]
    value: Cow<'a, str>,
    #[serde(borrow)]
    mac: Cow<'a, str>,
    #[serde(borrow, default)]
    tag: Cow<'a, str>,
}

impl Opener {
    pub fn new(key: &AppKey) -> Self {
        Self {
            mac: <Hmac<Sha256> as Mac>::new(&key.mac_block().into()),
            cipher: Aes256::new(&key.0.into()),
        }
    }

    /// The text that was sealed, in `buffer`. [`Unresolved::Malformed`] or [`Unresolved::BadMac`] otherwise.
    pub fn open<'b>(
        &self,
        text: &[u8],
        buffer: &'b mut [u8; OPENED_LIMIT],
    ) -> Result<&'b [u8], Unresolved> {
        let mut json = [0; OPENED_LIMIT];
        let length = STANDARD
            .decode_slice(text, &mut json)
            .map_err(|_| Unresolved::Malformed)?;
        let json = &json[..length];
        // One spelling a cookie: a changed padding character may decode to white space, which JSON allows at its end.
        if json.last() != Some(&b'}') {
            return Err(Unresolved::Malformed);
        }
        let sealed: Sealed<'_> = serde_json::from_slice(json).map_err(|_| Unresolved::Malformed)?;
        // A tag belongs to GCM, whose texts carry no MAC.
        if !sealed.tag.is_empty() {
            return Err(Unresolved::Malformed);
        }
        if !self.is_genuine(&sealed) {
            return Err(Unresolved::BadMac);
        }

        let mut iv = [0; 16];
        if STANDARD.decode_slice(sealed.iv.as_bytes(), &mut iv) != Ok(16) {
            return Err(Unresolved::Malformed);
        }
        let length = STANDARD
            .decode_slice(sealed.value.as_bytes(), buffer)
            .map_err(|_| Unresolved::Malformed)?;
        // The padding may answer for itself now: nobody without the key comes this far.
        cbc::Decryptor::inner_iv_init(self.cipher.clone(), &iv.into())
            .decrypt_padded_mut::<Pkcs7>(&mut buffer[..length])
            .map_err(|_| Unresolved::Malformed)
    }

    /// The texts are compared as Laravel compares them: lower-case hexadecimal, every digit looked at.
    fn is_genuine(&self, sealed: &Sealed<'_>) -> bool {
        let mut mac = self.mac.clone();
        mac.update(sealed.iv.as_bytes());
        mac.update(sealed.value.as_bytes());
        let mut expected = [0; 64];
        write_hex(&mac.finalize().into_bytes(), &mut expected);
        expected.ct_eq(sealed.mac.as_bytes()).into()
    }
}

/// Lower-case, two digits a byte; `text` is twice as long as `bytes`.
pub(super) fn write_hex(bytes: &[u8], text: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

#[cfg(test)]
pub(in crate::identity) mod tests {
    use aes::cipher::{BlockEncryptMut, KeyIvInit};
    use proptest::prelude::*;

    use super::*;

    /// Bytes 00 to 1f.
    pub const KEY: &str = "base64:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const IV: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

    pub fn key() -> AppKey {
        AppKey::parse(&Secret::new(KEY)).unwrap()
    }

    fn envelope(iv: &str, value: &str, mac: &str, tag: &str) -> String {
        STANDARD.encode(format!(
            r#"{{"iv":"{iv}","value":"{value}","mac":"{mac}","tag":"{tag}"}}"#
        ))
    }

    /// Seals as Laravel does. The vectors below hold this to what PHP and openssl computed.
    pub fn seal(plain: &[u8]) -> String {
        let value = STANDARD.encode(
            cbc::Encryptor::<Aes256>::new(&key().0.into(), &IV.into())
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

    fn open(text: &str) -> Result<Vec<u8>, Unresolved> {
        Opener::new(&key())
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
            Err(Unresolved::Malformed)
        );
    }

    #[test]
    fn padding_that_turns_into_white_space_is_refused() {
        let text = envelope("AAECAwQFBgcICQoLDA0ODw==", HUNTER2, HUNTER2_MAC, "");
        let json = STANDARD.decode(text).unwrap();
        for space in [b' ', b'\t', b'\n', b'\r'] {
            let padded = STANDARD.encode([&json[..], &[space]].concat());
            assert_eq!(open(&padded), Err(Unresolved::Malformed));
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
        assert_eq!(open(&text), Err(Unresolved::BadMac));
    }

    #[test]
    fn another_key_opens_nothing() {
        let other = Opener::new(&AppKey::parse(&Secret::new("k".repeat(32))).unwrap());
        assert_eq!(
            other.open(seal(b"text").as_bytes(), &mut [0; OPENED_LIMIT]),
            Err(Unresolved::BadMac)
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
            let fault = AppKey::parse(&Secret::new(text)).err().unwrap();
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
            prop_assert!(Opener::new(&key()).open(&text, &mut [0; OPENED_LIMIT]).is_err());
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
        fn garbage_is_refused(text in prop::collection::vec(any::<u8>(), 0..2 * VALUE_LIMIT)) {
            prop_assert!(Opener::new(&key()).open(&text, &mut [0; OPENED_LIMIT]).is_err());
        }

        #[test]
        fn json_without_the_key_is_refused(iv in "[A-Za-z0-9+/=]{0,30}", value in "[A-Za-z0-9+/=]{0,90}", mac in "[0-9a-f]{0,70}", tag in "[a-z]{0,3}") {
            prop_assert!(open(&envelope(&iv, &value, &mac, &tag)).is_err());
        }
    }
}
