//! The relaxed form of a header field and of a body (RFC 6376, 3.4.2 and 3.4.4), over which signatures are made.
//!
//! Its own file, because it is the part that both sides must do alike to the byte: what a relay may change on the way, folding
//! and spaces, is the same in this form, and everything else is not.

/// Adds the field to `out`, without the CRLF at its end.
pub fn relax_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend(name.to_ascii_lowercase());
    out.push(b':');
    // A CRLF within a value is a fold, and has a space behind it.
    let words = value.split(|b| is_space(*b) || matches!(b, b'\r' | b'\n'));
    for (index, word) in words.filter(|word| !word.is_empty()).enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        out.extend(word);
    }
}

/// Hands the body to `sink` piece by piece: it may have 25 MB, and is hashed as it comes.
pub fn relax_body(body: &[u8], mut sink: impl FnMut(&[u8])) {
    // Empty lines at the end do not count, and which are at the end is known behind them.
    let mut empty_lines = 0;
    for line in body.split(|b| *b == b'\n') {
        let line = trim_end(line.strip_suffix(b"\r").unwrap_or(line));
        if line.is_empty() {
            empty_lines += 1;
            continue;
        }
        for _ in 0..std::mem::take(&mut empty_lines) {
            sink(b"\r\n");
        }
        relax_line(line, &mut sink);
        sink(b"\r\n");
    }
}

/// A line that ends with no space.
fn relax_line(line: &[u8], sink: &mut impl FnMut(&[u8])) {
    let mut rest = line;
    while let Some(at) = memchr::memchr2(b' ', b'\t', rest) {
        sink(&rest[..at]);
        sink(b" ");
        let spaces = rest[at..].iter().take_while(|b| is_space(**b)).count();
        rest = &rest[at + spaces..];
    }
    sink(rest);
}

fn trim_end(line: &[u8]) -> &[u8] {
    let last = line.iter().rposition(|b| !is_space(*b));
    &line[..last.map_or(0, |last| last + 1)]
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn field(name: &str, value: &str) -> String {
        let mut out = Vec::new();
        relax_field(name.as_bytes(), value.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    fn body(text: &str) -> String {
        let mut out = Vec::new();
        relax_body(text.as_bytes(), |piece| out.extend(piece));
        String::from_utf8(out).unwrap()
    }

    /// RFC 6376, 3.4.5, example 1.
    #[test]
    fn the_example_of_rfc_6376_comes_out_as_it_says() {
        assert_eq!(field("A", " X"), "a:X");
        assert_eq!(field("B ", " Y\t\r\n\tZ  "), "b :Y Z");
        assert_eq!(body(" C \r\nD \t E\r\n\r\n\r\n"), " C\r\nD E\r\n");
    }

    #[test]
    fn a_body_without_a_line_is_nothing_and_a_line_gets_its_end() {
        for text in ["", "\r\n", " \t\r\n", "\r\n\r\n", " "] {
            assert_eq!(body(text), "", "{text:?}");
        }
        assert_eq!(body("a"), "a\r\n");
        assert_eq!(body("\r\n \r\na\r\n"), "\r\n\r\na\r\n");
    }

    #[test]
    fn a_field_without_a_value_has_its_colon() {
        assert_eq!(field("Subject", ""), "subject:");
        assert_eq!(field("Subject", " \r\n "), "subject:");
    }

    proptest! {
        #[test]
        fn spaces_at_the_ends_of_lines_and_lines_at_the_end_do_not_count(
            lines in prop::collection::vec("[ab\t ]{0,6}", 0..8),
            added in "[ \t]{0,3}",
            empty in 0..4_usize,
        ) {
            let plain: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            let padded: String = lines.iter().map(|line| format!("{line}{added}\r\n")).collect();
            prop_assert_eq!(body(&plain), body(&(padded + &"\r\n".repeat(empty))));
        }

        #[test]
        fn what_is_relaxed_stays_as_it_is(text in "[ab\t \r\n]{0,60}") {
            let text = text.replace('\r', "").replace('\n', "\r\n");
            let once = body(&text);
            prop_assert_eq!(body(&once), once.clone());
            prop_assert!(once.is_empty() || once.ends_with("\r\n") && !once.ends_with("\r\n\r\n"));
            prop_assert!(!once.contains("  ") && !once.contains('\t') && !once.contains(" \r\n"));
        }

        #[test]
        fn a_relay_may_fold_a_field_anew(words in prop::collection::vec("[a-z,;]{1,6}", 1..8)) {
            let folded = format!("  {} \t", words.join("\r\n\t "));
            prop_assert_eq!(field("To", &folded), format!("to:{}", words.join(" ")));
        }
    }
}
