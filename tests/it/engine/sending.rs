//! `ficus message send`: a file of messages, handed in at a running engine.
//!
//! Its own file, because the command speaks to the engine's own listener, and a file may be longer than a request.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::bed::{Engine, TENANT, message};
use crate::control_stage::{Ran, ficus, run};
use crate::support::scratch_folder;

fn keyed(n: usize) -> Value {
    let mut message = message(&format!("reader{n}@example.com"));
    message["idempotency_key"] = json!(format!("key-{n}"));
    message["tenant_id"] = json!(TENANT);
    message
}

fn file(text: &str) -> String {
    let folder = scratch_folder();
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("messages.json");
    std::fs::write(&path, text).expect("a file");
    path.to_string_lossy().into_owned()
}

async fn send(engine: &Engine, text: &str, more: &[&str]) -> Ran {
    let path = file(text);
    let args = [&["message", "send", path.as_str()][..], more].concat();
    run(&[("FICUS_ENGINE_URL", &engine.service.url())], &args).await
}

#[tokio::test]
async fn a_file_longer_than_a_request_is_accepted_once_however_often_it_is_handed_in() {
    let engine = Engine::with(
        super::bed::Tables::new().await,
        Default::default(),
        "email = \"sandbox\"\nquota = \"off\"",
    )
    .await;
    let lines: Vec<String> = (0..1_500).map(|n| keyed(n).to_string()).collect();
    let text = lines.join("\n");
    let dry = send(&engine, &text, &["--dry-run"]).await;
    assert_eq!(dry.json()["messages"], 1_500, "{dry:?}");

    let sent = send(&engine, &text, &[]).await;
    assert_eq!(sent.code, 0, "{sent:?}");
    let answer = sent.json();
    assert_eq!(answer["accepted"].as_array().map(Vec::len), Some(1_500));
    assert_eq!(
        answer["accepted"][1_499]["index"], 1_499,
        "as it stands in the file"
    );
    let again = send(&engine, &text, &["--output", "table"]).await;
    assert_eq!(
        (again.code, again.stdout.as_str()),
        (0, "0 accepted, 1500 known before, 0 rejected\n")
    );
    assert_eq!(
        engine
            .tables
            .ficus("select count(*) from ficus.message")
            .await,
        1_500
    );
}

#[tokio::test]
async fn what_is_rejected_is_named_by_its_place_and_the_rest_is_sent() {
    let engine = Engine::start().await;
    let list = json!([keyed(1), message("nobody"), keyed(2)]).to_string();
    let sent = send(&engine, &list, &["--tenant", "2", "--output", "table"]).await;
    assert_eq!(sent.code, 1, "{sent:?}");
    assert!(
        sent.stdout
            .starts_with("2 accepted, 0 known before, 1 rejected\n"),
        "{}",
        sent.stdout
    );
    assert!(sent.stdout.contains("address"), "{}", sent.stdout);
    engine.mails(2).await;
}

#[tokio::test]
async fn a_message_without_a_tenant_a_file_that_is_none_and_an_engine_that_is_away_are_told_apart()
{
    let engine = Engine::start().await;
    let whose = send(&engine, &message("one@example.com").to_string(), &[]).await;
    assert_eq!(whose.code, 2, "{whose:?}");
    assert!(whose.stderr.contains("--tenant"), "{}", whose.stderr);
    let text = send(&engine, "hello", &["--tenant", "2"]).await;
    assert_eq!(text.code, 2, "{text:?}");
    assert!(text.stderr.contains("line 1"), "{}", text.stderr);
    let away = [("FICUS_ENGINE_URL", "http://127.0.0.1:1")];
    let path = file(&keyed(1).to_string());
    let away = run(&away, &["message", "send", &path]).await;
    assert_eq!(away.code, 1, "{away:?}");
    assert!(
        away.stderr.contains("stopped at message 0"),
        "{}",
        away.stderr
    );
}

#[tokio::test]
async fn messages_come_from_a_pipe() {
    let engine = Engine::start().await;
    let url = engine.service.url();
    let mut command = ficus(&[("FICUS_ENGINE_URL", &url)], &["message", "send", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the binary");
    let mut input = child.stdin.take().expect("a pipe");
    input
        .write_all(keyed(1).to_string().as_bytes())
        .await
        .expect("written");
    drop(input);
    let output = child.wait_with_output().await.expect("its end");
    assert!(output.status.success(), "{output:?}");
    engine.mails(1).await;
}
