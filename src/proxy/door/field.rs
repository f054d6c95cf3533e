//! The parts of a head, each against its grammar (RFC 9110, 5 and 7.2; RFC 9112, 3 and 6).
//!
//! Its own file, because these are questions about a few bytes, answered without a state; [`super::head`] asks them.

use crate::identity::normalise_host;

/// A longer method is nobody's: the longest that is registered has 17 letters.
const LONGEST_METHOD: usize = 32;

/// tchar of RFC 9110, 5.6.2.
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        byte += 1;
    }
    table
};

/// Whether a line has no control byte but tabs: none of NUL, a lone CR, DEL. Bytes above ASCII are the application's.
pub fn is_clean(line: &[u8]) -> bool {
    // Without an early end, so that sixteen bytes are looked at in one step.
    line.iter().fold(true, |clean, &b| {
        clean & ((b >= 0x20) | (b == b'\t')) & (b != 0x7f)
    })
}

pub fn is_method(method: &[u8]) -> bool {
    (1..=LONGEST_METHOD).contains(&method.len()) && method.iter().all(|b| TOKEN[usize::from(*b)])
}

/// Visible ASCII. What RFC 3986 wants encoded and browsers do not encode (`|`, `{`, `^` …) is let through as it is, since
/// it means the same to everybody; a fragment never leaves a client that knows what it does.
pub fn is_target(target: &[u8]) -> bool {
    !target.is_empty()
        && target.iter().fold(true, |fine, &b| {
            fine & (b > 0x20) & (b < 0x7f) & (b != b'#')
        })
}

/// Where the authority of an absolute target stands in it. `None`: the target is neither absolute nor of our schemes.
pub fn authority_of(target: &[u8]) -> Option<(usize, usize)> {
    let scheme = [&b"http://"[..], b"https://"].into_iter().find(|s| {
        target
            .get(..s.len())
            .is_some_and(|t| t.eq_ignore_ascii_case(s))
    })?;
    let rest = &target[scheme.len()..];
    let end = rest.iter().position(|b| matches!(b, b'/' | b'?'));
    let authority = &rest[..end.unwrap_or(rest.len())];
    is_host(authority).then(|| (scheme.len(), scheme.len() + authority.len()))
}

/// The length of a field's name: everything before the colon, which is at least one byte and nothing but a token.
pub fn name_length(line: &[u8]) -> Option<usize> {
    let length = line.iter().position(|b| !TOKEN[usize::from(*b)])?;
    (length > 0 && line[length] == b':').then_some(length)
}

/// Without blanks around it.
pub fn trim(value: &[u8]) -> &[u8] {
    let mut value = value;
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// A name or an address, perhaps with a port: what [`normalise_host`] makes something of.
pub fn is_host(host: &[u8]) -> bool {
    std::str::from_utf8(host).is_ok_and(|host| normalise_host(host).is_some())
}

/// Digits and nothing else, below 2^63: no sign, no list, no other base.
pub fn length_of(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Whether it is well formed, ends in chunks, and has codings before them that we do not speak.
pub fn is_coding_unknown(value: &[u8]) -> bool {
    let mut codings = value.split(|b| *b == b',').map(trim).rev();
    codings
        .next()
        .is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"))
        && codings.all(|c| {
            !c.is_empty()
                && !c.eq_ignore_ascii_case(b"chunked")
                && c.iter().all(|b| TOKEN[usize::from(*b)])
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_digits() {
        assert_eq!(length_of(b"0"), Some(0));
        assert_eq!(length_of(b"007"), Some(7));
        assert_eq!(
            length_of(b"999999999999999999"),
            Some(999_999_999_999_999_999)
        );
        for bad in [
            &b""[..],
            b"+1",
            b"-1",
            b"1,1",
            b"1 1",
            b"0x1",
            b"1e3",
            b"\xb2",
            b"9999999999999999999",
        ] {
            assert_eq!(length_of(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn an_absolute_target_has_its_authority() {
        assert_eq!(authority_of(b"http://a.example:80/x?y"), Some((7, 19)));
        assert_eq!(authority_of(b"HTTPS://[::1]"), Some((8, 13)));
        for bad in [
            &b"http:/a"[..],
            b"http:///x",
            b"ftp://a/",
            b"http://u@a/",
            b"a:443",
            b"http://a\\b/",
        ] {
            assert_eq!(authority_of(bad), None, "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn only_codings_before_chunks_are_unknown_and_not_wrong() {
        assert!(is_coding_unknown(b"gzip, chunked") && is_coding_unknown(b"x , gzip,\tChunked"));
        for wrong in [
            &b"gzip"[..],
            b"chunked, gzip",
            b"chunked, chunked",
            b", chunked",
            b"a b, chunked",
            b"",
            b"xchunked",
        ] {
            assert!(!is_coding_unknown(wrong), "{}", wrong.escape_ascii());
        }
    }
}
