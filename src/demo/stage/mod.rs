//! The stage of the story: two databases, the legacy application, the mail catcher, the modern services and two proxies.
//!
//! Its own file, so that the story itself holds nothing but what happens.

mod psql;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::process::Command;

use super::legacy::{self, Legacy};
use super::mail::MailCatcher;
use super::narrator;
use super::ports::Ports;
use super::process::Process;
use super::proxy::{CONFIG, MODERN, Place, Proxy};
use crate::db;
use crate::embedded::{self, Postgres, StopMode};

/// Everything that the demo writes is below this folder of the working directory.
const STATE: &str = ".ficus/demo";
const DATABASE: &str = "ficus";
/// For the modern services to be ready.
const MODERN_TIMEOUT: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

pub struct Stage {
    pub a: Proxy,
    pub b: Proxy,
    /// `None`: it has died.
    modern: Option<Process>,
    place: Place,
    ports: Ports,
    pub admin_url: String,
    pub mail: MailCatcher,
    pub legacy: Legacy,
    ficus_database: Option<Postgres>,
    ficus_database_url: String,
    psql: PathBuf,
    legacy_database: Postgres,
    /// Of the command line; the token joins it when there is one.
    environment: Vec<(String, String)>,
}

impl Stage {
    /// Sets everything up, from nothing: what an earlier demo left is begun anew.
    pub async fn set() -> anyhow::Result<Self> {
        let root = std::env::current_dir()?;
        ensure!(
            root.join(CONFIG).is_file(),
            "the demo needs {CONFIG}: run it in ficus' own folder"
        );
        let folder = root.join(STATE);
        for part in ["proxy-a", "proxy-b", MODERN, "mail", "storage"] {
            let part = folder.join(part);
            if part.exists() {
                std::fs::remove_dir_all(&part)
                    .with_context(|| format!("could not remove {}", part.display()))?;
            }
            std::fs::create_dir_all(&part)
                .with_context(|| format!("could not make {}", part.display()))?;
        }
        let ports = Ports::choose()?;

        narrator::doing(
            "starting a private PostgreSQL for ficus, and another for the legacy application",
        );
        let (ficus_folder, legacy_folder) =
            (folder.join("postgres"), folder.join("legacy-postgres"));
        let options = embedded::Options::default;
        let (ficus_database, legacy_database) = tokio::try_join!(
            Postgres::start(&ficus_folder, options()),
            Postgres::start(&legacy_folder, options())
        )?;
        db::drop_database(&ficus_database.url("postgres"), DATABASE).await?;
        ficus_database.create_database(DATABASE).await?;
        let ficus_database_url = ficus_database.url(DATABASE);
        db::migrate(&ficus_database_url).await?;

        narrator::doing("starting the mail catcher and the legacy application");
        let mail = MailCatcher::start(ports.smtp, ports.mail_page, &folder.join("mail")).await?;
        let options = legacy::Options {
            source: &root.join("demo/legacy"),
            storage: folder.join("storage"),
            log: folder.join("legacy.log"),
            port: ports.legacy,
            mail_port: ports.smtp,
        };
        let legacy = Legacy::start(&legacy_database, options).await?;

        narrator::doing(
            "starting the modern services, and two proxies: proxy-a with the admin API, proxy-b without",
        );
        let shared = [
            ("DATABASE_URL", ficus_database_url.clone()),
            ("FICUS_DEMO_DATABASE_URL", ficus_database_url.clone()),
            (
                "FICUS_DEMO_LEGACY_DATABASE_URL",
                Legacy::database_url(&legacy_database),
            ),
            ("FICUS_DEMO_APP_KEY", legacy.app_key.clone()),
            ("FICUS_DEMO_DASHBOARD_PORT", ports.dashboard.to_string()),
            ("FICUS_DEMO_ENGINE_PORT", ports.engine.to_string()),
            ("FICUS_DEMO_LEGACY_PORT", ports.legacy.to_string()),
            ("FICUS_DEMO_SMTP_PORT", ports.smtp.to_string()),
            ("FICUS_DEMO_SITE_PORT", ports.proxy_a.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        let place = Place {
            root,
            folder,
            shared: shared.to_vec(),
        };
        let modern = place.start_modern(ports.health_modern)?;
        let a = place.start_proxy("proxy-a", ports.proxy_a, ports.admin, "proxy,control")?;
        let b = place.start_proxy("proxy-b", ports.proxy_b, ports.health_b, "proxy")?;

        let admin_url = format!("http://127.0.0.1:{}", ports.admin);
        let environment = vec![
            ("FICUS_URL".to_owned(), admin_url.clone()),
            ("DATABASE_URL".to_owned(), ficus_database_url.clone()),
            ("NO_COLOR".to_owned(), "1".to_owned()),
        ];
        let psql = ficus_database.program("psql");
        let mut stage = Self {
            a,
            b,
            modern: Some(modern),
            place,
            ports,
            admin_url,
            mail,
            legacy,
            ficus_database: Some(ficus_database),
            ficus_database_url,
            psql,
            legacy_database,
            environment,
        };
        for proxy in [&mut stage.a, &mut stage.b] {
            proxy.wait_until_ready().await?;
        }
        stage.modern_is_ready().await?;
        stage.introduce_tenants().await?;
        stage.make_token().await?;
        Ok(stage)
    }

    /// The folder with every log.
    pub fn folder(&self) -> &Path {
        &self.place.folder
    }

    /// Runs `ficus ARGUMENTS`, and shows the command line and what it printed.
    pub async fn ficus(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        narrator::command("ficus", arguments);
        let output = self.ficus_silently(arguments).await?;
        narrator::output(&output);
        Ok(output)
    }

    pub async fn stop_database(&mut self) -> anyhow::Result<()> {
        let server = self
            .ficus_database
            .take()
            .context("ficus' PostgreSQL is stopped already")?;
        server
            .stop(StopMode::Fast)
            .await
            .context("could not stop ficus' PostgreSQL")
    }

    pub async fn start_database(&mut self) -> anyhow::Result<()> {
        let server = Postgres::start(
            &self.place.folder.join("postgres"),
            embedded::Options::default(),
        )
        .await?;
        self.ficus_database = Some(server);
        Ok(())
    }

    /// As a fault ends it that nobody has seen coming.
    pub async fn kill_modern(&mut self) -> anyhow::Result<()> {
        let mut modern = self
            .modern
            .take()
            .context("the modern services are dead already")?;
        modern.signal("KILL")?;
        modern.stop().await
    }

    pub async fn revive_modern(&mut self) -> anyhow::Result<()> {
        self.modern = Some(self.place.start_modern(self.ports.health_modern)?);
        self.modern_is_ready().await
    }

    async fn modern_is_ready(&mut self) -> anyhow::Result<()> {
        let client = super::http_client()?;
        let deadline = Instant::now() + MODERN_TIMEOUT;
        for port in [self.ports.dashboard, self.ports.engine] {
            let live = format!("http://127.0.0.1:{port}/health/live");
            while !client
                .get(&live)
                .send()
                .await
                .is_ok_and(|it| it.status().is_success())
            {
                if let Some(modern) = &mut self.modern {
                    modern.must_be_running()?;
                }
                ensure!(
                    Instant::now() < deadline,
                    "the modern services were not ready within {MODERN_TIMEOUT:?}"
                );
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
        Ok(())
    }

    /// Of ficus' own database, for a person's psql.
    pub fn database_url(&self) -> &str {
        &self.ficus_database_url
    }

    pub fn token(&self) -> Option<&str> {
        self.environment
            .iter()
            .find(|it| it.0 == "FICUS_TOKEN")
            .map(|it| it.1.as_str())
    }

    /// Proxies first, so that they drain while their databases are there.
    pub async fn clear(self) -> anyhow::Result<()> {
        tokio::try_join!(self.a.process.stop(), self.b.process.stop())?;
        if let Some(modern) = self.modern {
            modern.stop().await?;
        }
        self.legacy.process.stop().await?;
        if let Some(server) = self.ficus_database {
            server.stop(StopMode::Fast).await?;
        }
        self.legacy_database.stop(StopMode::Fast).await?;
        Ok(())
    }

    async fn ficus_silently(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let program = std::env::current_exe().context("could not find our own program")?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.output().await.context("could not run ficus")
    }

    /// The tenants are the legacy application's customers: one query gives them.
    async fn introduce_tenants(&self) -> anyhow::Result<()> {
        const OUT: &str = "copy (select id, domain, name from users where id = owner_id order by id) to stdout (format csv)";
        const IN: &str = "copy ficus.tenant (id, slug, name) from stdin (format csv)";
        narrator::doing("telling ficus of the tenants, by the legacy application's own customers");
        let run =
            async |url: &str, statement: &str, input: Option<Vec<u8>>| -> anyhow::Result<Vec<u8>> {
                let mut command = Command::new(&self.psql);
                command.args([
                    "-X",
                    "-q",
                    "-v",
                    "ON_ERROR_STOP=1",
                    "-d",
                    url,
                    "-c",
                    statement,
                ]);
                let output = run_with_input(command, input.unwrap_or_default()).await?;
                ensure!(
                    output.status.success(),
                    "psql: {}",
                    String::from_utf8_lossy(&output.stderr)
                );
                Ok(output.stdout)
            };
        let customers = run(&Legacy::database_url(&self.legacy_database), OUT, None).await?;
        run(&self.ficus_database_url, IN, Some(customers)).await?;
        Ok(())
    }

    /// The first token is made past the API, which wants one.
    async fn make_token(&mut self) -> anyhow::Result<()> {
        let output = self
            .ficus(&[
                "token", "create", "demo", "--role", "admin", "--reason", "the demo", "--direct",
            ])
            .await?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let token = find_token(&printed)
            .with_context(|| format!("`ficus token create` printed no token: {printed}"))?;
        self.environment
            .push(("FICUS_TOKEN".to_owned(), token.to_owned()));
        Ok(())
    }
}

/// Writes and reads at once: either pipe may fill.
async fn run_with_input(mut command: Command, input: Vec<u8>) -> anyhow::Result<Output> {
    use tokio::io::AsyncWriteExt;
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().context("could not run psql")?;
    let pipe = child.stdin.take();
    let writing = async {
        if let Some(mut pipe) = pipe {
            pipe.write_all(&input).await?;
        }
        Ok(())
    };
    let (written, output) = tokio::join!(writing, child.wait_with_output());
    let written: std::io::Result<()> = written;
    let output = output?;
    // A program that failed has stopped reading: its own words say more than the broken pipe.
    if output.status.success() {
        written?;
    }
    Ok(output)
}

/// The text that `ficus token create` shows once, whatever stands around it.
fn find_token(printed: &str) -> Option<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    printed
        .split(|c| !is_part(c))
        .find(|word| word.starts_with("ficus_") && word.len() > 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_in_a_table_and_in_json() {
        let token = "ficus_AbCd-EfGh_0123456789abcdef";
        assert_eq!(
            find_token(&format!("{{\"name\":\"demo\",\"token\":\"{token}\"}}")),
            Some(token)
        );
        assert_eq!(
            find_token(&format!("made ficus_demo\ntoken  {token}\n")),
            Some(token)
        );
        assert_eq!(find_token("could not reach ficus_app"), None);
    }
}
