//! Every session driver through a whole `ficus serve` in front of the real application: cookies that Laravel gave through the
//! proxy name the tenant, and what is wrong, forged or over names nobody.
//!
//! Its own file, because here nothing of ours is called but the binary.

use std::time::{Duration, SystemTime};

use axum::extract::Request;
use ficus::demo::legacy::Legacy;
use serde_json::{Value, json};

use super::drivers::{Application, in_redis, redis_keys};
use super::legacy_pool;
use super::visitor::{BROWSER, JSON, Visitor};
use crate::support::process::{Ficus, Setup, upstream};
use crate::support::redis::Redis;
use crate::support::{Database, shared_server};

/// Where a driver's sessions end before their time.
enum Store<'a> {
    Database,
    Files,
    Redis(&'a Redis),
    /// In the cookie itself: nobody can end it.
    Cookie,
}

/// Whom no other test logs in: the sessions that end here are in a table that all of them share.
const LATE: &str = "editor@zoe.test";

/// Tenants 2 and 8 are on modern, which answers who it was told that it is; everybody else is at legacy.
async fn serve(application: &Application, database: &Database, keys: &str) -> Ficus {
    sqlx::raw_sql(
        "insert into ficus.capability (name) values ('dashboard');
         insert into ficus.tenant (id) values (2), (3), (8);
         insert into ficus.flag (tenant_id, capability, state)
         values (2, 'dashboard', 'modern'), (8, 'dashboard', 'modern')",
    )
    .execute(database.pool())
    .await
    .expect("seeded");
    let modern = upstream(|request: Request| async move {
        let told = |name: &str| {
            let value = request.headers().get(name);
            value.map(|value| value.to_str().expect("text").to_owned())
        };
        json!({ "tenant": told("x-ficus-tenant"), "user": told("x-user-id") }).to_string()
    })
    .await;
    // Each request asks, so that the end of a session is seen at once.
    let config = format!(
        r#"
        [upstream.legacy]
        url = "{}"
        [upstream.modern]
        url = "http://{modern}"
        [capability.dashboard]
        effect = "read"
        modern = "modern"
        [[route]]
        path = "/dashboard/{{*rest}}"
        capability = "dashboard"
        [[tenant]]
        resolver = "laravel_session"
        app_key = "{}"
        database_url = "{}"
        cache_ttl = "0s"
        {keys}
        "#,
        application.legacy.url,
        application.legacy.app_key,
        Legacy::database_url(shared_server().await),
    );
    Setup::new(database.url(), &config).start().await
}

/// Who answers, and how.
async fn stats(visitor: &Visitor) -> (u16, String, String) {
    let answer = visitor.clone().get("/dashboard/stats", JSON).await;
    (answer.status, answer.served_by().to_owned(), answer.body)
}

async fn is_nobody(visitor: &Visitor, what: &str) {
    let (status, side, body) = stats(visitor).await;
    assert_eq!((status, &*side), (401, "legacy"), "{what}: {body}");
}

/// As if the session's lifetime had passed.
async fn end_sessions(store: &Store<'_>, application: &Application) {
    match store {
        Store::Database => {
            let ended = "update sessions set last_activity = last_activity - 3 * 3600
                 where user_id = (select id from users where email = $1)";
            let pool = legacy_pool().await;
            let ended = sqlx::query(ended).bind(LATE).execute(&pool).await;
            assert!(ended.expect("ended").rows_affected() >= 1);
        }
        Store::Files => {
            let long_ago = SystemTime::now() - Duration::from_secs(3 * 3600);
            for file in std::fs::read_dir(&application.sessions).expect("the sessions") {
                let file = std::fs::File::open(file.expect("a session").path()).expect("a file");
                file.set_modified(long_ago).expect("an older file");
            }
        }
        Store::Redis(redis) => {
            let mut connection = redis.connection().await;
            let flush = redis::cmd("FLUSHALL");
            let flushed = flush.query_async::<()>(&mut connection).await;
            flushed.expect("emptied");
        }
        Store::Cookie => panic!("nobody but the browser can"),
    }
}

async fn visitors_are_known(
    settings: &[(&str, String)],
    store: Store<'_>,
    keys: impl Fn(&Application) -> String,
) {
    for encrypt in ["false", "true"] {
        let encrypted = ("SESSION_ENCRYPT", encrypt.to_owned());
        let settings: Vec<_> = settings.iter().cloned().chain([encrypted]).collect();
        let application = Application::start(&settings).await;
        let keys = format!("encrypt = {encrypt}\n{}", keys(&application));
        let database = Database::new().await;
        let ficus = serve(&application, &database, &keys).await;

        // The cookies are Laravel's own, given through the proxy.
        let mut colleague = Visitor::log_in(ficus.proxy, "editor@bluebird.test").await;
        let (status, side, body) = stats(&colleague).await;
        assert_eq!((status, &*side), (200, "modern"), "{keys}: {body}");
        let told: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(told["tenant"], "2", "{keys}");
        let user = told["user"].as_str().expect("a user");
        assert_ne!(user, "2", "the colleague is not the owner");
        let neighbour = Visitor::log_in(ficus.proxy, "owner@corner.test").await;
        let (status, side, body) = stats(&neighbour).await;
        assert_eq!((status, &*side), (200, "legacy"), "{keys}: {body}");

        let mut guest = Visitor::at(ficus.proxy);
        guest.get("/login", BROWSER).await;
        is_nobody(&guest, "a guest").await;
        let mut forged = colleague.clone();
        forged.alter_session();
        is_nobody(&forged, "a changed letter").await;
        let mut wrong = colleague.clone();
        wrong.swap_session();
        is_nobody(&wrong, "another cookie of the same key").await;

        if let Store::Cookie = store {
            continue;
        }
        let page = colleague.get("/campaign/schedule-emails", BROWSER).await;
        let stolen = colleague.clone();
        colleague.log_out(&page).await;
        is_nobody(&stolen, "logged out").await;
        let late = Visitor::log_in(ficus.proxy, LATE).await;
        assert_eq!(stats(&late).await.1, "modern", "{keys}");
        end_sessions(&store, &application).await;
        is_nobody(&late, "over").await;
    }
}

fn driver(name: &str) -> [(&'static str, String); 1] {
    [("SESSION_DRIVER", name.to_owned())]
}

#[tokio::test]
async fn visitors_with_sessions_in_the_database_are_known() {
    visitors_are_known(&driver("database"), Store::Database, |_| String::new()).await;
}

#[tokio::test]
async fn visitors_with_sessions_in_files_are_known() {
    visitors_are_known(&driver("file"), Store::Files, |application| {
        format!("driver = \"file\"\nfiles = \"{}\"", application.sessions)
    })
    .await;
}

#[tokio::test]
async fn visitors_with_sessions_in_redis_are_known() {
    let redis = Redis::start().await;
    let keys = |_: &Application| redis_keys(&redis);
    visitors_are_known(&in_redis(&redis), Store::Redis(&redis), keys).await;
}

#[tokio::test]
async fn visitors_with_sessions_in_cookies_are_known() {
    visitors_are_known(&driver("cookie"), Store::Cookie, |_| {
        "driver = \"cookie\"".to_owned()
    })
    .await;
}
