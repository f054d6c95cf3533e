//! `ficus serve --embedded --legacy URL`, with nothing but a state folder: what a newcomer types first.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::Child;

use super::*;
use crate::support::process::{PATIENCE, free_ports};

/// An installation: a folder, and the account to run in it.
struct Home {
    folder: TempDir,
    binary: PathBuf,
    account: Option<&'static str>,
}

struct Running {
    child: Child,
    proxy: String,
    admin: String,
    log: PathBuf,
}

impl Home {
    /// `account`: another one than ours, which only root may choose.
    fn new(account: Option<&'static str>) -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let binary = folder.path().join("ficus");
        // The account may have no way to where it was built.
        std::fs::copy(env!("CARGO_BIN_EXE_ficus"), &binary).expect("copied");
        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(folder.path(), open).expect("open to all");
        Self {
            folder,
            binary,
            account,
        }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join(".ficus")
    }

    async fn serve(&self, legacy: &str, start: &str) -> Running {
        let mut command = match self.account {
            Some(account) => {
                let mut command = Command::new("runuser");
                command.args(["-u", account, "--"]).arg(&self.binary);
                command
            }
            None => Command::new(&self.binary),
        };
        let [proxy, admin, dashboard, engine] = free_ports();
        let log = self.folder.path().join(start);
        let child = command
            .args([
                "serve",
                "--embedded",
                "--legacy",
                legacy,
                "--listen",
                &proxy.to_string(),
            ])
            // The default state folder is in the working directory.
            .current_dir(self.folder.path())
            .env("FICUS__CONTROL__LISTEN", admin.to_string())
            .env("FICUS__DASHBOARD__LISTEN", dashboard.to_string())
            .env("FICUS__ENGINE__LISTEN", engine.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).expect("a log"))
            .kill_on_drop(true)
            .spawn()
            .expect("ficus starts");
        let running = Running {
            child,
            proxy: format!("http://{proxy}"),
            admin: format!("http://{admin}"),
            log,
        };
        let ready = format!("{}/health/ready", running.admin);
        eventually("it is ready", || async {
            let answer = client().get(&ready).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        running
    }
}

impl Running {
    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).expect("a log")
    }

    /// Of the first start's output.
    fn token(&self) -> Option<String> {
        let said = self.said();
        let (_, rest) = said.split_once("FICUS_TOKEN=")?;
        rest.split_whitespace().next().map(str::to_owned)
    }

    async fn status(&self, token: &str) -> Said {
        run_ficus(
            &["status"],
            &[("FICUS_URL", &self.admin), ("FICUS_TOKEN", token)],
        )
        .await
    }

    /// Stops it and whatever started it.
    async fn stop(mut self, home: &Home) {
        signal(serving(&home.state()), "TERM");
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let ended = ended.expect("it ends").expect("it can be waited for");
        assert_eq!(ended.code(), Some(0), "{}", self.said());
    }
}

/// The process that holds the state folder's lock.
fn serving(state: &Path) -> u32 {
    let lock = state.join("lock").canonicalize().expect("a lock");
    let processes = std::fs::read_dir("/proc").expect("processes").flatten();
    let holds = |pid: &u32| {
        let Ok(files) = std::fs::read_dir(format!("/proc/{pid}/fd")) else {
            return false;
        };
        files
            .flatten()
            .any(|file| std::fs::read_link(file.path()).is_ok_and(|at| at == lock))
    };
    processes
        .filter_map(|process| process.file_name().to_str()?.parse().ok())
        .find(holds)
        .expect("a process that serves")
}

fn signal(pid: u32, name: &str) {
    let sent = std::process::Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status();
    assert!(sent.expect("kill runs").success());
}

/// The private server's process, if it runs.
fn postgres(state: &Path) -> Option<u32> {
    let text = std::fs::read_to_string(state.join("postgres/data/postmaster.pid")).ok()?;
    let pid = text.lines().next()?.trim().parse().ok()?;
    Path::new(&format!("/proc/{pid}")).exists().then_some(pid)
}

async fn a_first_and_a_second_start(account: Option<&'static str>) {
    let home = Home::new(account);
    let legacy = format!("http://{}", named_upstream("legacy").await);
    let first = home.serve(&legacy, "first").await;
    let answer = client().get(&first.proxy).send().await.expect("an answer");
    assert_eq!(answer.headers()["x-ficus-served-by"], "legacy");
    assert_eq!(answer.text().await.expect("a body"), "legacy");
    let token = first.token().expect("a first start prints a token");
    let said = first.status(&token).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(first.status("ficus_wrong").await.code, Some(7));
    first.stop(&home).await;
    assert_eq!(
        postgres(&home.state()),
        None,
        "an orderly stop stops the database"
    );

    let second = home.serve(&legacy, "second").await;
    assert_eq!(second.token(), None, "{}", second.said());
    let said = second.status(&token).await;
    assert_eq!(said.code, Some(0), "the database is the same: {said:?}");
    second.stop(&home).await;
}

#[tokio::test]
async fn a_newcomer_gets_a_proxy_a_database_and_one_token() {
    a_first_and_a_second_start(None).await;
}

/// Where the tests do not run as root, the test above is an ordinary account's already.
#[tokio::test]
async fn an_ordinary_account_gets_the_same() {
    let root = std::process::Command::new("id").arg("-u").output();
    let root = root.is_ok_and(|id| id.stdout == b"0\n");
    let runuser = std::process::Command::new("runuser")
        .arg("--version")
        .output();
    let account = (root && runuser.is_ok()).then_some("nobody");
    a_first_and_a_second_start(account).await;
}

#[tokio::test]
async fn a_killed_ficus_leaves_no_database_behind() {
    let home = Home::new(None);
    let running = home.serve("http://127.0.0.1:9", "log").await;
    assert!(postgres(&home.state()).is_some());
    signal(serving(&home.state()), "KILL");
    eventually("PostgreSQL is gone", || async {
        postgres(&home.state()).is_none().then_some(())
    })
    .await;
    drop(running);
}
