//! An engine that is killed again and again, at named points and at random, and a database that is restarted under it: no message is lost, none
//! is sent twice, and what nobody can know is called uncertain.
//!
//! Its own file, because it is the test of the promise in docs/ENGINE.md. The mail server keeps count of what reached it, and lives on.
//! `FICUS_KILLS` and `FICUS_KILL_MESSAGES` make it longer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ficus::embedded::StopMode;
use rand::Rng;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::sync::Notify;

use super::bed::TENANT;
use crate::support::modern::legacy_database;
use crate::support::process::{Ficus, Setup, client, eventually};
use crate::support::smtp::{Answer, MailServer, Script};
use crate::support::{Cluster, Database};

/// Where the engine is killed: what the server has just read, or not yet answered.
const POINTS: [&str; 5] = ["random", "MAIL FROM", "CONTENT", "BODY", "accept"];
/// Messages of one tenant at once: as many can be in doubt after one kill.
const UNDER_WAY: usize = 20;
const BATCH: usize = 100;

fn setting(name: &str, usual: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(usual)
}

/// Kills a process when the server comes to a point, so often.
#[derive(Default)]
struct Trap {
    pid: AtomicU32,
    point: Mutex<(&'static str, u32)>,
    sprung: Notify,
}

impl Trap {
    fn set(&self, pid: u32, point: &'static str, after: u32) {
        *self.point.lock().expect("nobody panics") = (point, after);
        self.pid.store(pid, Ordering::SeqCst);
    }

