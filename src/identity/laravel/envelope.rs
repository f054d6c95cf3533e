//! Laravel 8's encrypted strings: base64 of JSON `{iv, value, mac, tag}`, opened with the application's key.
//!
//! Its own file, because it is the one place where bytes that anybody may send meet the key: the MAC is verified,
//! in constant time, before anything is decrypted. The format is `Illuminate\Encryption\Encrypter` with its four ciphers.

use std::borrow::Cow;

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockDecryptMut, InnerIvInit, KeyInit};
use aes::{Aes128, Aes256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use serde::Deserialize;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::cookie::VALUE_LIMIT;
use crate::identity::Unresolved;
use crate::secret::Secret;

/// What a text within the limit can hold at most, once it is not base64 any more.
pub const OPENED_LIMIT: usize = VALUE_LIMIT / 4 * 3;

const TAG_BYTES: usize = 16;

/// `app.cipher`: what Laravel 8 can be told to seal with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cipher {
    Aes128Cbc,
    #[default]
    Aes256Cbc,
    Aes128Gcm,
    Aes256Gcm,
}

impl Cipher {
    /// As Laravel's configuration names them, which minds no case.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("AES-128-CBC", Self::Aes128Cbc),
        ("AES-256-CBC", Self::Aes256Cbc),
        ("AES-128-GCM", Self::Aes128Gcm),
        ("AES-256-GCM", Self::Aes256Gcm),
    ];

    pub fn key_bytes(self) -> usize {
        match self {
            Self::Aes128Cbc | Self::Aes128Gcm => 16,
            Self::Aes256Cbc | Self::Aes256Gcm => 32,
        }
    }

    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }
}

/// APP_KEY, as `config/app.php` reads it, and what it is for.
pub struct AppKey {
    bytes: Vec<u8>,
    cipher: Cipher,
}

impl AppKey {
    /// `base64:` and the base64 of the key, or the key as it is. The error says what is wrong, and not what was read.
    pub fn parse(text: &Secret, cipher: Cipher) -> Result<Self, String> {
        let bytes = match text.reveal().strip_prefix("base64:") {
            Some(encoded) => STANDARD.decode(encoded).map_err(|_| "app_key is not base64 after \"base64:\": copy APP_KEY from the application's .env as it stands")?,
            None => text.reveal().as_bytes().to_vec(),
        };
        if bytes.len() != cipher.key_bytes() {
            return Err(format!(
                "app_key has not {} bytes: expected Laravel's APP_KEY for {}, \"base64:\" and base64",
                cipher.key_bytes(),
                cipher.name()
            ));
        }
        Ok(Self { bytes, cipher })
    }

    /// As HMAC wants it, for SHA-1 and SHA-256 alike: zeros up to one block (RFC 2104, section 2).
    pub fn mac_block(&self) -> [u8; 64] {
        let mut block = [0; 64];
        for (place, byte) in block.iter_mut().zip(&self.bytes) {
            *place = *byte;
        }
        block
    }
}

/// The key with its schedules computed, once for the process.
pub struct Opener {
    mac: Hmac<Sha256>,
    opening: Opening,
}

/// The schedules lie beside one another, not behind pointers: one of them is used by every request.
#[allow(
    clippy::large_enum_variant,
    reason = "one of it for each resolver, made once"
)]
enum Opening {
    Cbc128(Aes128),
    Cbc256(Aes256),
    Gcm(LessSafeKey),
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
    /// The error is a sentence that names the key of the configuration.
    pub fn new(key: &AppKey) -> Result<Self, String> {
        let unfit = || "app_key does not fit its cipher".to_owned();
        let gcm = |algorithm| {
            let key = UnboundKey::new(algorithm, &key.bytes).map_err(|_| unfit())?;
            Ok::<_, String>(Opening::Gcm(LessSafeKey::new(key)))
        };
        let opening = match key.cipher {
            Cipher::Aes128Cbc => {
                Opening::Cbc128(Aes128::new_from_slice(&key.bytes).map_err(|_| unfit())?)
            }
            Cipher::Aes256Cbc => {
                Opening::Cbc256(Aes256::new_from_slice(&key.bytes).map_err(|_| unfit())?)
            }
            Cipher::Aes128Gcm => gcm(&AES_128_GCM)?,
            Cipher::Aes256Gcm => gcm(&AES_256_GCM)?,
        };
        Ok(Self {
            mac: <Hmac<Sha256> as Mac>::new(&key.mac_block().into()),
            opening,
        })
    }

