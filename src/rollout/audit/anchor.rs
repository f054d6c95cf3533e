//! Takes the chain's head out of the database, to a file or to a webhook.
//!
//! Its own file, because a chain alone can be rewritten from end to end by who owns the database; a hash that
//! stands where they cannot write is what shows it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::{Anchor, hash_at, head};
use crate::secret::Secret;

/// For the webhook's whole answer.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// What `[audit]` says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// A line is appended for each new head.
    pub anchor_file: Option<PathBuf>,
    /// Is posted each new head, as JSON.
    pub anchor_webhook: Secret,
    /// Between two looks at the head.
    pub anchor_every: Duration,
}

/// Anchors the head if it has moved since `last`, everywhere or not at all as far as the caller is concerned: a
/// place that failed gets the same head again at the next time. Answers the newest anchored link.
pub async fn anchor(
    pool: &PgPool,
    config: &Config,
    last: i64,
    now: DateTime<Utc>,
) -> anyhow::Result<i64> {
    let head = head(pool).await?;
    if head.seq == 0 || head.seq == last {
        return Ok(last);
    }
    let fresh = Anchor {
        at: now,
        seq: head.seq,
        revision: head.revision,
        hash: head.hash,
    };
    if let Some(path) = config.anchor_file.clone() {
        let newest = newest_in(path.clone()).await?;
        if let Some(newest) = &newest
            && hash_at(pool, newest.seq).await?.as_ref() != Some(&newest.hash)
        {
            bail!(
                "the audit no longer holds what was anchored at {}: link {} at revision {}; look with `ficus audit verify --anchor {}`",
                newest.at.format("%F %T UTC"),
                newest.seq,
                newest.revision,
                path.display()
            );
        }
        // Another leader wrote it, or this one, before a webhook that did not take it.
        if newest.is_none_or(|newest| newest.seq != fresh.seq) {
            let line = serde_json::to_string(&fresh)? + "\n";
            tokio::task::spawn_blocking(move || append(&path, &line)).await??;
        }
    }
    if !config.anchor_webhook.is_empty() {
        post(config.anchor_webhook.reveal(), &fresh)
            .await
            .context("audit.anchor_webhook did not take the head")?;
    }
    Ok(fresh.seq)
}

/// Posts a head. Its faults do not show the URL, which may hold a secret.
async fn post(url: &str, head: &Anchor) -> anyhow::Result<()> {
    let client = reqwest::Client::builder()
        .timeout(WEBHOOK_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let answer = client.post(url).json(head).send().await;
    let status = answer.map_err(reqwest::Error::without_url)?.status();
    // A redirect is followed nowhere, so nobody has it either.
    if !status.is_success() {
        bail!("it answered {status}");
    }
    Ok(())
}

/// Reads the anchors of a file. A line that a crash cut short is left out; any other that cannot be read is a fault.
pub fn read(path: &Path) -> anyhow::Result<Vec<Anchor>> {
    let file = std::fs::File::open(path)
        .with_context(|| format!("could not read the anchors in {}", path.display()))?;
    let mut anchors = Vec::new();
    for (nth, line) in BufReader::new(file).split(b'\n').enumerate() {
        let line = line?;
        match serde_json::from_slice(&line) {
            Ok(anchor) => anchors.push(anchor),
            Err(_) if !line.trim_ascii_end().ends_with(b"}") => {}
            Err(fault) => bail!("{}: line {} is no anchor: {fault}", path.display(), nth + 1),
        }
    }
    Ok(anchors)
}

async fn newest_in(path: PathBuf) -> anyhow::Result<Option<Anchor>> {
    tokio::task::spawn_blocking(move || match path.exists() {
        true => Ok(read(&path)?.pop()),
        false => Ok(None),
    })
    .await?
}

/// Appends a line that is on the disk when this returns.
fn append(path: &Path, line: &str) -> anyhow::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("could not open audit.anchor_file {}", path.display()))?;
    // After a line that a crash cut short, this one still begins a line of its own: an empty line is no anchor.
    file.write_all(format!("\n{line}").as_bytes())?;
    file.sync_all()
        .context("could not bring the anchor to the disk")
}
