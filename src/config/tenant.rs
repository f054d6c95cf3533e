//! Reads `[[tenant]]`: the resolvers, equals in the order in which they are tried.
//!
//! Its own file, because each resolver has keys of its own.

use std::time::Duration;

use super::section::Section;
use super::{address, jwt, value};
use crate::identity::{LaravelSession, Resolver};

const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
const MINUTE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy)]
enum Kind {
    Header,
    Host,
    Path,
    Query,
    LaravelSession,
    Jwt,
}

pub fn read(sections: Vec<Section<'_, '_>>) -> Option<Vec<Resolver>> {
    let resolvers: Vec<Option<Resolver>> = sections.into_iter().map(read_resolver).collect();
    resolvers.into_iter().collect()
}

/// Checks `[defaults.tenant]`, which holds the defaults of every resolver's keys side by side.
pub fn check_defaults(mut section: Section<'_, '_>) {
    read_laravel_session(&mut section);
    jwt::read(&mut section);
    section.finish();
}

fn read_resolver(mut section: Section<'_, '_>) -> Option<Resolver> {
    let kinds = [
        ("header", Kind::Header),
        ("host", Kind::Host),
        ("path", Kind::Path),
        ("query", Kind::Query),
        ("laravel_session", Kind::LaravelSession),
        ("jwt", Kind::Jwt),
    ];
    // Without the resolver nobody knows which of the other keys belong there: one fault, not five.
    let resolver = match section.word("resolver", &kinds)? {
        Kind::Header => section
            .text("name", value::header_name)
            .map(|name| Resolver::Header { name }),
        Kind::Host => section
            .text("pattern", address::tenant_host)
            .map(|pattern| Resolver::Host { pattern }),
        Kind::Path => section
            .text("pattern", value::tenant_path)
            .map(|pattern| Resolver::Path { pattern }),
        Kind::Query => section
            .text("parameter", value::parameter_name)
            .map(|parameter| Resolver::Query { parameter }),
        Kind::LaravelSession => read_laravel_session(&mut section).map(Resolver::LaravelSession),
        Kind::Jwt => jwt::read(&mut section).map(|jwt| Resolver::Jwt(Box::new(jwt))),
    };
    section.finish();
    resolver
}

fn read_laravel_session(section: &mut Section<'_, '_>) -> Option<LaravelSession> {
    let app_key = if section.is_defaults() {
        None
    } else {
        section.secret("app_key", true, value::app_key)
    };
    let cookie = section.text("cookie", value::cookie_name);
    let query = section.text("query", value::session_query);
    let lifetime = section.duration("lifetime", MINUTE..=YEAR);
    let database_url = section.secret("database_url", false, address::database_url);
    let cache_ttl = section.duration("cache_ttl", Duration::ZERO..=HOUR);
    let cache_size = section.count("cache_size", 1..=10_000_000);
    Some(LaravelSession {
        cookie: cookie?,
        app_key: app_key?,
        query: query?,
        lifetime: lifetime?,
        database_url: database_url?,
        cache_ttl: cache_ttl?,
        cache_size: cache_size?,
    })
}
