//! `ficus message send`: hands messages of a file in at the engine, a thousand at a time.
//!
//! Its own file, because it is the one command that speaks to the engine itself: what is accepted is the engine's word, with its quota and its keys,
//! and a file may be longer than a request.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Client;
use super::backend::encode;
use super::engine_client::EngineClient;
use super::exit::{FAILED, Failure};
use super::output::{Output, printable};
use crate::engine::MOST_MESSAGES;
use crate::ids::{TenantId, TenantRef};
use crate::rollout::Tenant;

/// Bytes of one request: the engine takes 32 MiB.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// Faults that a table shows. The rest is in the JSON.
const SHOWN: usize = 20;

#[derive(Debug, Args)]
pub struct SendArgs {
    /// Messages as JSON: one, a list, or one a line; "-": standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// An id or a slug: whose they are [default: the tenant_id of each]
    #[arg(long, value_name = "T")]
    tenant: Option<TenantRef>,
    /// The engine
    #[arg(
        long,
        env = "FICUS_ENGINE_URL",
        default_value = "http://127.0.0.1:8093",
        value_name = "URL"
    )]
    engine: String,
    /// Read everything, say how many there are, hand nothing in
    #[arg(long)]
    dry_run: bool,
}

/// What became of the messages, each by its place in the file, from 0.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Sent {
    pub accepted: Vec<Known>,
    pub duplicate: Vec<Known>,
    pub rejected: Vec<Rejected>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Known {
    pub index: usize,
    pub id: uuid::Uuid,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Rejected {
    pub index: usize,
    pub code: String,
    pub detail: String,
}

/// A request's messages, and where they stand in the file.
#[derive(Default)]
struct Batch {
    tenant: Option<TenantId>,
    places: Vec<usize>,
    messages: Vec<Value>,
    bytes: usize,
}

pub async fn run(client: &Client<'_>, args: SendArgs) -> Result<ExitCode, Failure> {
    let tenant = match &args.tenant {
        Some(TenantRef::Id(id)) => Some(*id),
        // Only the admin API knows slugs.
        Some(slug) => {
            let route = format!("/api/v1/tenants/{}", encode(&slug.to_string()));
            let found: Tenant = client.backend.get(&route).await?;
            Some(found.id)
        }
        None => None,
    };
    let engine = EngineClient::new(&args.engine)?;
    let mut sent = Sent::default();
    let mut progress = Progress::new(client.output);
    let mut batch = Batch::default();
    let mut count = 0;
    for message in messages(open(&args.file)?) {
        let message = message?;
        let place = count;
        count += 1;
        let whose = match (tenant, message.get("tenant_id").and_then(Value::as_i64)) {
            (Some(tenant), _) => tenant,
            (None, Some(id)) => TenantId(id),
            (None, None) => {
                progress.end();
                stopped(client.output, &sent, place);
                return Err(Failure::Usage(format!(
                    "message {place} has no tenant_id: say whose they are with --tenant"
                )));
            }
        };
        if args.dry_run {
            continue;
        }
        let bytes = message.to_string().len();
        if !batch.has_room(whose, bytes) {
            hand_in(client, &engine, &mut sent, &mut batch).await?;
            progress.show(count);
        }
        batch.push(whose, place, message, bytes);
    }
    if args.dry_run {
        client
            .output
            .data(&serde_json::json!({ "messages": count }), |_| {
                format!("dry run: {count} messages, nothing was handed in\n")
            })?;
        return Ok(ExitCode::SUCCESS);
    }
    hand_in(client, &engine, &mut sent, &mut batch).await?;
    progress.end();
    client.output.data(&sent, |it| table(client.output, it))?;
    match sent.rejected.is_empty() {
        true => Ok(ExitCode::SUCCESS),
        false => Ok(ExitCode::from(FAILED)),
    }
}

/// Should the engine not answer, what was accepted before is told: it is not taken back.
async fn hand_in(
    client: &Client<'_>,
    engine: &EngineClient,
    sent: &mut Sent,
    batch: &mut Batch,
) -> Result<(), Failure> {
    let Batch {
        tenant: Some(tenant),
        places,
        messages,
        ..
    } = std::mem::take(batch)
    else {
        return Ok(());
    };
    let answer: Result<Sent, Failure> = engine.hand_in(tenant, &Value::Array(messages)).await;
    let answer = answer.inspect_err(|_| {
        stopped(
            client.output,
            sent,
            places.first().copied().unwrap_or_default(),
        );
    })?;
    let place = |index: usize| places.get(index).copied().unwrap_or(index);
    let known = |it: Known| Known {
        index: place(it.index),
        ..it
    };
    sent.accepted.extend(answer.accepted.into_iter().map(known));
    sent.duplicate
        .extend(answer.duplicate.into_iter().map(known));
    sent.rejected
        .extend(answer.rejected.into_iter().map(|it| Rejected {
            index: place(it.index),
            ..it
        }));
    Ok(())
}

fn stopped(output: &Output, sent: &Sent, place: usize) {
    let (accepted, duplicate) = (sent.accepted.len(), sent.duplicate.len());
    output.say(&format!(
        "stopped at message {place}: {accepted} were accepted before, {duplicate} were known, {} rejected",
        sent.rejected.len()
    ));
    output.say("next: the same file again; a message with an idempotency_key that was accepted is known, one without is sent again");
}

impl Batch {
    fn has_room(&self, tenant: TenantId, bytes: usize) -> bool {
        self.messages.is_empty()
            || self.tenant == Some(tenant)
                && self.messages.len() < MOST_MESSAGES
                && self.bytes + bytes <= MOST_BYTES
    }

    fn push(&mut self, tenant: TenantId, place: usize, message: Value, bytes: usize) {
        self.tenant = Some(tenant);
        self.places.push(place);
        self.messages.push(message);
        self.bytes += bytes;
    }
}

fn open(path: &PathBuf) -> Result<Box<dyn Read>, Failure> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(path).map_err(|fault| {
        Failure::Other(anyhow::anyhow!(
            "could not read {}: {fault}",
            path.display()
        ))
    })?;
    Ok(Box::new(file))
}

