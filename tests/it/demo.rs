//! The legacy application and the mail catcher, started as the demo starts them.
//!
//! Its own file, because it needs PHP and servers of its own; the whole story is what `make demo CHECK=1` plays.

use std::net::TcpListener;
use std::process::Command;

use ficus::demo::browser::Browser;
use ficus::demo::http_client;
use ficus::demo::legacy::{Legacy, Options};
use ficus::demo::mail::MailCatcher;
use ficus::embedded::{self, Postgres};

use crate::support::process::{eventually, free_ports};
use crate::support::{project, scratch_folder};

#[tokio::test]
async fn a_campaign_sent_by_the_legacy_application_is_caught() {
    let folder = tempfile::tempdir().unwrap();
    let server = Postgres::start(&scratch_folder(), embedded::Options::for_tests())
        .await
        .unwrap();
    let mail = MailCatcher::start(0, 0, &folder.path().join("mail"))
        .await
        .unwrap();
    let [port] = free_ports();
    let options = Options {
        source: &project().join("demo/legacy"),
        storage: folder.path().join("storage"),
        log: folder.path().join("legacy.log"),
        port: port.port(),
        mail_port: mail.smtp.port(),
    };
    let legacy = Legacy::start(&server, options).await.unwrap();
    let mut person = Browser::new(&http_client().unwrap());
    person
        .log_in(&legacy.url, "owner@bluebird.test", "secret")
        .await
        .unwrap();

    let answer = person
        .get(&legacy.url, "/campaign/send-email/campaign-21/template-21")
        .await
        .unwrap();

    assert_eq!(
        (answer.status, answer.served_by.as_str()),
        (200, "nobody"),
        "{}",
        answer.body
    );
    assert_eq!(mail.received(), 3);
    let messages = mail.messages();
    assert_eq!(messages[0].sender, "news@bluebird.test");
    assert_eq!(messages[0].header("x-campaign").as_deref(), Some("21"));
    let url = format!("http://{}/messages.json", mail.page);
    let listed: serde_json::Value = http_client()
        .unwrap()
        .get(url)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(listed["received"], 3);
    let log = std::fs::read_to_string(&legacy.process.log).unwrap();
    assert!(!log.contains("Deprecated"), "{log}");

    let address = legacy.url.trim_start_matches("http://").to_owned();
    legacy.process.stop().await.unwrap();
    eventually("the workers have left the port", || async {
        TcpListener::bind(&address).is_ok().then_some(())
    })
    .await;
}

#[test]
fn the_story_holds_from_its_beginning_to_its_end() {
    let folder = scratch_folder();
    std::fs::create_dir(&folder).unwrap();
    std::os::unix::fs::symlink(project().join("demo"), folder.join("demo")).unwrap();

    let output = Command::new(env!("CARGO_BIN_EXE_ficus"))
        .args(["demo", "--check"])
        .current_dir(&folder)
        .output()
        .unwrap();

    let told = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{told}\n{complaint}\nthe logs are in {}",
        folder.display()
    );
    assert!(told.contains("== 8.") && !told.contains("FAIL"), "{told}");
    std::fs::remove_dir_all(folder).unwrap();
}
