//! Alerts, from whoever raises one to the people who are told: held against vendors that throttle, fail and forget.

mod list;

use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use ficus::alerts::{self, Alert, Channel, Config, Email, PagerDuty, Senders, Severity, Slack};
use ficus::demo::mail::MailCatcher;
use ficus::secret::Secret;
use sqlx::PgPool;

use crate::support::Database;
use crate::support::process::free_ports;
use crate::support::vendors::{ROUTING_KEY, Trouble, Vendors};

/// Everybody is told of everything that concerns them; information is collected by day.
struct Stage {
    db: Database,
    vendors: Vendors,
    mail: MailCatcher,
    config: Config,
    now: DateTime<Utc>,
    _folder: tempfile::TempDir,
}

impl Stage {
    async fn new() -> Self {
        let (vendors, address) = Vendors::start().await;
        let folder = tempfile::tempdir().expect("a folder");
        let [smtp, page] = free_ports().map(|it| it.port());
        let mail = MailCatcher::start(smtp, page, folder.path())
            .await
            .expect("the mail server");
        let config = Config {
            critical: vec![Channel::PagerDuty, Channel::Slack],
            warning: vec![Channel::Slack],
            info: vec![Channel::Email],
            per_minute: 30,
            give_up: Duration::from_secs(24 * 3600),
            digest: Duration::from_secs(24 * 3600),
            pagerduty: PagerDuty {
                url: format!("http://{address}/v2/enqueue"),
                routing_key: Secret::new(ROUTING_KEY),
            },
            slack: Slack {
                url: Secret::new(format!("http://{address}/services/T0/B0/secret")),
            },
            email: Email {
                url: Secret::new(format!("smtp://127.0.0.1:{smtp}")),
                from: "Ficus <ficus@example.com>".to_owned(),
                to: vec!["ops@example.com".to_owned()],
            },
            link: Some("https://ficus.example.com".to_owned()),
        };
        Self {
            db: Database::new().await,
            vendors,
            mail,
            config,
            now: Utc::now(),
            _folder: folder,
        }
    }

    fn pool(&self) -> &PgPool {
        self.db.pool()
    }

    async fn raise(&self, severity: Severity, key: &str, title: &str) {
        let mut db = self.pool().acquire().await.expect("a connection");
        let alert = Alert {
            severity,
            key,
            capability: Some("dashboard"),
            title,
            body: "what was measured",
        };
        alerts::raise(&mut db, &alert).await.expect("raised");
    }

    async fn resolve(&self, key: &str) {
        let mut db = self.pool().acquire().await.expect("a connection");
        alerts::resolve(&mut db, key).await.expect("resolved");
    }

    /// One round of the leader, `seconds` after the first.
    async fn round(&self, seconds: i64) {
        // Each round as a leader of its own would do it: nothing is remembered but in the database.
        let senders = Senders::new(self.config.clone()).expect("senders");
        let now = self.now + TimeDelta::seconds(seconds);
        alerts::deliver(self.pool(), &senders, now)
            .await
            .expect("a round");
    }
}

#[tokio::test]
async fn each_severity_reaches_its_people_once() {
    let stage = Stage::new().await;
    stage
        .raise(
            Severity::Critical,
            "guard/dashboard",
            "dashboard was rolled back",
        )
        .await;
    stage
        .raise(Severity::Warning, "lag", "modern <b> is slow & late")
        .await;
    stage
        .raise(Severity::Info, "progress", "20 tenants moved")
        .await;
    for seconds in [0, 1, 2] {
        stage.round(seconds).await;
    }
    let events = stage.vendors.events();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0]["payload"]["severity"], "critical");
    assert_eq!(events[0]["payload"]["summary"], "dashboard was rolled back");
    assert_eq!(events[0]["payload"]["source"], "dashboard");
    assert_eq!(events[0]["client_url"], "https://ficus.example.com");
    let texts = stage.vendors.texts();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(
        texts[0].contains("*critical* dashboard was rolled back"),
        "{texts:?}"
    );
    assert!(
        texts[1].contains("modern &lt;b&gt; is slow &amp; late"),
        "{texts:?}"
    );
    assert_eq!(stage.mail.received(), 0, "information waits for the digest");
}

