//! Replays recorded buckets: what the guard would have said, and whom it would have taken back.
//!
//! Its own file, and pure: `ficus guard test` asks it of a file, the simulation of invented traffic. The file is CSV with
//! these columns: at (RFC 3339, or seconds since 1970), capability, side (legacy or modern), tenant (0 or empty: nobody),
//! requests, errors, and, where they are known, connect_failures, misses and latency: the counts of the cells as
//! PostgreSQL writes an array ("{0,3,…}"), or pairs of an upper bound in milliseconds and a count ("50:180 500:20
//! inf:1"). The order of rows does not matter; rows of one bucket add up.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::episode::Episodes;
use super::judge::{Finding, Rule};
use super::limits::Config;
use super::memory::{Bucket, Judgement, Memory, Standing};
use super::scope::Extent;
use super::series::{Bin, bins};
use super::verdict::Verdict;
use crate::rollout::outcomes::{Asked, BOUNDS, BUCKET, CELLS, Cell};

/// A fault of a file: where it stands, and what was expected there.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("line {line}{}: {problem}", .column.as_ref().map(|it| format!(", column {it}")).unwrap_or_default())]
pub struct BadTrace {
    pub line: u64,
    /// By its title. `None`: it is about the row, or the heading.
    pub column: Option<String>,
    pub problem: String,
}

/// A fault of a value, in this column.
type BadValue = (&'static str, String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    at: String,
    capability: String,
    side: String,
    #[serde(default)]
    tenant: Option<i64>,
    requests: u64,
    errors: u64,
    #[serde(default)]
    connect_failures: u64,
    #[serde(default)]
    misses: u64,
    #[serde(default)]
    latency: String,
}

/// Reads a trace.
pub fn read_trace(text: impl std::io::Read) -> Result<Vec<Bucket>, BadTrace> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(text);
    let titles = reader.headers().map_err(|e| bad_csv(&e, 1, None))?.clone();
    let mut buckets = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|e| bad_csv(&e, 1, None))?;
        let line = record.position().map_or(0, csv::Position::line);
        let row: Row = record
            .deserialize(Some(&titles))
            .map_err(|e| bad_csv(&e, line, Some(&titles)))?;
        buckets.push(bucket(row).map_err(|(column, problem)| BadTrace {
            line,
            column: Some(column.to_owned()),
            problem,
        })?);
    }
    Ok(buckets)
}

fn bad_csv(e: &csv::Error, line: u64, titles: Option<&csv::StringRecord>) -> BadTrace {
    let line = e.position().map_or(line, csv::Position::line);
    let csv::ErrorKind::Deserialize { err, .. } = e.kind() else {
        let problem = e.to_string();
        return BadTrace {
            line,
            column: None,
            problem,
        };
    };
    let title = |field: u64| titles?.get(usize::try_from(field).ok()?);
    BadTrace {
        line,
        column: err.field().and_then(title).map(str::to_owned),
        problem: err.kind().to_string(),
    }
}

fn bucket(row: Row) -> Result<Bucket, BadValue> {
    let seconds = match row.at.parse::<i64>() {
        Ok(seconds) => seconds,
        Err(_) => DateTime::parse_from_rfc3339(&row.at)
            .map_err(|_| {
                let problem = format!("{:?}: expected RFC 3339 or seconds since 1970", row.at);
                ("at", problem)
            })?
            .timestamp(),
    };
    let side = Asked::parse(&row.side).ok_or_else(|| {
        let problem = format!("{:?}: expected legacy or modern", row.side);
        ("side", problem)
    })?;
    if row.errors > row.requests {
        let problem = format!("{} errors of {} requests", row.errors, row.requests);
        return Err(("errors", problem));
    }
    let latency = latency(&row.latency).map_err(|problem| ("latency", problem))?;
    if latency.iter().sum::<u64>() > row.requests {
        let problem = "it counts more than there are requests".to_owned();
        return Err(("latency", problem));
    }
    Ok(Bucket {
        at: seconds.div_euclid(BUCKET.as_secs() as i64),
        capability: row.capability,
        side,
        tenant: row.tenant.unwrap_or(0),
        cell: Cell {
            requests: row.requests,
            errors: row.errors,
            connect_failures: row.connect_failures,
            misses: row.misses,
            latency,
        },
    })
}

