//! Reads `[alerts]`.
//!
//! Its own file, because its addresses are secrets of three kinds that concern nobody else.

use std::time::Duration;

use super::address;
use super::section::Section;
use crate::alerts::{Channel, Config, Email, PagerDuty, Slack};

const HOUR: Duration = Duration::from_secs(3600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// `link`: where people reach the console.
pub fn read(mut section: Section<'_, '_>, link: Option<String>) -> Option<Config> {
    let critical = section.list("critical", channel);
    let warning = section.list("warning", channel);
    let info = section.list("info", channel);
    let per_minute = section.count("per_minute", 1..=6000);
    let give_up = section.duration("give_up", HOUR..=WEEK);
    let digest = section.duration("digest", Duration::ZERO..=WEEK);
    let pagerduty = read_pagerduty(section.section("pagerduty"));
    let slack = read_slack(section.section("slack"));
    let email = read_email(section.section("email"));
    section.finish();
    Some(Config {
        critical: critical?,
        warning: warning?,
        info: info?,
        per_minute: u32::try_from(per_minute?).ok()?,
        give_up: give_up?,
        digest: digest?,
        pagerduty: pagerduty?,
        slack: slack?,
        email: email?,
        link,
    })
}

fn read_pagerduty(mut section: Section<'_, '_>) -> Option<PagerDuty> {
    let url = section.text("url", address::key_url);
    let routing_key = section.secret("routing_key", false, |text| {
        match text.len() == 32 && text.bytes().all(|b| b.is_ascii_alphanumeric()) {
            true => Ok(()),
            false => Err("expected the 32 letters and digits of an integration key".to_owned()),
        }
    });
    section.finish();
    Some(PagerDuty {
        url: url?,
        routing_key: routing_key?,
    })
}

fn read_slack(mut section: Section<'_, '_>) -> Option<Slack> {
    let url = section.secret("url", false, |text| address::key_url(text).map(drop));
    section.finish();
    Some(Slack { url: url? })
}

fn read_email(mut section: Section<'_, '_>) -> Option<Email> {
    let url = section.secret("url", false, mail_url);
    let from = section.optional("from", mailbox);
    let to = section.list("to", mailbox);
    let has_server = url.as_ref().is_some_and(|url| !url.is_empty());
    if has_server && from == Some(None) {
        section.fault("from", "is required with a url");
    }
    if has_server && to.as_ref().is_some_and(Vec::is_empty) {
        section.fault("to", "expected at least one address with a url");
    }
    section.finish();
    Some(Email {
        url: url?,
        from: from?.unwrap_or_default(),
        to: to?,
    })
}

fn channel(text: &str) -> Result<Channel, String> {
    let mut all = Channel::ALL.into_iter();
    all.find(|it| it.as_str() == text)
        .ok_or_else(|| "expected \"pagerduty\", \"slack\" or \"email\"".to_owned())
}

fn mail_url(text: &str) -> Result<(), String> {
    let rest = ["smtp://", "smtps://"]
        .iter()
        .find_map(|it| text.strip_prefix(it));
    match rest {
        Some(rest) if !rest.is_empty() && !text.contains(char::is_whitespace) => Ok(()),
        _ => Err(
            "expected a URL such as \"smtp://user:password@mail.example.com:587?tls=required\""
                .to_owned(),
        ),
    }
}

/// `ficus@example.com` or `Ficus <ficus@example.com>`.
fn mailbox(text: &str) -> Result<String, String> {
    let address = match text.split_once('<') {
        Some((_, rest)) => rest.strip_suffix('>').unwrap_or_default(),
        None => text,
    };
    let parts = address.split_once('@');
    let fits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_graphic());
    match parts {
        Some((user, host)) if fits(user) && fits(host) && !host.contains('@') => {
            Ok(text.to_owned())
        }
        _ => Err("expected an address such as \"ops@example.com\"".to_owned()),
    }
}
