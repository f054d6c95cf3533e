//! What the benches of the fleet share: a private PostgreSQL, numbers from the environment, percentiles.
//!
//! Its own folder, because cargo would take a file beside the benches for one of them.

#![allow(dead_code, reason = "each bench uses a part of it")]

#[path = "../../tests/it/support/process.rs"]
pub mod process;

use std::time::Duration;

use ficus::db;
use ficus::embedded::{Options, Postgres};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

/// A server with a database `ficus` that has the schema. Its files go away with this process.
pub struct Server {
    server: Postgres,
    pub url: String,
    pub pool: PgPool,
}

impl Server {
    pub async fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("ficus-bench-{}", std::process::id()));
        // As in production: a commit waits for the disk.
        let options = Options {
            durable: true,
            ephemeral: true,
            ..Options::default()
        };
        let server = Postgres::start(&folder, options).await.expect("a server");
        server.create_database("ficus").await.expect("a database");
        let url = server.url("ficus");
        db::migrate(&url).await.expect("the schema");
        let options = db::connect_options(&url).expect("our own URL is good");
        Self {
            server,
            pool: PgPoolOptions::new()
                .max_connections(4)
                .connect_lazy_with(options),
            url,
        }
    }

    /// An empty database beside it.
    pub async fn database(&self, name: &str) -> PgPool {
        self.server.create_database(name).await.expect("a database");
        let options = db::connect_options(&self.server.url(name)).expect("our own URL is good");
        PgPoolOptions::new()
            .max_connections(2)
            .connect_lazy_with(options)
    }
}

/// A number from the environment, so that a trial run can be small.
pub fn number(name: &str, default: usize) -> usize {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => default,
    }
}

/// One line: how many, p50, p99 and the longest.
pub fn report(what: &str, mut samples: Vec<Duration>) {
    samples.sort_unstable();
    let Some(longest) = samples.last() else {
        println!("{what}: no samples");
        return;
    };
    // The nearest rank: the smallest sample that so many are not above.
    let rank = |percent: usize| samples[(samples.len() * percent).div_ceil(100).max(1) - 1];
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    println!(
        "{what}: n={} p50={:.2} ms p99={:.2} ms max={:.2} ms",
        samples.len(),
        ms(rank(50)),
        ms(rank(99)),
        ms(*longest)
    );
}
