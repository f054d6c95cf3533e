//! The chain's head at a receiver of somebody else's: it gets each head until it has taken it, and what it kept shows a rewrite.
//!
//! Its own file, because it needs a receiver that misbehaves.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::to_bytes;
use axum::http::StatusCode;
use chrono::Utc;
use ficus::rollout::audit::anchor::{Config, anchor, read};
use ficus::secret::Secret;
use serde_json::Value;

use super::{REWRITE, tamper, verify, written};
use crate::support::process::{Setup, eventually, upstream};

/// What stands in the URL and must be told to nobody.
const TOKEN: &str = "a-token-in-the-path";

/// Somebody who keeps heads, and who may have bad days.
#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    /// What is answered before it works again.
    answers: VecDeque<StatusCode>,
    asked: Vec<Value>,
    kept: Vec<Value>,
}

impl Receiver {
    async fn start(answers: &[StatusCode]) -> (Self, String) {
        let this = Self::default();
        this.0.lock().unwrap().answers = answers.iter().copied().collect();
        let its = this.clone();
        let address = upstream(move |request| {
            let its = its.clone();
            async move {
                let body = to_bytes(request.into_body(), 65_536).await.unwrap();
                its.take(serde_json::from_slice(&body).unwrap())
            }
        })
        .await;
        (this, url(address))
    }

    fn take(&self, head: Value) -> StatusCode {
        let mut kept = self.0.lock().unwrap();
        kept.asked.push(head.clone());
        match kept.answers.pop_front() {
            Some(status) => status,
            None => {
                kept.kept.push(head);
                StatusCode::NO_CONTENT
            }
        }
    }

    /// What it was sent, and what of it it has taken.
    fn seen(&self) -> (Vec<Value>, Vec<Value>) {
        let kept = self.0.lock().unwrap();
        (kept.asked.clone(), kept.kept.clone())
    }

    /// As it would keep them: one a line.
    fn lines(&self) -> String {
        let (_, kept) = self.seen();
        kept.iter().map(|head| format!("{head}\n")).collect()
    }
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}/{TOKEN}")
}

fn to(url: &str) -> Config {
    Config {
        anchor_webhook: Secret::new(url),
        anchor_every: Duration::from_secs(60),
        ..Config::default()
    }
}

#[tokio::test]
async fn a_head_is_posted_again_until_it_is_taken_and_then_shows_a_rewrite() {
    let (stage, token) = written().await;
    let bad = StatusCode::INTERNAL_SERVER_ERROR;
    let (receiver, url) = Receiver::start(&[bad, bad]).await;
    let config = format!("[audit]\nanchor_webhook = \"{url}\"\nanchor_every = \"1s\"\n");
    let ficus = Setup::new(stage.db.url(), &config)
        .roles("control")
        .start()
        .await;
    let (asked, kept) = eventually("the head is taken", || async {
        let seen = receiver.seen();
        (!seen.1.is_empty()).then_some(seen)
    })
    .await;
    assert_eq!((asked.len(), kept.len()), (3, 1), "{asked:?}");
    let (seq, hash): (i64, String) =
        sqlx::query_as("select seq, encode(hash, 'hex') from ficus.link order by seq desc limit 1")
            .fetch_one(stage.pool())
            .await
            .unwrap();
    assert!(
        asked
            .iter()
            .all(|head| head["seq"] == seq && head["hash"] == hash)
    );
    let log = ficus.log();
    assert!(
        log.contains("audit.anchor_webhook did not take the head") && log.contains("500"),
        "{log}"
    );
    assert!(!log.contains(TOKEN), "{log}");
    eventually("it is told that it works again", || async {
        ficus.log().contains("the job works again").then_some(())
    })
    .await;

    // A newer head is posted once, and what has not moved is not.
    sqlx::query("update ficus.tenant set class = 'high' where id = 3")
        .execute(stage.pool())
        .await
        .unwrap();
    eventually("the next head is taken", || async {
        (receiver.seen().1.len() == 2).then_some(())
    })
    .await;
    drop(ficus);
    assert_eq!(receiver.seen().0.len(), 4);

    let file = stage.file("anchors", &receiver.lines());
    let (ran, report) = verify(&stage, &token, &["--anchor", &file]).await;
    assert_eq!((ran.code, &report["anchors"]), (0, &2.into()), "{report}");
    tamper(&stage, REWRITE).await;
    let (_, report) = verify(&stage, &token, &[]).await;
    assert_eq!(report["intact"], true, "the chain alone: {report}");
    let (ran, report) = verify(&stage, &token, &["--anchor", &file]).await;
    assert_eq!(
        (ran.code, &report["faults"][0]["kind"]),
        (1, &"rewritten".into()),
        "{report}"
    );
    assert_eq!(report["faults"][0]["seq"], seq, "{report}");
}

#[tokio::test]
async fn a_receiver_that_is_gone_or_sends_elsewhere_has_not_taken_it_and_its_address_is_not_told() {
    let (stage, _) = written().await;
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let (elsewhere, redirects) = Receiver::start(&[StatusCode::FOUND]).await;
    for url in [url(gone), redirects] {
        let fault = anchor(stage.pool(), &to(&url), 0, Utc::now()).await;
        let fault = format!("{:#}", fault.unwrap_err());
        assert!(
            fault.starts_with("audit.anchor_webhook did not take the head"),
            "{fault}"
        );
        assert!(!fault.contains(TOKEN), "{fault}");
    }
    assert_eq!(elsewhere.seen().0.len(), 1);
}

#[tokio::test]
async fn while_the_webhook_fails_the_file_has_each_head_once() {
    let (stage, _) = written().await;
    let path = std::path::PathBuf::from(stage.file("anchors", ""));
    let (receiver, url) = Receiver::start(&[StatusCode::BAD_GATEWAY; 2]).await;
    let config = Config {
        anchor_file: Some(path.clone()),
        ..to(&url)
    };
    for _ in 0..2 {
        assert!(anchor(stage.pool(), &config, 0, Utc::now()).await.is_err());
    }
    let anchored = anchor(stage.pool(), &config, 0, Utc::now()).await.unwrap();
    let in_file: Vec<i64> = read(&path).unwrap().iter().map(|it| it.seq).collect();
    assert_eq!(in_file, [anchored]);
    assert_eq!(receiver.seen().1[0]["seq"], anchored);
}
