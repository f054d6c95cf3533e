//! Sessions of every driver, written by the real application and read by the resolver: encrypted and not.
//!
//! Its own file, because each test here starts the application with a session driver of its own.

use std::time::Duration;

use ficus::config::Config;
use ficus::demo::legacy::{Legacy, Options};
use ficus::identity::store::lookup;
use ficus::identity::{Chain, Facts, Identity, Named, Unresolved};
use ficus::ids::TenantId;
use ficus::secret::Secret;
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use tokio::runtime::Handle;

use super::legacy;
use super::visitor::{BROWSER, Visitor};
use crate::support::process::{eventually, free_ports};
use crate::support::redis::Redis;
use crate::support::{project, scratch_folder, shared_server};

/// What the demo's application has before a session's id.
const REDIS_PREFIX: &str = "campaign_database_campaign_cache:";

/// The application with settings of a test's own, on the database of the others.
pub(super) struct Application {
    pub legacy: Legacy,
    /// The folder of sessions in files.
    pub sessions: String,
}

impl Application {
    pub async fn start(settings: &[(&str, String)]) -> Self {
        // Its database is filled once for all.
        legacy().await;
        let folder = scratch_folder();
        std::fs::create_dir_all(&folder).expect("a scratch folder");
        let storage = folder.join("storage");
        let sessions = storage.join("framework/sessions").display().to_string();
        let [port] = free_ports();
        let options = Options {
            source: &project().join("demo/legacy"),
            storage,
            log: folder.join("legacy.log"),
            port: port.port(),
            mail_port: 9,
        };
        let legacy = Legacy::serve(shared_server().await, options, settings)
            .await
            .expect("the application starts");
        Self { legacy, sessions }
    }

    fn address(&self) -> std::net::SocketAddr {
        let address = self.legacy.url.strip_prefix("http://").expect("its URL");
        address.parse().expect("its address")
    }

    /// Each request asks, so that a log out is seen at once. `keys` is TOML.
    async fn chain(&self, keys: &str) -> Chain {
        let text = format!(
            "[[tenant]]\nresolver = \"laravel_session\"\napp_key = \"{}\"\ndatabase_url = \"{}\"\ncache_ttl = \"0s\"\n{keys}",
            self.legacy.app_key,
            Legacy::database_url(shared_server().await),
        );
        let config = Config::parse(&text, std::iter::empty()).expect("a configuration");
        let runtime = Handle::current();
        Chain::new(
            &config.tenant,
            &runtime,
            &ficus::identity::jwt::Keyrings::default(),
            |resolver| lookup(resolver, &Secret::default(), &runtime),
        )
        .expect("a chain")
    }
}

/// The tenant and the user behind a visitor's cookies.
async fn resolve(chain: &Chain, visitor: &Visitor) -> Result<(i64, String), Unresolved> {
    let cookies = HeaderValue::from_str(&visitor.cookies()).expect("cookies");
    let headers = HeaderMap::from_iter([(COOKIE, cookies)]);
    let facts = Facts {
        headers: &headers,
        host: None,
        target: "/",
        sni: None,
        peer_trusted: false,
    };
    match chain.resolve(&facts).await {
        Identity {
            tenant: Some(Named::Id(TenantId(tenant))),
            user: Some(user),
            source: "laravel_session",
            why: None,
            ..
        } => Ok((tenant, user.id().to_owned())),
        Identity {
            tenant: None,
            user: None,
            why: Some(why),
            ..
        } => Err(why),
        other => panic!("neither somebody nor a reason: {other:?}"),
    }
}

/// Guest, log in, log out, on one driver.
async fn follows_a_visitor(settings: &[(&str, String)], keys: impl Fn(&Application) -> String) {
    for encrypt in ["false", "true"] {
        let settings: Vec<_> = settings
            .iter()
            .cloned()
            .chain([("SESSION_ENCRYPT", encrypt.to_owned())])
            .collect();
        let application = Application::start(&settings).await;
        let keys = format!("encrypt = {encrypt}\n{}", keys(&application));
        let chain = application.chain(&keys).await;

        let mut guest = Visitor::at(application.address());
        guest.get("/login", BROWSER).await;
        assert_eq!(
            resolve(&chain, &guest).await,
            Err(Unresolved::UnknownSession),
            "a guest, {keys}"
        );
        // The user 5 of tenant 2: a colleague, so that user and tenant differ.
        let mut colleague = Visitor::log_in(application.address(), "editor@bluebird.test").await;
        let (tenant, user) = resolve(&chain, &colleague).await.expect(&keys);
        assert_eq!(tenant, 2, "{keys}");
        assert_ne!(user, "2", "{keys}");
        let page = colleague.get("/dashboard", BROWSER).await;
        assert_eq!(page.status, 200);
        assert_eq!(resolve(&chain, &colleague).await, Ok((2, user)), "{keys}");

        colleague.log_out(&page).await;
        assert_eq!(
            resolve(&chain, &colleague).await,
            Err(Unresolved::UnknownSession),
            "logged out, {keys}"
        );
        // With the other setting the same sessions cannot be read, and name nobody.
        let owner = Visitor::log_in(application.address(), "owner@corner.test").await;
        let other = keys.replace(
            &format!("encrypt = {encrypt}"),
            &format!("encrypt = {}", encrypt == "false"),
        );
        assert!(resolve(&chain, &owner).await.is_ok(), "{keys}");
        let found = resolve(&application.chain(&other).await, &owner).await;
        assert!(found.is_err(), "{other}: {found:?}");
    }
}

