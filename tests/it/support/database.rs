//! A fresh database for each test, and a server of its own for the tests that stop it.
//!
//! Its own file, because starting PostgreSQL once, and applying the schema once, is what keeps the tests fast.

use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use ficus::db;
use ficus::embedded::{Options, Postgres, StopMode};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::sync::OnceCell;

/// The server that all tests of this run share. Its supervisor removes it when the process ends.
static SHARED: OnceCell<Postgres> = OnceCell::const_new();
static NUMBER: AtomicU32 = AtomicU32::new(0);

const TEMPLATE: &str = "template_ficus";
/// How a scratch folder's name begins; the process' number follows.
const SCRATCH: &str = "ficus-it-";

/// One test's own database, with the schema applied.
pub struct Database {
    url: String,
    pool: PgPool,
}

impl Database {
    pub async fn new() -> Self {
        let server = shared_server().await;
        let name = unique("test");
        db::create_database(&server.url("postgres"), &name, Some(TEMPLATE))
            .await
            .expect("a copy of the template");
        let url = server.url(&name);
        Self {
            pool: pool(&url),
            url,
        }
    }

    /// A database without the schema.
    pub async fn empty() -> Self {
        let server = shared_server().await;
        let name = unique("empty");
        server
            .create_database(&name)
            .await
            .expect("an empty database");
        let url = server.url(&name);
        Self {
            pool: pool(&url),
            url,
        }
    }

    /// Connects as the server's superuser.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub fn url(&self) -> &str {
        &self.url
    }
}

/// A server of a test's own, to stop and start at will.
pub struct Cluster {
    folder: PathBuf,
    server: Option<Postgres>,
    url: String,
}

impl Cluster {
    /// With a database `ficus` that has the schema.
    pub async fn new() -> Self {
        let folder = scratch_folder();
        let server = Postgres::start(&folder, Options::for_tests())
            .await
            .expect("a server of the test's own");
        server.create_database("ficus").await.expect("a database");
        let url = server.url("ficus");
        db::migrate(&url).await.expect("the schema");
        Self {
            folder,
            server: Some(server),
            url,
        }
    }

    /// Of the database `ficus`; stays the same over a restart.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn pool(&self) -> PgPool {
        pool(&self.url)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Does nothing when the server is stopped already.
    pub async fn stop(&mut self, mode: StopMode) {
        if let Some(server) = self.server.take() {
            server.stop(mode).await.expect("the server stops");
        }
    }

    pub async fn start(&mut self) {
        assert!(self.server.is_none(), "the server runs already");
        self.server = Some(
            Postgres::start(&self.folder, Options::for_tests())
                .await
                .expect("the server starts again"),
        );
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // A running server is removed by its supervisor.
        if self.server.is_none() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// For what makes its databases itself.
pub async fn shared_server() -> &'static Postgres {
    SHARED
        .get_or_init(|| async {
            let server = Postgres::start(&scratch_folder(), Options::for_tests())
                .await
                .expect("the tests' own PostgreSQL");
            server.create_database(TEMPLATE).await.expect("a template");
            db::migrate(&server.url(TEMPLATE))
                .await
                .expect("the schema");
            server
        })
        .await
}

/// Under /tmp, which the database's account can reach when the tests run as root. What is shared by all tests of a
/// run has nobody to remove it at the end, so the next run does.
pub fn scratch_folder() -> PathBuf {
    static SWEPT: Once = Once::new();
    SWEPT.call_once(remove_folders_of_ended_runs);
    std::env::temp_dir().join(unique(&format!("{SCRATCH}{}", std::process::id())))
}

fn remove_folders_of_ended_runs() {
    let Ok(entries) = std::fs::read_dir(std::env::temp_dir()) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let run = name.to_str().and_then(|name| name.strip_prefix(SCRATCH));
        let run = run.and_then(|rest| rest.split('_').next());
        if run.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Another user's, or another run that sweeps too: theirs to remove.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn unique(prefix: &str) -> String {
    format!("{prefix}_{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// Each test has a runtime of its own, so each has a pool of its own.
fn pool(url: &str) -> PgPool {
    let options = db::connect_options(url).expect("our own URL is good");
    PgPoolOptions::new()
        .max_connections(8)
        .connect_lazy_with(options)
}
