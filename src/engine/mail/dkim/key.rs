//! Private keys: out of PEM, and the signatures that they make.
//!
//! Its own file, because it is the only one that touches a key. What is taken is what receivers take: RSA of 2048 bits or more
//! (RFC 8301, 3.2: "must" 1024, "should" 2048), and Ed25519 (RFC 8463).

use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use ring::{digest, error::KeyRejected};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use super::Fault;
use crate::secret::Secret;

/// Why a text is no key to sign with. A predicate: the caller says whose key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    #[error("is no private key in PEM; expected \"-----BEGIN PRIVATE KEY-----\"")]
    NoPem,
    #[error("is the public key; expected the private one")]
    Public,
    #[error("is locked by a password; expected a key without one")]
    Locked,
    #[error("is neither an RSA nor an Ed25519 key")]
    OtherKind,
    #[error("is an RSA key of less than 2048 bits; expected 2048 to 4096")]
    TooSmall,
    #[error("is an RSA key of more than 4096 bits; expected 2048 to 4096")]
    TooLarge,
    #[error("is a key that cannot be read, or whose numbers do not belong together")]
    Broken,
}

/// A private key. It does not print.
pub enum Key {
    Rsa(Box<RsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

impl Key {
    /// PKCS#8, for RSA PKCS#1 too. What else the text holds is passed over: some tools put the parameters in front.
    pub fn parse(pem: &Secret) -> Result<Self, BadKey> {
        let text = pem.reveal();
        if text.contains("ENCRYPTED") {
            return Err(BadKey::Locked);
        }
        match PrivateKeyDer::from_pem_slice(text.as_bytes()) {
            Ok(PrivateKeyDer::Pkcs1(der)) => rsa(RsaKeyPair::from_der(der.secret_pkcs1_der())),
            Ok(PrivateKeyDer::Pkcs8(der)) => Self::of_pkcs8(der.secret_pkcs8_der()),
            Ok(_) => Err(BadKey::OtherKind),
            Err(_) if text.contains("PUBLIC KEY-----") => Err(BadKey::Public),
            Err(_) => Err(BadKey::NoPem),
        }
    }

    fn of_pkcs8(der: &[u8]) -> Result<Self, BadKey> {
        // OpenSSL writes no public key beside the private one, and ring then has nothing to compare.
        match Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(judge) {
            Ok(key) => Ok(Self::Ed25519(Box::new(key))),
            Err(BadKey::OtherKind) => rsa(RsaKeyPair::from_pkcs8(der)),
            Err(bad) => Err(bad),
        }
    }

    /// As `a=` names it.
    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "rsa-sha256",
            Self::Ed25519(_) => "ed25519-sha256",
        }
    }

    /// The same bytes give the same signature: neither of the two draws a random number.
    pub fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, Fault> {
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(
                    &RSA_PKCS1_SHA256,
                    // Asked for by other paddings only.
                    &SystemRandom::new(),
                    bytes,
                    &mut signature,
                )
                .map_err(|_| Fault::Key)?;
                Ok(signature)
            }
            // RFC 8463, 3: over the hash, not over the bytes.
            Self::Ed25519(key) => {
                let hash = digest::digest(&digest::SHA256, bytes);
                Ok(key.sign(hash.as_ref()).as_ref().to_vec())
            }
        }
    }
}

fn rsa(key: Result<RsaKeyPair, KeyRejected>) -> Result<Key, BadKey> {
    key.map(|key| Key::Rsa(Box::new(key))).map_err(judge)
}

/// ring tells its reasons apart by their text alone.
fn judge(rejected: KeyRejected) -> BadKey {
    match rejected.to_string().as_str() {
        "TooSmall" => BadKey::TooSmall,
        "TooLarge" => BadKey::TooLarge,
        "WrongAlgorithm" => BadKey::OtherKind,
        _ => BadKey::Broken,
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::super::tests::{RFC_8463_PEM, openssl};
    use super::*;

    /// No key: ring looks at the size first, and a real one of that size takes seconds to find.
    fn pkcs1_of_4104_bits() -> String {
        let mut der = [&[0x02, 1, 0, 0x02, 0x82, 2, 2, 0][..], &[0xff; 513]].concat();
        der.extend([0x02, 3, 1, 0, 1]);
        der.extend([0x02, 1, 1].repeat(6));
        let length = u16::try_from(der.len()).unwrap().to_be_bytes();
        let der = [&[0x30, 0x82][..], &length, &der].concat();
        let base64 = STANDARD.encode(der);
        format!("-----BEGIN RSA PRIVATE KEY-----\n{base64}\n-----END RSA PRIVATE KEY-----\n")
    }

    fn bad(pem: &str) -> Option<BadKey> {
        Key::parse(&Secret::new(pem)).err()
    }

    #[test]
    fn openssls_keys_are_taken_in_either_form() {
        let pkcs8 = openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048", "");
        let pkcs1 = openssl("rsa -traditional", &pkcs8);
        assert!(pkcs1.contains("BEGIN RSA PRIVATE KEY"));
        let ed25519 = openssl("genpkey -algorithm ED25519", "");
        let windows = pkcs8.replace('\n', "\r\n");
        for (pem, algorithm) in [
            (pkcs8.as_str(), "rsa-sha256"),
            (&pkcs1, "rsa-sha256"),
            (&windows, "rsa-sha256"),
            (&ed25519, "ed25519-sha256"),
            (RFC_8463_PEM.trim(), "ed25519-sha256"),
        ] {
            let key = Key::parse(&Secret::new(pem)).unwrap();
            assert_eq!(key.algorithm(), algorithm);
            assert_eq!(key.sign(b"x").unwrap(), key.sign(b"x").unwrap());
        }
    }

    #[test]
    fn each_key_that_is_none_is_told_apart() {
        let rsa = |bits: u16| {
            let arguments = format!("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:{bits}");
            openssl(&arguments, "")
        };
        let small = rsa(1024);
        let p256 = openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256", "");
        let block = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
        for (pem, expected) in [
            (String::new(), BadKey::NoPem),
            ("geheim".to_owned(), BadKey::NoPem),
            (openssl("pkey -pubout", RFC_8463_PEM), BadKey::Public),
            (openssl("rsa -traditional", &small), BadKey::TooSmall),
            (
                openssl("pkey -aes128 -passout pass:x", RFC_8463_PEM),
                BadKey::Locked,
            ),
            (
                openssl("rsa -traditional -aes128 -passout pass:x", &small),
                BadKey::Locked,
            ),
            (small, BadKey::TooSmall),
            (pkcs1_of_4104_bits(), BadKey::TooLarge),
            (openssl("ec", &p256), BadKey::OtherKind),
            (p256, BadKey::OtherKind),
            (block("PRIVATE KEY"), BadKey::Broken),
            (block("RSA PRIVATE KEY"), BadKey::Broken),
        ] {
            assert_eq!(bad(&pem), Some(expected), "{pem}");
        }
    }
}
