//! Reads `[engine]`: how messages leave, and the statements by which legacy's tables are read and written.
//!
//! Its own file, because the engine stays when the rest of the configuration has gone.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::section::Section;
use super::{address, value};
use crate::engine::legacy::{Statements, TextStatements};
use crate::engine::sealed::Keyring;
use crate::engine::worker::{OnUncertain, Settling};
use crate::engine::{Config, Email, OnRollback};
use crate::laravel::envelope::Cipher;
use crate::secret::Secret;

const LEASE: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(300);
const ACCOUNT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
const SETTLE: RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(30 * 24 * 3600);
const KEYS: RangeInclusive<Duration> =
    Duration::from_secs(24 * 3600)..=Duration::from_secs(30 * 24 * 3600);

pub fn read(mut section: Section<'_, '_>) -> Option<Config> {
    let listen = section.text("listen", address::socket_address);
    let email = section.word(
        "email",
        &[("smtp", Email::Smtp), ("sandbox", Email::Sandbox)],
    );
    let relay = section.optional("relay", relay);
    let local_name = section.text("local_name", local_name);
    let links = super::links::read(&mut section);
    let cipher = section.word("cipher", &Cipher::NAMES);
    let app_key = section.secret("app_key", false, |text| {
        cipher.map_or(Ok(()), |cipher| value::app_key(text, cipher))
    });
    let sealing_keys = section.secret("sealing_keys", false, |text| {
        Keyring::parse(&Secret::new(text))
            .map(drop)
            .map_err(|fault| fault.to_string())
    });
    let takes_quota = section.word("quota", &[("legacy", true), ("off", false)]);
    let quota_tolerance = section.count("quota_tolerance", 0..=1_000_000);
    let under_way = section.count("under_way", 1..=8000);
    let tenant_under_way = section.count("tenant_under_way", 1..=8000);
    let connections = section.count("connections", 1..=100);
    let lease = section.duration("lease", LEASE);
    let account_wait = section.duration("account_wait", ACCOUNT);
    let dedup_keep = section.duration("dedup_keep", KEYS);
    let keep_days = section.count("keep_days", 7..=365);
    let mut legacy = section.section("legacy");
    let mut texts = legacy.section("sms");
    let of_texts = TextStatements::read(|name| texts.text(name, value::statement));
    texts.finish();
    let statements = Statements::read(|name| legacy.text(name, value::statement), of_texts);
    legacy.finish();
    let sms = super::sms::read(section.section("sms"));
    let on_uncertain = section.word(
        "on_uncertain",
        &[
            ("at_most_once", OnUncertain::AtMostOnce),
            ("at_least_once", OnUncertain::AtLeastOnce),
        ],
    );
    let settle_after = section.duration("settle_after", SETTLE);
    let capability = section.text("capability", value::name);
    let on_rollback = section.word(
        "on_rollback",
        &[
            ("drain", OnRollback::Drain),
            ("hold", OnRollback::Hold),
            ("return", OnRollback::Return),
        ],
    );
    let dkim = super::dkim::read(&mut section);
    section.finish();
    Some(Config {
        listen: listen?,
        email: email?,
        sms: sms?,
        relay: relay?,
        local_name: local_name?,
        links: links?,
        app_key: app_key?,
        sealing_keys: sealing_keys?,
        cipher: cipher?,
        takes_quota: takes_quota?,
        quota_tolerance: i64::try_from(quota_tolerance?).ok()?,
        under_way: usize::try_from(under_way?).ok()?,
        tenant_under_way: usize::try_from(tenant_under_way?).ok()?,
        connections: usize::try_from(connections?).ok()?,
        lease: lease?,
        account_wait: account_wait?,
        dedup_keep: dedup_keep?,
        keep_days: i32::try_from(keep_days?).ok()?,
        statements: statements?,
        dkim: dkim?,
        capability: capability?,
        on_rollback: on_rollback?,
        settling: Settling {
            on_uncertain: on_uncertain?,
            after: settle_after?,
        },
    })
}

fn relay(text: &str) -> Result<(String, u16), String> {
    let split = text.rsplit_once(':');
    let found = split.and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    match found {
        Some((host, port)) if !host.is_empty() && port > 0 => Ok((host.to_owned(), port)),
        _ => Err("expected a host and a port, such as \"mail.example.com:25\"".to_owned()),
    }
}

fn local_name(text: &str) -> Result<String, String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b".-[]:".contains(&b);
    match (1..=255).contains(&text.len()) && text.bytes().all(fits) {
        true => Ok(text.to_owned()),
        false => Err("expected a domain, or an address in brackets".to_owned()),
    }
}
