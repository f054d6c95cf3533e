//! The links in a mail that lead back here: clicks, the open pixel, unsubscribing.
//!
//! Its own folder, because two kinds of links arrive: ours, which are signed and name no target, and legacy's, which stand in
//! old mails for years and carry theirs. From neither does a reader get anywhere but to a target that was stored.
//!
//! A link is `/c/{message}.{link}.{mac}`, `/o/{message}.{mac}` or `/u/{message}.{mac}`. The MAC is HMAC-SHA-256 over the
//! purpose, the tenant, the message and the link, each behind its length, cut to 16 bytes: nobody guesses 128 bits, and
//! the URL stays short. The tenant is not in the link: whoever looks the message up knows it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use uuid::Uuid;

use crate::ids::TenantId;
use crate::secret::Secret;

pub mod legacy;
pub mod rewrite;
pub mod target;

const MAC_BYTES: usize = 16;
/// Bytes of a key: as many as the hash gives (RFC 2104, section 3).
const KEY_BYTES: usize = 32;
/// One transparent pixel, the one that legacy sends.
pub const PIXEL: &[u8; 42] = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x01D\0;";

/// What a link is for. A MAC for one is none for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The message's link of this number, from 0.
    Click(u16),
    Open,
    Unsubscribe,
}

/// The keys that links are signed with: the first signs, all verify. It does not print.
pub struct LinkKeys {
    first: Hmac<Sha256>,
    older: Vec<Hmac<Sha256>>,
}

/// A key that is too short to be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key for links has at least {KEY_BYTES} bytes")]
pub struct ShortKey;

impl LinkKeys {
    pub fn new(first: &Secret, older: &[Secret]) -> Result<Self, ShortKey> {
        Ok(Self {
            first: keyed(first)?,
            older: older.iter().map(keyed).collect::<Result<_, _>>()?,
        })
    }

    /// The path of a link, to be put after the public address.
    pub fn path(&self, tenant: TenantId, message: Uuid, purpose: Purpose) -> String {
        let mac = authenticate(&self.first, tenant, message, purpose)
            .finalize()
            .into_bytes();
        let mac = URL_SAFE_NO_PAD.encode(&mac[..MAC_BYTES]);
        let message = URL_SAFE_NO_PAD.encode(message);
        match purpose {
            Purpose::Click(link) => format!("/c/{message}.{link}.{mac}"),
            Purpose::Open => format!("/o/{message}.{mac}"),
            Purpose::Unsubscribe => format!("/u/{message}.{mac}"),
        }
    }

    /// What the sender of an envelope is signed with ([`crate::engine::bounce::verp`]).
    pub(super) fn sign_bounce(&self, tenant: TenantId, message: Uuid) -> [u8; 32] {
        let mac = authenticate_parts(&self.first, "bounce", tenant, message, "");
        mac.finalize().into_bytes().into()
    }

    /// The path to which the gateway of this name reports on the message.
    pub(super) fn callback(&self, tenant: TenantId, message: Uuid, gateway: &str) -> String {
        let mac = authenticate_parts(&self.first, "callback", tenant, message, gateway);
        let mac = URL_SAFE_NO_PAD.encode(&mac.finalize().into_bytes()[..MAC_BYTES]);
        let message = URL_SAFE_NO_PAD.encode(message);
        format!("/webhooks/{gateway}/{message}.{mac}")
    }

    /// Whether `token`, the last part of such a path, is one of ours for this message, as [`callback_message`] reads it.
    pub(super) fn is_callback(
        &self,
        tenant: TenantId,
        message: Uuid,
        gateway: &str,
        token: &str,
    ) -> bool {
        let Some(mac) = token.split_once('.').and_then(|(_, mac)| sixteen(mac)) else {
            return false;
        };
        let is_ours = |key| {
            let expected = authenticate_parts(key, "callback", tenant, message, gateway);
            expected.verify_truncated_left(&mac).is_ok()
        };
        is_ours(&self.first) || self.older.iter().any(is_ours)
    }

