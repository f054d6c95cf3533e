//! The envelope's sender, which is another for each message: to it a bounce comes back that tells nothing else.
//!
//! Its own file, because it is the one proof in a bounce that we made ourselves: the MAC in it says that the mail was ours.
//!
//! `b-{message, 32 digits}-{MAC, 24 digits}`: lower-case hexadecimal, because relays may change the case, and 59 of the 64
//! bytes that a local part has.

use uuid::Uuid;

use crate::engine::tracking::LinkKeys;
use crate::ids::TenantId;

const MAC_BYTES: usize = 12;

/// What an address to which a bounce came says, not yet verified.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Returned {
    message: Uuid,
    mac: [u8; MAC_BYTES],
}

/// The local part of the envelope's sender for this message.
pub fn local_part(keys: &LinkKeys, tenant: TenantId, message: Uuid) -> String {
    let mac = keys.sign_bounce(tenant, message);
    let mac: String = mac[..MAC_BYTES]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("b-{}-{mac}", message.simple())
}

impl Returned {
    /// Reads an address, or its local part. `None`: none of ours.
    pub fn parse(address: &str) -> Option<Self> {
        let local = address.split('@').next()?.to_ascii_lowercase();
        let (message, digits) = local.strip_prefix("b-")?.split_once('-')?;
        if message.len() != 32 || digits.len() != 2 * MAC_BYTES || !digits.is_ascii() {
            return None;
        }
        let mut mac = [0; MAC_BYTES];
        for (at, byte) in mac.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
        }
        let message = Uuid::try_parse(message).ok()?;
        Some(Self { message, mac })
    }

    /// Whose tenant is to be looked up.
    pub fn message(&self) -> Uuid {
        self.message
    }

    /// In constant time. `tenant` is the message's.
    pub fn is_ours(&self, keys: &LinkKeys, tenant: TenantId) -> bool {
        keys.is_bounce(tenant, self.message, &self.mac)
    }
}

/// A MAC prints nowhere.
impl std::fmt::Debug for Returned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "b-{}-***", self.message.simple())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn an_address_of_ours_is_known_in_any_case() {
        let keys = LinkKeys::new(&Secret::new("k".repeat(32)), &[]).unwrap();
        let message = Uuid::from_u128(7);
        let local = local_part(&keys, TenantId(2), message);
        assert_eq!(local.len(), 59);
        for address in [
            local.clone(),
            format!("{}@bounce.test", local.to_uppercase()),
        ] {
            let returned = Returned::parse(&address).unwrap();
            assert_eq!(returned.message(), message);
            assert!(returned.is_ours(&keys, TenantId(2)));
            assert!(!returned.is_ours(&keys, TenantId(3)));
        }
        let forged = format!("{}0", &local[..local.len() - 1]);
        let forged = if forged == local {
            format!("{}1", &local[..local.len() - 1])
        } else {
            forged
        };
        assert!(
            !Returned::parse(&forged)
                .unwrap()
                .is_ours(&keys, TenantId(2))
        );
        for address in [
            "",
            "b-",
            "ann@x.test",
            &local[1..],
            &format!("{local}0"),
            &local.replace('-', "é"),
        ] {
            assert_eq!(Returned::parse(address), None, "{address}");
        }
    }
}
