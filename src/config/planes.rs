//! Reads the sections of everything beside the proxy: control, database, flags, telemetry, the services, the instance.
//!
//! Its own file, because each of these is a short list of keys that concerns nobody else.

use std::time::Duration;

use super::section::Section;
use super::{address, value};
use crate::engine::worker::{OnUncertain, Settling};
use crate::flags::ColdStart;
use crate::rollout::audit;
use crate::telemetry::{AccessLog, Format};
use crate::{control, dashboard, db, engine, flags, telemetry};

const TEN_MILLISECONDS: Duration = Duration::from_millis(10);
const TENTH: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
const MONTH: Duration = Duration::from_secs(30 * 86_400);
const MINUTE: Duration = Duration::from_secs(60);
const TEN_MINUTES: Duration = Duration::from_secs(600);

pub fn read_control(mut section: Section<'_, '_>) -> Option<control::Config> {
    let listen = section.text("listen", address::socket_address);
    let socket = section.optional("socket", value::path);
    let public_url = section.optional("public_url", address::public_url);
    section.finish();
    Some(control::Config {
        listen: listen?,
        socket: socket?,
        public_url: public_url?,
    })
}

pub fn read_database(mut section: Section<'_, '_>) -> Option<db::Config> {
    let url = section.secret("url", false, address::database_url);
    let legacy_url = section.secret("legacy_url", false, address::database_url);
    let pool = section.count("pool", 1..=1000);
    let acquire_timeout = section.duration("acquire_timeout", TEN_MILLISECONDS..=TEN_MINUTES);
    let statement_timeout = section.duration("statement_timeout", TEN_MILLISECONDS..=TEN_MINUTES);
    section.finish();
    Some(db::Config {
        url: url?,
        legacy_url: legacy_url?,
        pool: u32::try_from(pool?).ok()?,
        acquire_timeout: acquire_timeout?,
        statement_timeout: statement_timeout?,
    })
}

pub fn read_flags(mut section: Section<'_, '_>) -> Option<flags::Config> {
    let poll = section.duration("poll", TENTH..=MINUTE);
    let heartbeat = section.duration("heartbeat", TENTH..=MINUTE);
    let notify = section.switch("notify");
    let state_dir = section.text("state_dir", value::path);
    let bootstrap = section.optional("bootstrap", value::path);
    let cold_start = section.word(
        "cold_start",
        &[("refuse", ColdStart::Refuse), ("legacy", ColdStart::Legacy)],
    );
    section.finish();
    Some(flags::Config {
        poll: poll?,
        heartbeat: heartbeat?,
        notify: notify?,
        state_dir: state_dir?,
        bootstrap: bootstrap?,
        cold_start: cold_start?,
    })
}

pub fn read_telemetry(mut section: Section<'_, '_>) -> Option<telemetry::Config> {
    let log = section.text("log", value::log_filter);
    let format = section.word("format", &[("json", Format::Json), ("text", Format::Text)]);
    let access_log = section.text("access_log", access_log);
    let traces = super::traces::read(section.section("traces"));
    section.finish();
    Some(telemetry::Config {
        log: log?,
        format: format?,
        access_log: access_log?,
        traces: traces?,
    })
}

pub fn read_audit(mut section: Section<'_, '_>) -> Option<audit::anchor::Config> {
    let anchor_file = section.optional("anchor_file", value::path);
    let anchor_webhook = section.secret("anchor_webhook", false, |url| {
        address::key_url(url).map(|_| ())
    });
    let anchor_every = section.duration("anchor_every", SECOND..=DAY);
    section.finish();
    Some(audit::anchor::Config {
        anchor_file: anchor_file?,
        anchor_webhook: anchor_webhook?,
        anchor_every: anchor_every?,
    })
}

pub fn read_dashboard(mut section: Section<'_, '_>) -> Option<dashboard::Config> {
    let listen = section.text("listen", address::socket_address);
    section.finish();
    Some(dashboard::Config { listen: listen? })
}

pub fn read_engine(mut section: Section<'_, '_>) -> Option<engine::Config> {
    let listen = section.text("listen", address::socket_address);
    let on_uncertain = section.word(
        "on_uncertain",
        &[
            ("at_most_once", OnUncertain::AtMostOnce),
            ("at_least_once", OnUncertain::AtLeastOnce),
        ],
    );
    let settle_after = section.duration("settle_after", MINUTE..=MONTH);
    section.finish();
    Some(engine::Config {
        listen: listen?,
        settling: Settling {
            on_uncertain: on_uncertain?,
            after: settle_after?,
        },
    })
}

pub fn read_instance(mut section: Section<'_, '_>) -> Option<Option<String>> {
    let name = section.optional("name", instance_name);
    section.finish();
    name
}

/// A path must have a slash in it, so that a misspelt word does not become a file of that name.
fn access_log(text: &str) -> Result<AccessLog, String> {
    match text {
        "stdout" => Ok(AccessLog::Stdout),
        "off" => Ok(AccessLog::Off),
        path if path.contains('/') => value::path(path).map(AccessLog::File),
        _ => Err(
            "expected \"stdout\", \"off\" or a path with a \"/\" in it such as \"./access.log\""
                .to_owned(),
        ),
    }
}

/// Names stand in tables and in log lines: no blanks, no control characters.
fn instance_name(text: &str) -> Result<String, String> {
    let fits = |b: u8| b.is_ascii_graphic();
    let good = text.len() <= 128 && text.bytes().all(fits);
    if good {
        Ok(text.to_owned())
    } else {
        Err("expected a name of at most 128 visible ASCII characters without blanks".to_owned())
    }
}
