//! What the engine tells of its work: its metrics, its log, and what keeping house does at once.
//!
//! Its own file, because boards and alerts stand on these numbers, and a recipient must stand in none of them.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ficus::engine::message::End;
use ficus::engine::provider::sandbox::Sandbox;
use ficus::engine::queue::{PostgresQueue, Queue};
use ficus::engine::worker::{House, OnUncertain, Options, Settling, Worker, keep_house};
use ficus::telemetry::Metrics;
use tokio_util::sync::CancellationToken;

use super::{TENANT, accept, begin, count, ended, engine, message, submitter};
use crate::support::Database;
use crate::support::process::eventually;

/// Waits until all of these lines stand in the metrics.
async fn shows(metrics: &Metrics, lines: &[&str]) {
    eventually("the metrics show it", || async {
        let text = metrics.encode(None);
        lines.iter().all(|line| text.contains(line)).then_some(())
    })
    .await;
}

/// What is logged, on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// On one thread, since the log is this thread's.
#[tokio::test]
async fn an_attempt_is_counted_timed_and_logged_without_the_recipient() {
    let database = Database::new().await;
    let metrics = Metrics::new();
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let id = accept(database.pool(), TENANT, 1).await[0];
    let options = Options::default();
    let queue = PostgresQueue::new(database.pool().clone(), "test".to_owned(), options.lease);
    let (worker, hints) = Worker::new(Arc::new(queue), Arc::new(Sandbox::default()), options);
    let stop = CancellationToken::new();
    let task = tokio::spawn(worker.measured(metrics.engine.clone()).run(stop.clone()));
    hints.due(TENANT);

    shows(
        &metrics,
        &[
            r#"ficus_messages_total{channel="email",provider="sandbox",outcome="sent"} 1"#,
            r#"ficus_message_seconds_count{channel="email"} 1"#,
        ],
    )
    .await;

    stop.cancel();
    task.await.unwrap();
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let event = text.lines().find(|it| it.contains("attempt ended"));
    let event: serde_json::Value = serde_json::from_str(event.expect("one event")).unwrap();
    let fields = &event["fields"];
    assert_eq!(fields["id"], id.to_string());
    assert_eq!(
        (
            &fields["tenant"],
            &fields["channel"],
            &fields["class"],
            &fields["end"]
        ),
        (
            &7.into(),
            &"email".into(),
            &"accepted".into(),
            &"accepted".into()
        )
    );
    assert!(fields["ms"].is_number(), "{fields}");
    assert!(!text.contains("reader@example.test"), "{text}");
}

#[tokio::test]
async fn what_is_handed_in_twice_is_counted_by_who_did() {
    let database = Database::new().await;
    let metrics = Metrics::new();
    let submitter = submitter(database.pool()).measured(metrics.engine.clone(), "api");
    for _ in 0..3 {
        submitter
            .submit(vec![message(TENANT, "one")])
            .await
            .unwrap();
    }
    let text = metrics.encode(None);
    assert!(
        text.contains(r#"ficus_duplicates_total{source="api"} 2"#),
        "{text}"
    );
}

#[tokio::test]
async fn keeping_house_settles_by_policy_and_tells_how_much_waits() {
    let database = Database::new().await;
    let pool = database.pool();
    let metrics = Metrics::new();
    let (queue, epoch) = engine(pool, "one").await;
    accept(pool, TENANT, 1).await;
    let due = queue.load(TENANT, None, 10).await.unwrap();
    queue.begin(&[begin(&due[0], epoch)]).await.unwrap();
    queue
        .end(&[ended(&due[0], epoch, End::Uncertain)])
        .await
        .unwrap();
    sqlx::query("update ficus.attempt_end set at = now() - interval '2 hours'")
        .execute(pool)
        .await
        .unwrap();
    accept(pool, TENANT, 3).await;
    let house = House {
        keep_days: 30,
        dedup_keep: std::time::Duration::from_secs(86_400),
        settling: Settling {
            on_uncertain: OnUncertain::AtMostOnce,
            after: Duration::from_secs(3600),
        },
        metrics: metrics.engine.clone(),
    };
    let stop = CancellationToken::new();
    let kept = tokio::spawn(keep_house(pool.clone(), house, stop.clone()));

    shows(
        &metrics,
        &[
            r#"ficus_queue_depth{channel="email"} 3"#,
            r#"ficus_queue_depth{channel="sms"} 0"#,
        ],
    )
    .await;

    stop.cancel();
    kept.await.unwrap();
    let unknown = "select count(*) from ficus.attempt_end where state = 'unknown'";
    assert_eq!(count(pool, unknown).await, 1);
}
