//! A modern service on a port of its own, and the legacy application's tables for it to read.
//!
//! Its own file, because the tests of the dashboard and of the engine share it.

use std::net::SocketAddr;

use axum::Router;
use reqwest::{Method, Response};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Database;

/// A database with the tables and the tenants of `demo/legacy`, and what `activity.sql` adds.
pub async fn legacy_database() -> Database {
    let database = Database::empty().await;
    for script in [
        include_str!("../../../demo/legacy/database/schema.sql"),
        include_str!("../../../demo/legacy/database/seed.sql"),
        include_str!("../../fixtures/legacy/activity.sql"),
    ] {
        sqlx::raw_sql(script)
            .execute(database.pool())
            .await
            .expect("legacy's tables");
    }
    database
}

/// Serves until it is stopped, or the test's runtime ends.
pub struct Service {
    address: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<()>,
    client: reqwest::Client,
}

impl Service {
    pub async fn start(router: Router) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("its address");
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let server = tokio::spawn(async move {
            let served = axum::serve(listener, router).with_graceful_shutdown(stopped);
            served.await.expect("a server");
        });
        // TLS is asked for its provider even where only plain HTTP is spoken. A second installation is no fault.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client");
        Self {
            address,
            stop,
            server,
            client,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers nothing more, and lets go of what it served.
    pub async fn stop(&mut self) {
        self.stop.cancel();
        (&mut self.server).await.expect("it served to its end");
    }

    /// As the proxy would ask on behalf of a tenant.
    pub async fn get(&self, tenant: i64, path: &str, accept: &str) -> Response {
        let headers = [
            ("x-ficus-tenant", tenant.to_string()),
            ("accept", accept.to_owned()),
        ];
        self.send(Method::GET, path, &headers).await
    }

    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, String)]) -> Response {
        self.send_body(method, path, headers, String::new()).await
    }

    pub async fn send_body(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, String)],
        body: String,
    ) -> Response {
        let mut request = self
            .client
            .request(method, format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        request.body(body).send().await.expect("an answer")
    }
}

/// Checks that an answer is a problem document of this status, and returns its detail.
pub async fn detail_of_problem(response: Response, status: u16) -> String {
    assert_eq!(response.status(), status);
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let problem: serde_json::Value = response.json().await.expect("a JSON document");
    assert_eq!(problem["type"], "about:blank");
    assert_eq!(problem["status"], status);
    assert!(problem["title"].is_string());
    problem["detail"].as_str().expect("a detail").to_owned()
}
