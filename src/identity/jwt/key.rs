//! Keys that verify: from a secret, from PEM, or from the numbers of a JWK.
//!
//! Pure, and its own file, because a key knows its algorithm: nothing that a token says can use it for another.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use ring::{digest, hmac};

use super::der;

/// RFC 7518, 3.2: a key of the hash's size or larger.
const SECRET_MINIMUM: usize = 32;
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// How tokens are signed: said by the configuration, never by the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    Hs256,
    Rs256,
    Es256,
    /// With Ed25519.
    EdDsa,
}

impl Algorithm {
    pub const ALL: [Self; 4] = [Self::Hs256, Self::Rs256, Self::Es256, Self::EdDsa];

    /// As RFC 7518 and RFC 8037 spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// A key, for one algorithm.
pub enum Key {
    Secret(hmac::Key),
    Public(UnparsedPublicKey<Vec<u8>>),
}

impl Key {
    /// From a configuration's text: for HS256 the secret itself, or `base64:` and its bytes; else PEM. The error is a
    /// sentence without its subject and holds nothing of the key.
    pub fn parse(algorithm: Algorithm, text: &str) -> Result<Self, String> {
        match algorithm {
            Algorithm::Hs256 => Self::secret(text),
            _ => Self::pem(algorithm, text),
        }
    }

    fn secret(text: &str) -> Result<Self, String> {
        let bytes = match text.strip_prefix("base64:") {
            Some(encoded) => STANDARD
                .decode(encoded)
                .map_err(|_| "expected base64 behind \"base64:\"".to_owned())?,
            None => text.as_bytes().to_vec(),
        };
        // A public key is no secret: whoever puts one here has another algorithm in mind.
        if text.contains("-----BEGIN") {
            return Err("is PEM; expected a secret, for HS256".to_owned());
        }
        if bytes.len() < SECRET_MINIMUM {
            return Err(format!(
                "has {} bytes; expected at least {SECRET_MINIMUM}, for HS256",
                bytes.len()
            ));
        }
        Ok(Self::Secret(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// `PUBLIC KEY` (SPKI), or `RSA PUBLIC KEY` (PKCS #1) for RS256. One block, and nothing but blanks around it.
    fn pem(algorithm: Algorithm, text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "expected a public key for {} in PEM, \"-----BEGIN PUBLIC KEY-----\"",
                algorithm.as_str()
            )
        };
        if text.contains("PRIVATE KEY-----") {
            return Err("is a private key; expected the public one in PEM".to_owned());
        }
        let (label, der) = pem_block(text).ok_or_else(expected)?;
        match (label, algorithm) {
            ("PUBLIC KEY", Algorithm::Rs256) => {
                let pkcs1 = der::rsa_of_spki(&der).ok_or_else(expected)?;
                Self::rsa(pkcs1)
            }
            ("RSA PUBLIC KEY", Algorithm::Rs256) => Self::rsa(&der),
            ("PUBLIC KEY", Algorithm::Es256) => {
                let point = der::p256_of_spki(&der).ok_or_else(expected)?;
                Ok(Self::p256(point))
            }
            ("PUBLIC KEY", Algorithm::EdDsa) => {
                let key = der::ed25519_of_spki(&der).ok_or_else(expected)?;
                Ok(Self::ed25519(key))
            }
            _ => Err(expected()),
        }
    }

    /// From a PKCS #1 `RSAPublicKey`.
    fn rsa(pkcs1: &[u8]) -> Result<Self, String> {
        let (modulus, exponent) =
            der::rsa_numbers(pkcs1).ok_or("expected an RSA key in DER within its PEM")?;
        Self::rsa_numbers(modulus, exponent)
    }

    /// From big-endian numbers without leading zeros.
    pub fn rsa_numbers(modulus: &[u8], exponent: &[u8]) -> Result<Self, String> {
        let leading = modulus.first().map_or(0, |first| first.leading_zeros());
        let bits = modulus.len() * 8 - leading as usize;
        if !RSA_BITS.contains(&bits) {
            return Err(format!(
                "is an RSA key of {bits} bits; expected {} to {}",
                RSA_BITS.start(),
                RSA_BITS.end()
            ));
        }
        // ring takes an odd exponent of 3 to 33 bits.
        if exponent.is_empty() || exponent.len() > 5 || exponent.last().is_none_or(|b| b & 1 == 0) {
            return Err("is an RSA key with an exponent that nobody uses".to_owned());
        }
        let encoded = der::rsa_from_numbers(modulus, exponent);
        Ok(public(&signature::RSA_PKCS1_2048_8192_SHA256, &encoded))
    }

    /// From an uncompressed point; whether it lies on the curve, ring asks with each signature.
    pub fn p256(point: &[u8]) -> Self {
        public(&signature::ECDSA_P256_SHA256_FIXED, point)
    }

    pub fn ed25519(key: &[u8]) -> Self {
        public(&signature::ED25519, key)
    }

    /// Whether the signature is this key's over `signed`. HMACs are compared in constant time.
    pub fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Secret(key) => hmac::verify(key, signed, signature).is_ok(),
            Self::Public(key) => key.verify(signed, signature).is_ok(),
        }
    }
}

fn public(algorithm: &'static dyn VerificationAlgorithm, bytes: &[u8]) -> Key {
    Key::Public(UnparsedPublicKey::new(algorithm, bytes.to_vec()))
}

/// The label and the bytes of the one PEM block (RFC 7468) that `text` is.
fn pem_block(text: &str) -> Option<(&str, Vec<u8>)> {
    let (label, rest) = text
        .trim()
        .strip_prefix("-----BEGIN ")?
        .split_once("-----")?;
    let body = rest
        .strip_suffix("-----")?
        .strip_suffix(label)?
        .strip_suffix("-----END ")?;
    let encoded: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    Some((label, STANDARD.decode(encoded).ok()?))
}

/// A number or a key of a JWK: base64url without padding, in its one form.
pub fn decode_url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// What a token is remembered by: nobody finds two texts of one digest, so what was verified is this very token.
pub fn fingerprint(token: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, token);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}