fn latency(text: &str) -> Result<[u64; CELLS], String> {
    let mut cells = [0; CELLS];
    let fault = |part: &str| format!("{part:?}: expected such as \"50:180 inf:1\" or \"{{0,3}}\"");
    if let Some(list) = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')) {
        let parts: Vec<&str> = list.split(',').filter(|part| !part.is_empty()).collect();
        if parts.len() > CELLS {
            return Err(format!("{} cells, at most {CELLS}", parts.len()));
        }
        for (cell, part) in cells.iter_mut().zip(parts) {
            *cell = part.trim().parse().map_err(|_| fault(part))?;
        }
        return Ok(cells);
    }
    for part in text.split_whitespace() {
        let (bound, count) = part.split_once(':').ok_or_else(|| fault(part))?;
        let place = match bound {
            "inf" => CELLS - 1,
            bound => {
                let ms: u32 = bound.parse().map_err(|_| fault(part))?;
                BOUNDS.partition_point(|known| *known < ms)
            }
        };
        cells[place] += count.parse::<u64>().map_err(|_| fault(part))?;
    }
    Ok(cells)
}

/// A verdict that is another than the one before, or a rollback.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    pub at: DateTime<Utc>,
    pub capability: String,
    pub verdict: Verdict,
    pub finding: Finding,
    /// What the guard takes back here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub taken_back: Vec<Extent>,
}

/// A guard without a database: it is told buckets, and believes that its rollbacks happen.
pub struct Replay {
    config: Config,
    memory: Memory,
    /// By capability: since when the whole is in one piece.
    since: BTreeMap<String, Bin>,
    /// When each tenant was taken back.
    gone: BTreeMap<(String, i64), Bin>,
    /// When each capability was taken back.
    forced: BTreeMap<String, Bin>,
    /// Nobody reports.
    pub silent: bool,
    episodes: Episodes,
    /// Alerts that both sides suffer.
    pub shared_alerts: usize,
}

impl Replay {
    pub fn new(config: Config) -> Self {
        Self {
            config,
            memory: Memory::default(),
            since: BTreeMap::new(),
            gone: BTreeMap::new(),
            forced: BTreeMap::new(),
            silent: false,
            episodes: Episodes::default(),
            shared_alerts: 0,
        }
    }

    /// What a recording has of the modern side after it was left there would not have been.
    pub fn add(&mut self, bucket: &Bucket) {
        if bucket.side == Asked::Legacy || !self.is_back(&bucket.capability, bucket.tenant) {
            self.memory.add(bucket, &self.config);
        }
    }

    /// Whether requests of this tenant would be on legacy by now.
    pub fn is_back(&self, capability: &str, tenant: i64) -> bool {
        self.forced.contains_key(capability)
            || self.gone.contains_key(&(capability.to_owned(), tenant))
    }

    /// Judges a capability at the beginning of a bucket, and takes back what fails.
    pub fn judge(&mut self, capability: &str, now: Bin) -> (Judgement, Vec<Extent>) {
        self.memory.forget_before(now);
        let limits = self.config.limits_of(capability).clone();
        let suspects = self.memory.suspects(capability, &limits, now);
        let moved = suspects
            .into_iter()
            .filter(|tenant| !self.gone.contains_key(&(capability.to_owned(), *tenant)));
        let standing = Standing {
            since: self.since.get(capability).copied().unwrap_or(0),
            tenants: moved.map(|tenant| (tenant, (0, None))).collect(),
            silent: self.silent,
            ..Standing::default()
        };
        let judgement = self
            .memory
            .judge(capability, &limits, &standing, self.config.tenants, now);
        let is_shared = judgement.finding.rule == Rule::Shared;
        if self.episodes.begins(capability, is_shared, now) {
            self.shared_alerts += 1;
        }
        let mut done = Vec::new();
        if !self.forced.contains_key(capability) {
            for extent in &judgement.extents {
                self.take_back(capability, extent, now);
                done.push(extent.clone());
            }
        }
        (judgement, done)
    }

    fn take_back(&mut self, capability: &str, extent: &Extent, now: Bin) {
        self.since.insert(capability.to_owned(), now + 1);
        match extent {
            Extent::Tenants(tenants) => {
                for tenant in tenants {
                    self.gone.insert((capability.to_owned(), *tenant), now);
                }
            }
            Extent::Capability | Extent::Wave(_) => {
                self.forced.insert(capability.to_owned(), now);
            }
        }
    }
}

