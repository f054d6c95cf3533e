//! E-mail addresses and the names in front of them: what may stand in an envelope and in a header.
//!
//! Its own file, because everything that sends takes a [`Mailbox`], and an address that was not checked has no type to be passed in.
//!
//! The bounds are RFC 5321's (section 4.5.3.1) and the 254 bytes of its erratum 1690. Two forms that it knows are refused, as
//! providers refuse them: quoted local parts and addresses in brackets. A local part beyond ASCII needs a relay with
//! SMTPUTF8, which campaigns cannot count on.

use std::fmt;

/// Bytes in front of the `@`.
pub const LOCAL_LIMIT: usize = 64;
/// Bytes of a domain in its ASCII form.
pub const DOMAIN_LIMIT: usize = 255;
/// Bytes of both and the `@`: a path of 256 with its angle brackets.
pub const ADDRESS_LIMIT: usize = 254;
/// Bytes of a name. Legacy's columns have room for 255 characters.
pub const NAME_LIMIT: usize = 1020;
const LABEL_LIMIT: usize = 63;

/// Why a text is no address. None of them repeats the text: it is somebody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("the address is empty")]
    Empty,
    #[error("the address has no \"@\"")]
    NoAt,
    #[error("the address has a space, a line break or a control character")]
    Control,
    #[error("there is nothing in front of the \"@\"")]
    NoLocal,
    #[error("in front of the \"@\" there are more than {LOCAL_LIMIT} bytes")]
    LocalTooLong,
    #[error("in front of the \"@\" there is a letter outside ASCII, which few relays take")]
    LocalNotAscii,
    #[error("in front of the \"@\" there is a character that only quotes would allow")]
    LocalCharacter,
    #[error("in front of the \"@\" a dot stands first, last or beside another")]
    LocalDots,
    #[error("there is nothing after the \"@\"")]
    NoDomain,
    #[error("the domain is an address in brackets: expected a name")]
    DomainLiteral,
    #[error("the domain is longer than {DOMAIN_LIMIT} bytes")]
    DomainTooLong,
    #[error("the domain has an empty part, or one of more than {LABEL_LIMIT} bytes")]
    DomainLabel,
    #[error("the domain has a character that no domain has, or a hyphen at the end of a part")]
    DomainCharacter,
    #[error("the domain has no ASCII form (IDNA)")]
    DomainNotIdna,
    #[error("the address is longer than {ADDRESS_LIMIT} bytes")]
    TooLong,
    #[error("the name has a line break or a control character")]
    NameControl,
    #[error("the name is longer than {NAME_LIMIT} bytes")]
    NameTooLong,
}

/// A checked address. The domain is lower-case ASCII, and what stands in front of it as it was given.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address {
    text: String,
    at: usize,
}

impl Address {
    /// Spaces around the address are forgiven: imports have them.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let text = text.trim_matches(' ');
        if text.is_empty() {
            return Err(Fault::Empty);
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(Fault::Control);
        }
        let (local, domain) = text.rsplit_once('@').ok_or(Fault::NoAt)?;
        check_local(local)?;
        let domain = ascii_domain(domain)?;
        if local.len() + 1 + domain.len() > ADDRESS_LIMIT {
            return Err(Fault::TooLong);
        }
        Ok(Self {
            text: format!("{local}@{domain}"),
            at: local.len(),
        })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn local(&self) -> &str {
        &self.text[..self.at]
    }

    /// Lower-case ASCII, A-labels for other scripts.
    pub fn domain(&self) -> &str {
        &self.text[self.at + 1..]
    }

    /// Under which suppressions and bounces are kept: all lower-case, because no provider tells `Ann@` from `ann@`.
    pub fn folded(&self) -> String {
        self.text.to_ascii_lowercase()
    }
}

/// An address is personal data: a log gets its domain.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "***@{}", self.domain())
    }
}

/// An address and the name that readers see.
#[derive(Clone, PartialEq, Eq)]
pub struct Mailbox {
    address: Address,
    name: Option<String>,
}

impl Mailbox {
    /// An empty name is none.
    pub fn new(address: Address, name: Option<&str>) -> Result<Self, Fault> {
        let name = name.map(str::trim).filter(|name| !name.is_empty());
        if let Some(name) = name {
            if name.len() > NAME_LIMIT {
                return Err(Fault::NameTooLong);
            }
            if name.contains(char::is_control) {
                return Err(Fault::NameControl);
            }
        }
        Ok(Self {
            address,
            name: name.map(str::to_owned),
        })
    }

    pub fn address(&self) -> &Address {
        &self.address
    }

    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// RFC 5322's dot-atom.
fn check_local(local: &str) -> Result<(), Fault> {
    if local.is_empty() {
        return Err(Fault::NoLocal);
    }
    if !local.is_ascii() {
        return Err(Fault::LocalNotAscii);
    }
    if local.len() > LOCAL_LIMIT {
        return Err(Fault::LocalTooLong);
    }
    let is_atom = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b);
    if !local.bytes().all(is_atom) {
        return Err(Fault::LocalCharacter);
    }
    if local.split('.').any(str::is_empty) {
        return Err(Fault::LocalDots);
    }
    Ok(())
}

