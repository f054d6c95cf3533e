//! Reads what `[engine]` says of links in mails.
//!
//! Its own file, because these keys concern nobody else in that section.

use super::address;
use super::section::Section;
use crate::engine::links::Config;
use crate::secret::Secret;

/// As many as the hash gives (RFC 2104, section 3).
const KEY_BYTES: usize = 32;
const SECRET_BYTES: usize = 16;

pub fn read(section: &mut Section<'_, '_>) -> Option<Config> {
    let public_url = section.optional("public_url", address::public_url);
    let key = section.secret("link_key", false, |text| word_of(KEY_BYTES, text));
    let old_keys = section.secret("link_keys_old", false, |text| {
        text.split_whitespace()
            .try_for_each(|key| word_of(KEY_BYTES, key))
    });
    let inbound_secret =
        section.secret("inbound_secret", false, |text| word_of(SECRET_BYTES, text));
    let bounce_domain = section.optional("bounce_domain", domain);
    let is_signed = key.as_ref().is_some_and(|key| !key.is_empty())
        && public_url.as_ref().is_some_and(Option::is_some);
    if matches!(bounce_domain, Some(Some(_))) && !is_signed {
        section.fault(
            "bounce_domain",
            "needs link_key, with which its addresses are signed, and public_url".to_owned(),
        );
    }
    let old_keys = old_keys?
        .reveal()
        .split_whitespace()
        .map(Secret::new)
        .collect();
    Some(Config {
        public_url: public_url?,
        key: key?,
        old_keys,
        inbound_secret: inbound_secret?,
        bounce_domain: bounce_domain?,
    })
}

/// An address of it has 60 bytes more, and 254 at most (RFC 5321, 4.5.3.1.3).
fn domain(text: &str) -> Result<String, String> {
    let fits = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    match text.len() <= 190 && text.split('.').all(fits) {
        true => Ok(text.to_owned()),
        false => Err("expected a domain such as \"bounces.example.com\"".to_owned()),
    }
}

fn word_of(least: usize, text: &str) -> Result<(), String> {
    if text.contains(char::is_whitespace) {
        return Err("has a blank in it".to_owned());
    }
    match text.len() < least {
        true => Err(format!(
            "has {} bytes; expected at least {least}",
            text.len()
        )),
        false => Ok(()),
    }
}
