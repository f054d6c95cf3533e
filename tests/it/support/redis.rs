//! A Redis of a test's own, on a Unix socket, to stop and start at will.
//!
//! Its own file, because no test may depend on a server that somebody else has started.

use std::path::PathBuf;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use super::process::PATIENCE;

pub struct Redis {
    folder: TempDir,
    running: Option<Running>,
}

struct Running {
    child: Child,
    /// Held open: a server that cannot print ends.
    _printed: Lines<BufReader<ChildStdout>>,
}

impl Redis {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let mut redis = Self {
            folder,
            running: None,
        };
        redis.start().await;
        redis
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// Empty, as after a crash: it keeps nothing on disk.
    pub async fn start(&mut self) {
        let mut child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no"])
            .arg("--unixsocket")
            .arg(self.socket())
            .arg("--dir")
            .arg(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("redis-server runs (Debian: redis-server)");
        let stdout = child.stdout.take().expect("its output");
        let mut printed = BufReader::new(stdout).lines();
        let is_ready = async {
            while let Some(line) = printed.next_line().await.expect("its log") {
                if line.contains("ready to accept connections") {
                    return;
                }
            }
            panic!("redis-server ended");
        };
        timeout(PATIENCE, is_ready).await.expect("redis is ready");
        self.running = Some(Running {
            child,
            _printed: printed,
        });
    }

    pub async fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.child.kill().await.expect("redis ends");
        }
    }
}
