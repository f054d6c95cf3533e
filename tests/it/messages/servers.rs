//! `ficus message server`: stored with a sealed password, shown without, taken away.
//!
//! Its own file, because of what must not be seen: the password, in any answer, row or trace.

use serde_json::json;

use super::Messages;
use crate::control_stage::{Ran, run};

const KEYS: &str = "2026a:b25seS1mb3ItdGVzdHMtb25seS1mb3ItdGVzdHMtMDE=";
const PASSWORD: &str = "tanstaaftanstaaf";

async fn direct(it: &Messages, args: &[&str]) -> Ran {
    let environment = [
        ("DATABASE_URL", it.stage.db.url()),
        ("FICUS__ENGINE__SEALING_KEYS", KEYS),
    ];
    run(
        &environment,
        &[&["message", "server"], args, &["--direct"]].concat(),
    )
    .await
}

#[tokio::test]
async fn a_server_is_stored_with_its_password_sealed_shown_without_it_and_taken_away() {
    let it = Messages::new().await;
    let file = it
        .stage
        .file("password", &format!("{PASSWORD}\nsecond line\n"));
    let set = [
        "set",
        "acme",
        "--host",
        "mail.acme.example",
        "--port",
        "587",
        "--encryption",
        "tls",
        "--username",
        "tim",
        "--password-file",
        &file,
        "--reason",
        "theirs",
    ];
    let done = direct(&it, &set).await;
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(done.json()["server"]["key"], "2026a");
    let shown = direct(&it, &["show", "acme", "--output", "table"]).await;
    assert!(shown.stdout.contains("mail.acme.example:587"), "{shown:?}");
    let listed = direct(&it, &["list"]).await;
    assert_eq!(listed.json()["items"][0]["username"], "tim");
    let stored: String = sqlx::query_scalar("select password from ficus.mail_server")
        .fetch_one(it.stage.pool())
        .await
        .unwrap();
    assert!(stored.starts_with("ficus1.2026a."), "{stored}");
    for text in [&done.stdout, &shown.stdout, &listed.stdout, &stored] {
        assert!(!text.contains(PASSWORD), "{text}");
    }
    let unset = ["unset", "acme", "--reason", "over"];
    assert_eq!(direct(&it, &unset).await.json()["changed"], true);
    assert_eq!(direct(&it, &unset).await.json()["changed"], false);
    let none = direct(&it, &["show", "acme"]).await;
    assert_eq!(none.code, 1, "{none:?}");
}

#[tokio::test]
async fn without_a_key_a_password_is_refused_and_nothing_is_stored() {
    let it = Messages::new().await;
    let file = it.stage.file("password", PASSWORD);
    let set = [
        "message",
        "server",
        "set",
        "acme",
        "--host",
        "mail.acme.example",
        "--port",
        "587",
        "--username",
        "tim",
        "--password-file",
        &file,
        "--reason",
        "theirs",
        "--direct",
    ];
    let ran = run(&[("DATABASE_URL", it.stage.db.url())], &set).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("no key to seal"), "{}", ran.stderr);
    assert!(!ran.stderr.contains(PASSWORD));
    let answer = it.get("/api/v1/mail-servers").await;
    assert_eq!(answer.status.as_u16(), 403, "an operator may not");
    assert_ne!(answer.body["items"], json!([]));
}
