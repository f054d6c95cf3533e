//! The command line: noun, then verb; data on stdout, messages on stderr.
//!
//! Its own folder, because it is an interface as public as the API. Each noun is a file; [`backend`] is how a
//! command reaches the control state, [`output`] how it shows what it got, [`exit`] what it returns.

mod alert;
mod apikey;
mod audit;
mod audit_chain;
mod backend;
mod capability;
mod check;
mod engine_client;
mod exit;
mod explain;
mod flag;
mod freeze;
mod guard;
mod issued;
mod message;
mod message_hold;
mod message_policy;
mod message_return;
mod message_run;
mod message_send;
mod message_server;
mod message_table;
mod output;
mod overrides;
mod rollback;
mod serve;
mod status;
mod tenant;
mod tenant_file;
mod token;
mod wave;
mod wave_file;
mod wave_table;
mod write;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

pub use serve::{CheckArgs, ColdStartArg, DemoArgs, ProcessRole, ServeArgs};

use backend::Backend;
use exit::Failure;
use output::{Format, Output};

/// Moves a legacy multi-tenant application to its replacement, tenant by tenant, and takes it back in an instant.
#[derive(Debug, Parser)]
#[command(name = "ficus", version, propagate_version = true, after_help = exit::HELP)]
struct Cli {
    #[command(flatten)]
    global: Globals,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
struct Globals {
    /// How to print data [default: table on a terminal, json elsewhere]
    #[arg(long, global = true, value_enum, help_heading = "Output")]
    output: Option<Format>,
    /// No colours; so does the environment variable NO_COLOR
    #[arg(long, global = true, help_heading = "Output")]
    no_color: bool,
    /// Answer yes to the question that is asked
    #[arg(long, global = true, help_heading = "Output")]
    yes: bool,
    /// The admin API
    #[arg(
        long,
        global = true,
        env = "FICUS_URL",
        default_value = "http://127.0.0.1:8090",
        value_name = "URL",
        help_heading = "Reach"
    )]
    url: String,
    /// A bearer token of the admin API
    #[arg(
        long,
        global = true,
        env = "FICUS_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        help_heading = "Reach"
    )]
    token: Option<String>,
    /// Speak to PostgreSQL itself, when the admin API is down
    #[arg(long, global = true, help_heading = "Reach")]
    direct: bool,
    /// The database of --direct and of migrate
    #[arg(
        long,
        global = true,
        env = "DATABASE_URL",
        value_name = "URL",
        hide_env_values = true,
        help_heading = "Reach"
    )]
    database_url: Option<String>,
    /// Speak to one proxy's socket, when PostgreSQL is down too; rollback takes several
    #[arg(
        long,
        global = true,
        value_name = "SOCKET",
        conflicts_with = "direct",
        help_heading = "Reach"
    )]
    local: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run: the proxy, the admin API and the modern services
    Serve(ServeArgs),
    /// Validate the configuration and reach everything it names
    Check(CheckArgs),
    /// Apply the schema to the database
    #[command(after_help = "Example:\n  ficus migrate --database-url postgres://ficus@db/ficus")]
    Migrate,
    /// Capabilities, overrides, and proxies with their revision and lag
    Status(status::StatusArgs),
    /// Which side would answer a request, and why
    Explain(explain::ExplainArgs),
    /// The tenants that can be moved
    #[command(subcommand)]
    Tenant(tenant::Command),
    /// Which side answers a tenant's capability
    #[command(subcommand)]
    Flag(flag::Command),
    /// The slices of the application that move as one
    #[command(subcommand)]
    Capability(capability::Command),
    /// Cohorts of tenants that move together, step by step, past gates
    #[command(subcommand)]
    Wave(wave::Command),
    /// What stands above every flag
    #[command(subcommand)]
    Override(overrides::Command),
    /// What the guard says of the modern side, and why
    #[command(subcommand)]
    Guard(guard::Command),
    /// Take tenants, a wave, a capability or everything back to legacy, confirmed by every proxy
    Rollback(rollback::RollbackArgs),
    /// Stop writes and sends of a tenant, a capability or everything for a while; reads go on
    Freeze(freeze::FreezeArgs),
    /// End a freeze before its time
    Unfreeze(freeze::UnfreezeArgs),
    /// Who changed what, when and why; and undo
    #[command(subcommand)]
    Audit(audit::Command),
    /// What people were told of, and are still to be
    #[command(subcommand)]
    Alert(alert::Command),
    /// What becomes of messages; send again, settle, hold back, let go
    #[command(subcommand)]
    Message(message::Command),
    /// Bearer tokens of the admin API
    #[command(subcommand)]
    Token(token::Command),
    /// API keys, which name a tenant's requests
    #[command(subcommand)]
    Apikey(apikey::Command),
    /// Play the migration story on a legacy application of its own
    Demo(DemoArgs),
    /// Print completions for a shell
    #[command(after_help = "Example:\n  ficus completions bash > /etc/bash_completion.d/ficus")]
    Completions { shell: clap_complete::Shell },
}

