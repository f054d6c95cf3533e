//! `ficus message`: show, list, dead-letters, retry, settle; and the tree of the noun's other commands.
//!
//! Its own file: one a noun. How its answers look stands in [`super::message_table`]; what concerns tenants and campaigns has
//! files of its own.

use std::process::ExitCode;

use axum::http::Method;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use uuid::Uuid;

use super::Client;
use super::backend::with_query;
use super::exit::{FAILED, Failure};
use super::message_hold::{self, HoldArgs};
use super::message_policy::{self, PolicyArgs};
use super::message_return::{self, ReturnArgs};
use super::message_run::{self, RunArgs, RunsArgs};
use super::message_send::{self, SendArgs};
use super::message_server;
use super::message_table as table;
use crate::control::{Page, RetryWritten, SettleWritten, parse_reason};
use crate::engine::operations::{Became, MessageDetail, MessageRow, RunOperation};
use crate::ids::TenantRef;

const ROUTE: &str = "/api/v1/messages";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show one message: its attempts, how they ended, what it waits for, what people did with it
    #[command(after_help = "Example:
  ficus message show 01931c5e-7a40-7000-8000-000000000001

It has the whole recipient; what the message says is shown nowhere.")]
    Show {
        #[arg(value_name = "ID")]
        message: Uuid,
    },
    /// List messages, newest first, their recipients masked
    #[command(after_help = "Examples:
  ficus message list --tenant acme
  ficus message list --state uncertain
  ficus message list --tenant acme --campaign 21 --state failed --limit 1000

A page looks at 20,000 messages at most: it may have few, and say where to go on.")]
    List(ListArgs),
    /// List what was given up after its last attempt, newest first
    #[command(after_help = "Examples:
  ficus message dead-letters
  ficus message dead-letters --tenant acme --output json | jq -r '.items[].id' | xargs ficus message retry --reason 'their server is back'")]
    DeadLetters(DeadLettersArgs),
    /// Make messages due again that are failed, dead or unknown
    #[command(after_help = "Examples:
  ficus message retry 01931c5e-7a40-7000-8000-000000000001 --reason 'INC-42'
  ficus message retry ID ID ID --dry-run

Each id has its own answer; with exit code 1 one of them was refused or is missing, and the others are due. Twice is the same as once.
One that is unknown may have arrived: it is sent again all the same. One that is uncertain is settled first.")]
    Retry(RetryArgs),
    /// Say how the attempt of an uncertain message ended
    #[command(after_help = "Examples:
  ficus message settle 01931c5e-7a40-7000-8000-000000000001 sent --reason 'it is in their log'
  ficus message settle 01931c5e-7a40-7000-8000-000000000001 resend --reason 'their log ends before it'

Exit code 4: somebody settled it otherwise, and the message says who and how. resend: on the risk that it arrives twice.")]
    Settle(SettleArgs),
    /// Hold back a tenant's messages, or a campaign's: nothing more of them begins
    #[command(after_help = "Examples:
  ficus message hold acme --reason 'INC-42'
  ficus message hold acme --campaign 21 --reason 'wrong template'

What is accepted meanwhile waits. It says how many attempts are under way: they are not stopped; the same command again counts anew.")]
    Hold(HoldArgs),
    /// Let go of what was held back
    #[command(after_help = "Examples:
  ficus message release acme --reason 'INC-42 is over'
  ficus message release acme --campaign 21 --reason 'template is mended'

Exactly this: a campaign that is held by itself stays so when its tenant is let go.")]
    Release(HoldArgs),
    /// List what is held back
    #[command(after_help = "Examples:\n  ficus message holds\n  ficus message holds --tenant acme")]
    Holds {
        /// An id or a slug
        #[arg(long, value_name = "T")]
        tenant: Option<TenantRef>,
    },
    /// Hand messages of a file in at the engine
    #[command(after_help = "Examples:
  ficus message send messages.json --tenant acme
  ficus message send mails.jsonl
  make-mails | ficus message send - --tenant 2 --output json

