//! The tenant from a header that a trusted peer sets.
//!
//! Its own file for one rule: whoever may write this header may be any tenant, so only a trusted peer is believed.
//! The proxy strips the header from everybody else's requests; it is checked here all the same.

use http::HeaderName;

use super::{Facts, Named, Unresolved};

pub(super) fn resolve<'a>(name: &HeaderName, facts: &Facts<'a>) -> Result<Named<'a>, Unresolved> {
    let mut values = facts.headers.get_all(name).into_iter();
    let Some(value) = values.next() else {
        return Err(Unresolved::NoProof);
    };
    if !facts.peer_trusted {
        return Err(Unresolved::Untrusted);
    }
    // Also when both say the same: whoever writes the header twice has not removed what came in.
    if values.next().is_some() {
        return Err(Unresolved::Ambiguous);
    }
    value
        .to_str()
        .ok()
        .and_then(Named::parse)
        .ok_or(Unresolved::Malformed)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};
    use proptest::prelude::*;

    use super::*;
    use crate::ids::TenantId;

    const NAME: HeaderName = HeaderName::from_static("x-tenant-id");

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(NAME, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    fn read(headers: &HeaderMap, peer_trusted: bool) -> Result<Named<'_>, Unresolved> {
        resolve(
            &NAME,
            &Facts {
                headers,
                host: None,
                target: "/",
                sni: None,
                peer_trusted,
            },
        )
    }

    #[test]
    fn a_trusted_peer_names_a_tenant_by_id_or_slug() {
        assert_eq!(read(&headers(&[b"42"]), true), Ok(Named::Id(TenantId(42))));
        assert_eq!(
            read(&headers(&[b"Acme"]), true),
            Ok(Named::Slug("acme".into()))
        );
    }

    #[test]
    fn an_untrusted_peer_names_nobody() {
        assert_eq!(read(&headers(&[b"42"]), false), Err(Unresolved::Untrusted));
    }

    #[test]
    fn without_the_header_there_is_no_proof() {
        assert_eq!(read(&headers(&[]), true), Err(Unresolved::NoProof));
        assert_eq!(read(&headers(&[]), false), Err(Unresolved::NoProof));
    }

    #[test]
    fn a_second_value_makes_it_ambiguous() {
        assert_eq!(
            read(&headers(&[b"42", b"43"]), true),
            Err(Unresolved::Ambiguous)
        );
        assert_eq!(
            read(&headers(&[b"42", b"42"]), true),
            Err(Unresolved::Ambiguous)
        );
    }

    #[test]
    fn what_is_neither_id_nor_slug_is_refused() {
        for value in [&b""[..], b"0", b"42, 43", b"a b", b"\xff"] {
            assert_eq!(
                read(&headers(&[value]), true),
                Err(Unresolved::Malformed),
                "{value:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn an_untrusted_peer_never_names_a_tenant(value in "[ -~]{0,80}", twice: bool) {
            let values = if twice { vec![value.as_bytes(); 2] } else { vec![value.as_bytes()] };
            let headers = headers(&values);
            prop_assert_eq!(read(&headers, false), Err(Unresolved::Untrusted));
        }
    }
}
