//! The private server: made once, stopped and started, never shared, and gone with its process.
//!
//! Its own file, because it needs servers and processes of its own.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ficus::db;
use ficus::embedded::{Options, Postgres, StartError, StopMode};

use crate::support::{Cluster, scratch_folder};

/// Names the folder of the server that [`holds_a_server_until_it_is_killed`] starts.
const HELD: &str = "FICUS_TEST_HELD_FOLDER";

#[tokio::test]
async fn a_stopped_server_continues_where_it_was() {
    let mut cluster = Cluster::new().await;
    for mode in [StopMode::Fast, StopMode::Immediate] {
        let pool = cluster.pool();
        let insert =
            "insert into ficus.tenant (id) select coalesce(max(id), 0) + 1 from ficus.tenant";
        sqlx::query(insert).execute(&pool).await.unwrap();
        cluster.stop(mode).await;
        assert!(!db::answers(cluster.url()).await, "{mode:?}");
        cluster.start().await;
    }
    let tenants: i64 = sqlx::query_scalar("select count(*) from ficus.tenant")
        .fetch_one(&cluster.pool())
        .await
        .unwrap();
    assert_eq!(tenants, 2);
}

#[tokio::test]
async fn a_folder_has_one_server() {
    let folder = scratch_folder();
    let first = Postgres::start(&folder, Options::for_tests())
        .await
        .unwrap();
    let second = Postgres::start(
        &folder,
        Options {
            patience: Duration::ZERO,
            ..Options::for_tests()
        },
    )
    .await;
    let error = second.expect_err("a second server on the same folder");
    assert!(
        matches!(error, StartError::InUse { pid: Some(_), .. }),
        "{error}"
    );
    assert!(
        db::answers(&first.url("postgres")).await,
        "the first is not disturbed"
    );
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_is_no_obstacle() {
    let outer = scratch_folder();
    let folder = outer.join("x".repeat(90));
    let server = Postgres::start(&folder, Options::for_tests())
        .await
        .unwrap();
    let socket = server.socket_folder().to_owned();
    assert!(!socket.starts_with(&outer), "{socket:?}");
    assert!(db::answers(&server.url("postgres")).await);
    server.stop(StopMode::Immediate).await.unwrap();
    std::fs::remove_dir_all(outer).unwrap();
    std::fs::remove_dir_all(socket).unwrap();
}

#[tokio::test]
async fn an_awkward_name_is_a_name() {
    let server = Postgres::start(&scratch_folder(), Options::for_tests())
        .await
        .unwrap();
    for name in ["with space", "quo\"te", "50%", "é"] {
        server.create_database(name).await.unwrap();
        server.create_database(name).await.unwrap();
        assert!(db::answers(&server.url(name)).await, "{name}");
    }
}

#[tokio::test]
async fn a_server_that_cannot_start_shows_the_end_of_its_log() {
    let mut cluster = Cluster::new().await;
    cluster.stop(StopMode::Fast).await;
    std::fs::write(
        cluster.folder().join("data/postgresql.conf"),
        "shared_buffers = a lot",
    )
    .unwrap();
    let error = Postgres::start(cluster.folder(), Options::for_tests())
        .await
        .expect_err("a broken configuration");
    assert!(matches!(&error, StartError::Exited { .. }), "{error}");
    assert!(error.to_string().contains("postgresql.conf"), "{error}");
}

#[tokio::test]
async fn a_killed_process_takes_its_server_along_and_the_next_finds_the_rows() {
    let folder = scratch_folder();
    let mut holder = hold(&folder);
    let url = {
        let answered = folder.join("url");
        wait_for("the holder's server", || answered.exists()).await;
        std::fs::read_to_string(answered).unwrap()
    };
    assert!(db::answers(&url).await);

    // SIGKILL: no handler of ours runs.
    holder.kill().unwrap();
    holder.wait().unwrap();

    let server = Postgres::start(
        &folder,
        Options {
            durable: false,
            ..Options::default()
        },
    )
    .await
    .unwrap();
    assert!(
        db::answers(&server.url("kept")).await,
        "the database that the first process made"
    );
    server.stop(StopMode::Immediate).await.unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn an_abandoned_server_of_a_test_leaves_no_files() {
    let folder = scratch_folder();
    drop(
        Postgres::start(&folder, Options::for_tests())
            .await
            .unwrap(),
    );
    wait_for("the folder's removal", || !folder.exists()).await;
}

/// Not a test of its own: the process that the test above kills.
#[tokio::test]
#[ignore = "run by a_killed_process_takes_its_server_along_and_the_next_finds_the_rows in a process of its own"]
async fn holds_a_server_until_it_is_killed() {
    let folder = std::env::var_os(HELD).expect("the folder to use");
    let folder = Path::new(&folder);
    let server = Postgres::start(
        folder,
        Options {
            durable: false,
            ..Options::default()
        },
    )
    .await
    .unwrap();
    server.create_database("kept").await.unwrap();
    let ready = folder.join("url.new");
    std::fs::write(&ready, server.url("kept")).unwrap();
    std::fs::rename(ready, folder.join("url")).unwrap();
    std::future::pending::<()>().await;
}

fn hold(folder: &Path) -> Child {
    let test = "embedded::holds_a_server_until_it_is_killed";
    Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--ignored"])
        .env(HELD, folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Another process's doing, which nothing tells us of.
async fn wait_for(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
