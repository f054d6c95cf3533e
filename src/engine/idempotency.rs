//! Which two sends are one: the key of a message, and the fingerprint of what it says.
//!
//! Its own file, because a key that is made wrongly sends twice or not at all, and shows neither. A key is made of what the
//! message is for and never of a time, and each part carries its length: without that, tenant 1 with campaign 23 and
//! tenant 12 with campaign 3 would share keys.

use std::fmt;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::ids::TenantId;

/// Bytes of a key that a sender gives.
pub const KEY_LIMIT: usize = 255;

/// Unique among one tenant's messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key(String);

/// The text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key has 1 to {KEY_LIMIT} visible ASCII characters and no spaces")]
pub struct BadKey;

/// What a campaign's message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purpose<'a> {
    pub tenant: TenantId,
    pub campaign: i64,
    /// The recipient's id, and not the address, which may change while the campaign runs.
    pub recipient: &'a str,
    /// The step of a sequence, or the variant of a test: what the same recipient may get beside this. Empty: there is none.
    pub step: &'a str,
}

impl Key {
    /// The sender's own.
    pub fn given(text: &str) -> Result<Self, BadKey> {
        let fits = (1..=KEY_LIMIT).contains(&text.len());
        match fits && text.bytes().all(|b| b.is_ascii_graphic()) {
            true => Ok(Self(text.to_owned())),
            false => Err(BadKey),
        }
    }

    /// For a message whose sender gives none: SHA-256 over the parts, each behind its length.
    pub fn of(purpose: &Purpose<'_>) -> Self {
        let mut hash = Sha256::new_with_prefix(b"ficus message key 1");
        for part in [
            purpose.tenant.0.to_string().as_str(),
            &purpose.campaign.to_string(),
            purpose.recipient,
            purpose.step,
        ] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        // No sender's key begins like this by accident, and one that does collides with its own tenant's only.
        Self(format!("auto:{}", Hex(&hash.finalize())))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As the database keeps it: 128 bits of SHA-256, whatever its length.
    pub fn digest(&self) -> [u8; 16] {
        first_half(Sha256::digest(&self.0).into())
    }
}

/// What a message says, as 128 bits of SHA-256: under one key it must not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 16]);

impl Fingerprint {
    /// Of the message as JSON. The order of an object's members and the white space do not matter; everything else does,
    /// and so may the spelling of a number with a fraction.
    pub fn of(body: &Value) -> Self {
        let mut hash = Sha256::new_with_prefix(b"ficus message body 1");
        write_canonical(body, &mut hash);
        Self(first_half(hash.finalize().into()))
    }
}

/// Two of a tenant's messages meet in 128 bits by accident once in 2^64; whoever looks for such a pair meets nobody's but their own.
fn first_half([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..]: [u8; 32]) -> [u8; 16] {
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}

/// What is there already under a key that comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The same message: answer as the first time.
    Same,
    /// Another message under the same key: refuse it, nobody can know which was meant.
    Conflict,
}

/// Compares the fingerprint that is stored with the one that came.
pub fn compare(stored: &Fingerprint, came: &Fingerprint) -> Seen {
    match stored == came {
        true => Seen::Same,
        false => Seen::Conflict,
    }
}

