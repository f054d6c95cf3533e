//! A tenant as a request names it: an id or a slug, borrowed from the head.
//!
//! Its own file, because every resolver ends here, and because it may not allocate as `ids::TenantRef` does.

use std::borrow::Cow;

use crate::ids::{TenantId, TenantRef, is_slug};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named<'a> {
    Id(TenantId),
    Slug(Cow<'a, str>),
}

impl<'a> Named<'a> {
    /// The rules of `ids`, and one repair: upper case in a slug is folded, as host names and people write it.
    pub fn parse(text: &'a str) -> Option<Self> {
        if text.as_bytes().first()?.is_ascii_digit() {
            let id = text.parse::<i64>().ok()?;
            return (id > 0).then_some(Self::Id(TenantId(id)));
        }
        if is_slug(text) {
            return Some(Self::Slug(Cow::Borrowed(text)));
        }
        // The length first: what can be no slug is not copied.
        if text.len() > 63 {
            return None;
        }
        let folded = text.to_ascii_lowercase();
        is_slug(&folded).then_some(Self::Slug(Cow::Owned(folded)))
    }

    /// Free of the head it was read from.
    pub fn into_owned(self) -> Named<'static> {
        match self {
            Self::Id(id) => Named::Id(id),
            Self::Slug(slug) => Named::Slug(Cow::Owned(slug.into_owned())),
        }
    }
}

impl From<Named<'_>> for TenantRef {
    fn from(named: Named<'_>) -> Self {
        match named {
            Named::Id(id) => Self::Id(id),
            Named::Slug(slug) => Self::Slug(slug.into_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn upper_case_in_a_slug_is_folded() {
        assert_eq!(Named::parse("Acme"), Some(Named::Slug("acme".into())));
    }

    #[test]
    fn a_lower_case_slug_is_borrowed() {
        assert!(matches!(
            Named::parse("acme"),
            Some(Named::Slug(Cow::Borrowed("acme")))
        ));
    }

    #[test]
    fn nothing_else_is_repaired() {
        for text in [
            "",
            " acme",
            "acme ",
            "0",
            "+1",
            "1,2",
            "9x",
            "acme,acme",
            "acme/",
            "ärzte",
            "\u{212a}elvin",
        ] {
            assert_eq!(Named::parse(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_ids_on_the_folded_text(text in "[-a-zA-Z0-9_. é]{0,70}") {
            let ours = Named::parse(&text).map(TenantRef::from);
            prop_assert_eq!(ours, text.to_ascii_lowercase().parse::<TenantRef>().ok());
        }
    }
}
