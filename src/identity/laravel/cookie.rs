//! One cookie's value out of a request's `Cookie` headers, read as PHP reads them.
//!
//! Its own file, because the grammar is PHP's and not an RFC's: what PHP does not see as the session, we may not see either.

use http::HeaderMap;
use http::header::COOKIE;

use crate::laravel::envelope::TEXT_LIMIT;

/// The longest value that is looked at, percent-encoded: a sealed session id has 344 bytes.
pub const VALUE_LIMIT: usize = TEXT_LIMIT;

/// The longest that is looked at of a cookie that holds a session's data. Browsers keep no cookie of more than 4096 bytes.
pub const DATA_LIMIT: usize = 8192;

/// The value of the first cookie called `name`, still percent-encoded. Headers are read in their order, as one list.
pub fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    headers
        .get_all(COOKIE)
        .into_iter()
        .flat_map(|header| header.as_bytes().split(|&b| b == b';'))
        .find_map(|pair| {
            pair.trim_ascii_start()
                .strip_prefix(name.as_bytes())?
                .strip_prefix(b"=")
        })
        .map(<[u8]>::trim_ascii_end)
}

/// Percent-decodes into `buffer`, or answers `value` itself when there is nothing to decode.
/// `None`: too long for the buffer, or a `%` without two hexadecimal digits, which Laravel never writes.
pub fn decode<'a>(value: &'a [u8], buffer: &'a mut [u8; VALUE_LIMIT]) -> Option<&'a [u8]> {
    if value.len() > VALUE_LIMIT {
        return None;
    }
    if !value.contains(&b'%') {
        return Some(value);
    }
    let written = decode_into(value, buffer)?;
    Some(&buffer[..written])
}

/// As [`decode`], for a session's data, which may be as long as a cookie gets.
pub fn decode_long(value: &[u8]) -> Option<Vec<u8>> {
    if value.len() > DATA_LIMIT {
        return None;
    }
    let mut buffer = vec![0; value.len()];
    let written = decode_into(value, &mut buffer)?;
    buffer.truncate(written);
    Some(buffer)
}

/// `buffer` is as long as `value` at least.
fn decode_into(value: &[u8], buffer: &mut [u8]) -> Option<usize> {
    let (mut read, mut written) = (0, 0);
    while let Some(&byte) = value.get(read) {
        buffer[written] = match byte {
            b'%' => hex_digit(*value.get(read + 1)?)? << 4 | hex_digit(*value.get(read + 2)?)?,
            other => other,
        };
        read += if byte == b'%' { 3 } else { 1 };
        written += 1;
    }
    Some(written)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        lines
            .iter()
            .map(|line| (COOKIE, HeaderValue::from_bytes(line.as_bytes()).unwrap()))
            .collect()
    }

    fn found(lines: &[&str]) -> Option<String> {
        find(&headers(lines), "s").map(|value| String::from_utf8(value.to_vec()).unwrap())
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        assert_eq!(found(&["a=1; s=x=y; b=2"]).as_deref(), Some("x=y"));
        assert_eq!(found(&["a=1;s=x"]).as_deref(), Some("x"));
    }

    #[test]
    fn several_headers_are_one_list() {
        assert_eq!(found(&["a=1", "s=x", "s=y"]).as_deref(), Some("x"));
    }

    #[test]
    fn the_first_of_a_name_wins() {
        assert_eq!(found(&["s=x; s=y"]).as_deref(), Some("x"));
    }

    #[test]
    fn a_longer_or_shorter_name_is_another_cookie() {
        assert_eq!(found(&["ss=x; as=x; S=x; s; =s; a=s=x"]), None);
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn percent_signs_are_decoded_and_nothing_else() {
        assert_eq!(
            decode(b"a%3D%3d+%2B", &mut [0; VALUE_LIMIT]),
            Some(&b"a==++"[..])
        );
    }

    #[test]
    fn half_a_percent_sign_is_refused() {
        for value in [&b"%"[..], b"%3", b"%zz", b"a%+1", b"%%41"] {
            assert_eq!(decode(value, &mut [0; VALUE_LIMIT]), None, "{value:?}");
        }
    }

    #[test]
    fn a_value_beyond_the_limit_is_refused() {
        assert!(decode(&[b'a'; VALUE_LIMIT], &mut [0; VALUE_LIMIT]).is_some());
        assert!(decode(&[b'a'; VALUE_LIMIT + 1], &mut [0; VALUE_LIMIT]).is_none());
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back(value in prop::collection::vec(any::<u8>(), 0..VALUE_LIMIT / 3)) {
            let encoded: String = value.iter().map(|b| format!("%{b:02X}")).collect();
            let mut buffer = [0; VALUE_LIMIT];
            prop_assert_eq!(decode(encoded.as_bytes(), &mut buffer), Some(&value[..]));
        }

        #[test]
        fn garbage_never_panics(line in prop::collection::vec(0x20_u8..=0x7e, 0..300)) {
            let mut headers = HeaderMap::new();
            headers.append(COOKIE, HeaderValue::from_bytes(&line).unwrap());
            if let Some(value) = find(&headers, "") {
                let _ = decode(value, &mut [0; VALUE_LIMIT]);
            }
        }
    }
}