    /// The text that was sealed, in `buffer`, without allocation. [`Unresolved::Malformed`] or [`Unresolved::BadMac`] otherwise.
    pub fn open<'b>(
        &self,
        text: &[u8],
        buffer: &'b mut [u8; OPENED_LIMIT],
    ) -> Result<&'b [u8], Unresolved> {
        self.open_into(text, &mut [0; OPENED_LIMIT], buffer)
    }

    /// As [`Self::open`], for texts of any length: sessions' data. The caller has bounded them.
    pub fn open_long(&self, text: &[u8]) -> Result<Vec<u8>, Unresolved> {
        let room = text.len() / 4 * 3 + 3;
        let mut opened = vec![0; room];
        let length = self.open_into(text, &mut vec![0; room], &mut opened)?.len();
        opened.truncate(length);
        Ok(opened)
    }

    fn open_into<'b>(
        &self,
        text: &[u8],
        json: &mut [u8],
        buffer: &'b mut [u8],
    ) -> Result<&'b [u8], Unresolved> {
        let length = STANDARD
            .decode_slice(text, json)
            .map_err(|_| Unresolved::Malformed)?;
        let json = &json[..length];
        // One spelling a cookie: a changed padding character may decode to white space, which JSON allows at its end.
        if json.last() != Some(&b'}') {
            return Err(Unresolved::Malformed);
        }
        let sealed: Sealed<'_> = serde_json::from_slice(json).map_err(|_| Unresolved::Malformed)?;
        match &self.opening {
            Opening::Gcm(key) => open_gcm(key, &sealed, buffer),
            Opening::Cbc128(cipher) => self.open_cbc(cipher, &sealed, buffer),
            Opening::Cbc256(cipher) => self.open_cbc(cipher, &sealed, buffer),
        }
    }

    fn open_cbc<'b, C>(
        &self,
        cipher: &C,
        sealed: &Sealed<'_>,
        buffer: &'b mut [u8],
    ) -> Result<&'b [u8], Unresolved>
    where
        C: aes::cipher::BlockDecryptMut
            + aes::cipher::BlockCipher
            + aes::cipher::BlockSizeUser<BlockSize = aes::cipher::consts::U16>
            + Clone,
    {
        // A tag belongs to GCM, whose texts carry no MAC.
        if !sealed.tag.is_empty() {
            return Err(Unresolved::Malformed);
        }
        if !self.is_genuine(sealed) {
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
        cbc::Decryptor::inner_iv_init(cipher.clone(), &iv.into())
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

/// The tag is all of it or nothing: PHP's openssl would take one that is cut short (Laravel checks its length too).
fn open_gcm<'b>(
    key: &LessSafeKey,
    sealed: &Sealed<'_>,
    buffer: &'b mut [u8],
) -> Result<&'b [u8], Unresolved> {
    if !sealed.mac.is_empty() {
        return Err(Unresolved::Malformed);
    }
    let (mut iv, mut tag) = ([0; 12], [0; TAG_BYTES]);
    if STANDARD.decode_slice(sealed.iv.as_bytes(), &mut iv) != Ok(iv.len())
        || STANDARD.decode_slice(sealed.tag.as_bytes(), &mut tag) != Ok(tag.len())
    {
        return Err(Unresolved::Malformed);
    }
    let length = STANDARD
        .decode_slice(sealed.value.as_bytes(), buffer)
        .map_err(|_| Unresolved::Malformed)?;
    let whole = buffer
        .get_mut(..length + TAG_BYTES)
        .ok_or(Unresolved::Malformed)?;
    whole[length..].copy_from_slice(&tag);
    key.open_in_place(Nonce::assume_unique_for_key(iv), Aad::empty(), whole)
        .map(|opened| &*opened)
        .map_err(|_| Unresolved::BadMac)
}

/// Lower-case, two digits a byte; `text` is twice as long as `bytes`.
pub(in crate::identity) fn write_hex(bytes: &[u8], text: &mut [u8]) {
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

    fn open(text: &str) -> Result<Vec<u8>, Unresolved> {
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
            assert_eq!(open(tag), Err(Unresolved::Malformed), "{tag:?}");
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
        let other = opener(&"k".repeat(32), Cipher::Aes256Cbc);
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
        fn garbage_is_refused(text in prop::collection::vec(any::<u8>(), 0..2 * VALUE_LIMIT)) {
            prop_assert!(Opener::new(&key()).unwrap().open(&text, &mut [0; OPENED_LIMIT]).is_err());
        }

        #[test]
        fn json_without_the_key_is_refused(iv in "[A-Za-z0-9+/=]{0,30}", value in "[A-Za-z0-9+/=]{0,90}", mac in "[0-9a-f]{0,70}", tag in "[a-z]{0,3}") {
            prop_assert!(open(&envelope(&iv, &value, &mac, &tag)).is_err());
        }
    }
}
