//! Reads what a `[[route]]` asks of its requests beside where they go, and `[proxy.rate_limit]` with `[redis]`.
//!
//! Its own file, because these keys are many and none of them names another section.

use std::time::Duration;

use super::section::Section;
use super::{address, value};
use crate::identity::User;
use crate::proxy::cors::{Cors, Headers, OriginPattern};
use crate::proxy::limits;
use crate::proxy::limits::client::By;
use crate::proxy::limits::rule::{Quota, RateLimit};
use crate::proxy::limits::shared::Sharing;
use crate::proxy::policy::RoutePolicy;
use crate::proxy::policy::auth::Auth;
use crate::secret::Secret;

/// Firefox takes no longer word than this, Chromium not even that.
const DAY: Duration = Duration::from_secs(86_400);
const MILLISECOND: Duration = Duration::from_millis(1);
const TEN_SECONDS: Duration = Duration::from_secs(10);
const TEN_MINUTES: Duration = Duration::from_secs(600);
const MOST_AT_ONCE: u64 = 1_000_000;

pub fn read(section: &mut Section<'_, '_>) -> Option<RoutePolicy> {
    let body_bytes = section.or("body_bytes", None, |section, key| {
        section.size(key, 0..=u64::MAX).map(Some)
    });
    let cors = match section.optional_section("cors") {
        None => Some(None),
        Some(section) => read_cors(section).map(Some),
    };
    let rate_limit = read_rate_limit(section);
    let auth = read_auth(section);
    Some(RoutePolicy {
        body_bytes: body_bytes?,
        cors: cors?,
        rate_limit: rate_limit?,
        auth: auth?,
    })
}

fn read_auth(section: &mut Section<'_, '_>) -> Option<Auth> {
    #[derive(Clone, Copy, PartialEq)]
    enum Word {
        None,
        Optional,
        Required,
    }
    let words = [
        ("none", Word::None),
        ("optional", Word::Optional),
        ("required", Word::Required),
    ];
    let word = section.word("auth", &words);
    let tiers = section.list("tiers", |text| match User::new("0", Some(text)) {
        Some(_) => Ok(text.to_owned()),
        None => Err("expected a tier of 1 to 255 visible ASCII characters".to_owned()),
    });
    let (word, tiers) = (word?, tiers?);
    if word != Word::Required && !tiers.is_empty() {
        section.fault("tiers", "are asked only where auth is \"required\"");
        return None;
    }
    Some(match word {
        Word::None => Auth::None,
        Word::Optional => Auth::Optional,
        Word::Required => Auth::Required { tiers },
    })
}

fn read_cors(mut section: Section<'_, '_>) -> Option<Cors> {
    let origins = section.list("origins", OriginPattern::parse);
    if origins.as_ref().is_some_and(Vec::is_empty) {
        section.fault("origins", "expected at least one origin");
    }
    let methods = section.or("methods", Vec::new(), |section, key| {
        section.list(key, value::method)
    });
    let headers = section.or("headers", Vec::new(), |section, key| {
        section.list(key, |text| match text {
            "*" => Ok(None),
            name => value::header_name(name).map(Some),
        })
    });
    let expose = section.or("expose", Vec::new(), |section, key| {
        section.list(key, value::header_name)
    });
    let credentials = section.or("credentials", false, |section, key| section.switch(key));
    let max_age = section.or("max_age", TEN_MINUTES, |section, key| {
        section.duration(key, Duration::ZERO..=DAY)
    });
    let any = origins
        .as_ref()
        .is_some_and(|o| o.contains(&OriginPattern::Any));
    if any && credentials == Some(true) {
        section.fault(
            "credentials",
            "is true, and origins has \"*\": every site would read what its visitors are logged in for; name the origins",
        );
    }
    section.finish();
    let names: Option<Vec<_>> = headers?.into_iter().collect();
    Some(Cors {
        origins: origins?,
        methods: methods?,
        headers: names.map_or(Headers::Any, Headers::Named),
        expose: expose?,
        credentials: credentials?,
        max_age: max_age?,
    })
}

/// `rate_limit = "1000/hour"`, or a section.
fn read_rate_limit(section: &mut Section<'_, '_>) -> Option<Option<RateLimit>> {
    if !section.is_section("rate_limit") {
        let short = section.optional("rate_limit", |text| Quota::parse(text, None))?;
        return Some(short.map(|quota| RateLimit {
            name: None,
            quota,
            by: By::Tenant,
            tiers: Default::default(),
        }));
    }
    let mut section = section.optional_section("rate_limit")?;
    let burst = section.or("burst", None, |section, key| {
        section.count(key, 1..=MOST_AT_ONCE).map(Some)
    });
    let quota = |text: &str| Quota::parse(text, burst.flatten());
    let limit = section.text("limit", quota);
    let tiers = section.texts("tiers", quota);
    let by = section.or("by", By::Tenant, |section, key| {
        section.word(key, &By::WORDS)
    });
    let name = section.optional("name", |name| match value::is_name(name) {
        true => Ok(name.to_owned()),
        false => {
            Err("expected a name: a-z, then up to 62 of a-z, 0-9, '_', '.' and '-'".to_owned())
        }
    });
    section.finish();
    burst?;
    Some(Some(RateLimit {
        name: name?,
        quota: limit?,
        by: by?,
        tiers: tiers?,
    }))
}

/// `[proxy.rate_limit]`, and `[redis]`, which it may need.
pub fn read_counters(
    mut section: Section<'_, '_>,
    mut redis: Section<'_, '_>,
) -> Option<limits::Config> {
    let counters = section.count("counters", 16..=10_000_000);
    let shares = section.word("store", &[("local", false), ("redis", true)]);
    let deadline = section.duration("deadline", MILLISECOND..=TEN_SECONDS);
    let url = redis.secret("url", false, address::redis_url);
    if shares == Some(true) && url.as_ref().is_some_and(Secret::is_empty) {
        section.fault("store", "is \"redis\", and redis.url is not set");
    }
    section.finish();
    redis.finish();
    let sharing = Sharing {
        url: url?,
        deadline: deadline?,
    };
    Some(limits::Config {
        counters: usize::try_from(counters?).ok()?,
        shared: shares?.then_some(sharing),
    })
}