#[tokio::test]
async fn sessions_in_files_are_followed() {
    let driver = [("SESSION_DRIVER", "file".to_owned())];
    follows_a_visitor(&driver, |application| {
        format!("driver = \"file\"\nfiles = \"{}\"", application.sessions)
    })
    .await;
}

#[tokio::test]
async fn sessions_in_cookies_are_followed() {
    let driver = [("SESSION_DRIVER", "cookie".to_owned())];
    follows_a_visitor(&driver, |_| "driver = \"cookie\"".to_owned()).await;
}

#[tokio::test]
async fn sessions_in_the_database_are_followed_by_their_payload() {
    let driver = [("SESSION_DRIVER", "database".to_owned())];
    follows_a_visitor(&driver, |_| {
        "query = \"select payload from sessions where id = $1 and last_activity >= $2\"".to_owned()
    })
    .await;
}

pub(super) fn in_redis(redis: &Redis) -> [(&'static str, String); 3] {
    [
        ("SESSION_DRIVER", "redis".to_owned()),
        ("REDIS_HOST", redis.socket().display().to_string()),
        ("REDIS_PORT", "0".to_owned()),
    ]
}

pub(super) fn redis_keys(redis: &Redis) -> String {
    format!(
        "driver = \"redis\"\nredis_url = \"{}\"\nredis_prefix = \"{REDIS_PREFIX}\"",
        redis.url()
    )
}

#[tokio::test]
async fn sessions_in_redis_are_followed() {
    let redis = Redis::start().await;
    follows_a_visitor(&in_redis(&redis), |_| redis_keys(&redis)).await;
}

#[tokio::test]
async fn a_redis_that_is_killed_does_not_forget_who_is_logged_in() {
    let mut redis = Redis::start().await;
    let application = Application::start(&in_redis(&redis)).await;
    let chain = application.chain(&redis_keys(&redis)).await;
    let known = Visitor::log_in(application.address(), "owner@corner.test").await;
    let new = Visitor::log_in(application.address(), "owner@fern.test").await;
    let found = resolve(&chain, &known).await;
    assert_eq!(found, Ok((3, "3".to_owned())));

    redis.kill().await;
    for _ in 0..3 {
        assert_eq!(
            resolve(&chain, &known).await,
            found,
            "the answer that is held"
        );
    }
    assert_eq!(
        resolve(&chain, &new).await,
        Err(Unresolved::LookupFailed),
        "never seen before"
    );

    redis.start_again().await;
    eventually("the emptied Redis is asked again", || async {
        let gone = resolve(&chain, &known).await == Err(Unresolved::UnknownSession);
        gone.then_some(())
    })
    .await;
    let again = Visitor::log_in(application.address(), "owner@fern.test").await;
    eventually("a new session is found", || async {
        resolve(&chain, &again).await.ok()
    })
    .await;
}

#[tokio::test]
async fn a_session_file_that_is_too_old_has_ended() {
    let application = Application::start(&[("SESSION_DRIVER", "file".to_owned())]).await;
    let keys = format!("driver = \"file\"\nfiles = \"{}\"", application.sessions);
    let chain = application.chain(&keys).await;
    let owner = Visitor::log_in(application.address(), "owner@corner.test").await;
    assert!(resolve(&chain, &owner).await.is_ok());
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(2 * 3600 + 5);
    for file in std::fs::read_dir(&application.sessions).expect("the sessions") {
        let file = std::fs::File::open(file.expect("a session").path()).expect("a file");
        file.set_modified(long_ago).expect("an older file");
    }
    assert_eq!(
        resolve(&chain, &owner).await,
        Err(Unresolved::UnknownSession)
    );
}
