//! The legacy application of the demo: its database, its server, and nothing of ours in it.
//!
//! Its own file, because the end-to-end tests start the same application.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use base64::Engine;

use super::process::Process;
use crate::embedded::Postgres;

const DATABASE: &str = "campaign";
/// In this order; the last gives the tenants their daily volume.
const SQL_FILES: [&str; 3] = ["schema.sql", "seed.sql", "volume.sql"];
/// Where Debian's package puts the framework.
const FRAMEWORK: &str = "/usr/share/php/Illuminate/autoload.php";
const PACKAGES: &str = "php-cli php-pgsql php-mbstring php-xml php-curl php-laravel-framework";
/// For PHP to answer its first request.
const START_TIMEOUT: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What to start it with.
pub struct Options<'a> {
    /// The application's folder: `demo/legacy`.
    pub source: &'a Path,
    /// What it writes: logs, compiled views.
    pub storage: PathBuf,
    pub log: PathBuf,
    pub port: u16,
    pub mail_port: u16,
}

pub struct Legacy {
    pub url: String,
    /// `base64:` and 32 bytes, as the resolver of Laravel's sessions needs it.
    pub app_key: String,
    pub process: Process,
}

impl Legacy {
    /// Makes the database anew on `server`, starts the application and waits until it answers.
    pub async fn start(server: &Postgres, options: Options<'_>) -> anyhow::Result<Self> {
        ensure!(
            Path::new(FRAMEWORK).is_file(),
            "the legacy application needs Laravel 8 (on Debian: apt install {PACKAGES})"
        );
        fill_database(server, &options.source.join("database")).await?;
        Self::serve(server, options, &[]).await
    }

    /// Starts the application on the database that [`Self::start`] has made. `settings` are variables of its
    /// environment that differ from the demo's.
    pub async fn serve(
        server: &Postgres,
        options: Options<'_>,
        settings: &[(&str, String)],
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&options.storage)
            .with_context(|| format!("could not make {}", options.storage.display()))?;
        let app_key = format!(
            "base64:{}",
            base64::engine::general_purpose::STANDARD.encode(rand::random::<[u8; 32]>())
        );
        let listen = format!("127.0.0.1:{}", options.port);
        let url = format!("http://{listen}");
        let environment = [
            ("APP_KEY", app_key.clone()),
            ("APP_URL", url.clone()),
            ("DB_HOST", server.socket_folder().display().to_string()),
            ("DB_DATABASE", DATABASE.to_owned()),
            ("DB_USERNAME", server.user().to_owned()),
            ("DB_PASSWORD", String::new()),
            ("SESSION_DRIVER", "database".to_owned()),
            ("SESSION_COOKIE", "laravel_session".to_owned()),
            ("MAIL_HOST", "127.0.0.1".to_owned()),
            ("MAIL_PORT", options.mail_port.to_string()),
            ("STORAGE_PATH", options.storage.display().to_string()),
            ("PHP_CLI_SERVER_WORKERS", "4".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        let settings = settings.iter().cloned();
        let environment: Vec<(String, String)> = environment
            .into_iter()
            // The last of a name is the one that counts.
            .chain(settings.map(|(name, value)| (name.to_owned(), value)))
            .collect();
        let command = [
            "php",
            "-q",
            "-S",
            &listen,
            "-t",
            "public",
            "public/index.php",
        ]
        .map(OsString::from);
        let mut process = Process::start(
            "the legacy application",
            &command,
            &environment,
            options.source,
            &options.log,
        )?;
        wait_until_it_answers(&mut process, &format!("{url}/ping")).await?;
        Ok(Self {
            url,
            app_key,
            process,
        })
    }

    /// For the modern services and for the resolver of sessions.
    pub fn database_url(server: &Postgres) -> String {
        server.url(DATABASE)
    }
}

async fn fill_database(server: &Postgres, folder: &Path) -> anyhow::Result<()> {
    run_psql(
        server,
        "postgres",
        &[
            "-c",
            "drop database if exists campaign with (force)",
            "-c",
            "create database campaign",
        ],
    )
    .await?;
    for file in SQL_FILES {
        let path = folder.join(file);
        let path = path
            .to_str()
            .context("the path of the legacy application is not UTF-8")?;
        run_psql(server, DATABASE, &["--single-transaction", "-f", path]).await?;
    }
    Ok(())
}

async fn run_psql(server: &Postgres, database: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = tokio::process::Command::new(server.program("psql"))
        .args([
            "-X",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            &server.url(database),
        ])
        .args(arguments)
        .output()
        .await
        .context("could not run psql")?;
    ensure!(
        output.status.success(),
        "psql {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

async fn wait_until_it_answers(process: &mut Process, url: &str) -> anyhow::Result<()> {
    let client = super::http_client()?;
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        process.must_be_running()?;
        if let Ok(answer) = client.get(url).send().await
            && answer.status().is_success()
        {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "{url} did not answer within {START_TIMEOUT:?}; see {}",
            process.log.display()
        );
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
