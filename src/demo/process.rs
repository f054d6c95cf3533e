//! A server of the demo's: started with its log, signalled, and stopped with us however we end.
//!
//! Its own file, because the legacy application and the proxies need the same care: a demo that was killed must
//! not leave servers behind that hold its ports.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};

const SUPERVISOR: &str = include_str!("supervise.sh");
/// Between two looks at a process that is ending.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

pub struct Process {
    pub name: String,
    pub pid: u32,
    pub log: PathBuf,
    supervisor: Child,
}

impl Process {
    /// Starts `command` in `folder`. What it prints goes to `log`, which begins empty.
    pub fn start(
        name: &str,
        command: &[OsString],
        environment: &[(String, String)],
        folder: &Path,
        log: &Path,
    ) -> anyhow::Result<Self> {
        fs::write(log, "").with_context(|| format!("could not begin {}", log.display()))?;
        let mut supervisor = Command::new("/bin/sh")
            .args(["-c", SUPERVISOR, "ficus-demo"])
            .arg(log)
            .args(command)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .current_dir(folder)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Where the shell tells of its children's ends.
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("could not start {name}"))?;
        let mut pid = String::new();
        if let Some(stdout) = &mut supervisor.stdout {
            BufReader::new(stdout).read_line(&mut pid)?;
        }
        let pid = pid
            .trim()
            .parse()
            .with_context(|| format!("{name} has no process id: {pid:?}"))?;
        Ok(Self {
            name: name.to_owned(),
            pid,
            log: log.to_owned(),
            supervisor,
        })
    }

    /// `signal` as `kill -s` names it: `STOP`, `CONT`.
    pub fn signal(&mut self, signal: &str) -> anyhow::Result<()> {
        let pipe = self
            .supervisor
            .stdin
            .as_mut()
            .with_context(|| format!("{} is stopped already", self.name))?;
        writeln!(pipe, "{signal}")
            .with_context(|| format!("{} has ended; see {}", self.name, self.log.display()))
    }

    /// An error when the process has ended by itself, with the end of its log.
    pub fn must_be_running(&mut self) -> anyhow::Result<()> {
        let ended = self.supervisor.try_wait()?;
        ensure!(
            ended.is_none(),
            "{} has ended; the end of {}:\n{}",
            self.name,
            self.log.display(),
            self.log_tail()
        );
        Ok(())
    }

    fn log_tail(&self) -> String {
        let text = fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// Asks the whole group to end, and waits for it.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.supervisor.stdin.take());
        while self.supervisor.try_wait()?.is_none() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }
}
