//! A mail's head taken apart, and which of its fields a signature is over.
//!
//! Its own file, because which fields are signed is a list that changes, while how signatures are made does not.

use super::Fault;
use super::canon::relax_field;

/// What is signed where it is present, in this order. `true`: once more than it is there, so that a field of this name that
/// somebody adds in front breaks the signature (RFC 6376, 8.15): readers show the first From and Subject.
const SIGNED: [(&str, bool); 12] = [
    ("from", true),
    ("reply-to", false),
    ("to", false),
    ("subject", true),
    ("date", false),
    ("message-id", false),
    ("mime-version", false),
    ("content-type", false),
    ("content-transfer-encoding", false),
    // RFC 8058, 4: without a signature over these two there is no button.
    ("list-unsubscribe", false),
    ("list-unsubscribe-post", false),
    ("x-campaign", false),
];

/// The fields in their order.
pub struct Head<'a>(Vec<Field<'a>>);

struct Field<'a> {
    name: &'a [u8],
    /// With its folds, without the CRLF at its end.
    value: &'a [u8],
}

impl<'a> Head<'a> {
    /// The head and the body. The lines of the mail are checked already; one without an empty line is all head.
    pub fn split(mail: &'a [u8]) -> Result<(Self, &'a [u8]), Fault> {
        let (mut fields, mut rest) = (Vec::new(), mail);
        while !rest.is_empty() {
            if let Some(body) = rest.strip_prefix(b"\r\n") {
                return Ok((Self(fields), body));
            }
            let (field, behind) = split_field(rest);
            fields.push(Field::parse(field).ok_or(Fault::Head)?);
            rest = behind;
        }
        Ok((Self(fields), rest))
    }

    /// The names for `h=`. A name stands there as often as the field is signed.
    pub fn signed_names(&self) -> Result<Vec<&'static str>, Fault> {
        if self.count("from") != 1 {
            return Err(Fault::From);
        }
        let times = |(name, twice): (&'static str, bool)| {
            std::iter::repeat_n(name, self.count(name) + usize::from(twice))
        };
        Ok(SIGNED.into_iter().flat_map(times).collect())
    }

    /// The relaxed form of the named fields, each with its CRLF. Of several under one name the last one is the first to be
    /// signed (RFC 6376, 5.4.2); a name without a field is nothing.
    pub fn relaxed(&self, names: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let before = names[..index].iter().filter(|it| *it == name).count();
            let mut of_name = self.0.iter().rev().filter(|field| field.is(name));
            if let Some(field) = of_name.nth(before) {
                relax_field(field.name, field.value, &mut out);
                out.extend(b"\r\n");
            }
        }
        out
    }

    fn count(&self, name: &str) -> usize {
        self.0.iter().filter(|field| field.is(name)).count()
    }
}

impl<'a> Field<'a> {
    fn parse(field: &'a [u8]) -> Option<Self> {
        let colon = memchr::memchr(b':', field)?;
        let (name, value) = (field[..colon].trim_ascii_end(), &field[colon + 1..]);
        let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
        is_name.then_some(Self { name, value })
    }

    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// The first field without its CRLF, and what is behind it. A line that begins with a space goes on with the field.
fn split_field(text: &[u8]) -> (&[u8], &[u8]) {
    for at in memchr::memmem::find_iter(text, b"\r\n") {
        if !matches!(text.get(at + 2), Some(b' ' | b'\t')) {
            return (&text[..at], &text[at + 2..]);
        }
    }
    (text, b"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(mail: &str) -> Result<(Head<'_>, &str), Fault> {
        let (head, body) = Head::split(mail.as_bytes())?;
        Ok((head, std::str::from_utf8(body).unwrap()))
    }

    #[test]
    fn a_field_goes_on_behind_its_folds_and_the_body_begins_behind_the_empty_line() {
        let (head, body) = split("To: a\r\n  b\r\nFrom : c\r\n\r\nd: e\r\n\r\nf").unwrap();
        assert_eq!(body, "d: e\r\n\r\nf");
        assert_eq!(
            head.relaxed(&["from", "to", "d"]),
            b"from:c\r\nto:a b\r\n".to_vec()
        );
        assert_eq!(split("To: a\r\n").unwrap().1, "");
        assert_eq!(split("To: a\r\n\r\n").unwrap().1, "");
    }

    #[test]
    fn what_is_no_head_is_refused() {
        for mail in [
            "To\r\n\r\n",
            ": a\r\n",
            " To: a\r\n",
            "T o: a\r\n",
            "\u{e9}: a\r\n",
        ] {
            assert_eq!(split(mail).err(), Some(Fault::Head), "{mail:?}");
        }
    }

    #[test]
    fn from_and_subject_are_signed_once_more_than_they_are_there() {
        let (head, _) = split("FROM: a\r\nX-Other: b\r\nDate: c\r\n").unwrap();
        assert_eq!(
            head.signed_names().unwrap(),
            ["from", "from", "subject", "date"]
        );
    }

    #[test]
    fn a_mail_with_no_sender_or_two_is_not_signed() {
        for mail in ["To: a\r\n", "From: a\r\nTo: b\r\nFrom: c\r\n"] {
            let (head, _) = split(mail).unwrap();
            assert_eq!(head.signed_names(), Err(Fault::From), "{mail:?}");
        }
    }

    #[test]
    fn of_several_fields_the_last_one_comes_first() {
        let (head, _) = split("From: x\r\nTo: a\r\nTo: b\r\n").unwrap();
        let names = head.signed_names().unwrap();
        assert_eq!(names.iter().filter(|name| **name == "to").count(), 2);
        assert_eq!(
            head.relaxed(&["to", "to", "to"]),
            b"to:b\r\nto:a\r\n".to_vec()
        );
    }
}
