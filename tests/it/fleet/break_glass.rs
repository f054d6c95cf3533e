//! Rollbacks on one proxy alone, while PostgreSQL is out of reach, and how they come home.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use chrono::{DateTime, Utc};
use ficus::embedded::StopMode;
use uuid::Uuid;

use super::*;
use crate::support::{Cluster, Database};

/// `ficus rollback --local SOCKET …`, which must succeed.
async fn roll_back_on(proxies: &[&Ficus], scope: &[&str]) {
    let sockets: Vec<String> = proxies
        .iter()
        .map(|ficus| ficus.socket().display().to_string())
        .collect();
    let mut arguments = vec!["rollback", "--reason", "INC-42"];
    arguments.extend(scope);
    arguments.extend(sockets.iter().flat_map(|socket| ["--local", socket]));
    let said = run_ficus(&arguments, &[]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
}

/// The audit rows of local actions: actor, reason, when it was taken.
async fn audit(pool: &PgPool) -> Vec<(Uuid, String, Option<String>, Option<DateTime<Utc>>)> {
    let sql = "select action_id, actor, reason, acted_at from ficus.change
        where action_id is not null and source = 'local' order by revision";
    sqlx::query_as(sql)
        .fetch_all(pool)
        .await
        .expect("the audit")
}

async fn state_of(pool: &PgPool, tenant: i64) -> String {
    sqlx::query_scalar("select state from ficus.flag where tenant_id = $1")
        .bind(tenant)
        .fetch_one(pool)
        .await
        .expect("a flag")
}

fn waiting(state: &Path) -> String {
    std::fs::read_to_string(state.join("local-actions.json")).unwrap_or_default()
}

async fn until_home(state: &Path) {
    eventually("the local actions are home", || async {
        (waiting(state) == "[]").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_local_rollback_needs_no_database_survives_a_crash_and_comes_home_once() {
    let mut cluster = Cluster::new().await;
    seed(&cluster.pool()).await;
    let config = sides().await;
    let [mut a, mut b] = two_proxies(cluster.url(), &config).await;
    cluster.stop(StopMode::Fast).await;
    roll_back_on(&[&a, &b], &["--tenant", "2"]).await;
    for ficus in [&a, &b] {
        assert_eq!(served(ficus, "2").await, "legacy", "at once");
    }
    a.signal("KILL");
    a.wait().await;
    let crashed = Setup::new(cluster.url(), &config).name("a").state(&a.state);
    let mut a_again = crashed.start().await;
    assert_eq!(served(&a_again, "2").await, "legacy", "after a crash");
    let kept = waiting(&a.state);

    cluster.start().await;
    let pool = cluster.pool();
    for state in [&a_again.state, &b.state] {
        until_home(state).await;
    }
    assert_eq!(state_of(&pool, 2).await, "legacy");
    let home = audit(&pool).await;
    assert_eq!(home.len(), 2, "one a proxy: {home:?}");
    for (_, actor, reason, acted_at) in &home {
        assert!(actor.contains("nightshift"), "{actor}");
        assert_eq!(reason.as_deref(), Some("INC-42"));
        assert!(acted_at.is_some());
    }
    let moved: i64 = sqlx::query_scalar("select count(*) from ficus.change_item where entity = 'flag' and after ->> 'state' = 'legacy'")
        .fetch_one(&pool)
        .await
        .expect("counted");
    assert_eq!(moved, 1, "the flag moved once");

    // A crash between telling the database and forgetting: the action is told again, and is known already.
    for ficus in [&mut a_again, &mut b] {
        ficus.signal("TERM");
        assert_eq!(ficus.wait().await, Some(0));
    }
    std::fs::write(a.state.join("local-actions.json"), kept).expect("put back");
    set(&pool, 2, "modern").await;
    let third = Setup::new(cluster.url(), &config).name("a").state(&a.state);
    let third = third.start().await;
    until_home(&a.state).await;
    assert_eq!(audit(&pool).await, home);
    assert_eq!(state_of(&pool, 2).await, "modern", "somebody's later word");
    until_served(&third, "2", "modern").await;
}

#[tokio::test]
async fn a_local_rollback_of_a_capability_and_of_everything_comes_home_as_overrides() {
    let mut cluster = Cluster::new().await;
    seed(&cluster.pool()).await;
    run(
        &cluster.pool(),
        "insert into ficus.capability (name) values ('reports');
         insert into ficus.flag (tenant_id, capability, state) values (2, 'reports', 'modern')",
    )
    .await;
    let config = sides().await
        + "[capability.reports]\neffect = \"read\"\nmodern = \"modern\"\n[[route]]\npath = \"/reports\"\ncapability = \"reports\"\n";
    let ficus = Setup::new(cluster.url(), &config).start().await;
    cluster.stop(StopMode::Immediate).await;
    roll_back_on(&[&ficus], &["--capability", "dashboard"]).await;
    assert_eq!(served(&ficus, "2").await, "legacy");
    assert_eq!(served_at(&ficus, "/reports", "2").await, "modern");
    roll_back_on(&[&ficus], &["--all"]).await;
    assert_eq!(served_at(&ficus, "/reports", "2").await, "legacy");

    cluster.start().await;
    until_home(&ficus.state).await;
    assert_eq!(served_at(&ficus, "/reports", "2").await, "legacy");
    let overrides: Vec<Option<String>> =
        sqlx::query_scalar("select capability from ficus.override order by capability")
            .fetch_all(&cluster.pool())
            .await
            .expect("listed");
    assert_eq!(overrides, [Some("dashboard".to_owned()), None]);
    assert_eq!(audit(&cluster.pool()).await.len(), 2);
    run(&cluster.pool(), "delete from ficus.override").await;
    until_served(&ficus, "2", "modern").await;
}

#[tokio::test]
async fn a_word_that_came_after_a_local_rollback_stays() {
    let mut cluster = Cluster::new().await;
    seed(&cluster.pool()).await;
    let config = sides().await;
    let mut ficus = Setup::new(cluster.url(), &config).start().await;
    cluster.stop(StopMode::Fast).await;
    roll_back_on(&[&ficus], &["--tenant", "bluebird"]).await;
    ficus.signal("KILL");
    ficus.wait().await;
    cluster.start().await;
    let pool = cluster.pool();
    set(&pool, 2, "shadow").await;
    set(&pool, 2, "modern").await;

    let again = Setup::new(cluster.url(), &config).state(&ficus.state);
    let again = again.start().await;
    until_home(&ficus.state).await;
    assert_eq!(state_of(&pool, 2).await, "modern");
    assert_eq!(audit(&pool).await.len(), 1, "it is told of all the same");
    until_served(&again, "2", "modern").await;
}

#[tokio::test]
async fn an_action_that_the_database_cannot_take_holds_up_no_other_and_goes_home_when_it_can() {
    let database = Database::new().await;
    let pool = database.pool();
    seed(pool).await;
    let ficus = Setup::new(database.url(), &sides().await)
        .variable("FICUS__FLAGS__POLL", "200ms")
        .start()
        .await;
    roll_back_on(&[&ficus], &["--capability", "ghost"]).await;
    roll_back_on(&[&ficus], &["--tenant", "2"]).await;
    eventually("the tenant's rollback is home", || async {
        (state_of(pool, 2).await == "legacy").then_some(())
    })
    .await;
    eventually("the other one waits alone", || async {
        let left = waiting(&ficus.state);
        (left.contains("ghost") && !left.contains("tenants")).then_some(())
    })
    .await;
    assert!(
        ficus
            .log()
            .contains("a local rollback cannot be brought home")
    );

    run(pool, "insert into ficus.capability (name) values ('ghost')").await;
    until_home(&ficus.state).await;
    assert_eq!(audit(pool).await.len(), 2);
}

#[tokio::test]
async fn what_one_proxy_alone_cannot_do_is_refused_and_not_done_by_half() {
    let [socket, reason] = [["--local", "/nonexistent.sock"], ["--reason", "x"]];
    let needs_more = "--local answers rollback, status and explain";
    for (what, expected) in [
        // One capability of one tenant: a rollback that took them all would be more than was asked for.
        (
            &["rollback", "--tenant", "2", "--capability", "dashboard"][..],
            "cannot be used with",
        ),
        // A freeze that one proxy alone has is none, and one that it ends by itself ends early.
        (&["freeze", "--all", "--for", "1m"], needs_more),
        (&["unfreeze", "--all"], needs_more),
    ] {
        let arguments = [what, &reason, &socket].concat();
        let said = run_ficus(&arguments, &[]).await;
        assert_eq!(said.code, Some(2), "{what:?}: {said:?}");
        assert!(said.err.contains(expected), "{what:?}: {}", said.err);
    }
}

#[tokio::test]
async fn only_its_owner_may_open_the_socket() {
    let database = Database::new().await;
    let ficus = Setup::new(database.url(), &sides().await).start().await;
    let mode = std::fs::metadata(ficus.socket())
        .expect("a socket")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_state_folder_has_one_process() {
    let database = Database::new().await;
    seed(database.pool()).await;
    let first = Setup::new(database.url(), &sides().await).start().await;
    let folder = first.state.display().to_string();
    let arguments = [
        "serve",
        "--legacy",
        "http://127.0.0.1:9",
        "--state-dir",
        &folder,
    ];
    let second = run_ficus(&arguments, &[("FICUS__DATABASE__URL", database.url())]).await;
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(
        second.err.contains("another ficus uses the state folder"),
        "{second:?}"
    );
    assert!(second.err.contains(&folder), "{second:?}");
    roll_back_on(&[&first], &["--tenant", "2"]).await;
}

#[tokio::test]
async fn a_disk_that_keeps_nothing_does_not_hold_a_rollback() {
    let mut cluster = Cluster::new().await;
    seed(&cluster.pool()).await;
    let ficus = Setup::new(cluster.url(), &sides().await).start().await;
    cluster.stop(StopMode::Fast).await;
    // A folder in the way of the temporary file fails the write as a full disk would.
    std::fs::create_dir(ficus.state.join("local-actions.json.new")).expect("made");
    let socket = ficus.socket().display().to_string();
    let rollback = [
        "rollback", "--tenant", "2", "--reason", "INC-42", "--local", &socket,
    ];
    let said = run_ficus(&rollback, &[]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        (said.out.clone() + &said.err).contains("the disk does not keep it"),
        "{said:?}"
    );
    assert_eq!(served(&ficus, "2").await, "legacy");
}