    /// A line has come, and nothing was answered yet.
    fn meet(&self, line: &str) {
        let mut point = self.point.lock().expect("nobody panics");
        if point.0.is_empty() || !line.starts_with(point.0) {
            return;
        }
        if point.1 > 0 {
            point.1 -= 1;
            return;
        }
        point.0 = "";
        kill(self.pid.swap(0, Ordering::SeqCst));
        self.sprung.notify_one();
    }
}

fn kill(pid: u32) {
    if pid > 0 {
        let killed = std::process::Command::new("kill")
            .args(["-KILL", &pid.to_string()])
            .status();
        assert!(killed.expect("kill runs").success());
    }
}

/// The engine as a process, before a mail server with a trap in it.
async fn start(cluster: &Cluster, legacy: &Database, mail: &MailServer) -> Ficus {
    let config = format!(
        "[database]\nlegacy_url = \"{}\"\n[engine]\nrelay = \"{}\"\nlease = \"5s\"\ntenant_under_way = {UNDER_WAY}\n",
        legacy.url(),
        mail.address
    );
    Setup::new(cluster.url(), &config)
        .roles("engine")
        .start()
        .await
}

/// Messages that are handed in again until they are answered: each has its key.
async fn hand_in(ficus: &Ficus, first: usize) -> bool {
    let messages: Vec<Value> = (first..first + BATCH)
        .map(|number| {
            json!({
                "type": "email", "idempotency_key": format!("kill-{number}"),
                "recipient": { "email": format!("reader{number}@example.test") },
                "content": { "subject": "News", "body_text": "Hello", "from_email": "shop@example.com" },
            })
        })
        .collect();
    let request = client()
        .post(format!("http://{}/api/v1/messages", ficus.engine))
        .header("x-ficus-tenant", TENANT.to_string())
        .header("content-type", "application/json")
        .body(Value::Array(messages).to_string());
    request
        .send()
        .await
        .is_ok_and(|answer| answer.status() == 202)
}

async fn count(pool: &PgPool, sql: &'static str) -> i64 {
    // The database may be starting again.
    eventually(sql, || async {
        sqlx::query_scalar(sql).fetch_one(pool).await.ok()
    })
    .await
}

/// How often each recipient got a mail.
fn received(mail: &MailServer) -> HashMap<String, usize> {
    let mut times = HashMap::new();
    for message in mail.seen().messages {
        *times.entry(message.to[0].clone()).or_default() += 1;
    }
    times
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "what a long run came to")]
async fn nothing_is_lost_and_nothing_doubled_however_often_the_engine_and_the_database_die() {
    let messages = setting("FICUS_KILL_MESSAGES", 2_000);
    let kills = setting("FICUS_KILLS", 5);
    let restarts = 1 + kills / 10;
    let mut cluster = Cluster::new().await;
    let legacy = legacy_database().await;
    sqlx::raw_sql("update email_s_m_s_limit_rates set email = 10000000")
        .execute(legacy.pool())
        .await
        .expect("quota");
    let trap = Arc::new(Trap::default());
    let mail = MailServer::start(Script {
        answer: Box::new({
            let trap = Arc::clone(&trap);
            move |line| {
                trap.meet(line);
                Answer::Usual
            }
        }),
        ..Script::default()
    })
    .await;
    let pool = cluster.pool();
    let mut random = StdRng::seed_from_u64(5);
    let (mut handed_in, mut killed) = (0, 0);
    let mut ficus = start(&cluster, &legacy, &mail).await;
    while handed_in < messages || killed < kills {
        // Something of it is on its way while it is killed.
        let upto = (handed_in + messages / kills.max(1) + BATCH).min(messages);
        let point = POINTS[killed % POINTS.len()];
        let is_trapped = killed < kills && !matches!(point, "random" | "accept");
        if is_trapped {
            trap.set(ficus.pid(), point, random.random_range(1..40));
        }
        while handed_in < upto {
            if point == "accept" && upto - handed_in <= BATCH && killed < kills {
                // Killed while a list is being accepted: nobody has told us, and it is handed in again.
                let pid = ficus.pid();
                let pause = Duration::from_micros(random.random_range(500..20_000));
                tokio::join!(hand_in(&ficus, handed_in), async {
                    tokio::time::sleep(pause).await;
                    kill(pid);
                });
                break;
            }
            match hand_in(&ficus, handed_in).await {
                true => handed_in += BATCH,
                // It died under us.
                false => break,
            }
        }
        if killed >= kills {
            continue;
        }
        match point {
            "random" => {
                tokio::time::sleep(Duration::from_millis(random.random_range(0..400))).await;
                kill(ficus.pid());
            }
            "accept" if handed_in >= messages => kill(ficus.pid()),
            "accept" => {}
            _ => {
                // What is left may be too little to come to the point.
                let sprung = tokio::time::timeout(Duration::from_secs(10), trap.sprung.notified());
                if sprung.await.is_err() {
                    trap.set(0, "", 0);
                    kill(ficus.pid());
                }
            }
        }
        ficus.wait().await;
        killed += 1;
        if killed % 10 == 5 && killed / 10 < restarts {
            cluster.stop(StopMode::Immediate).await;
            cluster.start().await;
        }
        ficus = start(&cluster, &legacy, &mail).await;
    }

    let patience = Duration::from_secs(60 + messages as u64 / 50);
    let drained = tokio::time::timeout(patience, async {
        while count(
            &pool,
            "select count(*) from (select from ficus.due union all select from ficus.later) as d",
        )
        .await
            > 0
        {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    drained.await.expect("everything has left the queue");
    let stored = count(&pool, "select count(*) from ficus.message").await;
    assert_eq!(stored, messages as i64, "each was stored, once");
    let uncertain = count(
        &pool,
        "select count(*) from ficus.attempt_end where state = 'uncertain'",
    )
    .await;
    assert!(
        uncertain <= (kills * UNDER_WAY) as i64,
        "{uncertain} are uncertain after {kills} kills"
    );
    let taken = count(
        &pool,
        "select count(*) from ficus.attempt_end where state = 'accepted'",
    )
    .await;
    assert_eq!(taken + uncertain, messages as i64, "each has one end");
    // What the server took, against what was written down.
    let received = received(&mail);
    let twice: Vec<_> = received.iter().filter(|(_, times)| **times > 1).collect();
    assert_eq!(twice, [], "sent twice");
    let told: Vec<String> = sqlx::query_scalar(
        "select m.recipient from ficus.message as m join ficus.attempt_end as e on e.id = m.id where e.state = 'accepted'",
    )
    .fetch_all(&pool)
    .await
    .expect("the accepted");
    let lost: Vec<_> = told
        .iter()
        .filter(|it| !received.contains_key(*it))
        .collect();
    assert_eq!(
        lost,
        Vec::<&String>::new(),
        "told as sent, and never received"
    );
    println!(
        "{messages} messages, {killed} kills, {restarts} restarts of the database: {taken} accepted, {uncertain} uncertain, {} received",
        received.len()
    );
}