    /// Whether `mac`, the front of one, is the bounce address's of this message.
    pub(super) fn is_bounce(&self, tenant: TenantId, message: Uuid, mac: &[u8]) -> bool {
        let is_ours = |key| {
            let expected = authenticate_parts(key, "bounce", tenant, message, "");
            expected.verify_truncated_left(mac).is_ok()
        };
        is_ours(&self.first) || self.older.iter().any(is_ours)
    }
}

/// Whose tenant is to be looked up before a callback's token is verified. `None`: it is none of ours.
pub(super) fn callback_message(token: &str) -> Option<Uuid> {
    let (message, mac) = token.split_once('.')?;
    sixteen(mac)?;
    Some(Uuid::from_bytes(sixteen(message)?))
}

/// A link as it came: whoever looks the message up may go on with [`Self::verify`].
#[derive(Clone)]
pub struct Unverified {
    message: Uuid,
    purpose: Purpose,
    mac: [u8; MAC_BYTES],
}

/// A link that we made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    message: Uuid,
    purpose: Purpose,
}

impl Unverified {
    /// `None`: no link of ours. Each link has one spelling.
    pub fn parse(path: &str) -> Option<Self> {
        let (kind, rest) = path.strip_prefix('/')?.split_once('/')?;
        let (rest, mac) = rest.rsplit_once('.')?;
        let (message, purpose) = match kind {
            "c" => {
                let (message, link) = rest.split_once('.')?;
                (message, Purpose::Click(number(link)?))
            }
            "o" => (rest, Purpose::Open),
            "u" => (rest, Purpose::Unsubscribe),
            _ => return None,
        };
        Some(Self {
            message: Uuid::from_bytes(sixteen(message)?),
            purpose,
            mac: sixteen(mac)?,
        })
    }

    /// Whose tenant is to be looked up.
    pub fn message(&self) -> Uuid {
        self.message
    }

    /// In constant time for each key. `tenant` is the message's.
    pub fn verify(&self, keys: &LinkKeys, tenant: TenantId) -> Option<Verified> {
        let is_ours = |key| {
            let mac = authenticate(key, tenant, self.message, self.purpose);
            mac.verify_truncated_left(&self.mac).is_ok()
        };
        let is_known = is_ours(&keys.first) || keys.older.iter().any(is_ours);
        is_known.then_some(Verified {
            message: self.message,
            purpose: self.purpose,
        })
    }
}

impl Verified {
    pub fn message(&self) -> Uuid {
        self.message
    }

    pub fn purpose(&self) -> Purpose {
        self.purpose
    }
}

fn keyed(key: &Secret) -> Result<Hmac<Sha256>, ShortKey> {
    let bytes = key.reveal().as_bytes();
    if bytes.len() < KEY_BYTES {
        return Err(ShortKey);
    }
    <Hmac<Sha256> as Mac>::new_from_slice(bytes).map_err(|_| ShortKey)
}

fn authenticate(
    key: &Hmac<Sha256>,
    tenant: TenantId,
    message: Uuid,
    purpose: Purpose,
) -> Hmac<Sha256> {
    let (name, link) = match purpose {
        Purpose::Click(link) => ("click", link.to_string()),
        Purpose::Open => ("open", String::new()),
        Purpose::Unsubscribe => ("unsubscribe", String::new()),
    };
    authenticate_parts(key, name, tenant, message, &link)
}

fn authenticate_parts(
    key: &Hmac<Sha256>,
    name: &str,
    tenant: TenantId,
    message: Uuid,
    link: &str,
) -> Hmac<Sha256> {
    let tenant = tenant.0.to_string();
    let parts: [&[u8]; 4] = [
        name.as_bytes(),
        tenant.as_bytes(),
        message.as_bytes(),
        link.as_bytes(),
    ];
    let mut mac = key.clone();
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac
}