/// A domain's A-labels (UTS #46, not transitional), with the rules for host names.
pub fn ascii_domain(domain: &str) -> Result<String, Fault> {
    if domain.is_empty() {
        return Err(Fault::NoDomain);
    }
    if domain.starts_with('[') {
        return Err(Fault::DomainLiteral);
    }
    // No name of this length gets shorter in ASCII; the converter need not see it.
    if domain.len() > 4 * DOMAIN_LIMIT {
        return Err(Fault::DomainTooLong);
    }
    let ascii = if domain.is_ascii() {
        domain.to_ascii_lowercase()
    } else {
        idna::domain_to_ascii(domain).map_err(|_| Fault::DomainNotIdna)?
    };
    if ascii.len() > DOMAIN_LIMIT {
        return Err(Fault::DomainTooLong);
    }
    for label in ascii.split('.') {
        if label.is_empty() || label.len() > LABEL_LIMIT {
            return Err(Fault::DomainLabel);
        }
        let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if !label.bytes().all(fits) || label.starts_with('-') || label.ends_with('-') {
            return Err(Fault::DomainCharacter);
        }
    }
    Ok(ascii)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fault(text: &str) -> Fault {
        Address::parse(text).unwrap_err()
    }

    #[test]
    fn ordinary_addresses_are_taken() {
        for text in [
            "ann@example.com",
            "Ann.O'Hara+news@mail.example.co.uk",
            "a@b",
            "x{y}=z@example.test",
            "customer/department@example.com",
        ] {
            assert_eq!(Address::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn a_domain_becomes_lower_case_ascii_and_the_rest_stays() {
        let address = Address::parse(" Ann@BÜCHER.Example ").unwrap();
        assert_eq!(address.as_str(), "Ann@xn--bcher-kva.example");
        assert_eq!(address.local(), "Ann");
        assert_eq!(address.domain(), "xn--bcher-kva.example");
        assert_eq!(address.folded(), "ann@xn--bcher-kva.example");
        assert_eq!(
            Address::parse("a@straße.de").unwrap().domain(),
            "xn--strae-oqa.de"
        );
    }

    #[test]
    fn each_fault_is_told_apart() {
        for (text, expected) in [
            ("", Fault::Empty),
            ("   ", Fault::Empty),
            ("example.com", Fault::NoAt),
            ("a b@example.com", Fault::Control),
            ("a@example.com\r\nBcc: b@example.com", Fault::Control),
            ("a\0@example.com", Fault::Control),
            ("a@exam\u{a0}ple.com", Fault::Control),
            ("@example.com", Fault::NoLocal),
            ("jürgen@example.com", Fault::LocalNotAscii),
            ("\"a\"@example.com", Fault::LocalCharacter),
            ("a<b@example.com", Fault::LocalCharacter),
            ("a@b@example.com", Fault::LocalCharacter),
            (".a@example.com", Fault::LocalDots),
            ("a..b@example.com", Fault::LocalDots),
            ("a.@example.com", Fault::LocalDots),
            ("a@", Fault::NoDomain),
            ("a@[127.0.0.1]", Fault::DomainLiteral),
            ("a@example..com", Fault::DomainLabel),
            ("a@example.com.", Fault::DomainLabel),
            ("a@-example.com", Fault::DomainCharacter),
            ("a@exam_ple.com", Fault::DomainCharacter),
            ("a@example.com>", Fault::DomainCharacter),
            ("a@ex\u{fffd}mple.com", Fault::DomainNotIdna),
        ] {
            assert_eq!(fault(text), expected, "{text:?}");
        }
    }

    #[test]
    fn lengths_are_rfc_5321s() {
        let local = |bytes: usize| format!("{}@example.com", "a".repeat(bytes));
        assert!(Address::parse(&local(64)).is_ok());
        assert_eq!(fault(&local(65)), Fault::LocalTooLong);
        let label = "d".repeat(63);
        // 62 + 1 + 191: all of 254.
        let domain = format!("{label}.{label}.{label}");
        let whole = |bytes: usize| format!("{}@{domain}", "a".repeat(bytes));
        assert_eq!(Address::parse(&whole(62)).unwrap().as_str().len(), 254);
        assert_eq!(fault(&whole(63)), Fault::TooLong);
        assert_eq!(fault(&format!("a@{label}d.com")), Fault::DomainLabel);
        assert_eq!(
            fault(&format!("a@{domain}.{label}.d")),
            Fault::DomainTooLong
        );
        assert_eq!(
            fault(&format!("a@{}", "ü".repeat(2000))),
            Fault::DomainTooLong
        );
    }

    #[test]
    fn a_name_has_no_line_break() {
        let address = || Address::parse("ann@example.com").unwrap();
        for (name, kept) in [
            ("Ann", Some("Ann")),
            (" ", None),
            ("Łucja \"L\" <x>", Some("Łucja \"L\" <x>")),
        ] {
            assert_eq!(Mailbox::new(address(), Some(name)).unwrap().name(), kept);
        }
        assert_eq!(
            Mailbox::new(address(), Some("Ann\r\nBcc: b@example.com")),
            Err(Fault::NameControl)
        );
        assert_eq!(
            Mailbox::new(address(), Some(&"a".repeat(NAME_LIMIT + 1))),
            Err(Fault::NameTooLong)
        );
    }

    #[test]
    fn an_address_does_not_print() {
        let mailbox = Mailbox::new(Address::parse("ann@example.com").unwrap(), Some("Ann"));
        assert_eq!(format!("{mailbox:?}"), "Ok(***@example.com)");
    }

    proptest! {
        #[test]
        fn what_is_taken_fits_an_envelope(text in "\\PC{0,40}@\\PC{0,40}") {
            if let Ok(address) = Address::parse(&text) {
                let bytes = address.as_str().as_bytes();
                prop_assert!(bytes.len() <= ADDRESS_LIMIT);
                prop_assert!(bytes.iter().all(u8::is_ascii_graphic));
                prop_assert!(!bytes.iter().any(|b| b"<>()[]\\,;:\"".contains(b)));
                prop_assert_eq!(Address::parse(address.as_str()).unwrap(), address);
            }
        }
    }
}
