//! A message's bytes as they go over the wire: lines that end in CRLF, and dots doubled where a line begins with one.
//!
//! Its own file, because a body that is written wrongly here is two messages to the server (SMTP smuggling).

use memchr::memchr2;

/// What ends a body that follows DATA (RFC 5321, 4.5.2), after a CRLF.
pub const END: &[u8] = b".\r\n";

/// What of a body decides how it may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Octets with each line ended by CRLF, without doubled dots: what SIZE declares (RFC 1870) and BDAT counts.
    pub size: u64,
    /// There is an octet above 127, so the server has to offer 8BITMIME.
    pub eight_bit: bool,
    /// There is one in a header, so the server has to offer SMTPUTF8.
    pub international: bool,
}

pub fn shape(body: &[u8]) -> Shape {
    let (mut size, mut header_ends, mut at) = (0, None, 0);
    for line in lines(body) {
        size += line.len() as u64 + 2;
        if line.is_empty() && header_ends.is_none() {
            header_ends = Some(at);
        }
        at += line.len();
    }
    // `at` counts without ends of lines, so the header is measured the same way.
    let in_header = header_ends.unwrap_or(at);
    let (mut seen, mut international) = (0, false);
    for line in lines(body) {
        if seen >= in_header {
            break;
        }
        international |= !line.is_ascii();
        seen += line.len();
    }
    Shape {
        size,
        eight_bit: !body.is_ascii(),
        international,
    }
}

/// The body as it follows DATA, with its end.
pub fn stuff(body: &[u8], out: &mut Vec<u8>) {
    out.reserve(body.len() + body.len() / 32 + END.len());
    for line in lines(body) {
        if line.first() == Some(&b'.') {
            out.push(b'.');
        }
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(END);
}

/// The body as it follows BDAT: as many octets as its shape says, and no end.
pub fn copy(body: &[u8], out: &mut Vec<u8>) {
    out.reserve(body.len() + body.len() / 32);
    for line in lines(body) {
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
    }
}

/// The lines without their ends. CRLF, a bare LF and a bare CR end one: what a server further on might take for an end
/// must be one here as well.
fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = body;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(at) = memchr2(b'\r', b'\n', rest) else {
            return Some(std::mem::take(&mut rest));
        };
        let (line, tail) = rest.split_at(at);
        let end = if tail.starts_with(b"\r\n") { 2 } else { 1 };
        rest = tail.get(end..).unwrap_or_default();
        Some(line)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stuffed(body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        stuff(body, &mut out);
        out
    }

    #[test]
    fn each_kind_of_line_end_becomes_crlf_and_a_leading_dot_is_doubled() {
        for (body, wire) in [
            (&b""[..], &b".\r\n"[..]),
            (b"a", b"a\r\n.\r\n"),
            (b"a\r\nb\nc\rd\r\n", b"a\r\nb\r\nc\r\nd\r\n.\r\n"),
            (b".\r\n..a\na.b", b"..\r\n...a\r\na.b\r\n.\r\n"),
            (b"a\n\r\nb", b"a\r\n\r\nb\r\n.\r\n"),
            // What smuggling tries: an end that only the next server sees.
            (
                b"a\r\n.\rMAIL FROM:<eve@x>\n",
                b"a\r\n..\r\nMAIL FROM:<eve@x>\r\n.\r\n",
            ),
            (b"a\n.\n", b"a\r\n..\r\n.\r\n"),
        ] {
            assert_eq!(stuffed(body), wire, "{:?}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn the_shape_tells_a_header_of_utf8_from_a_body_of_it() {
        let ascii = shape(b"Subject: x\r\n\r\nx");
        assert_eq!((ascii.eight_bit, ascii.international), (false, false));
        let body = shape("Subject: x\n\nö".as_bytes());
        assert_eq!((body.eight_bit, body.international), (true, false));
        let header = shape("Subject: ö\r\n\r\nx".as_bytes());
        assert_eq!((header.eight_bit, header.international), (true, true));
        let headers_only = shape("Subject: ö".as_bytes());
        assert!(headers_only.international);
    }

    proptest! {
        #[test]
        fn a_server_reads_back_what_was_sent_and_sees_one_end(body in "[.a\r\n]{0,60}") {
            let wire = stuffed(body.as_bytes());
            let text = String::from_utf8(wire).unwrap();
            let (content, end) = text.split_at(text.len() - END.len());
            prop_assert_eq!(end.as_bytes(), END);
            let with_start = format!("\r\n{content}");
            prop_assert!(!with_start.contains("\r\n.\r\n"));
            let read: String = content
                .split_inclusive("\r\n")
                .map(|line| line.strip_prefix('.').unwrap_or(line))
                .collect();
            prop_assert!(!read.replace("\r\n", "").contains(['\r', '\n']));
            let mut copied = Vec::new();
            copy(body.as_bytes(), &mut copied);
            prop_assert_eq!(read.as_bytes(), &copied[..]);
            prop_assert_eq!(shape(body.as_bytes()).size, copied.len() as u64);
        }
    }
}