fn sixteen(text: &str) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    // Padding and loose bits are refused by the engine: one spelling.
    let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
    (length == bytes.len()).then_some(bytes)
}

/// As [`LinkKeys::path`] writes it: no sign, no zero in front.
fn number(text: &str) -> Option<u16> {
    let number: u16 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MESSAGE: Uuid = Uuid::from_u128(0x0192_5f3e_8a00_7000_8000_0123_4567_89ab);
    const PURPOSES: [Purpose; 4] = [
        Purpose::Click(0),
        Purpose::Click(65_535),
        Purpose::Open,
        Purpose::Unsubscribe,
    ];

    fn secret(byte: &str) -> Secret {
        Secret::new(byte.repeat(KEY_BYTES))
    }

    fn keys() -> LinkKeys {
        LinkKeys::new(&secret("k"), &[]).unwrap()
    }

    fn verify(path: &str, tenant: i64) -> Option<Verified> {
        Unverified::parse(path)?.verify(&keys(), TenantId(tenant))
    }

    #[test]
    fn a_link_of_ours_is_known() {
        for purpose in PURPOSES {
            let path = keys().path(TenantId(2), MESSAGE, purpose);
            let verified = verify(&path, 2).unwrap();
            assert_eq!((verified.message(), verified.purpose()), (MESSAGE, purpose));
            assert_eq!(verify(&path, 3), None);
        }
    }

    #[test]
    fn a_link_is_the_same_for_years() {
        // Recomputed with Python's hmac; links in mails that are out depend on it.
        assert_eq!(
            keys().path(TenantId(2), MESSAGE, Purpose::Click(3)),
            "/c/AZJfPooAcACAAAEjRWeJqw.3.Si3KYrkg6OfpRTCgCOq5qg"
        );
    }

    #[test]
    fn a_mac_for_one_purpose_is_none_for_another() {
        let open = keys().path(TenantId(2), MESSAGE, Purpose::Open);
        assert_eq!(verify(&open.replace("/o/", "/u/"), 2), None);
        let click = keys().path(TenantId(2), MESSAGE, Purpose::Click(1));
        assert_eq!(verify(&click.replace(".1.", ".2."), 2), None);
    }

    #[test]
    fn an_older_key_still_verifies_and_an_unknown_one_does_not() {
        let path = keys().path(TenantId(2), MESSAGE, Purpose::Open);
        let rotated = LinkKeys::new(&secret("n"), &[secret("k")]).unwrap();
        let forgotten = LinkKeys::new(&secret("n"), &[]).unwrap();
        let link = Unverified::parse(&path).unwrap();
        assert!(link.verify(&rotated, TenantId(2)).is_some());
        assert!(link.verify(&forgotten, TenantId(2)).is_none());
        assert!(LinkKeys::new(&Secret::new("short"), &[]).is_err());
    }

    #[test]
    fn a_link_has_one_spelling() {
        let path = keys().path(TenantId(2), MESSAGE, Purpose::Click(3));
        for other in [
            path.replace(".3.", ".03."),
            path.replace(".3.", ".+3."),
            format!("{path}="),
            format!("{path}/"),
            path.replace("/c/", "/c//"),
            path.replace("/c/", "c/"),
        ] {
            assert!(Unverified::parse(&other).is_none(), "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_changed_byte_is_refused(which in 0_usize..4, at: prop::sample::Index, byte in 0x21_u8..0x7f) {
            let mut path = keys().path(TenantId(2), MESSAGE, PURPOSES[which]).into_bytes();
            let at = at.index(path.len());
            prop_assume!(path[at] != byte);
            path[at] = byte;
            prop_assert_eq!(verify(std::str::from_utf8(&path).unwrap(), 2), None);
        }

        #[test]
        fn garbage_is_no_link(path in "/[cou]/[A-Za-z0-9._-]{0,80}") {
            prop_assert!(verify(&path, 2).is_none());
        }
    }
}