#[tokio::test]
async fn information_of_a_day_is_one_mail() {
    let stage = Stage::new().await;
    for nth in 0..5 {
        let key = format!("progress/{nth}");
        stage
            .raise(Severity::Info, &key, &format!("step {nth} is done"))
            .await;
    }
    stage.round(0).await;
    assert_eq!(stage.mail.received(), 0);
    stage.round(24 * 3600).await;
    stage.round(24 * 3600 + 1).await;
    let messages = stage.mail.messages();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].recipients, ["ops@example.com"]);
    let subject = messages[0].header("Subject");
    assert_eq!(subject.as_deref(), Some("[ficus info] 5 messages"));
    let text = String::from_utf8_lossy(&messages[0].raw).into_owned();
    for nth in 0..5 {
        assert!(text.contains(&format!("step {nth} is done")), "{text}");
    }
}

#[tokio::test]
async fn the_same_trouble_seen_again_is_told_once_and_its_end_is_told() {
    let stage = Stage::new().await;
    for _ in 0..10 {
        stage
            .raise(Severity::Critical, "guard/dashboard", "dashboard fails")
            .await;
    }
    stage.round(0).await;
    assert_eq!(stage.vendors.open_incidents().len(), 1);
    assert_eq!(stage.vendors.texts().len(), 1);
    stage.resolve("guard/dashboard").await;
    stage.round(1).await;
    assert_eq!(stage.vendors.open_incidents(), [] as [String; 0]);
    assert!(stage.vendors.texts()[1].contains("*over*"));
    // The same trouble on another day is another incident.
    stage
        .raise(Severity::Critical, "guard/dashboard", "dashboard fails")
        .await;
    stage.round(2).await;
    assert_eq!(stage.vendors.open_incidents().len(), 1);
    assert_eq!(stage.vendors.events().len(), 3);
}

#[tokio::test]
async fn what_a_vendor_does_not_take_is_told_again_later_and_not_at_once() {
    let mut stage = Stage::new().await;
    stage.config.critical = vec![Channel::PagerDuty];
    stage.vendors.will([Trouble::Broken, Trouble::Throttled(0)]);
    stage
        .raise(Severity::Critical, "guard/dashboard", "dashboard fails")
        .await;
    stage.round(0).await;
    stage.round(4).await;
    assert_eq!(stage.vendors.asked(), 1, "it is left alone for 5 s");
    stage.round(5).await;
    stage.round(14).await;
    assert_eq!(stage.vendors.asked(), 2, "then for 10 s");
    assert_eq!(stage.vendors.events().len(), 0);
    stage.round(15).await;
    assert_eq!(stage.vendors.open_incidents().len(), 1);
    stage.round(600).await;
    assert_eq!(stage.vendors.asked(), 3, "told, it is not told again");
}

#[tokio::test]
async fn a_vendor_who_says_how_long_to_wait_is_believed() {
    let stage = Stage::new().await;
    stage.vendors.will([Trouble::Throttled(60)]);
    stage.raise(Severity::Warning, "lag", "slow").await;
    stage.round(0).await;
    stage.round(59).await;
    assert_eq!(stage.vendors.asked(), 1);
    stage.round(60).await;
    assert_eq!(stage.vendors.texts().len(), 1);
}

#[tokio::test]
async fn an_answer_that_is_lost_makes_two_events_and_one_incident() {
    let mut stage = Stage::new().await;
    stage.config.critical = vec![Channel::PagerDuty];
    stage.vendors.will([Trouble::TakenAndSilent]);
    stage
        .raise(Severity::Critical, "guard/dashboard", "dashboard fails")
        .await;
    stage.round(0).await;
    stage.round(5).await;
    assert_eq!(stage.vendors.events().len(), 2);
    assert_eq!(stage.vendors.open_incidents().len(), 1);
}

