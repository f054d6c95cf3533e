//! `ficus audit verify` and `export`: the chain, walked link by link with the rows that each is over.
//!
//! Its own file, because it reads three lists at once and holds a page of each, however long they are. The check
//! itself is done here and not where the rows come from, which need not be believed.

use std::collections::VecDeque;
use std::io::BufRead;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::de::DeserializeOwned;

use super::Client;
use super::exit::{FAILED, Failure};
use crate::control::Page;
use crate::rollout::audit::{
    Anchor, Entry, Head, Link, Report, SealedChange, SealedItem, Verifier, anchor,
};

/// Rows asked for at once.
const PAGE: usize = 1000;

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Hold the chain against the heads in this file (audit.anchor_file): only that shows a rewrite or a cut tail
    #[arg(long, value_name = "FILE")]
    anchor: Option<PathBuf>,
    /// Verify an export instead of the database
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// A list that is read page by page.
struct Rows<T> {
    route: &'static str,
    read: VecDeque<T>,
    after: i64,
    more: bool,
}

impl<T: DeserializeOwned> Rows<T> {
    fn new(route: &'static str) -> Self {
        Self {
            route,
            read: VecDeque::new(),
            after: 0,
            more: true,
        }
    }

    /// The next row if `wanted` says so; then it is taken.
    async fn next_if(
        &mut self,
        client: &Client<'_>,
        wanted: impl Fn(&T) -> bool,
    ) -> Result<Option<T>, Failure> {
        if self.read.is_empty() && self.more {
            let page: Page<T> = client
                .backend
                .get(&format!("{}?after={}&limit={PAGE}", self.route, self.after))
                .await?;
            self.after = page
                .next
                .as_deref()
                .and_then(|next| next.parse().ok())
                .unwrap_or(self.after);
            self.more = page.next.is_some();
            self.read = page.items.into();
        }
        Ok(match self.read.front() {
            Some(row) if wanted(row) => self.read.pop_front(),
            _ => None,
        })
    }
}

/// Gives every entry up to the head, in the chain's order; a row that is in no link comes where it would have been.
async fn walk(
    client: &Client<'_>,
    head: &Head,
    mut each: impl FnMut(Entry) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut links = Rows::<Link>::new("/api/v1/audit/links");
    let mut changes = Rows::<SealedChange>::new("/api/v1/audit/changes");
    let mut items = Rows::<SealedItem>::new("/api/v1/audit/items");
    while let Some(link) = links.next_if(client, |link| link.seq <= head.seq).await? {
        let revision = link.revision;
        let places = link.first_place.zip(link.last_place);
        if places.is_none() {
            while let Some(stray) = changes.next_if(client, |it| it.revision < revision).await? {
                each(Entry::Change(stray))?;
            }
        }
        if let Some((first, _)) = places {
            while let Some(stray) = items.next_if(client, |it| it.place < first).await? {
                each(Entry::Item(stray))?;
            }
        }
        each(Entry::Link(link))?;
        match places {
            None => {
                if let Some(change) = changes
                    .next_if(client, |it| it.revision == revision)
                    .await?
                {
                    each(Entry::Change(change))?;
                }
            }
            Some((_, last)) => {
                while let Some(item) = items.next_if(client, |it| it.place <= last).await? {
                    each(Entry::Item(item))?;
                }
            }
        }
    }
    while let Some(stray) = changes
        .next_if(client, |it| it.revision <= head.last_change)
        .await?
    {
        each(Entry::Change(stray))?;
    }
    while let Some(stray) = items
        .next_if(client, |it| it.place <= head.last_place)
        .await?
    {
        each(Entry::Item(stray))?;
    }
    Ok(())
}

pub async fn export(client: &Client<'_>) -> Result<ExitCode, Failure> {
    let head: Head = client.backend.get("/api/v1/audit/head").await?;
    walk(client, &head, |entry| {
        let line = serde_json::to_string(&entry).map_err(anyhow::Error::from)? + "\n";
        client.output.raw(line.as_bytes())
    })
    .await?;
    client.output.say(&format!(
        "exported {} links, to revision {}",
        head.seq, head.revision
    ));
    Ok(ExitCode::SUCCESS)
}

pub async fn verify(client: &Client<'_>, args: VerifyArgs) -> Result<ExitCode, Failure> {
    let anchors: Vec<Anchor> = match &args.anchor {
        Some(path) => anchor::read(path)?,
        None => Vec::new(),
    };
    let mut verifier = Verifier::new(anchors);
    let report = match &args.file {
        Some(path) => {
            let file = std::fs::File::open(path)
                .map_err(|e| Failure::Usage(format!("{}: {e}", path.display())))?;
            for (nth, line) in std::io::BufReader::new(file).lines().enumerate() {
                let line = line.map_err(anyhow::Error::from)?;
                let entry = serde_json::from_str(&line).map_err(|e| {
                    Failure::Usage(format!(
                        "{}: line {} is no line of an export: {e}",
                        path.display(),
                        nth + 1
                    ))
                })?;
                verifier.take(&entry);
            }
            verifier.finish(None)
        }
        None => {
            let head: Head = client.backend.get("/api/v1/audit/head").await?;
            walk(client, &head, |entry| {
                verifier.take(&entry);
                Ok(())
            })
            .await?;
            verifier.finish(Some(&head))
        }
    };
    client.output.data(&report, told)?;
    if report.anchors == 0 {
        client.output.say(
            "without --anchor FILE, a chain that was rewritten or cut as a whole looks intact",
        );
    }
    Ok(if report.intact {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    })
}

fn told(report: &Report) -> String {
    let read = format!(
        "{} changes with {} items, in {} links",
        report.changes, report.items, report.links
    );
    let mut text = String::new();
    if report.intact {
        text += &format!("intact: {read}, held against {} anchors\n", report.anchors);
    } else {
        text += &format!("NOT intact: {} faults in {read}\n", report.faults_in_all);
        for fault in &report.faults {
            text += &format!("  {}\n", fault.what);
        }
    }
    if let Some((seq, hash)) = &report.head {
        text += &format!("head        {seq} {hash}\n");
    }
    text
}
