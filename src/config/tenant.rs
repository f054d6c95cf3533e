//! Reads `[[tenant]]`: the resolvers, equals in the order in which they are tried.
//!
//! Its own file, because each resolver has keys of its own.

use super::section::Section;
use super::{address, jwt, lookups, value};
use crate::identity::Resolver;

#[derive(Clone, Copy)]
enum Kind {
    Header,
    Host,
    Path,
    Query,
    LaravelSession,
    Jwt,
    Sanctum,
    ApiToken,
    ApiKey,
}

pub fn read(sections: Vec<Section<'_, '_>>) -> Option<Vec<Resolver>> {
    let resolvers: Vec<Option<Resolver>> = sections.into_iter().map(read_resolver).collect();
    resolvers.into_iter().collect()
}

/// Checks `[defaults.tenant]`, which holds the defaults of every resolver's keys side by side.
pub fn check_defaults(mut section: Section<'_, '_>) {
    lookups::check_defaults(&mut section);
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
        ("sanctum", Kind::Sanctum),
        ("api_token", Kind::ApiToken),
        ("api_key", Kind::ApiKey),
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
        Kind::Jwt => jwt::read(&mut section).map(|jwt| Resolver::Jwt(Box::new(jwt))),
        Kind::Sanctum => lookups::read_sanctum(&mut section).map(Resolver::Sanctum),
        Kind::ApiToken => lookups::read_api_token(&mut section).map(Resolver::ApiToken),
        Kind::ApiKey => lookups::read_api_key(&mut section).map(Resolver::ApiKey),
        Kind::LaravelSession => lookups::read_session(&mut section).map(Resolver::LaravelSession),
    };
    section.finish();
    resolver
}