The file has what `POST /api/v1/messages` takes: one message, a list, or one a line. Each that is told as accepted is on the disk. With exit code 1 some were
rejected, each with its reason, or the engine did not answer: the same file again hands in what is missing, where each message has an idempotency_key.")]
    Send(SendArgs),
    /// Set, or list, what becomes of a tenant's uncertain messages when nobody settles them
    #[command(after_help = "Examples:
  ficus message policy
  ficus message policy acme at-least-once --reason 'their mails are idempotent'
  ficus message policy acme default --reason 'as everybody'

at-most-once: unknown for ever; at-least-once: sent again, and it may arrive twice; default: as engine.on_uncertain says.")]
    Policy(PolicyArgs),
    /// A tenant's own mail server, stored here in place of legacy's row
    #[command(subcommand)]
    Server(message_server::Command),
    /// Give a tenant's unsent messages back to legacy, which sends those of campaigns in our place
    #[command(after_help = "Examples:
  ficus message return acme --dry-run
  ficus message return acme --reason 'INC-42'
  ficus message return acme --reason 'INC-42' --no-wait

Nothing of the tenant begins any more; what had begun ends here. What is unsent of each campaign becomes a campaign of legacy's own, which legacy's
cron sends: each recipient gets it from one side. Messages of no campaign have no place in legacy: they stay held here. `ficus message release`
gives the tenant to the engine again, and so does a flag that goes to modern. Exit code 5: not everything was legacy's in time; it goes on.")]
    Return(ReturnArgs),
    /// List tenants whose messages are legacy's again, or show one of them campaign by campaign
    #[command(
        after_help = "Examples:\n  ficus message returns\n  ficus message returns --tenant acme"
    )]
    Returns {
        /// An id or a slug
        #[arg(long, value_name = "T")]
        tenant: Option<TenantRef>,
    },
    /// List campaigns' sends that are not over, newest first
    #[command(after_help = "Examples:
  ficus message runs --tenant acme
  ficus message runs --all --limit 1000")]
    Runs(RunsArgs),
    /// Pause one send of a campaign: nothing more of it begins
    #[command(after_help = "Examples:
  ficus message pause 01931c5e-7a40-7000-8000-000000000001 --reason 'wrong picture'

What had begun ends. No further recipients are read until it is resumed.")]
    Pause(RunArgs),
    /// Let a paused send of a campaign go on
    #[command(after_help = "Examples:
  ficus message resume 01931c5e-7a40-7000-8000-000000000001 --reason 'picture is mended'

A campaign that is held by itself, `ficus message hold T --campaign C`, is let go of too.")]
    Resume(RunArgs),
    /// End one send of a campaign where it is: what nobody has begun is never sent, and its quota goes back
    #[command(after_help = "Examples:
  ficus message cancel 01931c5e-7a40-7000-8000-000000000001 --reason 'wrong list'")]
    Cancel(RunArgs),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StateArg {
    /// It is sent as soon as its turn comes
    Due,
    /// It has a time: a schedule, or a retry
    Waiting,
    /// An attempt has begun and has no end
    Sending,
    /// The other side has it
    Accepted,
    /// It will never be accepted
    Failed,
    /// Its attempts are used up
    Dead,
    /// It may have been accepted, and nobody will ever know
    Unknown,
    Cancelled,
    /// It may have been accepted: to be settled
    Uncertain,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum VerdictArg {
    /// The other side has it
    Sent,
    /// It has not, and is not to get it
    Failed,
    /// It is sent again, on the risk that it arrives twice
    Resend,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// An id or a slug
    #[arg(long, value_name = "T")]
    tenant: Option<TenantRef>,
    /// Of this campaign
    #[arg(long, value_name = "C")]
    campaign: Option<i64>,
    /// That stand so
    #[arg(long, value_enum, value_name = "S")]
    state: Option<StateArg>,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Debug, Args)]
pub struct DeadLettersArgs {
    /// An id or a slug
    #[arg(long, value_name = "T")]
    tenant: Option<TenantRef>,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Debug, Args)]
struct PageArgs {
    /// Begin before this message, by its id
    #[arg(long, value_name = "ID")]
    before: Option<Uuid>,
    /// Messages at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

/// What a write of the engine takes: it has no revision, and no proxy follows it.
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// Why; it stands in the message's story
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run", value_parser = parse_reason)]
    pub reason: Option<String>,
    /// Check everything, show what would become of it, change nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct RetryArgs {
    #[arg(value_name = "ID", required = true, num_args = 1..=1000)]
    messages: Vec<Uuid>,
    #[command(flatten)]
    why: WhyArgs,
}

