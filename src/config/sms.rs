//! Reads `[engine.sms]`.
//!
//! Its own file, because each vendor has a section, and none of their keys concerns anybody else.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::address;
use super::section::Section;
use crate::engine::provider::sms::{Config, Signature, Vonage, VonageApi};

const TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(120);

pub fn read(mut section: Section<'_, '_>) -> Option<Config> {
    let is_live = section.word("send", &[("vendors", true), ("sandbox", false)]);
    let timeout = section.duration("timeout", TIMEOUT);
    let twilio = read_url(section.section("twilio"));
    let vonage = read_vonage(section.section("vonage"));
    let plivo = read_url(section.section("plivo"));
    let infobip = read_url(section.section("infobip"));
    section.finish();
    Some(Config {
        is_live: is_live?,
        timeout: timeout?,
        twilio: twilio?,
        vonage: vonage?,
        plivo: plivo?,
        infobip: infobip?,
    })
}

fn read_url(mut section: Section<'_, '_>) -> Option<String> {
    let url = section.text("url", address::public_url);
    section.finish();
    url
}

fn read_vonage(mut section: Section<'_, '_>) -> Option<Vonage> {
    let url = section.text("url", address::public_url);
    let messages_url = section.text("messages_url", address::public_url);
    let api = section.word(
        "api",
        &[("sms", VonageApi::Sms), ("messages", VonageApi::Messages)],
    );
    let signature = section.word(
        "signature",
        &[
            ("md5hash", Signature::Md5Hash),
            ("md5", Signature::HmacMd5),
            ("sha1", Signature::HmacSha1),
            ("sha256", Signature::HmacSha256),
            ("sha512", Signature::HmacSha512),
        ],
    );
    section.finish();
    Some(Vonage {
        url: url?,
        messages_url: messages_url?,
        api: api?,
        signature: signature?,
    })
}
