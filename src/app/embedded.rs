//! `ficus serve --embedded`: a private PostgreSQL with the schema, the first token, and what to type next.
//!
//! Its own file, because these are a newcomer's first five minutes, and no part of a real installation.

use sqlx::PgPool;

use crate::config::Config;
use crate::db;
use crate::embedded::{Options, Postgres};
use crate::rollout::{self, Author, Source as ChangeSource};
use crate::secret::Secret;

/// The database that `--embedded` makes.
const EMBEDDED_DATABASE: &str = "ficus";

/// Starts the private PostgreSQL, brings its schema up to date, and tells a newcomer what to type.
pub(super) async fn start_embedded(config: &mut Config) -> anyhow::Result<Postgres> {
    let postgres =
        Postgres::start(&config.flags.state_dir.join("postgres"), Options::default()).await?;
    postgres.create_database(EMBEDDED_DATABASE).await?;
    let url = postgres.url(EMBEDDED_DATABASE);
    db::migrate(&url).await?;
    config.database.url = Secret::new(&url);
    let pool = db::connect(&url, &config.database).await?;
    welcome(config, &pool, &url).await?;
    Ok(postgres)
}

/// Prints the first token, once: it is stored hashed, and nobody can print it again.
#[expect(
    clippy::print_stderr,
    reason = "read by the person who typed the command, and a token has no business in a log"
)]
async fn welcome(config: &Config, pool: &PgPool, url: &str) -> anyhow::Result<()> {
    let (listen, admin) = (config.proxy.listen.first().copied(), config.control.listen);
    if let Some(listen) = listen {
        eprintln!("ficus: in front of the legacy application at http://{listen}");
    }
    eprintln!("ficus: admin API at http://{admin}, PostgreSQL at {url}");
    if rollout::list_tokens(pool).await?.is_empty() {
        let author = Author::new(
            "ficus serve --embedded",
            ChangeSource::Config,
            "first start",
        );
        let token = rollout::create_token(pool, &author, "first", rollout::Role::Admin).await?;
        eprintln!(
            "ficus: the first token, shown this once:\n\n    export FICUS_URL=http://{admin} FICUS_TOKEN={token}\n"
        );
    }
    if config.proxy.capabilities.is_empty() {
        eprintln!(
            "ficus: every request goes to legacy. Next: name the new service, a capability and its routes in a file, such as\n\n    \
             [upstream.modern]\n    url = \"http://127.0.0.1:3000\"\n\n    [capability.dashboard]\n    effect = \"read\"\n    modern = \"modern\"\n\n    \
             [[route]]\n    path = \"/dashboard\"\n    capability = \"dashboard\"\n\n    \
             [[route]]\n    path = \"/dashboard/{{*rest}}\"\n    capability = \"dashboard\"\n\n    \
             [[tenant]]\n    resolver = \"host\"\n    pattern = \"{{tenant}}.localhost\"\n\n\
             start again with --config FILE beside --embedded, and then\n\n    \
             ficus tenant set 2 --slug acme --class low --reason 'first tenant'\n    ficus flag set acme dashboard modern --reason 'try it'\n    \
             ficus rollback --tenant acme --reason 'seen enough'\n"
        );
    }
    Ok(())
}
