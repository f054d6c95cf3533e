//! Whose mails are signed, and by which of the keys that the configuration has.
//!
//! Its own file, because a mail is to be signed by its own sender's domain or not at all: DMARC (RFC 7489, 3.1.1) counts a
//! signature only if its domain is the one in From, or above it.

use std::collections::BTreeMap;

use super::{BadSigner, Signer};
use crate::secret::Secret;

/// What the configuration says of a domain, `[engine.dkim.DOMAIN]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub selector: String,
    /// PEM.
    pub key: Secret,
}

/// The signers by domain. Without any, nothing is signed.
#[derive(Debug, Default)]
pub struct Signers(BTreeMap<String, Signer>);

impl Signers {
    /// From a configuration that was checked; another one gives the first domain's fault.
    pub fn new(sources: &BTreeMap<String, Source>) -> Result<Self, BadSigner> {
        let signers = sources.iter().map(|(domain, source)| {
            let signer = Signer::new(domain, &source.selector, &source.key)?;
            Ok((domain.clone(), signer))
        });
        Ok(Self(signers.collect::<Result<_, BadSigner>>()?))
    }

    /// Who signs what comes from this domain, in lower case: its own signer, else that of the nearest domain above it.
    pub fn of_domain(&self, domain: &str) -> Option<&Signer> {
        let mut name = domain;
        loop {
            if let Some(signer) = self.0.get(name) {
                return Some(signer);
            }
            (_, name) = name.split_once('.')?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::RFC_8463_PEM;
    use super::*;

    fn signers(domains: &[&str]) -> Signers {
        let source = || Source {
            selector: "s".to_owned(),
            key: Secret::new(RFC_8463_PEM),
        };
        let sources = domains.iter().map(|it| ((*it).to_owned(), source()));
        Signers::new(&sources.collect()).unwrap()
    }

    #[test]
    fn a_domain_is_signed_for_by_itself_or_the_nearest_above_it() {
        let signers = signers(&["acorn.test", "news.acorn.test", "fig.test"]);
        for (domain, expected) in [
            ("acorn.test", Some("acorn.test")),
            ("news.acorn.test", Some("news.acorn.test")),
            ("a.b.news.acorn.test", Some("news.acorn.test")),
            ("shop.acorn.test", Some("acorn.test")),
            ("fig.test", Some("fig.test")),
            ("bigacorn.test", None),
            ("acorn.test.example", None),
            ("test", None),
            ("", None),
        ] {
            let found = signers.of_domain(domain).map(Signer::domain);
            assert_eq!(found, expected, "{domain:?}");
        }
        assert!(Signers::default().of_domain("acorn.test").is_none());
    }
}
