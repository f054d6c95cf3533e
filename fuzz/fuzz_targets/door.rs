//! However bytes are cut, the door judges them alike, and where it sees a request, another parser sees the same one.
#![no_main]

use ficus::proxy::Limits;
use ficus::proxy::door::body::Body;
use ficus::proxy::door::head::{Checker, Framing, Head};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits {
    header_count: 50,
    header_bytes: 4096,
    uri_bytes: 1024,
    body_bytes: 0,
    min_rate: 0,
    untaken_bytes: 0,
    connections: 0,
    connections_per_ip: 0,
    requests: 0,
    tenant_requests: 0,
};

fuzz_target!(|bytes: &[u8]| {
    // A request or two after each other, as on a connection that is kept.
    let mut rest = bytes;
    for _ in 0..4 {
        let Some(head) = head_of(rest) else { return };
        let body = &rest[head.end..];
        let Some(end) = body_of(head.framing, body) else {
            return;
        };
        rest = &body[end..];
    }
});

/// The head at the beginning of `bytes`, if there is a good one.
fn head_of(bytes: &[u8]) -> Option<Head> {
    let whole = Checker::default().check(bytes, &LIMITS);
    let step = 1 + bytes.len() % 7;
    let mut checker = Checker::default();
    let cut = (step..bytes.len())
        .step_by(step)
        .chain([bytes.len()])
        .map(|end| checker.check(&bytes[..end], &LIMITS))
        .find(|verdict| !matches!(verdict, Ok(None)))
        .unwrap_or(Ok(None));
    let head = match (whole, cut) {
        (Ok(whole), Ok(cut)) => {
            assert_eq!(whole, cut, "in pieces of {step}");
            whole?
        }
        // A flaw in a part may show itself before another in the whole.
        (Err(_), Err(_)) => return None,
        (whole, cut) => panic!("whole {whole:?}, in pieces of {step} {cut:?}"),
    };
    agree(&bytes[..head.end], head);
    Some(head)
}

/// What another parser makes of a head that the door lets in.
fn agree(bytes: &[u8], head: Head) {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut fields);
    let end = request.parse(bytes).expect("a head that both take");
    assert_eq!(end, httparse::Status::Complete(head.end));
    let values = |name: &str| -> Vec<&[u8]> {
        let fields = request.headers.iter();
        let same = fields.filter(|field| field.name.eq_ignore_ascii_case(name));
        same.map(|field| field.value).collect()
    };
    assert!(values("host").len() <= 1);
    assert!(values("host").len() == 1 || request.version == Some(0));
    let lengths = values("content-length");
    let codings = values("transfer-encoding");
    match head.framing {
        Framing::Nothing => {
            assert!(codings.is_empty());
            assert!(
                lengths
                    .iter()
                    .all(|length| length.iter().all(|b| *b == b'0'))
            );
        }
        Framing::Length(length) => {
            assert!(codings.is_empty() && lengths.len() == 1);
            assert_eq!(std::str::from_utf8(lengths[0]).unwrap().parse(), Ok(length));
        }
        Framing::Chunked => {
            assert!(lengths.is_empty() && codings.len() == 1);
            assert!(codings[0].eq_ignore_ascii_case(b"chunked"));
        }
    }
}

/// Where the body ends, if it ends in `bytes`.
fn body_of(framing: Framing, bytes: &[u8]) -> Option<usize> {
    let mut body = Body::from(framing);
    let taken = body.take(bytes);
    let whole = taken.ok().filter(|_| body == Body::Done);
    let mut body = Body::from(framing);
    let mut at = 0;
    let mut failed = false;
    while body != Body::Done && at < bytes.len() {
        match body.take(&bytes[at..at + 1]) {
            Ok(taken) => at += taken,
            Err(_) => {
                failed = true;
                break;
            }
        }
    }
    let cut = Some(at).filter(|_| !failed && body == Body::Done);
    assert_eq!(whole, cut, "byte by byte");
    if framing == Framing::Chunked
        && let Some(end) = whole
    {
        let last = last_chunk(&bytes[..end]).expect("chunks that both take");
        assert!(bytes[last..end].ends_with(b"\r\n"));
    }
    whole
}

/// Where the last chunk's line ends, as another parser reads chunks.
fn last_chunk(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let Ok(httparse::Status::Complete((line, size))) = httparse::parse_chunk_size(&bytes[at..])
        else {
            return None;
        };
        at += line;
        if size == 0 {
            return Some(at);
        }
        at += usize::try_from(size).ok()?;
        at += bytes.get(at..)?.strip_prefix(b"\r\n").map(|_| 2)?;
    }
}
