//! An address of an envelope, which cannot carry a second command into the conversation.
//!
//! Its own file, because this check is what stands between a recipient's row and SMTP injection.

use std::fmt;

use thiserror::Error;

/// RFC 5321, 4.5.3.1.3: a path has at most 256 octets, two of which are the angle brackets.
const LONGEST: usize = 254;
/// RFC 5321, 4.5.3.1.1.
const LONGEST_LOCAL: usize = 64;

/// `local@domain`, without angle brackets and without a display name. It may be of UTF-8 (RFC 6531). It does not print.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address(String);

/// Why a text is no address. It does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    #[error("an address needs a local part, an @ and a domain")]
    Incomplete,
    #[error("an address is longer than SMTP allows")]
    TooLong,
    #[error("an address has a character that SMTP does not allow there")]
    Character,
}

impl Address {
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        // The last one: a quoted local part may hold others.
        let (local, domain) = text.rsplit_once('@').ok_or(AddressError::Incomplete)?;
        if local.is_empty() || domain.is_empty() {
            return Err(AddressError::Incomplete);
        }
        if text.len() > LONGEST || local.len() > LONGEST_LOCAL {
            return Err(AddressError::TooLong);
        }
        if !is_local(local) || !is_domain(domain) {
            return Err(AddressError::Character);
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Only for a server that offers SMTPUTF8.
    pub fn is_international(&self) -> bool {
        !self.0.is_ascii()
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(***)")
    }
}

/// A dot-string, more lenient than RFC 5321 about where the dots stand: addresses like `a..b@docomo.ne.jp` exist.
fn is_local(text: &str) -> bool {
    match text.strip_prefix('"') {
        None => text.chars().all(|c| is_atext(c) || c == '.'),
        Some(rest) => rest.strip_suffix('"').is_some_and(is_quoted),
    }
}

/// What stands between the quotation marks: each mark and each backslash in it has a backslash before it.
fn is_quoted(text: &str) -> bool {
    let mut escaped = false;
    for c in text.chars() {
        if c.is_control() || is_line_end(c) || (c == '"' && !escaped) {
            return false;
        }
        escaped = c == '\\' && !escaped;
    }
    !escaped
}

fn is_atext(c: char) -> bool {
    match c {
        _ if c.is_ascii_alphanumeric() => true,
        _ if c.is_ascii() => "!#$%&'*+-/=?^_`{|}~".contains(c),
        _ => !c.is_control() && !c.is_whitespace() && !is_line_end(c),
    }
}

fn is_domain(text: &str) -> bool {
    let literal = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    if let Some(literal) = literal {
        return literal
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || ".:-".contains(c));
    }
    let is_label = |label: &str| {
        let mut chars = label.chars();
        !label.is_empty() && chars.all(|c| c.is_alphanumeric() || c == '-' || c == '_')
    };
    text.split('.').all(is_label)
}

/// Ends of lines that are no control characters.
fn is_line_end(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_have_for_an_address_is_one() {
        for text in [
            "bob@example.com",
            "b.o+b@sub.example.com",
            "a..b.@docomo.ne.jp",
            "\"b @ b\"@example.com",
            "\"a\\\"b\"@example.com",
            "bob@[192.0.2.1]",
            "bob@[IPv6:2001:db8::1]",
            "bob@localhost",
            "ünï@exämple.com",
        ] {
            assert_eq!(
                Address::parse(text).map(|it| it.as_str() == text),
                Ok(true),
                "{text}"
            );
        }
        assert!(Address::parse("ü@example.com").unwrap().is_international());
    }

    #[test]
    fn a_text_that_could_carry_a_command_is_refused() {
        for text in [
            "bob@example.com\r\nRCPT TO:<eve@example.com>",
            "bob\r@example.com",
            "bob\n@example.com",
            "\"bob\r\nx\"@example.com",
            "bob@example.com>\u{0}",
            "bob@example.com> SIZE=1",
            "<bob@example.com>",
            "bob smith@example.com",
            "bob@exam ple.com",
            "bob@example..com",
            "bob@example.com.",
            "\"bob\\\"@example.com",
            "\"b\"b\"@example.com",
            "bob@[1.2.3.4]]",
            "bob\u{85}@example.com",
            "bob\u{2028}@example.com",
        ] {
            assert_eq!(
                Address::parse(text),
                Err(AddressError::Character),
                "{text:?}"
            );
        }
        for text in ["", "bob", "@example.com", "bob@"] {
            assert_eq!(
                Address::parse(text),
                Err(AddressError::Incomplete),
                "{text:?}"
            );
        }
        let long = format!("{}@example.com", "b".repeat(65));
        assert_eq!(Address::parse(&long), Err(AddressError::TooLong));
    }

    #[test]
    fn an_address_does_not_print() {
        let address = Address::parse("bob@example.com").unwrap();
        assert_eq!(format!("{address:?}"), "Address(***)");
    }
}
