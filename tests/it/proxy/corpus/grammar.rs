//! HTTP/1.1 requests as RFC 9110 and 9112 write them, and not one byte more.
//!
//! Pure, and its own file, because it is the judge of everything that the proxy forwards: it refuses whatever two
//! origins could read in two ways, so it must forgive nothing that a real one might.

use super::framing::{Framing, chunks, framing};

/// A request, read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub target: String,
    /// In order; names as they are spelt, values without the blanks around them.
    pub fields: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    /// HTTP/1.0.
    pub is_old: bool,
}

/// How far the bytes go.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Not to the end yet. `waits`: the head is there, and its sender waits for 100 before it sends the body.
    More { waits: bool },
    /// To the end of a request, which took this many of them.
    Whole(Request, usize),
}

/// What is wrong, in words.
pub type Fault = &'static str;

impl Request {
    /// All values of a field, in order.
    pub fn all<'a>(&'a self, name: &str) -> Vec<&'a [u8]> {
        let same = |(n, _): &&'a (String, Vec<u8>)| n.eq_ignore_ascii_case(name);
        self.fields
            .iter()
            .filter(same)
            .map(|(_, v)| v.as_slice())
            .collect()
    }
}

/// Reads one request from the front of `bytes`.
pub fn read(bytes: &[u8]) -> Result<Step, Fault> {
    let Some(end) = find(bytes, b"\r\n\r\n") else {
        // What is wrong already will not become right.
        check_line_ends(bytes)?;
        if let Some(first) = find(bytes, b"\r\n") {
            request_line(&bytes[..first])?;
        }
        return Ok(Step::More { waits: false });
    };
    check_line_ends(&bytes[..end + 4])?;
    let mut lines = split_lines(&bytes[..end]);
    let (method, target, is_old) = request_line(lines.next().unwrap_or_default())?;
    let fields = lines.map(field).collect::<Result<Vec<_>, _>>()?;
    let mut request = Request {
        method,
        target,
        fields,
        body: Vec::new(),
        is_old,
    };
    check_host(&request)?;
    let waits = request
        .all("expect")
        .iter()
        .any(|v| v.eq_ignore_ascii_case(b"100-continue"));
    let rest = &bytes[end + 4..];
    let body = match framing(&request)? {
        Framing::None => Some((Vec::new(), 0)),
        Framing::Length(length) => rest.get(..length).map(|body| (body.to_vec(), length)),
        Framing::Chunks => chunks(rest)?,
    };
    Ok(match body {
        Some((body, used)) => {
            request.body = body;
            Step::Whole(request, end + 4 + used)
        }
        None => Step::More { waits },
    })
}

pub fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|w| w == mark)
}

pub fn split_lines(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut done = false;
    std::iter::from_fn(move || {
        if done {
            return None;
        }
        Some(match find(bytes, b"\r\n") {
            Some(at) => {
                let line = &bytes[..at];
                bytes = &bytes[at + 2..];
                line
            }
            None => {
                done = true;
                bytes
            }
        })
    })
}

/// CR and LF come as a pair or not at all (RFC 9112, 2.2). The last byte may be the first of a pair.
pub fn check_line_ends(bytes: &[u8]) -> Result<(), Fault> {
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'\r' if bytes.get(at + 1).is_some_and(|next| *next != b'\n') => {
                return Err("a CR alone");
            }
            b'\n' if at == 0 || bytes[at - 1] != b'\r' => return Err("an LF alone"),
            _ => {}
        }
    }
    Ok(())
}

fn is_token(text: &[u8]) -> bool {
    let part = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    !text.is_empty() && text.iter().all(part)
}

