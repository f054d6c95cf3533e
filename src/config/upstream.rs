//! Reads `[upstream.NAME]`: where it is, and what is done when it is slow, broken or gone.
//!
//! Its own file, because an upstream is the section with the most keys, in four sections of its own.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::address;
use super::proxy::MOST_REQUESTS;
use super::section::Section;
use crate::proxy::upstream::{Client, Health, Origin, Settings, Tls, breaker, outlier, tls};

const MILLISECOND: Duration = Duration::from_millis(1);
/// Shorter, and the checks are the load.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);
const HOUR: Duration = Duration::from_secs(3600);

pub fn read_upstream(mut section: Section<'_, '_>) -> Option<Settings> {
    let origins = read_origins(&mut section);
    let connect_timeout = section.duration("connect_timeout", MILLISECOND..=HOUR);
    let read_timeout = section.duration("read_timeout", MILLISECOND..=HOUR);
    let write_timeout = section.duration("write_timeout", MILLISECOND..=HOUR);
    let idle_timeout = section.duration("idle_timeout", MILLISECOND..=HOUR);
    let preserve_host = section.switch("preserve_host");
    let max_requests = section.count("max_requests", 0..=MOST_REQUESTS);
    let attempts = section.count("attempts", 1..=5);
    let tls = read_tls(section.part("tls", "defaults.upstream.tls"));
    let health = read_health(section.part("health", "defaults.upstream.health"));
    let outlier = read_outlier(section.part("outlier", "defaults.upstream.outlier"));
    let breaker = read_breaker(section.part("breaker", "defaults.upstream.breaker"));
    section.finish();
    Some(Settings {
        origins: origins?,
        connect_timeout: connect_timeout?,
        read_timeout: read_timeout?,
        write_timeout: write_timeout?,
        idle_timeout: idle_timeout?,
        preserve_host: preserve_host?,
        max_requests: usize::try_from(max_requests?).ok()?,
        attempts: u8::try_from(attempts?).ok()?,
        tls: tls?,
        health: health?,
        outlier: outlier?,
        breaker: breaker?,
    })
}

fn read_origins(section: &mut Section<'_, '_>) -> Option<Vec<Origin>> {
    let (one, several) = (section.has("url"), section.has("urls"));
    if section.is_defaults() {
        return None;
    }
    if one && several {
        section.fault("urls", "stands beside url; expected one of the two");
    }
    if !several {
        // Known all the same, so that a misspelt one is told its neighbour's name.
        section.optional("urls", |_| Ok(()));
        return Some(vec![section.text("url", address::origin)?]);
    }
    section.optional("url", |_| Ok(()));
    let origins = section.list("urls", address::origin)?;
    let Some(first) = origins.first() else {
        section.fault("urls", "expected at least one");
        return None;
    };
    if origins.iter().any(|origin| origin.tls != first.tls) {
        section.fault("urls", "mixes http and https; expected one scheme for all");
    }
    let is_twice = |(place, origin)| origins[..place].contains(origin);
    if origins.iter().enumerate().any(is_twice) {
        section.fault("urls", "has the same address twice");
    }
    Some(origins)
}

fn read_tls(mut section: Section<'_, '_>) -> Option<Tls> {
    let ca = section.optional("ca", tls::certificates);
    let sni = section.optional("sni", address::host);
    let verify = section.switch("verify");
    let chain = section.optional("certificate", tls::certificates);
    let check = |pem: &str| match &chain {
        Some(Some(chain)) => tls::check_key(pem, chain),
        // The certificate has a fault of its own, or there is none, which is told below.
        _ => Ok(()),
    };
    let key = section.secret("key", false, check);
    let client = match (chain?, key?) {
        (None, key) if key.is_empty() => None,
        (Some(chain), key) if !key.is_empty() => Some(Client { chain, key }),
        (chain, _) => {
            let (there, missing) = match chain {
                Some(_) => ("certificate", "key"),
                None => ("key", "certificate"),
            };
            section.fault(missing, format!("is required beside {there}"));
            return None;
        }
    };
    section.finish();
    Some(Tls {
        ca: ca?.unwrap_or_default(),
        sni: sni?,
        verify: verify?,
        client,
    })
}

/// `Some(None)`: there are no checks.
fn read_health(mut section: Section<'_, '_>) -> Option<Option<Health>> {
    let path = section.optional("path", health_path);
    let interval = section.duration("interval", SHORTEST_INTERVAL..=HOUR);
    let timeout = section.duration("timeout", MILLISECOND..=HOUR);
    let healthy_after = section.count("healthy_after", 1..=100);
    let unhealthy_after = section.count("unhealthy_after", 1..=100);
    let status = section.text("status", statuses);
    section.finish();
    let (interval, timeout, healthy_after, unhealthy_after, status) = (
        interval?,
        timeout?,
        u32::try_from(healthy_after?).ok()?,
        u32::try_from(unhealthy_after?).ok()?,
        status?,
    );
    Some(path?.map(|path| Health {
        path,
        interval,
        timeout,
        healthy_after,
        unhealthy_after,
        status,
    }))
}

/// `Some(None)`: nothing is thrown out.
fn read_outlier(mut section: Section<'_, '_>) -> Option<Option<outlier::Settings>> {
    let failures = section.count("failures", 0..=10_000);
    let eject = section.duration("eject", MILLISECOND..=HOUR);
    let max_ejected = section.count("max_ejected", 0..=100);
    section.finish();
    let settings = outlier::Settings {
        failures: u32::try_from(failures?).ok()?,
        eject: eject?,
        max_ejected: u8::try_from(max_ejected?).ok()?,
    };
    Some((settings.failures > 0).then_some(settings))
}

/// `Some(None)`: there is no breaker.
fn read_breaker(mut section: Section<'_, '_>) -> Option<Option<breaker::Settings>> {
    let failures = section.count("failures", 0..=100);
    let min_requests = section.count("min_requests", 1..=1_000_000);
    let window = section.duration("window", SHORTEST_INTERVAL..=HOUR);
    let open = section.duration("open", MILLISECOND..=HOUR);
    let probes = section.count("probes", 1..=1000);
    section.finish();
    let settings = breaker::Settings {
        failures: u8::try_from(failures?).ok()?,
        min_requests: u32::try_from(min_requests?).ok()?,
        window: window?,
        open: open?,
        probes: u16::try_from(probes?).ok()?,
    };
    Some((settings.failures > 0).then_some(settings))
}

fn health_path(text: &str) -> Result<String, String> {
    let is_path = text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    match is_path {
        true => Ok(text.to_owned()),
        false => Err("expected a path such as \"/health\", in visible ASCII".to_owned()),
    }
}

/// `200` or `200-399`.
fn statuses(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let status = |text: &str| text.parse::<u16>().ok().filter(|s| (100..=599).contains(s));
    match (status(first), status(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err("expected a status or a range of them such as \"200\" or \"200-399\"".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_or_a_range_of_them() {
        assert_eq!(statuses("204"), Ok(204..=204));
        assert_eq!(statuses("200-399"), Ok(200..=399));
        for text in ["", "2xx", "99", "600", "300-200", "200-", "200-300-400"] {
            assert!(statuses(text).is_err(), "{text}");
        }
    }
}
