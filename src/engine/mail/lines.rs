//! The rules about lines that every byte of a mail keeps: CRLF and nothing else, at most 998 bytes between them.
//!
//! Its own file, because a relay that is given a bare CR or LF may see another mail in it (SMTP smuggling): bodies are made
//! right on the way in, and the finished bytes are held against the rule once more on the way out.

use std::borrow::Cow;

use super::Fault;

/// Bytes of a line without its end (RFC 5322, 2.1.1).
pub const LINE_LIMIT: usize = 998;

/// `text` with every line ended by CRLF, the last one too. It is borrowed where it was so already.
pub fn with_crlf(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let is_right = |at: usize| match bytes[at] {
        b'\r' => bytes.get(at + 1) == Some(&b'\n'),
        _ => at > 0 && bytes[at - 1] == b'\r',
    };
    if text.ends_with("\r\n") && memchr::memchr2_iter(b'\r', b'\n', bytes).all(is_right) {
        return text.into();
    }
    let mut made = String::with_capacity(text.len() + text.len() / 32 + 2);
    let mut from = 0;
    while let Some(found) = memchr::memchr2(b'\r', b'\n', &bytes[from..]) {
        let at = from + found;
        made.push_str(&text[from..at]);
        made.push_str("\r\n");
        let is_pair = bytes[at] == b'\r' && bytes.get(at + 1) == Some(&b'\n');
        from = at + 1 + usize::from(is_pair);
    }
    if from < text.len() || text.is_empty() {
        made.push_str(&text[from..]);
        made.push_str("\r\n");
    }
    made.into()
}

/// Holds a finished mail against the rule: no bare CR or LF, no NUL, no line that is too long, CRLF at its end.
pub fn check(mail: &[u8]) -> Result<(), Fault> {
    let mut from = 0;
    while let Some(found) = memchr::memchr3(b'\r', b'\n', b'\0', &mail[from..]) {
        let at = from + found;
        if mail[at] != b'\r' || mail.get(at + 1) != Some(&b'\n') {
            return Err(Fault::Control);
        }
        if found > LINE_LIMIT {
            return Err(Fault::Line);
        }
        from = at + 2;
    }
    match from == mail.len() && from > 0 {
        true => Ok(()),
        false => Err(Fault::Control),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_kind_of_line_end_becomes_crlf() {
        for (text, expected) in [
            ("", "\r\n"),
            ("a", "a\r\n"),
            ("a\n", "a\r\n"),
            ("a\rb\nc\r\nd", "a\r\nb\r\nc\r\nd\r\n"),
            ("a\n\r", "a\r\n\r\n"),
            ("a\r\r\n", "a\r\n\r\n"),
            ("\n.\n", "\r\n.\r\n"),
        ] {
            assert_eq!(with_crlf(text), expected, "{text:?}");
        }
        assert!(matches!(with_crlf("a\r\nb\r\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_mail_with_a_flaw_does_not_leave() {
        assert_eq!(check(b"a\r\n\r\nb\r\n"), Ok(()));
        for bytes in [
            &b"a\nb\r\n"[..],
            b"a\rb\r\n",
            b"a\r",
            b"a\0\r\n",
            b"a",
            b"",
            b"\r\n\n",
        ] {
            assert_eq!(check(bytes), Err(Fault::Control), "{bytes:?}");
        }
        let line = |length: usize| [vec![b'x'; length], b"\r\n".to_vec()].concat();
        assert_eq!(check(&line(LINE_LIMIT)), Ok(()));
        assert_eq!(check(&line(LINE_LIMIT + 1)), Err(Fault::Line));
    }

    proptest! {
        #[test]
        fn what_was_made_right_passes(text in "[a.\r\né]{0,40}") {
            let made = with_crlf(&text);
            prop_assert_eq!(check(made.as_bytes()), Ok(()));
            prop_assert_eq!(with_crlf(&made), made.clone());
        }
    }
}