/// One value after the other, whatever stands between them, and the items of a list: a file of lines is not read as a whole.
fn messages(input: Box<dyn Read>) -> impl Iterator<Item = Result<Value, Failure>> {
    let mut values = serde_json::Deserializer::from_reader(BufReader::new(input)).into_iter();
    let mut listed = VecDeque::new();
    std::iter::from_fn(move || {
        loop {
            if let Some(message) = listed.pop_front() {
                return Some(Ok(message));
            }
            match values.next()? {
                Ok(Value::Array(items)) => listed.extend(items),
                Ok(message) => return Some(Ok(message)),
                Err(fault) => {
                    return Some(Err(Failure::Usage(format!(
                        "the file is no JSON: line {}, column {}",
                        fault.line(),
                        fault.column()
                    ))));
                }
            }
        }
    })
}

fn table(output: &Output, sent: &Sent) -> String {
    let (accepted, duplicate) = (sent.accepted.len(), sent.duplicate.len());
    let rejected = sent.rejected.len();
    let mut text = format!("{accepted} accepted, {duplicate} known before, {rejected} rejected\n");
    if rejected == 0 {
        return text;
    }
    let row = |it: &Rejected| vec![it.index.to_string(), it.code.clone(), it.detail.clone()];
    let rows: Vec<_> = sent.rejected.iter().take(SHOWN).map(row).collect();
    text += &format!("\n{}", output.table(&["MESSAGE", "CODE", "WHY"], &rows));
    if rejected > SHOWN {
        text += &format!("and {} more: --output json\n", rejected - SHOWN);
    }
    printable_lines(&text)
}

/// What a message says may stand in a fault.
fn printable_lines(text: &str) -> String {
    text.lines().map(|it| printable(it) + "\n").collect()
}

/// A line that is written over, for a person who waits.
struct Progress {
    is_shown: bool,
}

impl Progress {
    fn new(output: &Output) -> Self {
        Self {
            is_shown: io::stderr().is_terminal() && !output.is_json(),
        }
    }

    fn show(&mut self, count: usize) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r{count} messages handed in");
        }
    }

    fn end(&mut self) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str) -> Vec<Value> {
        let all: Result<Vec<Value>, Failure> = messages(Box::new(text.as_bytes())).collect();
        all.expect("messages")
    }

    #[test]
    fn one_a_list_and_lines_are_read_alike() {
        for text in ["{\"a\":1}", "[{\"a\":1}]", "\n{\"a\":1}\n\n"] {
            assert_eq!(read(text), [serde_json::json!({ "a": 1 })], "{text:?}");
        }
        assert_eq!(read("{\"a\":1}\n{\"a\":2}\n[{\"a\":3},{\"a\":4}]").len(), 4);
        assert!(read("").is_empty());
    }

    #[test]
    fn what_is_no_json_is_named_by_its_place() {
        let mut found = messages(Box::new("{\"a\":1}\n{oops}".as_bytes()));
        assert!(found.next().is_some_and(|it| it.is_ok()));
        let fault = found.next().expect("a fault").expect_err("no JSON");
        assert!(matches!(fault, Failure::Usage(text) if text.contains("line 2")));
    }

    #[test]
    fn a_request_is_one_tenants_and_no_larger_than_the_engine_takes() {
        let mut batch = Batch::default();
        assert!(
            batch.has_room(TenantId(1), MOST_BYTES + 1),
            "one always has"
        );
        batch.push(TenantId(1), 0, Value::Null, 10);
        assert!(batch.has_room(TenantId(1), 10));
        assert!(!batch.has_room(TenantId(2), 10));
        assert!(!batch.has_room(TenantId(1), MOST_BYTES));
        (1..MOST_MESSAGES).for_each(|place| batch.push(TenantId(1), place, Value::Null, 1));
        assert!(!batch.has_room(TenantId(1), 1));
    }
}
