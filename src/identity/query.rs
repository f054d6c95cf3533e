//! The tenant from a parameter of the query: the weakest of all, since any link may set it.
//!
//! Its own file, because of how differently a query may be read: what another reader could take for a second value of
//! the parameter makes it ambiguous here.

use std::borrow::Cow;

use super::path::decode_percent;
use super::{Named, Unresolved};

/// The value of the parameter `name` in a request's target, as the tenant.
pub(super) fn resolve<'a>(name: &str, target: &'a str) -> Result<Named<'a>, Unresolved> {
    let named = match find(name, target)? {
        Cow::Borrowed(text) => Named::parse(text),
        Cow::Owned(text) => Named::parse(&text).map(Named::into_owned),
    };
    named.ok_or(Unresolved::Malformed)
}

/// The value itself, decoded.
pub(super) fn find<'a>(name: &str, target: &'a str) -> Result<Cow<'a, str>, Unresolved> {
    let query = target
        .split_once('?')
        .map_or("", |(_, query)| query)
        .split('#')
        .next()
        .unwrap_or_default();
    let mut values = query.split('&').filter_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        is_parameter(key, name).then_some(value)
    });
    let value = values.next().ok_or(Unresolved::NoProof)?;
    // Also when both say the same: readers differ in which one they take.
    if values.next().is_some() {
        return Err(Unresolved::Ambiguous);
    }
    Ok(decode(value))
}

/// Whether some reader takes `key` for `name`. PHP reads `name[]` and `name[x]` as the parameter `name`, drops blanks
/// before a key, and makes an underscore of each dot and blank in it; so both sides are compared in its form.
fn is_parameter(key: &str, name: &str) -> bool {
    // Nearly every key is turned away here, without a copy.
    if key == name {
        return true;
    }
    let key = decode(key);
    let key = key.trim_start_matches(' ');
    let key = key.split(['[', '\0']).next().unwrap_or_default();
    let folded = |c: char| if matches!(c, '.' | ' ') { '_' } else { c };
    key.chars().map(folded).eq(name.chars().map(folded))
}

fn decode(text: &str) -> Cow<'_, str> {
    match text.contains(['%', '+']) {
        true => Cow::Owned(decode_percent(&text.replace('+', " "))),
        false => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::TenantId;

    fn read(target: &str) -> Result<Named<'_>, Unresolved> {
        resolve("tenant", target)
    }

    #[test]
    fn the_parameter_names_the_tenant() {
        assert_eq!(read("/a?x=1&tenant=Acme&y"), Ok(Named::Slug("acme".into())));
        assert_eq!(read("/a?tenant=%34%32"), Ok(Named::Id(TenantId(42))));
        assert_eq!(
            read("/a?%74enant=acme#tenant=b"),
            Ok(Named::Slug("acme".into()))
        );
    }

    #[test]
    fn without_the_parameter_there_is_no_proof() {
        for target in [
            "/tenant=acme",
            "/a?",
            "/a",
            "/a?tenants=acme",
            "/a?Tenant=acme",
            "/a?x=tenant=acme",
            "/a#?tenant=acme",
        ] {
            let target = target.split('#').next().unwrap();
            assert_eq!(read(target), Err(Unresolved::NoProof), "{target}");
        }
    }

    #[test]
    fn what_any_reader_could_take_for_a_second_value_makes_it_ambiguous() {
        for second in [
            "tenant=other",
            "tenant=acme",
            "tenant",
            "%74enant=other",
            "tenant[]=other",
            "tenant%5B%5D=other",
            "tenant[x]=other",
            "+tenant=other",
            "%20tenant=other",
            "tenant%00x=other",
        ] {
            for target in [
                format!("/a?tenant=acme&{second}"),
                format!("/a?{second}&tenant=acme"),
            ] {
                assert_eq!(read(&target), Err(Unresolved::Ambiguous), "{target}");
            }
        }
        assert_eq!(
            resolve("tenant_id", "/a?tenant.id=1&tenant_id=2"),
            Err(Unresolved::Ambiguous)
        );
    }

    #[test]
    fn a_value_that_is_no_tenant_is_malformed() {
        for target in [
            "/a?tenant",
            "/a?tenant=",
            "/a?tenant=0",
            "/a?tenant=a%20b",
            "/a?tenant=acme;tenant",
            "/a?tenant=%ff",
            "/a?tenant=acme%00",
        ] {
            assert_eq!(read(target), Err(Unresolved::Malformed), "{target}");
        }
    }

    proptest! {
        #[test]
        fn no_target_panics(target in "\\PC{0,60}", name in "[a-z_.]{1,8}") {
            let _ = resolve(&name, &target);
        }
    }
}
