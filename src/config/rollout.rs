//! Reads what the rollout asks of legacy's database: `[rollout]` and `[[reconcile]]`.
//!
//! Its own file, because these are statements that an operator writes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::section::Section;
use super::value;
use crate::rollout::queries::{Config, Query};

const DEADLINE: std::ops::RangeInclusive<Duration> =
    // Below the 30 s of a write of the admin API, which may ask before it writes.
    Duration::from_millis(10)..=Duration::from_secs(20);

pub fn read(mut section: Section<'_, '_>, listed: Vec<Section<'_, '_>>) -> Option<Config> {
    let sql = section.text("volume_query", value::statement);
    let deadline = section.duration("volume_deadline", DEADLINE);
    section.finish();
    let mut reconcile = BTreeMap::new();
    let mut complete = true;
    for mut section in listed {
        let name = section.text("name", value::name);
        let sql = section.text("query", value::statement);
        let deadline = section.duration("deadline", DEADLINE);
        if let Some(name) = name.as_ref().filter(|name| reconcile.contains_key(*name)) {
            section.fault("name", format!("{name:?} stands twice"));
        }
        section.finish();
        match (name, sql, deadline) {
            (Some(name), Some(sql), Some(deadline)) => {
                reconcile.insert(name, Query { sql, deadline });
            }
            _ => complete = false,
        }
    }
    let volume = Query {
        sql: sql?,
        deadline: deadline?,
    };
    complete.then_some(Config { volume, reconcile })
}

/// What is wrong with the defaults themselves, told once.
pub fn check_defaults(mut section: Section<'_, '_>) {
    section.duration("deadline", DEADLINE);
    section.finish();
}
