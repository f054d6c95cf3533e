//! A Redis server of a test's own, on a socket that nobody else knows.
//!
//! Its own file, because everything that ficus keeps there is tested against the real one.

use std::path::PathBuf;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::process::eventually;

/// Dropped, it is killed, and what it held is gone.
pub struct Redis {
    server: Child,
    folder: TempDir,
}

impl Redis {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let redis = Self {
            server: spawn(&folder),
            folder,
        };
        redis.until_up().await;
        redis
    }

    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    pub async fn connection(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.url()).expect("our own URL is good");
        let connection = client.get_multiplexed_async_connection().await;
        connection.expect("redis answers")
    }

    /// Ends it as a power cut does.
    pub async fn kill(&mut self) {
        self.server.kill().await.expect("it ends");
    }

    /// Starts it again, on the same socket, with nothing in it.
    pub async fn start_again(&mut self) {
        self.server = spawn(&self.folder);
        self.until_up().await;
    }

    /// Sends a signal by name: `STOP` makes it accept and never answer, until `CONT`.
    pub fn signal(&self, name: &str) {
        let pid = self.server.id().expect("the process runs").to_string();
        let sent = std::process::Command::new("kill")
            .args([format!("-{name}"), pid])
            .status()
            .expect("kill runs");
        assert!(sent.success(), "the signal is delivered");
    }

    async fn until_up(&self) {
        eventually("redis answers", || async {
            let client = redis::Client::open(self.url()).expect("our own URL is good");
            let mut connection = client.get_multiplexed_async_connection().await.ok()?;
            let ping = redis::cmd("PING");
            ping.query_async::<String>(&mut connection).await.ok()
        })
        .await;
    }
}

fn spawn(folder: &TempDir) -> Child {
    Command::new("redis-server")
        .args([
            "--port",
            "0",
            "--save",
            "",
            "--appendonly",
            "no",
            "--unixsocket",
        ])
        .arg(folder.path().join("redis.sock"))
        .arg("--dir")
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("redis-server runs; .ci/install installs it")
}