#[tokio::test]
async fn a_revoked_webhook_holds_no_other_channel_up_and_is_given_up_after_a_day() {
    let mut stage = Stage::new().await;
    stage.config.critical = vec![Channel::Slack, Channel::Email];
    stage
        .vendors
        .will([Trouble::Gone, Trouble::Gone, Trouble::Gone]);
    stage
        .raise(Severity::Critical, "guard/dashboard", "dashboard fails")
        .await;
    stage.round(0).await;
    assert_eq!(stage.mail.received(), 1);
    stage.round(12 * 3600).await;
    stage.round(24 * 3600).await;
    stage.round(48 * 3600).await;
    assert_eq!(stage.vendors.asked(), 3);
    let fault: Option<String> =
        sqlx::query_scalar("select fault from ficus.alert_delivery where given_up_at is not null")
            .fetch_one(stage.pool())
            .await
            .expect("it is given up");
    assert_eq!(fault.as_deref(), Some("404: no_service"));
}

#[tokio::test]
async fn a_flood_stays_within_the_rate_and_loses_nothing() {
    let mut stage = Stage::new().await;
    stage.config.per_minute = 5;
    let nth = AtomicU16::new(0);
    for _ in 0..12 {
        let key = format!("flood/{}", nth.fetch_add(1, Ordering::Relaxed));
        stage.raise(Severity::Warning, &key, &key).await;
    }
    for (seconds, told) in [(0, 5), (30, 5), (61, 10), (122, 12), (200, 12)] {
        stage.round(seconds).await;
        assert_eq!(stage.vendors.texts().len(), told, "after {seconds} s");
    }
}

#[tokio::test]
async fn an_alert_of_a_transaction_that_is_taken_back_is_told_to_nobody() {
    let stage = Stage::new().await;
    let mut tx = stage.pool().begin().await.expect("a transaction");
    let alert = Alert {
        severity: Severity::Critical,
        key: "guard/dashboard",
        capability: None,
        title: "never",
        body: "",
    };
    alerts::raise(&mut tx, &alert).await.expect("raised");
    tx.rollback().await.expect("taken back");
    stage.round(0).await;
    assert_eq!(stage.vendors.asked(), 0);
}

#[tokio::test]
async fn a_proxy_that_falls_silent_is_told_of_until_it_is_back() {
    let stage = Stage::new().await;
    let sql = "insert into ficus.instance (id, name, roles, version, heartbeat_at)
        values (gen_random_uuid(), 'a', '{proxy}', '1', now() - interval '2 minutes')";
    sqlx::raw_sql(sql)
        .execute(stage.pool())
        .await
        .expect("a row");
    for _ in 0..2 {
        alerts::watch::watch_proxies(stage.pool())
            .await
            .expect("watched");
    }
    stage.round(0).await;
    assert_eq!(stage.vendors.open_incidents().len(), 1);
    assert!(stage.vendors.texts()[0].contains("proxy a is silent"));
    let back = "update ficus.instance set heartbeat_at = now()";
    sqlx::raw_sql(back)
        .execute(stage.pool())
        .await
        .expect("it is back");
    alerts::watch::watch_proxies(stage.pool())
        .await
        .expect("watched");
    stage.round(1).await;
    assert_eq!(stage.vendors.open_incidents(), [] as [String; 0]);
}

#[tokio::test]
async fn a_check_reaches_every_channel_and_tells_nobody() {
    let mut stage = Stage::new().await;
    let senders = Senders::new(stage.config.clone()).expect("senders");
    assert_eq!(senders.unreachable().await, []);
    assert_eq!((stage.vendors.asked(), stage.mail.received()), (0, 0));

    let [nobody] = free_ports();
    stage.config.slack.url = Secret::new(format!("http://{nobody}/services/T0/B0/secret"));
    stage.config.email.url = Secret::new(format!("smtp://{nobody}"));
    let senders = Senders::new(stage.config.clone()).expect("senders");
    let faults = senders.unreachable().await;
    let keys: Vec<_> = faults.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys, ["alerts.slack.url", "alerts.email.url"]);
    assert!(!format!("{faults:?}").contains("secret"), "{faults:?}");
}
