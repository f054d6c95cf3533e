//! Reads the keys of a `[[tenant]]` entry that is a `jwt`.
//!
//! Its own file, because these keys depend on one another: what a key must be is said by the algorithm.

use std::time::Duration;

use super::section::Section;
use super::{address, value};
use crate::identity::Jwt;
use crate::identity::jwt::claims::Expected;
use crate::identity::jwt::keys::KeySet;
use crate::identity::jwt::{Algorithm, KeySource, Place};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

pub fn read(section: &mut Section<'_, '_>) -> Option<Jwt> {
    let algorithm = if section.is_defaults() {
        None
    } else {
        let words = Algorithm::ALL.map(|algorithm| (algorithm.as_str(), algorithm));
        section.word("algorithm", &words)
    };
    let key = read_key(section, algorithm);
    let cookie = section.optional("token_cookie", value::cookie_name);
    let audience = section.list("audience", some_text);
    let issuer = section.optional("issuer", some_text);
    let leeway = section.duration("leeway", Duration::ZERO..=10 * MINUTE);
    let [tenant, user, tier] =
        ["tenant_claim", "user_claim", "tier_claim"].map(|name| section.optional(name, some_text));
    let cache_size = section.count("cache_size", 1..=10_000_000);
    Some(Jwt {
        algorithm: algorithm?,
        key: key?,
        cookie: cookie?,
        expected: Expected {
            audience: audience?,
            issuer: issuer?,
            leeway: i64::try_from(leeway?.as_secs()).ok()?,
            tenant: tenant?,
            user: user?,
            tier: tier?,
        },
        cache_size: cache_size?,
    })
}

fn read_key(section: &mut Section<'_, '_>, algorithm: Option<Algorithm>) -> Option<KeySource> {
    let given = (section.has("key"), section.has("key_url"));
    let key = section.secret("key", false, |text| match algorithm {
        Some(algorithm) => KeySet::of_text(algorithm, text).map(drop),
        // What is missing is told already.
        None => Ok(()),
    });
    let url = section.optional("key_url", address::key_url);
    let ttl = section.duration("key_ttl", SECOND..=WEEK);
    let timeout = section.duration("key_timeout", Duration::from_millis(10)..=MINUTE);
    match given {
        _ if section.is_defaults() => None,
        (true, true) => {
            section.fault_here("has both a key and a key_url; expected exactly one");
            None
        }
        (false, false) => {
            section.fault_here("has neither a key nor a key_url; expected exactly one");
            None
        }
        (true, false) => match key? {
            key if key.is_empty() => {
                section.fault("key", "is required");
                None
            }
            key => Some(KeySource::Inline(key)),
        },
        (false, true) => {
            let Some(url) = url? else {
                section.fault("key_url", "is required");
                return None;
            };
            if algorithm == Some(Algorithm::Hs256) {
                section.fault("key_url", "serves public keys, and HS256 has none: set key");
                return None;
            }
            Some(KeySource::Url(Place {
                url,
                algorithm: algorithm?,
                ttl: ttl?,
                timeout: timeout?,
            }))
        }
    }
}

/// An issuer, an audience or a claim: any text that a token may hold.
fn some_text(text: &str) -> Result<String, String> {
    match text.is_empty() || text.len() > 255 {
        true => Err("expected a text of 1 to 255 bytes".to_owned()),
        false => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::valid;
    use crate::identity::Resolver;

    #[test]
    fn a_token_is_read_as_the_file_says_it() {
        let config = valid("full");
        let Some(Resolver::Jwt(jwt)) = config.tenant.last() else {
            panic!("{:?}", config.tenant)
        };
        assert_eq!(jwt.algorithm, Algorithm::EdDsa);
        assert_eq!(jwt.cookie.as_deref(), Some("jwt"));
        let expected = Expected {
            audience: vec!["api".to_owned()],
            issuer: Some("https://id.example.com/".to_owned()),
            leeway: 0,
            tenant: Some("/app/tenant".to_owned()),
            user: Some("sub".to_owned()),
            tier: None,
        };
        assert_eq!(jwt.expected, expected);
    }
}