/// Each value behind a letter for its kind, and each text and list behind its length, so that no two bodies read alike.
/// The recursion is as deep as the JSON, which serde_json bounds at 128.
fn write_canonical(value: &Value, hash: &mut Sha256) {
    let write_text = |hash: &mut Sha256, kind: &[u8; 1], text: &str| {
        hash.update(kind);
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    };
    match value {
        Value::Null => hash.update(b"n"),
        Value::Bool(true) => hash.update(b"t"),
        Value::Bool(false) => hash.update(b"f"),
        Value::Number(number) => write_text(hash, b"#", &number.to_string()),
        Value::String(text) => write_text(hash, b"s", text),
        Value::Array(items) => {
            hash.update(b"[");
            hash.update((items.len() as u64).to_be_bytes());
            for item in items {
                write_canonical(item, hash);
            }
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            hash.update(b"{");
            hash.update((members.len() as u64).to_be_bytes());
            for (name, value) in members {
                write_text(hash, b"k", name);
                write_canonical(value, hash);
            }
        }
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn purpose(tenant: i64, campaign: i64) -> Purpose<'static> {
        Purpose {
            tenant: TenantId(tenant),
            campaign,
            recipient: "7",
            step: "",
        }
    }

    #[test]
    fn two_tenants_do_not_share_a_key() {
        assert_ne!(Key::of(&purpose(1, 23)), Key::of(&purpose(12, 3)));
    }

    #[test]
    fn a_key_is_the_same_on_every_day_and_every_machine() {
        // Recomputed with Python's hashlib; stored keys depend on it.
        assert_eq!(
            Key::of(&purpose(1, 23)).as_str(),
            "auto:705d45fc9b671deac7821bc785e92090b2ee5dfca7f3c0c0ae34961939aaef4d"
        );
    }

    #[test]
    fn a_second_step_is_another_message() {
        let second = Purpose {
            step: "2",
            ..purpose(1, 23)
        };
        assert_ne!(Key::of(&second), Key::of(&purpose(1, 23)));
    }

    #[test]
    fn a_senders_key_is_short_and_visible() {
        let longest = "k".repeat(KEY_LIMIT);
        for key in ["a", "order-17/welcome", &longest] {
            assert_eq!(Key::given(key).unwrap().as_str(), key);
        }
        for key in ["", "a b", "a\n", "ä", "a\0", &format!("{longest}k")] {
            assert_eq!(Key::given(key), Err(BadKey), "{key:?}");
        }
    }

    fn fingerprint(json: &str) -> Fingerprint {
        Fingerprint::of(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn the_order_of_members_is_no_difference() {
        let stored = fingerprint(r#"{"a": 1, "b": {"x": [1, 2], "y": null}}"#);
        let again = fingerprint(r#"{"b":{"y":null,"x":[1,2]},"a":1}"#);
        assert_eq!(compare(&stored, &again), Seen::Same);
    }

    #[test]
    fn another_body_under_the_same_key_is_a_conflict() {
        let bodies = [
            json!({"to": "a", "text": "b"}),
            json!({"to": "a", "text": "c"}),
            json!({"to": "a"}),
            json!({"to": "a", "text": null}),
            json!({"to": ["a"], "text": "b"}),
            json!({"to": "a", "text": "b", "n": 1}),
            json!({"to": "a", "text": "b", "n": "1"}),
            json!({"to": "a", "text": "b", "n": true}),
            json!([["a"], []]),
            json!([[], ["a"]]),
            json!(["a", "b"]),
            json!(["ab"]),
        ];
        for (i, one) in bodies.iter().enumerate() {
            for (k, other) in bodies.iter().enumerate() {
                let seen = compare(&Fingerprint::of(one), &Fingerprint::of(other));
                assert_eq!(seen == Seen::Same, i == k, "{one} {other}");
            }
        }
    }

    proptest! {
        #[test]
        fn the_same_digits_cut_elsewhere_are_another_key(digits in "[1-9]{4,12}", one: [prop::sample::Index; 2], other: [prop::sample::Index; 2]) {
            let cut = |at: &[prop::sample::Index; 2]| {
                let mut at = at.map(|at| 1 + at.index(digits.len() - 1));
                at.sort_unstable();
                at
            };
            let key = |[first, second]: [usize; 2]| {
                let tenant = TenantId(digits[..first].parse().unwrap());
                let campaign = digits[first..second].parse().unwrap_or_default();
                Key::of(&Purpose { tenant, campaign, recipient: &digits[second..], step: "" })
            };
            prop_assert_eq!(key(cut(&one)) == key(cut(&other)), cut(&one) == cut(&other));
        }
    }
}
