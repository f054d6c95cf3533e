//! A user as a proof names one: text that may stand in a header.
//!
//! Its own file, because upstreams believe these two headers: what cannot stand there is refused where it is made.

use std::fmt;

use http::HeaderValue;

/// Bytes of an id or a tier: a URL-shaped subject fits, a document does not.
const LIMIT: usize = 255;

/// Who is authenticated. Prints as `***`: an id may be an address.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    id: HeaderValue,
    tier: Option<HeaderValue>,
}

impl User {
    /// `None`: the id or the tier is empty, longer than 255 bytes, or not all visible ASCII.
    pub fn new(id: &str, tier: Option<&str>) -> Option<Self> {
        let tier = match tier {
            Some(tier) => Some(visible(tier)?),
            None => None,
        };
        Some(Self {
            id: visible(id)?,
            tier,
        })
    }

    pub fn id(&self) -> &str {
        // Visible ASCII by construction.
        self.id.to_str().unwrap_or_default()
    }

    pub fn tier(&self) -> Option<&str> {
        self.tier.as_ref().and_then(|tier| tier.to_str().ok())
    }

    /// As the upstream gets it.
    pub fn id_header(&self) -> &HeaderValue {
        &self.id
    }

    /// As the upstream gets it.
    pub fn tier_header(&self) -> Option<&HeaderValue> {
        self.tier.as_ref()
    }
}

fn visible(text: &str) -> Option<HeaderValue> {
    let fits = (1..=LIMIT).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    fits.then(|| HeaderValue::from_str(text).ok()).flatten()
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_bounded_visible_ascii() {
        let longest = "a".repeat(LIMIT);
        for id in ["7", "auth0|5f7c", "a,b:c=d", &longest] {
            assert_eq!(
                User::new(id, None).map(|u| u.id().to_owned()),
                Some(id.to_owned())
            );
        }
        for id in [
            "",
            " ",
            "a b",
            "a\r\nx: y",
            "ä",
            "\u{7f}",
            &format!("{longest}a"),
        ] {
            assert_eq!(User::new(id, None), None, "{id:?}");
        }
    }

    #[test]
    fn a_tier_that_cannot_stand_in_a_header_makes_no_user() {
        assert_eq!(User::new("7", Some("pro")).unwrap().tier(), Some("pro"));
        assert_eq!(User::new("7", Some("")), None);
        assert_eq!(User::new("7", Some("pro\n")), None);
    }

    #[test]
    fn a_user_does_not_print() {
        assert_eq!(
            format!("{:?}", User::new("ann@example.com", None)),
            "Some(***)"
        );
    }
}