/// Parses the arguments, does what they say, and answers with the contract's exit code.
pub fn run() -> ExitCode {
    let Cli { global, command } = Cli::parse();
    let output = Output::new(global.output, global.no_color);
    let outcome = match command {
        Command::Serve(args) => crate::app::serve(args.into()).map_err(Failure::from),
        Command::Check(args) => check::run(&output, args),
        Command::Demo(args) => serve::demo(args),
        // It asks no server, and must not need to know of one.
        Command::Guard(guard::Command::Test(args)) => guard::test(&output, &args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "ficus", &mut script);
            output.raw(&script).map(|()| ExitCode::SUCCESS)
        }
        command => run_client(&global, &output, command),
    };
    outcome.unwrap_or_else(|failure| {
        output.failure(&failure);
        ExitCode::from(failure.code())
    })
}

/// Client commands live on one thread: they ask, print and end.
fn run_client(global: &Globals, output: &Output, command: Command) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)?;
    runtime.block_on(async {
        if matches!(command, Command::Migrate) {
            return migrate(global, output).await;
        }
        let backend = Backend::choose(global)?;
        let client = Client {
            backend,
            output,
            yes: global.yes,
        };
        match command {
            Command::Status(args) => status::run(&client, args).await,
            Command::Explain(args) => explain::run(&client, args).await,
            Command::Tenant(command) => tenant::run(&client, command).await,
            Command::Flag(command) => flag::run(&client, command).await,
            Command::Capability(command) => capability::run(&client, command).await,
            Command::Wave(command) => wave::run(&client, command).await,
            Command::Override(command) => overrides::run(&client, command).await,
            Command::Guard(command) => guard::run(&client, command).await,
            Command::Rollback(args) => rollback::run(&client, args).await,
            Command::Freeze(args) => freeze::freeze(&client, args).await,
            Command::Unfreeze(args) => freeze::unfreeze(&client, args).await,
            Command::Audit(command) => audit::run(&client, command).await,
            Command::Alert(command) => alert::run(&client, command).await,
            Command::Message(command) => message::run(&client, command).await,
            Command::Apikey(command) => apikey::run(&client, command).await,
            Command::Token(command) => token::run(&client, command).await,
            Command::Serve(_)
            | Command::Check(_)
            | Command::Demo(_)
            | Command::Migrate
            | Command::Completions { .. } => {
                Err(Failure::Usage("this command runs in no client".to_owned()))
            }
        }
    })
}

async fn migrate(global: &Globals, output: &Output) -> Result<ExitCode, Failure> {
    let url = backend::database_url(global)?;
    crate::db::migrate(url).await?;
    output.say("the schema is up to date");
    Ok(ExitCode::SUCCESS)
}

/// What a client command works with.
struct Client<'a> {
    backend: Backend,
    output: &'a Output,
    yes: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_tree_is_sound() {
        Cli::command().debug_assert();
    }

    /// clap merges two arguments of one name silently: `explain URL` would become the admin API's address, and be
    /// sent the token.
    #[test]
    fn no_command_has_an_argument_by_the_name_of_a_global_one() {
        let globals: Vec<_> = Globals::augment_args(clap::Command::new("globals"))
            .get_arguments()
            .map(|it| it.get_id().clone())
            .collect();
        let mut commands: Vec<_> = Cli::command().get_subcommands().cloned().collect();
        while let Some(command) = commands.pop() {
            for argument in command.get_arguments() {
                let name = command.get_name();
                assert!(
                    !globals.contains(argument.get_id()),
                    "{name}: {argument} takes a global argument's place"
                );
            }
            commands.extend(command.get_subcommands().cloned());
        }
    }
}
