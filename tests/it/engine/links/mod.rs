//! Links in mails, as readers, scanners and forgers ask for them; and what comes back by mail.
//!
//! Its own folder, because each promise of docs/ENGINE.md about links is a test here. The service has the rights of `ficus_app`.

mod bounces;
mod forged;
mod old;
mod outage;
mod reading;
mod unsubscribing;

use std::time::Duration;

use ficus::db::connect_options;
use ficus::engine::links::{
    Config, LinkMaker, LinkStatements, Links, Source, StoreFault, store_targets,
};
use ficus::engine::tracking::Purpose;
use ficus::engine::tracking::target::Targets;
use ficus::ids::TenantId;
use ficus::secret::Secret;
use reqwest::{Client, RequestBuilder, Response};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use sqlx::types::Uuid;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::support::Database;
use crate::support::modern::legacy_database;

/// Fern & Moss "Florists".
const TENANT: TenantId = TenantId(7);
const OWN: &str = "https://links.acorn.test";
const READER: &str = "Reader1.Fern@example.test";
/// Of two links, of which one has a variable.
const TEMPLATE: &str = "<p><a href=\"https://shop.test/?a=1&amp;b=2\">a</a> <a href='https://shop.test/{id}'>b</a> <a href='http://blog.test/'>c</a>";

fn config() -> Config {
    Config {
        public_url: Some(OWN.to_owned()),
        key: Secret::new("k".repeat(32)),
        old_keys: vec![Secret::new("o".repeat(32))],
        inbound_secret: Secret::new("only-for-tests-1"),
        bounce_domain: None,
    }
}

fn maker() -> LinkMaker {
    LinkMaker::new(&config()).unwrap().unwrap()
}

/// The path of a message's link.
fn path(tenant: TenantId, message: Uuid, purpose: Purpose) -> String {
    maker().keys().path(tenant, message, purpose)
}

/// With the rights of the application, and a wait for a connection that a test can stand.
fn application(url: &str) -> PgPool {
    PgPoolOptions::new()
        .max_connections(8)
        .acquire_timeout(Duration::from_millis(500))
        .after_connect(|connection, _| {
            Box::pin(async move {
                sqlx::raw_sql("set role ficus_app")
                    .execute(connection)
                    .await
                    .map(drop)
            })
        })
        .connect_lazy_with(connect_options(url).unwrap())
}

/// The service on a port of its own.
struct Served {
    address: String,
    links: Links,
    tasks: TaskTracker,
    server: JoinHandle<()>,
    client: Client,
}

impl Served {
    async fn start(ficus: PgPool, legacy: PgPool, config: &Config) -> Self {
        let tasks = TaskTracker::new();
        let links = Links::start(
            ficus,
            legacy,
            config,
            LinkStatements::default(),
            &tasks,
            CancellationToken::new(),
        );
        let links = links.unwrap();
        let router = ficus::modern::complete(links.router());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build();
        Self {
            address,
            links,
            tasks,
            server,
            client: client.unwrap(),
        }
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    async fn get(&self, path: &str) -> Response {
        send(self.client.get(self.at(path))).await
    }

    /// As a stopping process does it: the last request is answered, then nobody is left who counts.
    async fn stop(self) {
        self.server.abort();
        let _ = self.server.await;
        drop(self.links);
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn send(request: RequestBuilder) -> Response {
    request.send().await.unwrap()
}

/// The service over databases of a test's own, with one message of a campaign.
struct Stage {
    served: Served,
    ficus: Database,
    legacy: Database,
    message: Uuid,
    content: Uuid,
}

impl Stage {
    async fn new() -> Self {
        let (ficus, legacy) = (Database::new().await, legacy_database().await);
        let content = content(ficus.pool(), TENANT).await;
        let message = message(ficus.pool(), TENANT, Some(content)).await;
        let targets = store(ficus.pool(), Source::Content(content), TEMPLATE).await;
        assert_eq!(targets.unwrap().iter().count(), 2);
        let pool = application(ficus.url());
        let served = Served::start(pool, legacy.pool().clone(), &config()).await;
        Self {
            served,
            ficus,
            legacy,
            message,
            content,
        }
    }

    fn path(&self, purpose: Purpose) -> String {
        path(TENANT, self.message, purpose)
    }

    async fn get(&self, path: &str) -> Response {
        self.served.get(path).await
    }

    async fn post(&self, path: &str) -> Response {
        send(self.served.client.post(self.served.at(path))).await
    }

    /// Opens and clicks of a message, as they are written down.
    async fn reactions(&self, message: Uuid) -> (i64, i64) {
        self.served.links.flush().await;
        reactions(self.ficus.pool(), message).await
    }

    /// Who gets nothing more, and why.
    async fn suppressed(&self) -> Vec<(i64, String, String)> {
        sqlx::query_as(
            "select tenant_id, recipient, reason from ficus.suppression order by recipient",
        )
        .fetch_all(self.ficus.pool())
        .await
        .unwrap()
    }

    async fn number(&self, sql: &'static str) -> i64 {
        number(self.ficus.pool(), sql).await
    }
}

async fn number(pool: &PgPool, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(pool).await.expect(sql)
}

async fn reactions(pool: &PgPool, message: Uuid) -> (i64, i64) {
    let found = sqlx::query_as("select opens, clicks from ficus.reaction where id = $1")
        .bind(message)
        .fetch_optional(pool)
        .await;
    found.unwrap().unwrap_or_default()
}

async fn content(pool: &PgPool, tenant: TenantId) -> Uuid {
    let id = Uuid::now_v7();
    sqlx::query(
        "insert into ficus.content (id, tenant_id, digest, body) values ($1, $2, sha256($3), '')",
    )
    .bind(id)
    .bind(tenant.0)
    .bind(id.as_bytes().as_slice())
    .execute(pool)
    .await
    .unwrap();
    id
}

async fn message(pool: &PgPool, tenant: TenantId, content: Option<Uuid>) -> Uuid {
    let id = Uuid::now_v7();
    sqlx::query(
        "insert into ficus.message (id, tenant_id, channel, recipient, body, content_id) values ($1, $2, 'email', $3, '', $4)",
    )
    .bind(id)
    .bind(tenant.0)
    .bind(READER)
    .bind(content)
    .execute(pool)
    .await
    .unwrap();
    id
}

/// As who makes mails does it, with the rights of the application.
async fn store(pool: &PgPool, source: Source, html: &str) -> Result<Targets, StoreFault> {
    let url = pool.connect_options();
    let pool = PgPoolOptions::new()
        .after_connect(|connection, _| {
            Box::pin(async move {
                sqlx::raw_sql("set role ficus_app")
                    .execute(connection)
                    .await
                    .map(drop)
            })
        })
        .connect_lazy_with((*url).clone());
    store_targets(&pool, TENANT, source, &maker().targets(html)).await
}

fn location(response: &Response) -> &str {
    response.headers()["location"].to_str().unwrap()
}