fn request_line(line: &[u8]) -> Result<(String, String, bool), Fault> {
    if line.is_empty() {
        return Err("an empty line before the request");
    }
    let parts: Vec<&[u8]> = line.split(|b| *b == b' ').collect();
    let [method, target, version] = parts[..] else {
        return Err("a request line that is not three words");
    };
    if !is_token(method) {
        return Err("a method that is no token");
    }
    if version != b"HTTP/1.1" && version != b"HTTP/1.0" {
        return Err("another version than 1.1 and 1.0");
    }
    // Browsers send more than RFC 3986 allows, such as "[" and "|"; what no client sends, and what ends a target for
    // some parser, is refused.
    if target
        .iter()
        .any(|b| !(0x21..0x7f).contains(b) || *b == b'#')
    {
        return Err("a byte in the target that belongs into none");
    }
    let absolute = target.starts_with(b"http://") || target.starts_with(b"https://");
    if !(target.starts_with(b"/") || absolute || (target == b"*" && method == b"OPTIONS")) {
        return Err("a target of no form that an origin takes");
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((text(method), text(target), version == b"HTTP/1.0"))
}

pub fn field(line: &[u8]) -> Result<(String, Vec<u8>), Fault> {
    if line.first().is_some_and(|b| matches!(b, b' ' | b'\t')) {
        return Err("a folded line");
    }
    let colon = line.iter().position(|b| *b == b':');
    let (name, value) = line.split_at(colon.ok_or("a field without a colon")?);
    if !is_token(name) {
        return Err("a field's name that is no token");
    }
    let value = value[1..].trim_ascii();
    if value
        .iter()
        .any(|b| (*b < 0x20 && *b != b'\t') || *b == 0x7f)
    {
        return Err("a control byte in a field");
    }
    let name = String::from_utf8_lossy(name).into_owned();
    Ok((name, value.to_vec()))
}

/// One Host, and one that every parser takes for the same (RFC 9112, 3.2).
fn check_host(request: &Request) -> Result<(), Fault> {
    let hosts = request.all("host");
    let [host] = hosts[..] else {
        return Err("not exactly one Host");
    };
    let part = |b: &u8| b.is_ascii_alphanumeric() || b"-._~:[]".contains(b);
    if host.is_empty() || !host.iter().all(part) {
        return Err("a Host that is none");
    }
    Ok(())
}

/// What a client agreed on with the proxy is not the origin's to know (RFC 9110, 7.6.1).
pub fn check_hop(request: &Request) -> Result<(), Fault> {
    for value in request.all("connection") {
        let text = String::from_utf8_lossy(value).to_ascii_lowercase();
        let known = |option: &str| matches!(option.trim(), "" | "close" | "keep-alive" | "upgrade");
        if !text.split(',').all(known) {
            return Err("a connection option of the client's");
        }
    }
    if !request
        .all("upgrade")
        .iter()
        .all(|v| v.eq_ignore_ascii_case(b"websocket"))
    {
        return Err("an upgrade that the proxy cannot follow");
    }
    for name in ["http2-settings", "keep-alive", "proxy-connection"] {
        if !request.all(name).is_empty() {
            return Err("a field of the client's own connection");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Step, check_hop, read};

    fn whole(bytes: &str) -> (String, usize) {
        match read(bytes.as_bytes()) {
            Ok(Step::Whole(request, used)) => (
                String::from_utf8(request.body).expect("text"),
                bytes.len() - used,
            ),
            other => panic!("{bytes:?}: {other:?}"),
        }
    }

    #[test]
    fn a_request_ends_where_its_framing_says() {
        let head = "POST /a?b HTTP/1.1\r\nHost: a\r\n";
        assert_eq!(whole(&format!("{head}\r\nrest")), (String::new(), 4));
        assert_eq!(
            whole(&format!("{head}Content-Length: 2\r\n\r\nhirest")),
            ("hi".to_owned(), 4)
        );
        let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
        assert_eq!(
            whole(&format!("{chunked}2\r\nhi\r\n0\r\n\r\nrest")),
            ("hi".to_owned(), 4)
        );
        assert_eq!(
            whole(&format!("{chunked}0\r\nx-sum: 1\r\n\r\n")),
            (String::new(), 0)
        );
    }

    #[test]
    fn what_is_cut_anywhere_is_not_whole_and_not_wrong() {
        let request = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\nx: y\r\n\r\n";
        for end in 0..request.len() {
            let step = read(&request.as_bytes()[..end]);
            assert_eq!(
                step,
                Ok(Step::More { waits: false }),
                "{:?}",
                &request[..end]
            );
        }
        assert_eq!(whole(request).0, "0123456789");
    }

    #[test]
    fn whatever_could_be_read_in_two_ways_is_wrong() {
        for (request, fault) in [
            ("GET / HTTP/1.1\nHost: a\r\n\r\n", "an LF alone"),
            ("GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", "a CR alone"),
            (
                "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
                "a request line that is not three words",
            ),
            (
                "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
                "another version than 1.1 and 1.0",
            ),
            (
                "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n",
                "a byte in the target that belongs into none",
            ),
            (
                "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
                "a target of no form that an origin takes",
            ),
            ("GET / HTTP/1.1\r\n\r\n", "not exactly one Host"),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
                "not exactly one Host",
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n",
                "a field's name that is no token",
            ),
            ("GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", "a folded line"),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n",
                "a control byte in a field",
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
                "a length that is no number",
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
                "two lengths",
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n",
                "codings other than one chunked",
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
                "a length and a coding",
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\na\r\n0\r\n\r\n",
                "a chunk's size that is none",
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
                "a chunk that ends elsewhere than its size says",
            ),
        ] {
            assert_eq!(read(request.as_bytes()), Err(fault), "{request:?}");
        }
    }

    #[test]
    fn what_a_client_agrees_on_with_the_proxy_is_wrong_behind_it() {
        let checked = |fields: &str| {
            let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
            match read(request.as_bytes()) {
                Ok(Step::Whole(request, _)) => check_hop(&request),
                other => panic!("{other:?}"),
            }
        };
        for fields in ["Connection: x-own", "Upgrade: h2c", "Keep-Alive: 5"] {
            assert!(checked(fields).is_err(), "{fields}");
        }
        assert_eq!(checked("Connection: Upgrade\r\nUpgrade: websocket"), Ok(()));
    }
}
