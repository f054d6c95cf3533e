//! Telephone numbers that a text goes to, and what it may say that it comes from.
//!
//! Its own file, because a number that was not checked has no type to be passed in. The bounds are those of ITU-T E.164: a country's
//! code, which begins with no zero, and fifteen digits at most. What a shorter number than seven digits would reach is a service, not a person.

use std::fmt;

/// Why a text is no number or no sender. None of them repeats the text: it is somebody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("the number is empty")]
    Empty,
    #[error("the number has something in it that is no digit")]
    Character,
    #[error(
        "the number begins with a zero: expected the country's code, such as +49 in place of 0"
    )]
    National,
    #[error("the number has {0} digits: expected 7 to 15")]
    Length(usize),
    #[error(
        "the sender is no number, no short code and no name of 1 to 11 letters, digits and blanks"
    )]
    Sender,
}

/// A recipient's number: a plus and the digits.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Number(String);

impl Number {
    /// What people write between digits is forgiven. Without a plus the country's code is expected all the same.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let text = text.trim();
        let rest = text.strip_prefix('+').unwrap_or(text);
        let mut digits = String::with_capacity(16);
        digits.push('+');
        for c in rest.chars() {
            match c {
                '0'..='9' => digits.push(c),
                ' ' | '-' | '.' | '(' | ')' | '/' => {}
                _ => return Err(Fault::Character),
            }
        }
        match digits.len() - 1 {
            0 => Err(Fault::Empty),
            _ if digits.starts_with("+0") => Err(Fault::National),
            7..=15 => Ok(Self(digits)),
            length => Err(Fault::Length(length)),
        }
    }

    /// With the plus.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Without it.
    pub fn digits(&self) -> &str {
        &self.0[1..]
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Number(***)")
    }
}

/// Whom a text comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A number of the tenant's, with its country's code.
    Number(Number),
    /// Three to six digits, which a country's operators give out.
    ShortCode(String),
    /// Eleven characters at most, which nobody can answer (3GPP TS 23.040, section 9.1.2.5).
    Name(String),
    /// A vendor's name for a set of senders: Twilio's messaging service, Plivo's Powerpack.
    Pool(String),
}

impl Sender {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let text = text.trim();
        if is_pool(text) {
            return Ok(Self::Pool(text.to_owned()));
        }
        let is_digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if is_digits && (3..=6).contains(&text.len()) {
            return Ok(Self::ShortCode(text.to_owned()));
        }
        if let Ok(number) = Number::parse(text) {
            return Ok(Self::Number(number));
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || " -_&.".contains(c);
        let is_name = (1..=11).contains(&text.len())
            && text.chars().all(fits)
            && text.chars().any(|c| c.is_ascii_alphabetic());
        match is_name {
            true => Ok(Self::Name(text.to_owned())),
            false => Err(Fault::Sender),
        }
    }

    /// As vendors have it that want a plus.
    pub fn with_plus(&self) -> &str {
        match self {
            Self::Number(number) => number.as_str(),
            Self::ShortCode(text) | Self::Name(text) | Self::Pool(text) => text,
        }
    }

    /// As vendors have it that want none.
    pub fn bare(&self) -> &str {
        match self {
            Self::Number(number) => number.digits(),
            Self::ShortCode(text) | Self::Name(text) | Self::Pool(text) => text,
        }
    }
}

/// `MG` and 32 hexadecimal digits, or a UUID.
fn is_pool(text: &str) -> bool {
    let hex = |text: &str| text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    text.strip_prefix("MG").is_some_and(hex)
        || text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_between_digits_is_forgiven() {
        for text in [
            "+15550000201",
            "15550000201",
            " +1 (555) 000-0201 ",
            "+1.555.000/0201",
        ] {
            let number = Number::parse(text).unwrap();
            assert_eq!(
                (number.as_str(), number.digits()),
                ("+15550000201", "15550000201"),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for (text, fault) in [
            ("", Fault::Empty),
            ("+", Fault::Empty),
            ("0171 2345678", Fault::National),
            ("+0171 2345678", Fault::National),
            ("123456", Fault::Length(6)),
            ("+1234567890123456", Fault::Length(16)),
            ("++15550000201", Fault::Character),
            ("+1555x000201", Fault::Character),
            ("+1555000020١", Fault::Character),
            ("15550000201\n15550000202", Fault::Character),
            ("15550000201<15550000202", Fault::Character),
        ] {
            assert_eq!(Number::parse(text), Err(fault), "{text:?}");
        }
    }

    #[test]
    fn a_sender_is_a_number_a_short_code_a_name_or_a_pool() {
        let sender = |text| Sender::parse(text).unwrap();
        assert_eq!(sender("+1 555 000 0002").with_plus(), "+15550000002");
        assert_eq!(sender("+1 555 000 0002").bare(), "15550000002");
        assert_eq!(sender("12345"), Sender::ShortCode("12345".to_owned()));
        assert_eq!(sender("Acme Inc"), Sender::Name("Acme Inc".to_owned()));
        let service = "MG0123456789abcdef0123456789abcdef";
        assert_eq!(sender(service), Sender::Pool(service.to_owned()));
        let pack = "86bbb125-97bb-4d72-89fd-81d5c515b015";
        assert_eq!(sender(pack), Sender::Pool(pack.to_owned()));
        for text in ["", "12", "TwelveLetters", "a\nb", "Käse", "---", "01234567"] {
            assert_eq!(Sender::parse(text), Err(Fault::Sender), "{text:?}");
        }
    }
}
