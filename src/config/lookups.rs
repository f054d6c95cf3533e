//! Reads the resolvers that look something up: `laravel_session`, `sanctum`, `api_token`, `api_key`.
//!
//! Its own file, because they share the keys of their databases and caches.

use std::path::PathBuf;
use std::time::Duration;

use super::section::Section;
use super::{address, value};
use crate::identity::{ApiKey, ApiToken, Driver, LaravelSession, Memory, Sanctum};
use crate::laravel::envelope::Cipher;
use crate::secret::Secret;

const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
const MINUTE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy)]
enum DriverKind {
    Database,
    Redis,
    File,
    Cookie,
}

/// The keys of all of them stand side by side in `[defaults.tenant]`.
pub fn check_defaults(section: &mut Section<'_, '_>) {
    read_session(section);
    read_sanctum(section);
    read_api_token(section);
    read_api_key(section);
}

pub fn read_session(section: &mut Section<'_, '_>) -> Option<LaravelSession> {
    let cipher = section.word("cipher", &Cipher::NAMES);
    let app_key = if section.is_defaults() {
        None
    } else {
        // Without the cipher nobody knows how long the key is: one fault, not two.
        section.secret("app_key", true, |text| {
            cipher.map_or(Ok(()), |cipher| value::app_key(text, cipher))
        })
    };
    let cookie = section.text("cookie", value::cookie_name);
    let guard = section.text("guard", value::guard_name);
    let encrypt = section.switch("encrypt");
    let driver = read_driver(section);
    let query = section.text("query", |text| {
        value::query(
            text,
            &[
                ("$1", "the session's id"),
                ("$2", "the oldest last_activity that is alive"),
            ],
        )
    });
    let user_query = section.text("user_query", |text| {
        value::query(text, &[("$1", "the user's id, as text")])
    });
    let (database_url, memory) = read_table(section);
    Some(LaravelSession {
        cookie: cookie?,
        app_key: app_key?,
        cipher: cipher?,
        driver: driver?,
        encrypt: encrypt?,
        guard: guard?,
        query: query?,
        user_query: user_query?,
        database_url: database_url?,
        memory: memory?,
    })
}

fn read_driver(section: &mut Section<'_, '_>) -> Option<Driver> {
    let kinds = [
        ("database", DriverKind::Database),
        ("redis", DriverKind::Redis),
        ("file", DriverKind::File),
        ("cookie", DriverKind::Cookie),
    ];
    let kind = section.word("driver", &kinds);
    let url = section.secret("redis_url", false, address::redis_url);
    let prefix = section.text("redis_prefix", |text| Ok::<_, String>(text.to_owned()));
    let folder: Option<Option<PathBuf>> = section.optional("files", value::absolute_path);
    let missing = |key, example| {
        if !section.is_defaults() {
            section.fault(
                key,
                format!("is required by this driver, such as {example:?}"),
            );
        }
        None
    };
    match kind? {
        DriverKind::Database => Some(Driver::Database),
        DriverKind::Cookie => Some(Driver::Cookie),
        DriverKind::Redis => match url? {
            url if url.is_empty() => missing("redis_url", "redis://127.0.0.1:6379/0"),
            url => Some(Driver::Redis {
                url,
                prefix: prefix?,
            }),
        },
        DriverKind::File => match folder? {
            None => missing("files", "/srv/app/storage/framework/sessions"),
            Some(folder) => Some(Driver::File { folder }),
        },
    }
}

pub fn read_sanctum(section: &mut Section<'_, '_>) -> Option<Sanctum> {
    let query = section.text("sanctum_query", |text| {
        value::query(
            text,
            &[
                ("$1", "the token's id, or null"),
                ("$2", "its hash in hexadecimal"),
            ],
        )
    });
    let expiration = section.duration("expiration", Duration::ZERO..=10 * YEAR);
    if let (Some(query), Some(expiration)) = (&query, expiration)
        && !expiration.is_zero()
        && !query.contains("$3")
    {
        section.fault(
            "expiration",
            "is used by nothing: sanctum_query has no $3, the seconds that a token lives",
        );
        return None;
    }
    let (database_url, memory) = read_table(section);
    Some(Sanctum {
        query: query?,
        expiration: expiration.map(|it| (!it.is_zero()).then_some(it))?,
        database_url: database_url?,
        memory: memory?,
    })
}

pub fn read_api_token(section: &mut Section<'_, '_>) -> Option<ApiToken> {
    let input_key = section.text("input_key", value::parameter_name);
    let is_hashed = section.switch("hash");
    let query = section.text("api_token_query", |text| {
        value::query(text, &[("$1", "the token, or its hash in hexadecimal")])
    });
    let (database_url, memory) = read_table(section);
    Some(ApiToken {
        input_key: input_key?,
        is_hashed: is_hashed?,
        query: query?,
        database_url: database_url?,
        memory: memory?,
    })
}

pub fn read_api_key(section: &mut Section<'_, '_>) -> Option<ApiKey> {
    let header = section.text("header", value::header_name);
    let query = section.optional("api_key_query", |text| {
        value::query(text, &[("$1", "the key's SHA-256 in hexadecimal")])
    });
    let (database_url, memory) = read_table(section);
    Some(ApiKey {
        header: header?,
        query: query?.unwrap_or_default(),
        database_url: database_url?,
        memory: memory?,
    })
}

fn read_table(section: &mut Section<'_, '_>) -> (Option<Secret>, Option<Memory>) {
    let database_url = section.secret("database_url", false, address::database_url);
    let lifetime = section.duration("lifetime", MINUTE..=YEAR);
    let ttl = section.duration("cache_ttl", Duration::ZERO..=HOUR);
    let size = section.count("cache_size", 1..=10_000_000);
    let memory = || {
        Some(Memory {
            ttl: ttl?,
            lifetime: lifetime?,
            size: size?,
        })
    };
    (database_url, memory())
}
