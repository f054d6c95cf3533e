//! A running engine with legacy's tables beside it, and a mail server of the tenant's own.
//!
//! Its own file, because every test of the engine asks it by HTTP and looks at what it did to mails and rows.

use std::sync::Arc;

use ficus::config::Config;
use ficus::engine;
use ficus::telemetry::Metrics;
use ficus::telemetry::traces::Tracer;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::support::Database;
use crate::support::modern::{Service, legacy_database};
use crate::support::process::eventually;
use crate::support::smtp::{MailServer, Script};

/// Whose campaigns 21 and 22 are e-mail; 21 has three recipients, 22 twelve, two of whom want none.
pub const TENANT: i64 = 2;

/// The two databases, which outlive engines.
pub struct Tables {
    pub ficus: Database,
    pub legacy: Database,
}

impl Tables {
    pub async fn new() -> Arc<Self> {
        Arc::new(Self {
            ficus: Database::new().await,
            legacy: legacy_database().await,
        })
    }

    pub fn pool(&self) -> &PgPool {
        self.ficus.pool()
    }

    /// A number of legacy's tables.
    pub async fn legacy(&self, sql: &'static str) -> i64 {
        number(self.legacy.pool(), sql).await
    }

    pub async fn ficus(&self, sql: &'static str) -> i64 {
        number(self.ficus.pool(), sql).await
    }

    pub async fn change_legacy(&self, sql: &'static str) {
        let done = sqlx::raw_sql(sql).execute(self.legacy.pool()).await;
        done.expect("a change of legacy's tables");
    }

    /// Waits until a number of legacy's tables is so large.
    pub async fn until_legacy(&self, sql: &'static str, expected: i64) {
        eventually(sql, || async {
            (self.legacy(sql).await == expected).then_some(())
        })
        .await;
    }
}

async fn number(pool: &PgPool, sql: &'static str) -> i64 {
    let found = sqlx::query_scalar(sql).fetch_one(pool).await;
    found.expect("a number")
}

/// Dropped, it stops at once, as a process that is killed.
pub struct Engine {
    pub service: Service,
    pub tables: Arc<Tables>,
    pub mail: MailServer,
    pub stop: CancellationToken,
    pub tasks: TaskTracker,
    pub metrics: Metrics,
}

impl Engine {
    pub async fn start() -> Self {
        Self::with(Tables::new().await, Script::default(), "").await
    }

    /// With lines of `[engine]` more.
    pub async fn with(tables: Arc<Tables>, script: Script, more: &str) -> Self {
        let mail = MailServer::start(script).await;
        Self::sending_to(tables, mail, more).await
    }

    pub async fn sending_to(tables: Arc<Tables>, mail: MailServer, more: &str) -> Self {
        Self::traced(tables, mail, more, None).await
    }

    pub async fn traced(
        tables: Arc<Tables>,
        mail: MailServer,
        more: &str,
        tracer: Option<Tracer>,
    ) -> Self {
        let text = format!(
            "[engine]\nrelay = \"{}\"\npublic_url = \"http://mail.test\"\nlease = \"5s\"\n{more}",
            mail.address
        );
        let config = Config::parse(&text, std::iter::empty()).expect("a configuration");
        let metrics = Metrics::new();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let router = engine::start(
            &config.engine,
            tables.pool().clone(),
            tables.legacy.pool().clone(),
            "test".to_owned(),
            (&metrics.engine, tracer),
            (&tasks, &stop),
        );
        Self {
            service: Service::start(router.expect("an engine")).await,
            tables,
            mail,
            stop,
            tasks,
            metrics,
        }
    }

    /// Stops as a process does that is told to: what is under way ends.
    pub async fn end(&mut self) {
        self.stop.cancel();
        self.service.stop().await;
        self.tasks.close();
        self.tasks.wait().await;
    }

    pub async fn hand_in(&self, messages: &Value) -> Response {
        let headers = [
            ("x-ficus-tenant", TENANT.to_string()),
            ("content-type", "application/json".to_owned()),
        ];
        let body = messages.to_string();
        self.service
            .send_body(Method::POST, "/api/v1/messages", &headers, body)
            .await
    }

    /// What the answer of an accepted request says.
    pub async fn accept(&self, messages: &Value) -> Value {
        let answer = self.hand_in(messages).await;
        let status = answer.status();
        let text = answer.text().await.expect("a body");
        assert_eq!(status, 202, "{text}");
        serde_json::from_str(&text).expect("JSON")
    }

    /// Sends a campaign as legacy's link does; the run's id.
    pub async fn send(&self, campaign: i64) -> String {
        let path = format!("/campaign/send-email/campaign-{campaign}/template-{TENANT}1");
        let answer = self.service.get(TENANT, &path, "application/json").await;
        assert_eq!(answer.status(), 202);
        let body: Value = answer.json().await.expect("JSON");
        body["id"].as_str().expect("an id").to_owned()
    }

    /// Waits until so many mails have come.
    pub async fn mails(&self, count: usize) {
        self.mail.until(|seen| seen.messages.len() >= count).await;
    }

    pub async fn status(&self, id: &str) -> Value {
        let path = format!("/api/v1/messages/{id}");
        let answer = self.service.get(TENANT, &path, "application/json").await;
        assert_eq!(answer.status(), 200);
        answer.json().await.expect("JSON")
    }

    /// Waits until a message has this status.
    pub async fn until_status(&self, id: &str, status: &str) -> Value {
        eventually(&format!("{id} is {status}"), || async {
            let shown = self.status(id).await;
            (shown["status"] == status).then_some(shown)
        })
        .await
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A message to one of the tenant's readers.
pub fn message(to: &str) -> Value {
    json!({
        "type": "email",
        "recipient": { "email": to, "name": "Ann" },
        "content": { "subject": "News", "body_html": "<p>Hello</p>", "from_email": "shop@example.com", "from_name": "The shop" },
    })
}
