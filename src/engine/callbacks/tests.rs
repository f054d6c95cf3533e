//! What the tests of all vendors share: an account, a request, and mutations of one.
//!
//! Its own file, because each vendor's vectors are held against the same ten thousand mutations.

use std::panic::{AssertUnwindSafe, catch_unwind};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::received::Received;
use super::report::{Refused, Report};
use crate::engine::sms::{Account, Gateway};

const MUTATIONS: usize = 10_000;

pub fn account(gateway: Gateway, key: &str, secret: &str) -> Account {
    Account::of(gateway, key, secret)
}

/// A request that a vendor has signed: where every byte that counts may stand.
#[derive(Clone)]
pub struct Signed {
    pub method: Method,
    pub url: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Signed {
    pub fn read(
        &self,
        read: impl Fn(&Received<'_>) -> Result<Report, Refused>,
    ) -> Result<Report, Refused> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| Refused::Forged)?;
            headers.insert(HeaderName::from_static(name), value);
        }
        let query = self.url.split_once('?').map_or("", |(_, query)| query);
        read(&Received {
            method: &self.method,
            urls: std::slice::from_ref(&self.url),
            query,
            headers: &headers,
            body: self.body.as_bytes(),
        })
    }

    /// The parts in which one byte is changed: URL, headers by place, body.
    fn part(&mut self, which: usize) -> &mut String {
        match which {
            0 => &mut self.url,
            1 => &mut self.body,
            other => &mut self.headers[other - 2].1,
        }
    }

    /// None of ten thousand changes of one byte passes, in the parts that are signed. `means_the_same` says which changes are none.
    pub fn assert_no_mutation_passes(
        &self,
        parts: &[usize],
        read: impl Fn(&Received<'_>) -> Result<Report, Refused>,
        means_the_same: impl Fn(&Self) -> bool,
    ) {
        assert!(self.read(&read).is_ok(), "{:?}", self.read(&read));
        let mut random = StdRng::seed_from_u64(15);
        let (mut tried, mut same) = (0, 0);
        while tried < MUTATIONS {
            let mut changed = self.clone();
            let part = changed.part(parts[random.random_range(0..parts.len())]);
            let at = random.random_range(0..part.len());
            let byte = char::from(random.random_range(0x20_u8..0x7f));
            if !part.is_char_boundary(at) || part[at..].starts_with(byte) {
                continue;
            }
            part.replace_range(at..=at, byte.encode_utf8(&mut [0; 4]));
            let what = (
                changed.url.clone(),
                changed.body.clone(),
                changed.headers.clone(),
            );
            if means_the_same(&changed) {
                same += 1;
                assert!(same < MUTATIONS, "every change means the same");
                continue;
            }
            tried += 1;
            let passed = catch_unwind(AssertUnwindSafe(|| changed.read(&read)));
            let passed = passed.unwrap_or_else(|_| panic!("it panics: {what:?}"));
            assert!(passed.is_err(), "it passes: {what:?}");
        }
    }
}
