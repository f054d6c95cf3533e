//! Where a body ends (RFC 9112, 6.3 and 7.1), without any of the leniencies.
//!
//! Its own file, because this is what smuggling is about.

use super::grammar::{Fault, Request, check_line_ends, field, find, split_lines};

pub enum Framing {
    None,
    Length(usize),
    Chunks,
}

/// RFC 9112, 6.3, without any of its leniencies.
pub fn framing(request: &Request) -> Result<Framing, Fault> {
    let lengths = request.all("content-length");
    let codings = request.all("transfer-encoding");
    match (&lengths[..], &codings[..]) {
        ([], []) => Ok(Framing::None),
        ([length], []) => {
            if length.is_empty() || !length.iter().all(u8::is_ascii_digit) {
                return Err("a length that is no number");
            }
            let text = std::str::from_utf8(length).unwrap_or_default();
            text.parse()
                .map(Framing::Length)
                .map_err(|_| "a length too large")
        }
        ([], [_]) if request.is_old => Err("a coding in HTTP/1.0"),
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunks),
        ([], _) => Err("codings other than one chunked"),
        (_, []) => Err("two lengths"),
        _ => Err("a length and a coding"),
    }
}

/// The body, and how many bytes its framing took. `None`: there are more to come.
pub fn chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Fault> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let Some(end) = find(&bytes[at..], b"\r\n") else {
            check_line_ends(&bytes[at..])?;
            return Ok(None);
        };
        let line = &bytes[at..at + end];
        if line.is_empty() || line.len() > 16 || !line.iter().all(u8::is_ascii_hexdigit) {
            return Err("a chunk's size that is none");
        }
        let text = std::str::from_utf8(line).unwrap_or_default();
        let size = usize::from_str_radix(text, 16).map_err(|_| "a chunk too large")?;
        at += end + 2;
        if size == 0 {
            return trailers(&bytes[at..]).map(|used| used.map(|used| (body, at + used)));
        }
        let Some(chunk) = at.checked_add(size).and_then(|end| bytes.get(at..end)) else {
            return Ok(None);
        };
        body.extend_from_slice(chunk);
        at += size;
        match bytes.get(at..at + 2) {
            Some(b"\r\n") => at += 2,
            Some(_) => return Err("a chunk that ends elsewhere than its size says"),
            None => return Ok(None),
        }
    }
}

fn trailers(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    if bytes.starts_with(b"\r\n") {
        return Ok(Some(2));
    }
    let Some(end) = find(bytes, b"\r\n\r\n") else {
        check_line_ends(bytes)?;
        return Ok(None);
    };
    check_line_ends(&bytes[..end + 4])?;
    for line in split_lines(&bytes[..end]) {
        let (name, _) = field(line)?;
        let name = name.to_ascii_lowercase();
        // RFC 9110, 6.5.1.
        if matches!(
            &*name,
            "host" | "content-length" | "transfer-encoding" | "authorization" | "cookie"
        ) {
            return Err("a trailer that belongs into the head");
        }
    }
    Ok(Some(end + 4))
}
