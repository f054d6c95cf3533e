//! An admin API in this process, over a database of its own, with proxies that the test plays.
//!
//! Its own file, because the API's, the command line's and the rollback's tests all stand on it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use ficus::control::{self, State};
use ficus::flags::store::Instance;
use ficus::flags::sync::Sync;
use ficus::flags::{self, ColdStart, Flags};
use ficus::ids::Revision;
use ficus::rollout::{self, Author, Role, Source, Terms};
use ficus::telemetry::Metrics;
use serde_json::Value;
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::net::{TcpListener, UnixListener};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::support::Database;

/// Tenants 1 `acme`, 2 `beta`, 3 without a slug; capabilities `dashboard` and `messaging`.
pub struct Stage {
    pub db: Database,
    pub flags: Flags,
    router: Router,
    folder: tempfile::TempDir,
}

/// An answer, read to its end.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Stage {
    pub async fn new() -> Self {
        let db = Database::new().await;
        seed(db.pool()).await;
        let folder = tempfile::tempdir().unwrap();
        let flags = flags_in(folder.path());
        let router = api(db.pool(), &flags);
        Self {
            db,
            flags,
            router,
            folder,
        }
    }

    pub fn pool(&self) -> &PgPool {
        self.db.pool()
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        send(&self.router, request).await
    }

    /// The process's snapshot becomes what the database has.
    pub async fn load_snapshot(&self) {
        let wanted = Revision(self.revision().await);
        let sync = Sync {
            flags: self.flags.clone(),
            config: flags_config(self.folder.path()),
            pool: self.pool().clone(),
            instance: Instance {
                id: uuid::Uuid::new_v4(),
                started: std::time::Instant::now(),
                name: "proxy-here".to_owned(),
                roles: vec!["control".to_owned()],
                listen: Vec::new(),
            },
            metrics: Arc::new(Metrics::new()),
        };
        let stop = CancellationToken::new();
        let running = tokio::spawn(sync.run(stop.clone()));
        let mut revision = self.flags.watch();
        revision.wait_for(|it| *it >= wanted).await.unwrap();
        stop.cancel();
        running.await.unwrap();
    }

    pub async fn token(&self, role: Role) -> String {
        rollout::create_token(self.pool(), &author(), role.as_str(), role)
            .await
            .unwrap()
    }

    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> Answer {
        ask(&self.router, method, path, token, body).await
    }

    /// The API on a port of its own; answers its URL.
    pub async fn listen(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, self.router.clone()).into_future());
        url
    }

    /// A proxy's break-glass socket; answers its path.
    pub async fn listen_locally(&self, name: &str) -> String {
        let path = self.folder.path().join(name);
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(
            axum::serve(listener, control::local_router(self.flags.clone(), None)).into_future(),
        );
        path.display().to_string()
    }

    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    pub async fn revision(&self) -> i64 {
        sqlx::query_scalar("select revision from ficus.clock")
            .fetch_one(self.pool())
            .await
            .unwrap()
    }

    pub async fn state(&self, tenant: i64, capability: &str) -> Option<String> {
        sqlx::query_scalar("select state from ficus.flag where tenant_id = $1 and capability = $2")
            .bind(tenant)
            .bind(capability)
            .fetch_optional(self.pool())
            .await
            .unwrap()
    }

    /// A proxy that has applied everything so far and will apply nothing more.
    pub async fn proxy(&self, name: &str) {
        sqlx::query(
            "insert into ficus.instance (id, name, roles, version, applied_revision)
             select gen_random_uuid(), $1, '{proxy}', '0', revision from ficus.clock",
        )
        .bind(name)
        .execute(self.pool())
        .await
        .unwrap();
    }

    /// A proxy that was last heard of so many seconds ago.
    pub async fn silent_proxy(&self, name: &str, seconds: f64) {
        self.proxy(name).await;
        sqlx::query("update ficus.instance set heartbeat_at = clock_timestamp() - make_interval(secs => $2) where name = $1")
            .bind(name)
            .bind(seconds)
            .execute(self.pool())
            .await
            .unwrap();
    }

    /// A proxy that applies each change when it is told of it.
    pub async fn prompt_proxy(&self, name: &'static str) {
        self.proxy(name).await;
        let pool = self.pool().clone();
        let mut changes = PgListener::connect(self.db.url()).await.unwrap();
        changes.listen("ficus_change").await.unwrap();
        tokio::spawn(async move {
            while let Ok(change) = changes.recv().await {
                sqlx::query("update ficus.instance set applied_revision = $2, applied_at = clock_timestamp() where name = $1")
                    .bind(name)
                    .bind(change.payload().parse::<i64>().unwrap())
                    .execute(&pool)
                    .await
                    .unwrap();
            }
        });
    }

    /// Runs the binary against this API.
    pub async fn ficus(&self, token: &str, args: &[&str]) -> Ran {
        let url = self.listen().await;
        run(&[("FICUS_URL", &url), ("FICUS_TOKEN", token)], args).await
    }
}

/// What a run of the binary left.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|fault| panic!("{fault}: {self:?}"))
    }
}

/// The binary with nothing in its environment but this.
pub fn ficus(environment: &[(&str, &str)], args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ficus"));
    command
        .env_clear()
        .envs(environment.iter().copied())
        .env("USER", "kim")
        .args(args)
        .kill_on_drop(true);
    command.stdin(std::process::Stdio::null());
    command
}

pub async fn run(environment: &[(&str, &str)], args: &[&str]) -> Ran {
    let output = ficus(environment, args).output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran {
        code: output.status.code().unwrap(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

pub fn author() -> Author {
    Author::new("kim", Source::Api, "because")
}

pub fn terms() -> Terms {
    Terms::of(author())
}

pub async fn seed(pool: &PgPool) {
    sqlx::raw_sql(
        "insert into ficus.capability (name, effect) values ('dashboard', 'read'), ('messaging', 'send');
         insert into ficus.tenant (id, slug, name) values (1, 'acme', 'Acme'), (2, 'beta', 'Beta'), (3, null, 'Gamma');",
    )
    .execute(pool)
    .await
    .unwrap();
}

pub fn flags_in(folder: &std::path::Path) -> Flags {
    let config = flags_config(folder);
    Flags::open(&config, "proxy-here").unwrap().0
}

fn flags_config(folder: &std::path::Path) -> flags::Config {
    flags::Config {
        poll: Duration::from_secs(2),
        heartbeat: Duration::from_secs(2),
        notify: true,
        state_dir: folder.join("state"),
        bootstrap: None,
        cold_start: ColdStart::Refuse,
    }
}

pub fn api(pool: &PgPool, flags: &Flags) -> Router {
    control::router(State::new(
        pool.clone(),
        flags.clone(),
        None,
        Arc::new(Metrics::new()),
    ))
}

pub async fn ask(
    router: &Router,
    method: Method,
    path: &str,
    token: Option<&str>,
    body: Option<Value>,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let body = match body {
        Some(body) => {
            request = request.header("content-type", "application/json");
            Body::from(body.to_string())
        }
        None => Body::empty(),
    };
    send(router, request.body(body).unwrap()).await
}

pub async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    let body =
        serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into());
    Answer {
        status: parts.status,
        headers: parts.headers,
        body,
    }
}
