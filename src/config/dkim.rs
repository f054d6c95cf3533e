//! Reads `[engine.dkim.DOMAIN]`.
//!
//! Its own file, because a key that cannot sign is a fault of the configuration: told at the start, not by the first mail.

use std::collections::BTreeMap;

use super::section::Section;
use crate::engine::mail::dkim::key::Key;
use crate::engine::mail::dkim::{
    EXPECTED_DOMAIN, EXPECTED_SELECTOR, Source, is_domain, is_selector,
};
use crate::secret::Secret;

/// From the section `[engine]`.
pub fn read(engine: &mut Section<'_, '_>) -> Option<BTreeMap<String, Source>> {
    let entries = engine.entries("dkim", None, (is_domain, EXPECTED_DOMAIN));
    let sources = entries
        .into_iter()
        .map(|(domain, section)| Some((domain, read_source(section)?)));
    sources.collect()
}

fn read_source(mut section: Section<'_, '_>) -> Option<Source> {
    let selector = section.text("selector", selector);
    let key = section.secret("key", true, check_key);
    section.finish();
    Some(Source {
        selector: selector?,
        key: key?,
    })
}

fn selector(text: &str) -> Result<String, String> {
    match is_selector(text) {
        true => Ok(text.to_owned()),
        false => Err(EXPECTED_SELECTOR.to_owned()),
    }
}

fn check_key(pem: &str) -> Result<(), String> {
    match Key::parse(&Secret::new(pem)) {
        Ok(_) => Ok(()),
        Err(bad) => Err(bad.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::valid;
    use crate::engine::mail::dkim::Signers;

    #[test]
    fn the_signers_are_made_of_what_was_read() {
        let config = valid("full").engine;
        let signers = Signers::new(&config.dkim).unwrap();
        let signer = signers.of_domain("news.example.com").expect("a signer");
        assert_eq!(signer.domain(), "example.com");
        assert_eq!(config.dkim["example.com"].selector, "2026a");
        assert!(!format!("{config:?}").contains("PRIVATE"));
    }
}
