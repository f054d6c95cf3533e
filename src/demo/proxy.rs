//! Each `ficus serve` of the demo, started as a user starts it: two proxies, and the modern services.
//!
//! Its own file, because it is the only place that knows what they are told.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::process::Process;

/// Relative to ficus' own folder.
pub const CONFIG: &str = "demo/ficus.toml";
/// The process of the modern services.
pub const MODERN: &str = "modern";
/// For a proxy to be ready.
const START_TIMEOUT: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A `ficus serve` that visitors come to.
pub struct Proxy {
    pub name: &'static str,
    pub url: String,
    /// For a rollback on this proxy alone.
    pub socket: PathBuf,
    pub process: Process,
}

impl Proxy {
    /// Until legacy answers through it: a proxy without a snapshot answers 503.
    pub async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let client = super::http_client()?;
        let url = format!("{}/ping", self.url);
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            self.process.must_be_running()?;
            if client
                .get(&url)
                .send()
                .await
                .is_ok_and(|answer| answer.status().is_success())
            {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "{} was not ready within {START_TIMEOUT:?}; see {}",
                self.name,
                self.process.log.display()
            );
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// Where they are started, and what all of them are told.
pub struct Place {
    pub root: PathBuf,
    pub folder: PathBuf,
    pub shared: Vec<(String, String)>,
}

impl Place {
    /// Does not wait until it is ready.
    pub fn start_proxy(
        &self,
        name: &'static str,
        port: u16,
        admin_port: u16,
        roles: &str,
    ) -> anyhow::Result<Proxy> {
        Ok(Proxy {
            name,
            url: format!("http://127.0.0.1:{port}"),
            socket: self.state_folder(name).join("ficus.sock"),
            process: self.serve(name, port, admin_port, roles)?,
        })
    }

    /// The dashboard and the engine, in a process that can die without a proxy. Does not wait until it is ready.
    pub fn start_modern(&self, admin_port: u16) -> anyhow::Result<Process> {
        self.serve(MODERN, 0, admin_port, "dashboard,engine")
    }

    fn state_folder(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn serve(
        &self,
        name: &str,
        port: u16,
        admin_port: u16,
        roles: &str,
    ) -> anyhow::Result<Process> {
        let state = self.state_folder(name);
        let mut environment = self.shared.clone();
        environment.extend(
            [
                ("FICUS_DEMO_NAME", name.to_owned()),
                ("FICUS_DEMO_PROXY_PORT", port.to_string()),
                // Who has no admin API answers there for its health and its metrics.
                ("FICUS_DEMO_ADMIN_PORT", admin_port.to_string()),
                ("FICUS_DEMO_STATE_DIR", state.display().to_string()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        let mut command: Vec<OsString> = vec![std::env::current_exe()?.into()];
        command.extend(["serve", "--config", CONFIG, "--roles", roles].map(OsString::from));
        let log = self.folder.join(format!("{name}.log"));
        Process::start(name, &command, &environment, &self.root, &log)
    }
}
