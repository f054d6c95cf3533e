//! The product's main promise, on real parts: a real Laravel application, real `ficus` processes, real sessions.
//!
//! Its own folder, because the application is started once for all of these tests. Each test has a control database,
//! processes and a tenant of its own; only the bridge's shares its database with the application.

mod bridge;
mod drivers;
mod front;
mod http;
mod matrix;
mod messaging;
mod migration;
mod parity;
mod sessions;
mod tokens;
mod visitor;

use std::net::SocketAddr;
use std::process::Output;

use ficus::demo::legacy::{Legacy, Options};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::sync::OnceCell;

use crate::support::process::{Ficus, Setup, free_ports};
use crate::support::{project, scratch_folder, shared_server};

static LEGACY: OnceCell<Legacy> = OnceCell::const_new();

/// How long an answer about a session is remembered: short, since one test waits for its end.
const CACHE_TTL: &str = "300ms";

/// The application, started by whichever test comes first. It ends with the process of the tests.
async fn legacy() -> &'static Legacy {
    LEGACY
        .get_or_init(|| async {
            let folder = scratch_folder();
            std::fs::create_dir_all(&folder).expect("a scratch folder");
            let [port] = free_ports();
            let options = Options {
                source: &project().join("demo/legacy"),
                storage: folder.join("storage"),
                log: folder.join("legacy.log"),
                port: port.port(),
                // Nobody listens there: a test that wants mail gives its tenant a server of its own.
                mail_port: 9,
            };
            Legacy::start(shared_server().await, options)
                .await
                .expect("the legacy application starts")
        })
        .await
}

/// The application's database.
async fn legacy_pool() -> PgPool {
    let url = Legacy::database_url(shared_server().await);
    PgPoolOptions::new()
        .max_connections(2)
        .connect(&url)
        .await
        .expect("legacy's database")
}

/// Two proxies in front of the application; the first is the admin API and the modern services as well.
struct Site {
    first: Ficus,
    second: Ficus,
    database_url: String,
    /// The modern side's own address of the dashboard.
    dashboard: SocketAddr,
}

impl Site {
    async fn start(database_url: &str) -> Self {
        Self::with(database_url, None, "").await
    }

    /// With the modern dashboard asked through `front`, and with more configuration.
    async fn with(database_url: &str, front: Option<SocketAddr>, more: &str) -> Self {
        let legacy = legacy().await;
        let legacy_database = Legacy::database_url(shared_server().await);
        let [dashboard, engine] = free_ports();
        let asked = front.unwrap_or(dashboard);
        let config = format!(
            r#"
            [upstream.legacy]
            url = "{}"
            [upstream.dashboard]
            url = "http://{asked}"
            [upstream.engine]
            url = "http://{engine}"
            [capability.dashboard]
            effect = "read"
            modern = "dashboard"
            [capability.messaging]
            effect = "send"
            modern = "engine"
            [[route]]
            path = "/dashboard"
            capability = "dashboard"
            [[route]]
            path = "/dashboard/{{*rest}}"
            capability = "dashboard"
            [[route]]
            path = "/campaign/send-email/{{*rest}}"
            capability = "messaging"
            [[tenant]]
            resolver = "laravel_session"
            app_key = "{}"
            database_url = "{legacy_database}"
            cache_ttl = "{CACHE_TTL}"
            [engine]
            public_url = "http://{}"
            app_key = "{}"
            [database]
            legacy_url = "{legacy_database}"
            {more}
            "#,
            legacy.url,
            legacy.app_key,
            visitor::SITE,
            legacy.app_key
        );
        let first = Setup::new(database_url, &config)
            .name("first")
            .roles("proxy,control,engine,dashboard")
            .variable("FICUS__DASHBOARD__LISTEN", &dashboard.to_string())
            .variable("FICUS__ENGINE__LISTEN", &engine.to_string());
        let second = Setup::new(database_url, &config).name("second");
        let (first, second) = (first.start().await, second.start().await);
        Self {
            first,
            second,
            database_url: database_url.to_owned(),
            dashboard,
        }
    }

    /// Runs the command line as an operator at the database would, and waits for its confirmation.
    async fn ficus(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.run(arguments).await;
        assert!(
            output.status.success(),
            "ficus {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).expect("JSON on stdout")
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let direct = [("DATABASE_URL", self.database_url.as_str())];
        ficus(&[arguments, &["--direct"]].concat(), &direct).await
    }

    /// The same through the admin API, for what needs the configuration.
    async fn ask_api(&self, arguments: &[&str]) -> serde_json::Value {
        let made = self
            .ficus(&[
                "token", "create", "tests", "--role", "admin", "--reason", "test",
            ])
            .await;
        let (url, token) = (
            format!("http://{}", self.first.admin),
            made["token"].as_str().expect("a token"),
        );
        let output = ficus(arguments, &[("FICUS_URL", &url), ("FICUS_TOKEN", token)]).await;
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).expect("JSON on stdout")
    }

    /// Makes the tenants known, as `ficus tenant import` does.
    async fn know(&self, tenants: &[&str]) {
        for tenant in tenants {
            self.ficus(&[
                "tenant", "set", tenant, "--class", "low", "--reason", "test",
            ])
            .await;
        }
    }

    /// Flips a tenant's capability; both proxies have confirmed it when this returns.
    async fn flip(&self, tenant: &str, capability: &str, state: &str) {
        let written = self
            .ficus(&[
                "flag",
                "set",
                tenant,
                capability,
                state,
                "--reason",
                "test",
                "--timeout",
                "20s",
            ])
            .await;
        assert_eq!(written["confirmed"], true, "{written}");
        let proxies = written["proxies"].as_array().expect("proxies");
        assert_eq!(proxies.len(), 2, "{written}");
    }
}

/// Runs the command line with nothing of the environment but this.
async fn ficus(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    tokio::process::Command::new(env!("CARGO_BIN_EXE_ficus"))
        .args(arguments)
        .args(["--output", "json"])
        .env_remove("DATABASE_URL")
        .env_remove("FICUS_URL")
        .env_remove("FICUS_TOKEN")
        .envs(environment.iter().copied())
        .output()
        .await
        .expect("ficus runs")
}
