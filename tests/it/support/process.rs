//! Real ficus processes and scripted upstreams, each on ports of its own.
//!
//! Its own file, because an end-to-end test sees what a user sees: a binary, its ports, its signals.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// Long enough for a slow machine; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What `ficus serve` is told in a test.
pub struct Setup {
    roles: &'static str,
    config: String,
    name: Option<String>,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    state: Option<PathBuf>,
    wait_ready: bool,
}

/// A running `ficus serve`. Dropped, it is killed.
pub struct Ficus {
    child: Child,
    pub proxy: SocketAddr,
    pub admin: SocketAddr,
    pub engine: SocketAddr,
    pub state: PathBuf,
    /// Rewritten to test a reload.
    pub config: PathBuf,
    _folder: TempDir,
}

impl Setup {
    /// All that a proxy needs to reach `database`; `config` is TOML that says the rest.
    pub fn new(database_url: &str, config: &str) -> Self {
        Self {
            roles: "proxy",
            config: config.to_owned(),
            name: None,
            arguments: Vec::new(),
            variables: vec![
                ("FICUS__DATABASE__URL".to_owned(), database_url.to_owned()),
                ("FICUS__PROXY__THREADS".to_owned(), "2".to_owned()),
                ("FICUS__TELEMETRY__FORMAT".to_owned(), "text".to_owned()),
                ("NO_COLOR".to_owned(), "1".to_owned()),
            ],
            state: None,
            wait_ready: true,
        }
    }

    /// A comma-separated list; `proxy` alone unless said otherwise.
    pub fn roles(mut self, roles: &'static str) -> Self {
        self.roles = roles;
        self
    }

    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Keeps its state where an earlier process kept it.
    pub fn state(mut self, folder: &Path) -> Self {
        self.state = Some(folder.to_owned());
        self
    }

    /// Does not wait for `/health/ready`, only for the admin port.
    pub fn not_ready(mut self) -> Self {
        self.wait_ready = false;
        self
    }

    pub async fn start(self) -> Ficus {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let config = folder.path().join("ficus.toml");
        std::fs::write(&config, &self.config).expect("the configuration is written");
        let state = self.state.unwrap_or_else(|| folder.path().join("state"));
        let [proxy, admin, dashboard, engine] = free_ports();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ficus"));
        command
            .args(["serve", "--roles", self.roles, "--config"])
            .arg(&config)
            .arg("--state-dir")
            .arg(&state)
            .args(&self.arguments)
            .env("FICUS__PROXY__LISTEN", format!("[\"{proxy}\"]"))
            .env("FICUS__CONTROL__LISTEN", admin.to_string())
            .env("FICUS__DASHBOARD__LISTEN", dashboard.to_string())
            .env("FICUS__ENGINE__LISTEN", engine.to_string())
            .envs(self.variables)
            .env(
                "FICUS__TELEMETRY__ACCESS_LOG",
                folder.path().join("access.log"),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("log")).expect("a log file"))
            .kill_on_drop(true);
        if let Some(name) = self.name {
            command.env("FICUS__INSTANCE__NAME", name);
        }
        let child = command.spawn().expect("ficus starts");
        let mut ficus = Ficus {
            child,
            proxy,
            admin,
            engine,
            state,
            config,
            _folder: folder,
        };
        ficus.wait_until_up(self.wait_ready).await;
        ficus
    }
}

impl Ficus {
    async fn wait_until_up(&mut self, ready: bool) {
        let path = if ready {
            "/health/ready"
        } else {
            "/health/live"
        };
        let url = format!("http://{}{path}", self.admin);
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(answer) = client().get(&url).send().await
                && answer.status().is_success()
            {
                return;
            }
            let ended = self.child.try_wait().expect("the process can be asked");
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "ficus is not up ({ended:?}); its log:\n{}",
                self.log()
            );
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// A URL on the proxy.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.proxy)
    }

    /// A URL on the admin API.
    pub fn admin_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin)
    }

    /// The break-glass socket.
    pub fn socket(&self) -> PathBuf {
        self.state.join("ficus.sock")
    }

    /// What it counts, as Prometheus reads it.
    pub async fn metrics(&self) -> String {
        let answer = client().get(self.admin_url("/metrics")).send().await;
        answer.expect("metrics").text().await.expect("text")
    }

    /// What it wrote to stderr so far.
    pub fn log(&self) -> String {
        let path = self.config.with_file_name("log");
        std::fs::read_to_string(path).unwrap_or_default()
    }

    /// The access log's lines so far.
    pub fn access_log(&self) -> Vec<serde_json::Value> {
        let path = self.config.with_file_name("access.log");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).expect("a line is JSON"))
            .collect()
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("the process runs")
    }

    /// Sends a signal by name, such as `TERM`, `STOP` or `CONT`.
    pub fn signal(&self, name: &str) {
        let pid = self.pid();
        let sent = std::process::Command::new("kill")
            .args([format!("-{name}"), pid.to_string()])
            .status()
            .expect("kill runs");
        assert!(sent.success(), "the signal is delivered");
    }

    /// Waits for the process to end and answers its exit code.
    pub async fn wait(&mut self) -> Option<i32> {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended
            .expect("the process ends")
            .expect("it can be waited for")
            .code()
    }
}

/// A client that keeps nothing between requests, so that each test sees its own connections.
pub fn client() -> reqwest::Client {
    static PROVIDER: std::sync::Once = std::sync::Once::new();
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    reqwest::Client::builder()
        .pool_max_idle_per_host(0)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE)
        .build()
        .expect("a client")
}

/// Asks again until `found` answers something. For states that are reached in time and have no signal to wait for.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut found: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Free at the moment of asking, and never given twice by this process. Below the range from which the kernel takes
/// the ports of clients: a process that starts slowly would find its own taken by one of them.
pub fn free_ports<const N: usize>() -> [SocketAddr; N] {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    std::array::from_fn(|_| {
        loop {
            // Another run of the tests begins somewhere else.
            let place = std::process::id()
                .wrapping_mul(499)
                .wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
            let address = SocketAddr::from(([127, 0, 0, 1], 10_000 + (place % 20_000) as u16));
            if std::net::TcpListener::bind(address).is_ok() {
                return address;
            }
        }
    })
}

/// An upstream that answers every request by `answer`. Runs until the test's runtime ends.
pub async fn upstream<F, Fut, R>(answer: F) -> SocketAddr
where
    F: Fn(Request) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = R> + Send,
    R: IntoResponse,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    let answer = Arc::new(answer);
    let router = Router::new().fallback(move |request: Request| {
        let answer = Arc::clone(&answer);
        async move { answer(request).await.into_response() }
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// An upstream that answers its own name.
pub async fn named_upstream(name: &'static str) -> SocketAddr {
    upstream(move |_| async move { name }).await
}

/// A configuration with the capability `dashboard` on `/dashboard` and below, decided by `x-tenant-id` from loopback.
pub fn two_sides(legacy: SocketAddr, modern: SocketAddr) -> String {
    format!(
        r#"
        [proxy]
        trusted_proxies = ["127.0.0.0/8"]
        [upstream.legacy]
        url = "http://{legacy}"
        [upstream.modern]
        url = "http://{modern}"
        [capability.dashboard]
        effect = "read"
        modern = "modern"
        [[route]]
        path = "/dashboard"
        capability = "dashboard"
        [[route]]
        path = "/dashboard/{{*rest}}"
        capability = "dashboard"
        [[tenant]]
        resolver = "header"
        name = "x-tenant-id"
        "#
    )
}
