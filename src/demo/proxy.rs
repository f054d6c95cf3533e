//! One `ficus serve` of the demo, started as a user starts it.
//!
//! Its own file, because it is the only place that knows what the two proxies are told.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::process::Process;

/// Relative to ficus' own folder.
pub const CONFIG: &str = "demo/ficus.toml";
/// For a proxy to be ready.
const START_TIMEOUT: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// One `ficus serve`.
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

/// Where proxies are started, and what all of them are told.
pub struct Place<'a> {
    pub root: &'a Path,
    pub folder: &'a Path,
    pub shared: &'a [(String, String)],
}

impl Place<'_> {
    /// Does not wait until it is ready.
    pub fn start_proxy(
        &self,
        name: &'static str,
        state: &str,
        port: u16,
        admin_port: u16,
        arguments: &[&str],
    ) -> anyhow::Result<Proxy> {
        let state = self.folder.join(state);
        let mut environment = self.shared.to_vec();
        environment.extend(
            [
                ("FICUS_DEMO_NAME", name.to_owned()),
                ("FICUS_DEMO_PROXY_PORT", port.to_string()),
                // A proxy alone answers there for its health and its metrics.
                ("FICUS_DEMO_ADMIN_PORT", admin_port.to_string()),
                ("FICUS_DEMO_STATE_DIR", state.display().to_string()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        let mut command: Vec<OsString> = vec![
            std::env::current_exe()?.into(),
            "serve".into(),
            "--config".into(),
            CONFIG.into(),
        ];
        command.extend(arguments.iter().map(OsString::from));
        let log = self.folder.join(format!("{name}.log"));
        let process = Process::start(name, &command, &environment, self.root, &log)?;
        Ok(Proxy {
            name,
            url: format!("http://127.0.0.1:{port}"),
            socket: state.join("ficus.sock"),
            process,
        })
    }
}
