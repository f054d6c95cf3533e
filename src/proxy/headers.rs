//! Identity and forwarding headers: which ones a client may not set, and which ones an upstream gets.
//!
//! Pure, and its own file, because this list is the wall between "who you are" and "who you say you are".

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

pub static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Whether only a trusted peer may set this header. The name is lower-case, as `http` keeps it. An underscore is
/// read as a dash: CGI and PHP make the same variable of `x_tenant_id` and of `x-tenant-id`.
pub fn is_reserved(name: &str) -> bool {
    // Nearly every header is turned away by its first letter.
    if !matches!(name.as_bytes().first(), Some(b'x' | b'f')) {
        return false;
    }
    let name = &*dashed(name);
    name.starts_with("x-ficus-")
        || name.starts_with("x-forwarded-")
        || matches!(
            name,
            "forwarded" | "x-tenant-id" | "x-user-id" | "x-user-tier"
        )
}

/// Whether nobody at all may set this header towards an upstream: what ficus decided, and every underscore twin. A
/// trusted load balancer that takes `x-tenant-id` from clients may well pass `x_tenant_id` on.
pub fn is_ours(name: &str) -> bool {
    if !matches!(name.as_bytes().first(), Some(b'x' | b'f')) {
        return false;
    }
    let is_twin = name.contains('_');
    match &*dashed(name) {
        "x-ficus-tenant" | "x-ficus-capability" | "x-ficus-revision" => true,
        "x-request-id" => is_twin,
        dashed => is_twin && is_reserved(dashed),
    }
}

fn dashed(name: &str) -> Cow<'_, str> {
    match name.contains('_') {
        true => Cow::Owned(name.replace('_', "-")),
        false => Cow::Borrowed(name),
    }
}

/// A request id that a peer may hand us: what a UUID or a trace id looks like, so that it is safe in any log.
pub fn is_request_id(text: &str) -> bool {
    (8..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// What names a request that nobody has named yet: its `traceparent`, and the trace id in it as request id. One
/// allocation for both, since every request has them.
pub fn fresh_ids() -> (HeaderValue, HeaderValue) {
    let text = Bytes::copy_from_slice(&spell(fresh_trace(), rand::random()));
    let request_id = HeaderValue::from_maybe_shared(text.slice(TRACE_ID));
    let traceparent = HeaderValue::from_maybe_shared(text);
    // Hex digits and dashes are a value.
    let none = |_| HeaderValue::from_static("none");
    (
        request_id.unwrap_or_else(none),
        traceparent.unwrap_or_else(none),
    )
}

/// The trace id that a request id is, if it is one: 32 hex digits, as [`fresh_ids`] writes it, or fewer.
pub fn trace_of(request_id: &str) -> Option<u128> {
    let trace = u128::from_str_radix(request_id, 16).ok();
    trace.filter(|trace| *trace != 0)
}

/// A `traceparent` in this trace, with a new span.
pub fn traceparent(trace: u128) -> HeaderValue {
    let text = spell(trace, rand::random());
    HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("none"))
}

/// Where the trace id stands in a `traceparent`.
const TRACE_ID: Range<usize> = 3..35;
const SPAN_ID: Range<usize> = 36..52;

/// 128 random bits; never zero, which W3C forbids.
pub fn fresh_trace() -> u128 {
    rand::random::<u128>() | 1
}

/// `00-{trace id}-{span id}-{flags}` of W3C Trace Context, level 1; sampling is left to those who trace.
fn spell(trace: u128, span: u64) -> [u8; 55] {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    hex(&mut text[TRACE_ID], &trace.to_be_bytes());
    hex(&mut text[SPAN_ID], &(span | 1).to_be_bytes());
    text
}

fn hex(text: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

/// Whether a client's `traceparent` is one: version 00, lower-case hex, no zero ids.
pub fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(5, '-').collect();
    let hex = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let nonzero = |part: &str| part.bytes().any(|b| b != b'0');
    match parts[..] {
        ["00", trace, span, flags] => {
            hex(trace, 32) && hex(span, 16) && hex(flags, 2) && nonzero(trace) && nonzero(span)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn identity_headers_and_their_twins_are_reserved() {
        for name in [
            "x-tenant-id",
            "x_tenant_id",
            "x-tenant_id",
            "x-user-id",
            "x_user_tier",
            "x-ficus-tenant",
            "x_ficus_tenant",
            "x-ficus_anything",
            "x-forwarded-for",
            "x_forwarded_host",
            "forwarded",
        ] {
            assert!(is_reserved(name), "{name}");
        }
        for name in [
            "x-request-id",
            "from",
            "x-requested-with",
            "x-csrf-token",
            "host",
            "x-forward",
            "cookie",
        ] {
            assert!(!is_reserved(name), "{name}");
        }
    }

    #[test]
    fn what_ficus_decides_is_nobody_elses_to_say() {
        for name in ["x-ficus-tenant", "x_ficus_capability", "x-ficus_revision"] {
            assert!(is_ours(name) && is_reserved(name), "{name}");
        }
        for name in ["x-ficus-debug", "x-tenant-id", "x-forwarded-for", "host"] {
            assert!(!is_ours(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_mix_of_dashes_and_underscores_is_a_way_around(
            name in prop::sample::select(vec![
                "x-ficus-tenant", "x-forwarded-for", "forwarded", "x-tenant-id", "x-user-id", "x-user-tier",
            ]),
            flips in prop::collection::vec(any::<bool>(), 16),
        ) {
            let flip = |(c, flip): (char, &bool)| if c == '-' && *flip { '_' } else { c };
            let spelt: String = name.chars().zip(flips.iter().cycle()).map(flip).collect();
            prop_assert!(is_reserved(&spelt), "{spelt}");
        }
    }

    #[test]
    fn our_traceparent_is_one() {
        for trace in [fresh_trace(), 1, u128::MAX] {
            assert!(is_traceparent(traceparent(trace).to_str().unwrap()));
        }
        assert!(is_traceparent(
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        ));
    }

    #[test]
    fn a_fresh_request_id_is_the_trace_of_its_traceparent() {
        let (request_id, traceparent) = fresh_ids();
        let (request_id, traceparent) =
            (request_id.to_str().unwrap(), traceparent.to_str().unwrap());
        assert!(is_request_id(request_id) && is_traceparent(traceparent));
        assert_eq!(&traceparent[TRACE_ID], request_id);
        assert_eq!(
            trace_of(request_id),
            u128::from_str_radix(request_id, 16).ok()
        );
        assert_ne!(fresh_ids().0, request_id);
    }

    #[test]
    fn what_is_no_traceparent_is_told_apart() {
        for text in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        ] {
            assert!(!is_traceparent(text), "{text}");
        }
    }

    #[test]
    fn a_request_id_holds_nothing_that_could_break_a_log() {
        assert!(is_request_id("018f2b1c-aaaa-bbbb-cccc-0123456789ab"));
        for text in [
            "short",
            "with space in it",
            "quote\"quote",
            &"a".repeat(65),
            "line\nbreak-line",
        ] {
            assert!(!is_request_id(text), "{text:?}");
        }
    }
}
