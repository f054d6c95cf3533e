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

use super::Unopened;
use crate::secret::Secret;

/// The longest text that [`Opener::open`] takes: a sealed session id has 344 bytes.
pub const TEXT_LIMIT: usize = 1024;

/// What a text within the limit can hold at most, once it is not base64 any more.
pub const OPENED_LIMIT: usize = TEXT_LIMIT / 4 * 3;

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

    /// The text that was sealed, in `buffer`, without allocation. [`Unopened::Malformed`] or [`Unopened::BadMac`] otherwise.
    pub fn open<'b>(
        &self,
        text: &[u8],
        buffer: &'b mut [u8; OPENED_LIMIT],
    ) -> Result<&'b [u8], Unopened> {
        self.open_into(text, &mut [0; OPENED_LIMIT], buffer)
    }

    /// As [`Self::open`], for texts of any length: sessions' data. The caller has bounded them.
    pub fn open_long(&self, text: &[u8]) -> Result<Vec<u8>, Unopened> {
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
    ) -> Result<&'b [u8], Unopened> {
        let length = STANDARD
            .decode_slice(text, json)
            .map_err(|_| Unopened::Malformed)?;
        let json = &json[..length];
        // One spelling a cookie: a changed padding character may decode to white space, which JSON allows at its end.
        if json.last() != Some(&b'}') {
            return Err(Unopened::Malformed);
        }
        let sealed: Sealed<'_> = serde_json::from_slice(json).map_err(|_| Unopened::Malformed)?;
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
    ) -> Result<&'b [u8], Unopened>
    where
        C: aes::cipher::BlockDecryptMut
            + aes::cipher::BlockCipher
            + aes::cipher::BlockSizeUser<BlockSize = aes::cipher::consts::U16>
            + Clone,
    {
        // A tag belongs to GCM, whose texts carry no MAC.
        if !sealed.tag.is_empty() {
            return Err(Unopened::Malformed);
        }
        if !self.is_genuine(sealed) {
            return Err(Unopened::BadMac);
        }
        let mut iv = [0; 16];
        if STANDARD.decode_slice(sealed.iv.as_bytes(), &mut iv) != Ok(16) {
            return Err(Unopened::Malformed);
        }
        let length = STANDARD
            .decode_slice(sealed.value.as_bytes(), buffer)
            .map_err(|_| Unopened::Malformed)?;
        // The padding may answer for itself now: nobody without the key comes this far.
        cbc::Decryptor::inner_iv_init(cipher.clone(), &iv.into())
            .decrypt_padded_mut::<Pkcs7>(&mut buffer[..length])
            .map_err(|_| Unopened::Malformed)
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
) -> Result<&'b [u8], Unopened> {
    if !sealed.mac.is_empty() {
        return Err(Unopened::Malformed);
    }
    let (mut iv, mut tag) = ([0; 12], [0; TAG_BYTES]);
    if STANDARD.decode_slice(sealed.iv.as_bytes(), &mut iv) != Ok(iv.len())
        || STANDARD.decode_slice(sealed.tag.as_bytes(), &mut tag) != Ok(tag.len())
    {
        return Err(Unopened::Malformed);
    }
    let length = STANDARD
        .decode_slice(sealed.value.as_bytes(), buffer)
        .map_err(|_| Unopened::Malformed)?;
    let whole = buffer
        .get_mut(..length + TAG_BYTES)
        .ok_or(Unopened::Malformed)?;
    whole[length..].copy_from_slice(&tag);
    key.open_in_place(Nonce::assume_unique_for_key(iv), Aad::empty(), whole)
        .map(|opened| &*opened)
        .map_err(|_| Unopened::BadMac)
}

/// Lower-case, two digits a byte; `text` is twice as long as `bytes`.
pub(crate) fn write_hex(bytes: &[u8], text: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

#[cfg(test)]
pub(crate) mod tests;
