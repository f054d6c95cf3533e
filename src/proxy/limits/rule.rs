//! `rate_limit` of a route: what it says, prepared, and how its counters are told to clients.
//!
//! Pure, and its own file, because the fields are a format of others: draft-ietf-httpapi-ratelimit-headers-10.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use http::{HeaderName, HeaderValue, header};
use sha2::{Digest, Sha256};

use super::client::{By, Known, Owner};
use super::gcra::{Rate, Taken};

pub static RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
pub static RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The policy's name in the fields, where the route gives none.
const DEFAULT_NAME: &str = "default";

/// `rate_limit` of a `[[route]]`, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimit {
    /// Routes of one name share their counters.
    pub name: Option<String>,
    pub quota: Quota,
    pub by: By,
    /// What holds in place of `quota` for users of a tier.
    pub tiers: BTreeMap<String, Quota>,
}

/// `1000/hour`, and how many of them may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    pub limit: u64,
    pub period: Period,
    pub burst: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    Second,
    Minute,
    Hour,
    Day,
}

impl Period {
    const WORDS: [(&'static str, Self); 4] = [
        ("second", Self::Second),
        ("minute", Self::Minute),
        ("hour", Self::Hour),
        ("day", Self::Day),
    ];

    fn seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }

    fn as_str(self) -> &'static str {
        let word = Self::WORDS.iter().find(|(_, period)| *period == self);
        word.map_or("second", |(word, _)| word)
    }
}

/// More than any single client sends; above it a step would be too short to be counted well.
const MOST: u64 = 1_000_000;

impl Quota {
    /// `1000/hour`, with all of it at once unless a burst is given.
    pub fn parse(text: &str, burst: Option<u64>) -> Result<Self, String> {
        let expected = || {
            r#"expected a rate such as "10/second", "600/minute", "1000/hour" or "5000/day", from 1 to 1000000"#.to_owned()
        };
        let (limit, period) = text.split_once('/').ok_or_else(expected)?;
        let limit = limit.parse().map_err(|_| expected())?;
        let period = Period::WORDS.iter().find(|(word, _)| *word == period);
        let (_, period) = period.ok_or_else(expected)?;
        match (1..=MOST).contains(&limit) {
            true => Ok(Self {
                limit,
                period: *period,
                burst: burst.unwrap_or(limit),
            }),
            false => Err(expected()),
        }
    }

    fn rate(self) -> Rate {
        Rate::new(
            self.limit,
            Duration::from_secs(self.period.seconds()),
            self.burst,
        )
    }
}

impl std::fmt::Display for Quota {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.limit, self.period.as_str())?;
        match self.burst == self.limit {
            true => Ok(()),
            false => write!(f, ", {} at once", self.burst),
        }
    }
}

/// The same, prepared.
pub struct Rule {
    pub by: By,
    base: Terms,
    tiers: Vec<(String, Terms)>,
}

/// One quota of a rule. Each has counters of its own.
pub struct Terms {
    pub rate: Rate,
    /// Which counters: the same in every process that reads the same words, and another when the quota changes, so that a
    /// raised limit holds at once.
    pub scope: [u8; 16],
    quota: Quota,
    name: String,
    policy: HeaderValue,
}

impl Rule {
    /// `route` tells the routes without a name apart.
    pub fn compile(said: &RateLimit, route: &str) -> Self {
        let terms = |tier: &str, quota: Quota| {
            let name = said.name.as_deref().unwrap_or(DEFAULT_NAME);
            let place = match &said.name {
                Some(name) => format!("name {name}"),
                None => format!("route {route}"),
            };
            let digest = Sha256::digest(format!("{place}\n{tier}\n{quota}"));
            let mut scope = [0; 16];
            scope.copy_from_slice(&digest[..16]);
            let (limit, window) = (quota.limit, quota.period.seconds());
            Terms {
                rate: quota.rate(),
                scope,
                quota,
                // Names are checked to need no escape in a quoted string.
                policy: HeaderValue::try_from(format!("\"{name}\";q={limit};w={window}"))
                    .unwrap_or(HeaderValue::from_static("\"default\"")),
                name: name.to_owned(),
            }
        };
        let tiers = said.tiers.iter();
        Self {
            by: said.by,
            base: terms("", said.quota),
            tiers: tiers
                .map(|(tier, quota)| (tier.clone(), terms(tier, *quota)))
                .collect(),
        }
    }

    /// What holds for whoever asks.
    pub fn terms(&self, known: &Known<'_>) -> &Terms {
        let tier = known
            .tier
            .and_then(|tier| self.tiers.iter().find(|(name, _)| name == tier));
        tier.map_or(&self.base, |(_, terms)| terms)
    }

    /// For `ficus explain`.
    pub fn describe(&self) -> String {
        let mut text = format!("at most {} by {}", self.base.quota, self.by.as_str());
        for (tier, terms) in &self.tiers {
            // Writing into a String cannot fail.
            let _ = write!(text, "; tier {tier}: {}", terms.quota);
        }
        text
    }
}

impl Terms {
    /// What another process names the same counter by; nobody's address or name can be read from it.
    pub fn shared_key(&self, owner: &Owner<'_>) -> String {
        let mut hash = Sha256::new();
        hash.update(self.scope);
        hash.update(owner.spelt());
        let digest = hash.finalize();
        let mut key = String::with_capacity(48);
        key.push_str("ficus:limit:");
        for byte in &digest[..16] {
            let _ = write!(key, "{byte:02x}");
        }
        key
    }