/// Plays a trace from its first bucket to its last, and what the windows still hold after it for one minute.
pub fn play(buckets: &[Bucket], config: Config) -> Vec<Step> {
    let mut by_bin: BTreeMap<Bin, Vec<&Bucket>> = BTreeMap::new();
    for bucket in buckets {
        by_bin.entry(bucket.at).or_default().push(bucket);
    }
    let (Some(first), Some(last)) = (by_bin.keys().next(), by_bin.keys().next_back()) else {
        return Vec::new();
    };
    let names: BTreeSet<&str> = buckets.iter().map(|b| b.capability.as_str()).collect();
    let mut replay = Replay::new(config);
    let mut before: BTreeMap<&str, Verdict> = BTreeMap::new();
    let mut steps = Vec::new();
    for now in first + 1..=last + 1 + bins(std::time::Duration::from_secs(60)) {
        for bucket in by_bin.get(&(now - 1)).into_iter().flatten() {
            replay.add(bucket);
        }
        for name in &names {
            let (judgement, taken_back) = replay.judge(name, now);
            let is_new = before.insert(name, judgement.verdict) != Some(judgement.verdict);
            if is_new || !taken_back.is_empty() {
                steps.push(Step {
                    at: super::store::begin_of(now),
                    capability: (*name).to_owned(),
                    verdict: judgement.verdict,
                    finding: judgement
                        .failing
                        .first()
                        .filter(|_| judgement.finding.verdict != Verdict::Fail)
                        .map_or(judgement.finding.clone(), |it| it.finding.clone()),
                    taken_back,
                });
            }
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "at,capability,side,tenant,requests,errors,connect_failures,misses,latency\n";

    #[test]
    fn both_ways_to_write_latencies_are_read_alike() {
        let text = format!(
            "{HEAD}1000,a,modern,7,4,0,0,0,50:3 inf:1\n1970-01-01T00:16:40Z,a,legacy,,4,0,0,0,\"{{0,0,0,0,3}}\"\n"
        );
        let buckets = read_trace(text.as_bytes()).unwrap();
        assert_eq!((buckets[0].at, buckets[1].at), (100, 100));
        assert_eq!(buckets[0].cell.latency[4], buckets[1].cell.latency[4]);
        assert_eq!((buckets[0].tenant, buckets[1].tenant), (7, 0));
    }

    #[test]
    fn a_fault_is_told_with_its_line_and_its_column() {
        let fault = |row: &str| {
            let text = format!("{HEAD}1000,a,modern,7,4,0,0,0,\n{row}\n");
            read_trace(text.as_bytes()).unwrap_err()
        };
        for (row, column) in [
            ("yesterday,a,modern,7,4,0,0,0,", Some("at")),
            ("10,a,new,7,4,0,0,0,", Some("side")),
            ("10,a,modern,seven,4,0,0,0,", Some("tenant")),
            ("10,a,modern,7,x,5,0,0,", Some("requests")),
            ("10,a,modern,7,4,5,0,0,", Some("errors")),
            ("10,a,modern,7,4,0,0,-1,", Some("misses")),
            ("10,a,modern,7,4,0,0,0,50", Some("latency")),
            ("10,a,modern,7,4,0,0,0,50:9", Some("latency")),
            ("10,a,modern,7,4,0", None),
        ] {
            let fault = fault(row);
            assert_eq!(
                (fault.line, fault.column.as_deref()),
                (3, column),
                "{fault}"
            );
        }
        let said = fault("10,a,modern,7,4,5,0,0,").to_string();
        assert_eq!(said, "line 3, column errors: 5 errors of 4 requests");
        let text = "at,capability,side,requests,errors,colour\n10,a,modern,7,4,blue\n";
        let said = read_trace(text.as_bytes()).unwrap_err().to_string();
        assert!(said.contains("unknown field `colour`"), "{said}");
    }

    #[test]
    fn a_trace_that_turns_bad_ends_in_one_rollback() {
        let mut text = HEAD.to_owned();
        for bin in 0..60 {
            let errors = if bin < 40 { 0 } else { 8 };
            text.push_str(&format!("{},a,modern,7,40,{errors},0,0,50:40\n", bin * 10));
        }
        let steps = play(&read_trace(text.as_bytes()).unwrap(), Config::default());
        let taken: Vec<_> = steps.iter().filter(|s| !s.taken_back.is_empty()).collect();
        assert_eq!(taken.len(), 1, "{steps:?}");
        assert_eq!(taken[0].taken_back, [Extent::Tenants(vec![7])]);
        assert!(steps.iter().any(|step| step.verdict == Verdict::Pass));
    }
}