#[derive(Debug, Args)]
pub struct SettleArgs {
    #[arg(value_name = "ID")]
    message: Uuid,
    #[arg(value_enum)]
    verdict: VerdictArg,
    #[command(flatten)]
    why: WhyArgs,
}

pub async fn run(client: &Client<'_>, command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Show { message } => {
            let detail: MessageDetail = client.backend.get(&format!("{ROUTE}/{message}")).await?;
            client
                .output
                .data(&detail, |detail| table::story(client.output, detail))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::List(args) => {
            list(
                client,
                args.tenant,
                args.campaign,
                args.state.map(|it| word(&it)),
                args.page,
            )
            .await
        }
        Command::DeadLetters(args) => {
            let dead = Some(word(&StateArg::Dead));
            list(client, args.tenant, None, dead, args.page).await
        }
        Command::Retry(args) => retry(client, args).await,
        Command::Settle(args) => settle(client, args).await,
        Command::Hold(args) => message_hold::hold(client, args).await,
        Command::Release(args) => message_hold::release(client, args).await,
        Command::Holds { tenant } => message_hold::list(client, tenant).await,
        Command::Send(args) => message_send::run(client, args).await,
        Command::Policy(args) => message_policy::run(client, args).await,
        Command::Server(command) => message_server::run(client, command).await,
        Command::Return(args) => message_return::run(client, args).await,
        Command::Returns { tenant } => message_return::list(client, tenant).await,
        Command::Runs(args) => message_run::list(client, args).await,
        Command::Pause(args) => message_run::operate(client, args, RunOperation::Pause).await,
        Command::Resume(args) => message_run::operate(client, args, RunOperation::Resume).await,
        Command::Cancel(args) => message_run::operate(client, args, RunOperation::Cancel).await,
    }
}

/// As the API has it: the word that is typed.
fn word(value: &impl ValueEnum) -> String {
    let value = value.to_possible_value();
    value.map_or_else(String::new, |it| it.get_name().to_owned())
}

async fn list(
    client: &Client<'_>,
    tenant: Option<TenantRef>,
    campaign: Option<i64>,
    state: Option<String>,
    page: PageArgs,
) -> Result<ExitCode, Failure> {
    let parameters = [
        ("tenant", tenant.map(|it| it.to_string())),
        ("campaign", campaign.map(|it| it.to_string())),
        ("state", state),
        ("before", page.before.map(|it| it.to_string())),
        ("limit", Some(page.limit.to_string())),
    ];
    let found: Page<MessageRow> = client.backend.get(&with_query(ROUTE, &parameters)).await?;
    client
        .output
        .data(&found, |found| table::list(client.output, &found.items))?;
    if let Some(next) = &found.next {
        client
            .output
            .say(&format!("there may be more: --before {next}"));
    }
    Ok(ExitCode::SUCCESS)
}

async fn retry(client: &Client<'_>, args: RetryArgs) -> Result<ExitCode, Failure> {
    let why = args.why;
    let body = json!({ "ids": args.messages, "reason": why.reason, "dry_run": why.dry_run });
    let route = format!("{ROUTE}/retry");
    let done: RetryWritten = client
        .backend
        .call(Method::POST, &route, Some(&body))
        .await?;
    client
        .output
        .data(&done, |done| table::retried(client.output, done))?;
    let all = done
        .items
        .iter()
        .all(|it| matches!(it.became, Became::Due | Became::AlreadyDue));
    if all {
        return Ok(ExitCode::SUCCESS);
    }
    client.output.say(
        "next: `ficus message show ID`; one that is uncertain is settled by `ficus message settle`",
    );
    Ok(ExitCode::from(FAILED))
}

async fn settle(client: &Client<'_>, args: SettleArgs) -> Result<ExitCode, Failure> {
    let why = args.why;
    let body = json!({ "as": word(&args.verdict), "reason": why.reason, "dry_run": why.dry_run });
    let route = format!("{ROUTE}/{}/settle", args.message);
    let done: SettleWritten = client
        .backend
        .call(Method::POST, &route, Some(&body))
        .await?;
    client.output.data(&done, table::settled)?;
    Ok(ExitCode::SUCCESS)
}