    pub fn allowance(&self, taken: Taken) -> Allowance {
        let seconds = whole_seconds(taken.next);
        let name = &self.name;
        let left = format!("\"{name}\";r={};t={seconds}", taken.left);
        Allowance {
            allowed: taken.allowed,
            policy: self.policy.clone(),
            left: HeaderValue::try_from(left)
                .unwrap_or(HeaderValue::from_static("\"default\";r=0")),
            retry_after: seconds,
        }
    }
}

/// What a request was told of its limit.
#[derive(Debug)]
pub struct Allowance {
    pub allowed: bool,
    policy: HeaderValue,
    left: HeaderValue,
    retry_after: u64,
}

impl Allowance {
    /// The fields of the answer.
    pub fn fields(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let retry =
            (!self.allowed).then(|| (header::RETRY_AFTER, HeaderValue::from(self.retry_after)));
        let told = [
            (RATELIMIT_POLICY.clone(), self.policy.clone()),
            (RATELIMIT.clone(), self.left.clone()),
        ];
        told.into_iter().chain(retry)
    }
}

/// Rounded up, and never 0: who came back at once would come too early.
fn whole_seconds(time: Duration) -> u64 {
    let up = u64::from(time.subsec_nanos() > 0);
    time.as_secs().saturating_add(up).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: Option<&str>, limit: &str, route: &str) -> Rule {
        let said = RateLimit {
            name: name.map(str::to_owned),
            quota: Quota::parse(limit, None).expect("a rate"),
            by: By::Tenant,
            tiers: BTreeMap::from([(
                "pro".to_owned(),
                Quota::parse("5000/hour", Some(10)).expect("a rate"),
            )]),
        };
        Rule::compile(&said, route)
    }

    fn told(allowance: &Allowance) -> Vec<String> {
        let fields = allowance.fields();
        fields
            .map(|(name, value)| format!("{name}: {}", value.to_str().expect("text")))
            .collect()
    }

    #[test]
    fn the_fields_are_those_of_the_draft() {
        let rule = rule(Some("payments"), "1000/hour", "");
        let terms = rule.terms(&Known::default());
        let (taken, _) = terms.rate.take(0, 1);
        assert_eq!(
            told(&terms.allowance(taken)),
            [
                "ratelimit-policy: \"payments\";q=1000;w=3600",
                "ratelimit: \"payments\";r=999;t=4"
            ]
        );
        let (refused, _) = terms.rate.take(u64::MAX, 1);
        let fields = told(&terms.allowance(refused));
        assert_eq!(
            fields[1..],
            ["ratelimit: \"payments\";r=0;t=4", "retry-after: 4"]
        );
    }

    #[test]
    fn nobody_is_told_to_come_back_at_once() {
        for (time, seconds) in [(0, 1), (1, 1), (1_000_000_000, 1), (1_000_000_001, 2)] {
            assert_eq!(whole_seconds(Duration::from_nanos(time)), seconds);
        }
    }

    #[test]
    fn a_tier_has_its_own_terms_and_whoever_has_none_the_others() {
        let rule = rule(None, "1000/hour", "/a");
        let of = |tier| {
            rule.terms(&Known {
                tier,
                ..Known::default()
            })
            .quota
            .to_string()
        };
        assert_eq!(of(Some("pro")), "5000/hour, 10 at once");
        assert_eq!(
            (of(Some("free")), of(None)),
            ("1000/hour".into(), "1000/hour".into())
        );
        assert_eq!(
            rule.describe(),
            "at most 1000/hour by tenant; tier pro: 5000/hour, 10 at once"
        );
    }

    #[test]
    fn counters_belong_to_a_name_or_a_route_and_to_a_quota() {
        let scope = |rule: Rule| rule.terms(&Known::default()).scope;
        let a = || scope(rule(None, "1000/hour", "/a"));
        assert_eq!(a(), a(), "a reload changes nothing");
        assert_ne!(a(), scope(rule(None, "1000/hour", "/b")));
        assert_ne!(a(), scope(rule(None, "1001/hour", "/a")));
        let named = |route| scope(rule(Some("n"), "1000/hour", route));
        assert_eq!(named("/a"), named("/b"));
        assert_ne!(named("/a"), a());
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for text in [
            "",
            "1000",
            "1000/",
            "/hour",
            "0/hour",
            "1000/week",
            "1000/Hour",
            "-1/hour",
            "1 /hour",
            "1000001/day",
            "1/hour/day",
        ] {
            assert!(Quota::parse(text, None).is_err(), "{text}");
        }
        for text in ["1/second", "600/minute", "1000/hour", "1000000/day"] {
            assert_eq!(Quota::parse(text, None).expect("a rate").to_string(), text);
        }
    }

    #[test]
    fn a_shared_key_tells_owners_apart_and_nothing_of_them() {
        let rule = rule(None, "1000/hour", "/a");
        let terms = rule.terms(&Known::default());
        let one = terms.shared_key(&Owner::User(Some(7), "anna"));
        assert_eq!(one, terms.shared_key(&Owner::User(Some(7), "anna")));
        assert_ne!(one, terms.shared_key(&Owner::User(Some(8), "anna")));
        assert_ne!(one, terms.shared_key(&Owner::ApiKey("anna")));
        assert!(one.starts_with("ficus:limit:") && one.len() == 44 && !one.contains("anna"));
    }
}
