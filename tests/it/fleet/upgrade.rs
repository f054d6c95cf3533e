//! SIGQUIT: the next binary takes the sockets over, and nobody who asks meanwhile is refused or cut off.

use std::time::Duration;

use axum::extract::Request;
use tokio::time::{Instant, sleep};

use super::*;
use crate::support::Database;
use crate::support::process::{PATIENCE, upstream};

/// A process that is no child of this test. Dropped, it is killed.
struct Successor(u32);

impl Successor {
    /// Waits until another than `before` has written its id into the state folder.
    async fn of(ficus: &Ficus, before: u32) -> Self {
        let file = ficus.state.join("ficus.pid");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let pid = std::fs::read_to_string(&file).unwrap_or_default();
            match pid.trim().parse() {
                Ok(pid) if pid != before => return Self(pid),
                _ => sleep(Duration::from_millis(5)).await,
            }
            assert!(
                Instant::now() < deadline,
                "no successor; the log:\n{}",
                ficus.log()
            );
        }
    }

    fn signal(&self, name: &str) {
        let kill = std::process::Command::new("kill")
            .args([format!("-{name}"), self.0.to_string()])
            .status();
        assert!(kill.expect("kill runs").success(), "the successor runs");
    }

    async fn until_gone(&self) {
        eventually("it has ended", || async {
            let status = std::fs::read_to_string(format!("/proc/{}/stat", self.0));
            // A zombie has ended too: whether somebody collects it is not our question.
            let ended = status.map_or(true, |it| it.contains(") Z "));
            ended.then_some(())
        })
        .await;
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        let _ = std::process::Command::new("kill")
            .args(["-KILL", &self.0.to_string()])
            .status();
    }
}

/// Asks on and on, each time on a connection of its own, until told to stop. Answers how often, and what went wrong.
fn ask_on_and_on(
    url: String,
    stop: Arc<AtomicBool>,
) -> tokio::task::JoinHandle<(u64, Vec<String>)> {
    tokio::spawn(async move {
        let (mut answers, mut failures) = (0, Vec::new());
        while !stop.load(Ordering::Relaxed) {
            let answer = client().get(&url).send().await;
            match answer.and_then(reqwest::Response::error_for_status) {
                Ok(answer) => match answer.text().await {
                    Ok(_) => answers += 1,
                    Err(e) => failures.push(format!("{e:?}")),
                },
                Err(e) => failures.push(format!("{e:?}")),
            }
        }
        (answers, failures)
    })
}

async fn start(config: &str) -> (Database, Ficus) {
    let database = Database::new().await;
    seed(database.pool()).await;
    let ficus = Setup::new(database.url(), config).start().await;
    (database, ficus)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_while_one_process_follows_another() {
    let upstream = upstream(|request: Request| async move {
        if request.uri().path() == "/thinks" {
            sleep(Duration::from_millis(700)).await;
        }
        "answer"
    })
    .await;
    let (_database, mut ficus) = start(&two_sides(upstream, upstream)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let asking: Vec<_> = ["/quick", "/quick", "/thinks", "/thinks", "/dashboard"]
        .map(|path| ask_on_and_on(ficus.url(path), Arc::clone(&stop)))
        .into();

    let first = ficus.pid();
    ficus.signal("QUIT");
    let second = Successor::of(&ficus, first).await;
    assert_eq!(ficus.wait().await, Some(0), "{}", ficus.log());
    second.signal("QUIT");
    let third = Successor::of(&ficus, second.0).await;
    second.until_gone().await;

    stop.store(true, Ordering::Relaxed);
    for asking in asking {
        let (answers, failures) = asking.await.expect("it asks to the end");
        assert!(failures.is_empty(), "{failures:?}\n{}", ficus.log());
        assert!(answers > 1);
    }
    third.signal("TERM");
    third.until_gone().await;
}

#[tokio::test]
async fn a_successor_is_the_same_instance_to_the_fleet_and_enforces_the_next_flip() {
    let (database, mut ficus) = start(&sides().await).await;
    until_served(&ficus, "2", "modern").await;
    let first = ficus.pid();
    ficus.signal("QUIT");
    let successor = Successor::of(&ficus, first).await;
    assert_eq!(ficus.wait().await, Some(0), "{}", ficus.log());
    let row = "select count(*), count(stopped_at) from ficus.instance";
    let (instances, stopped): (i64, i64) = sqlx::query_as(row)
        .fetch_one(database.pool())
        .await
        .expect("the instances");
    assert_eq!((instances, stopped), (1, 0), "one, and it lives");
    set(database.pool(), 2, "legacy").await;
    until_served(&ficus, "2", "legacy").await;
    // The break-glass socket is the successor's.
    let told = Command::new(env!("CARGO_BIN_EXE_ficus"))
        .args(["rollback", "--tenant", "2", "--reason", "test", "--local"])
        .arg(ficus.socket())
        .output()
        .await
        .expect("the command runs");
    assert!(told.status.success(), "{told:?}");
    drop(successor);
}

#[tokio::test]
async fn a_successor_that_cannot_start_changes_nothing() {
    let (_database, mut ficus) = start(&sides().await).await;
    let good = std::fs::read_to_string(&ficus.config).expect("the configuration");
    std::fs::write(&ficus.config, "[proxy]\nlisten = 7\n").expect("a bad one");
    ficus.signal("QUIT");
    eventually("the failure is told", || async {
        ficus.log().contains("the successor ended").then_some(())
    })
    .await;
    assert_eq!(served(&ficus, "2").await, "modern");
    // The next one may.
    std::fs::write(&ficus.config, good).expect("the good one");
    let first = ficus.pid();
    ficus.signal("QUIT");
    let _successor = Successor::of(&ficus, first).await;
    assert_eq!(ficus.wait().await, Some(0), "{}", ficus.log());
    assert_eq!(served(&ficus, "2").await, "modern");
}

#[tokio::test]
async fn an_upgrade_of_nothing_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("ficus.toml");
    std::fs::write(&config, sides().await).expect("a configuration");
    let told = Command::new(env!("CARGO_BIN_EXE_ficus"))
        .args(["serve", "--roles", "proxy", "--upgrade", "--config"])
        .arg(&config)
        .arg("--state-dir")
        .arg(folder.path().join("state"))
        .env("FICUS__DATABASE__URL", NOWHERE)
        .output()
        .await
        .expect("the command runs");
    assert_eq!(told.status.code(), Some(1));
    let said = String::from_utf8_lossy(&told.stderr);
    assert!(said.contains("start without --upgrade"), "{said}");
}
