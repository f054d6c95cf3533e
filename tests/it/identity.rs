//! The tenant from a Laravel session: cookies that Laravel's own encrypter sealed, and sessions in a real PostgreSQL.
//!
//! Its own file, because it needs PHP with the framework, and a server that may be stopped.

use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ficus::embedded::StopMode;
use ficus::identity::jwt::Keyrings;
use ficus::identity::store::lookup;
use ficus::identity::{
    Chain, Driver, Facts, Identity, LaravelSession, Memory, Named, Resolution, Resolver, Unresolved,
};
use ficus::ids::TenantId;
use ficus::laravel::envelope::{AppKey, Cipher, OPENED_LIMIT, Opener};
use ficus::secret::Secret;
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use sqlx::PgPool;
use tokio::runtime::Handle;
use tokio::time::{interval, timeout};

use crate::support::{Cluster, Database};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const COOKIE_NAME: &str = "laravel_session";
const LIFETIME: Duration = Duration::from_secs(7200);
const HOUR: Duration = Duration::from_secs(3600);
/// Each request asks.
const NO_CACHE: Duration = Duration::ZERO;

const USER_QUERY: &str = "select owner_id from users where id = $1::bigint";

/// Two users of tenant 2, their sessions, and a function that counts how often it is asked.
const LEGACY_TABLES: &str = "
    create table users (id bigint primary key, owner_id int);
    insert into users values (2, 2), (5, 2), (9, 0);
    create table sessions (id varchar(255) primary key, user_id bigint, last_activity int not null);
    create sequence asked;
    create function find_tenant(session text, oldest bigint) returns setof int language plpgsql as $$
    begin
        perform nextval('asked');
        return query select owner_id from sessions s left join users u on u.id = s.user_id
            where s.id = session and s.last_activity >= oldest;
    end $$;
";

/// What PHP prints for `script`, with Laravel loaded and `arguments` in `$argv`.
pub fn laravel(script: &str, arguments: &[&str]) -> String {
    let script = format!(
        "error_reporting(E_ALL & ~E_DEPRECATED); require '/usr/share/php/Illuminate/autoload.php'; {script}"
    );
    let output = Command::new("php")
        .args(["-r", &script, "--"])
        .args(arguments)
        .output()
        .expect("php runs (Debian: php-cli php-laravel-framework)");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "php-laravel-framework is needed: {errors}"
    );
    String::from_utf8(output.stdout).expect("PHP prints text")
}

/// The cookie that Laravel sets for this session, as the browser sends it back.
fn browser_with(session: &str) -> HeaderMap {
    let value = laravel(
        r#"$key = base64_decode($argv[1]);
        $plain = Illuminate\Cookie\CookieValuePrefix::create($argv[2], $key).$argv[3];
        echo rawurlencode((new Illuminate\Encryption\Encrypter($key, 'AES-256-CBC'))->encrypt($plain, false));"#,
        &[KEY, COOKIE_NAME, session],
    );
    let cookies = HeaderValue::from_str(&format!("theme=dark; {COOKIE_NAME}={value}"))
        .expect("a cookie is a header");
    HeaderMap::from_iter([(COOKIE, cookies)])
}

fn session_id(letter: char) -> String {
    letter.to_string().repeat(40)
}

async fn create_legacy(pool: &PgPool) {
    sqlx::raw_sql(LEGACY_TABLES).execute(pool).await.unwrap();
}

async fn log_in(pool: &PgPool, session: &str, user: Option<i64>, last_active: Duration) {
    sqlx::query("insert into sessions values ($1, $2, extract(epoch from now())::int - $3)")
        .bind(session)
        .bind(user)
        .bind(i32::try_from(last_active.as_secs()).unwrap())
        .execute(pool)
        .await
        .unwrap();
}

async fn log_out(pool: &PgPool, session: &str) {
    sqlx::query("delete from sessions where id = $1")
        .bind(session)
        .execute(pool)
        .await
        .unwrap();
}

async fn times_asked(pool: &PgPool) -> i64 {
    sqlx::query_scalar("select case when is_called then last_value else 0 end from asked")
        .fetch_one(pool)
        .await
        .unwrap()
}

fn chain_with(url: &str, cache_ttl: Duration, query: &str) -> Chain {
    let session = LaravelSession {
        cookie: COOKIE_NAME.to_owned(),
        app_key: Secret::new(format!("base64:{KEY}")),
        cipher: Cipher::Aes256Cbc,
        driver: Driver::Database,
        encrypt: false,
        guard: "web".to_owned(),
        query: query.to_owned(),
        user_query: USER_QUERY.to_owned(),
        database_url: Secret::default(),
        memory: Memory {
            ttl: cache_ttl,
            lifetime: LIFETIME,
            size: 1000,
        },
    };
    let (runtime, own) = (Handle::current(), Secret::new(url));
    Chain::new(
        &[Resolver::LaravelSession(session)],
        &runtime,
        &Keyrings::default(),
        |resolver| lookup(resolver, &own, &runtime),
    )
    .unwrap()
}

fn chain(url: &str, cache_ttl: Duration) -> Chain {
    chain_with(url, cache_ttl, "select find_tenant($1, $2)")
}

fn facts(headers: &HeaderMap) -> Facts<'_> {
    Facts {
        headers,
        host: None,
        target: "/",
        sni: None,
        peer_trusted: false,
    }
}

async fn resolve(chain: &Chain, headers: &HeaderMap) -> Result<i64, Unresolved> {
    outcome(chain.resolve(&facts(headers)).await)
}

fn outcome(identity: Identity<'_>) -> Result<i64, Unresolved> {
    match identity {
        Identity {
            tenant: Some(Named::Id(TenantId(id))),
            source: "laravel_session",
            why: None,
            ..
        } => Ok(id),
        Identity {
            tenant: None,
            source: "none",
            why: Some(why),
            ..
        } => Err(why),
        other => panic!("neither a tenant nor a reason: {other:?}"),
    }
}

#[test]
fn what_laravel_encrypts_we_read() {
    let long = "x".repeat(300);
    for text in [
        "",
        "a",
        "hunter2",
        "exactly 16 bytes",
        "zwölf Größen €, 日本語",
        "{\"json\":\"in/side\"}",
        &long,
    ] {
        for key in [[0_u8; 32], [0xff; 32], std::array::from_fn(|n| n as u8 * 7)] {
            let key = STANDARD.encode(key);
            let sealed = laravel(
                r#"echo (new Illuminate\Encryption\Encrypter(base64_decode($argv[1]), 'AES-256-CBC'))->encryptString($argv[2]);"#,
                &[&key, text],
            );
            let key = Secret::new(format!("base64:{key}"));
            let opener = Opener::new(&AppKey::parse(&key, Cipher::Aes256Cbc).unwrap()).unwrap();
            assert_eq!(
                opener.open(sealed.as_bytes(), &mut [0; OPENED_LIMIT]),
                Ok(text.as_bytes()),
                "{text:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_live_session_names_its_users_tenant() {
    let db = Database::empty().await;
    create_legacy(db.pool()).await;
    log_in(db.pool(), &session_id('a'), Some(5), Duration::ZERO).await;
    assert_eq!(
        resolve(&chain(db.url(), HOUR), &browser_with(&session_id('a'))).await,
        Ok(2)
    );
}

#[tokio::test]
async fn expired_guest_and_absent_sessions_name_nobody() {
    let db = Database::empty().await;
    create_legacy(db.pool()).await;
    let chain = chain(db.url(), HOUR);
    log_in(
        db.pool(),
        &session_id('e'),
        Some(5),
        LIFETIME + Duration::from_secs(2),
    )
    .await;
    log_in(db.pool(), &session_id('g'), None, Duration::ZERO).await;
    log_in(db.pool(), &session_id('z'), Some(9), Duration::ZERO).await;
    log_in(
        db.pool(),
        &session_id('l'),
        Some(5),
        LIFETIME - Duration::from_secs(60),
    )
    .await;
    assert_eq!(
        resolve(&chain, &browser_with(&session_id('e'))).await,
        Err(Unresolved::UnknownSession),
        "expired"
    );
    assert_eq!(
        resolve(&chain, &browser_with(&session_id('g'))).await,
        Err(Unresolved::UnknownSession),
        "a guest's"
    );
    assert_eq!(
        resolve(&chain, &browser_with(&session_id('z'))).await,
        Err(Unresolved::UnknownSession),
        "of a user whom no tenant owns"
    );
    assert_eq!(
        resolve(&chain, &browser_with(&session_id('n'))).await,
        Err(Unresolved::UnknownSession),
        "never there"
    );
    assert_eq!(
        resolve(&chain, &browser_with(&session_id('l'))).await,
        Ok(2),
        "a minute from its end"
    );
}

#[tokio::test]
async fn each_response_carries_a_new_cookie_and_the_session_is_asked_once() {
    let db = Database::empty().await;
    create_legacy(db.pool()).await;
    log_in(db.pool(), &session_id('a'), Some(5), Duration::ZERO).await;
    let chain = chain(db.url(), HOUR);
    let (first, second) = (
        browser_with(&session_id('a')),
        browser_with(&session_id('a')),
    );
    assert_ne!(first, second, "Laravel seals each with another IV");
    assert_eq!(resolve(&chain, &first).await, Ok(2));
    assert!(
        matches!(chain.resolve_now(&facts(&second)), Resolution::Done(identity) if outcome(identity.clone()) == Ok(2))
    );
    assert_eq!(times_asked(db.pool()).await, 1);
}

#[tokio::test]
async fn requests_at_once_on_one_session_are_one_query() {
    let db = Database::empty().await;
    create_legacy(db.pool()).await;
    log_in(db.pool(), &session_id('a'), Some(5), Duration::ZERO).await;
    let (chain, browser) = (chain(db.url(), HOUR), browser_with(&session_id('a')));
    let crowd = (0..100).map(|_| resolve(&chain, &browser));
    assert_eq!(
        futures_util::future::join_all(crowd).await,
        vec![Ok(2); 100]
    );
    assert_eq!(times_asked(db.pool()).await, 1);
}

#[tokio::test]
async fn a_logout_is_noticed_when_the_answer_is_due() {
    let db = Database::empty().await;
    create_legacy(db.pool()).await;
    log_in(db.pool(), &session_id('a'), Some(5), Duration::ZERO).await;
    let browser = browser_with(&session_id('a'));
    let (patient, short) = (
        chain(db.url(), HOUR),
        chain(db.url(), Duration::from_millis(200)),
    );
    assert_eq!(resolve(&patient, &browser).await, Ok(2));
    assert_eq!(resolve(&short, &browser).await, Ok(2));
    log_out(db.pool(), &session_id('a')).await;
    assert_eq!(
        resolve(&patient, &browser).await,
        Ok(2),
        "within the time to live"
    );
    until(&short, &browser, Err(Unresolved::UnknownSession)).await;
}

#[tokio::test]
async fn a_stopped_database_does_not_forget_who_is_logged_in() {
    let mut cluster = Cluster::new().await;
    let pool = cluster.pool();
    create_legacy(&pool).await;
    log_in(&pool, &session_id('a'), Some(5), Duration::ZERO).await;
    log_in(&pool, &session_id('b'), Some(5), Duration::ZERO).await;
    let (known, new) = (
        browser_with(&session_id('a')),
        browser_with(&session_id('b')),
    );
    let chain = chain(cluster.url(), NO_CACHE);
    assert_eq!(resolve(&chain, &known).await, Ok(2));

    cluster.stop(StopMode::Fast).await;
    assert_eq!(
        resolve(&chain, &known).await,
        Ok(2),
        "the answer that is held"
    );
    assert_eq!(
        resolve(&chain, &new).await,
        Err(Unresolved::LookupFailed),
        "never seen before"
    );
    assert!(
        matches!(chain.resolve_now(&facts(&known)), Resolution::Done(identity) if outcome(identity.clone()) == Ok(2)),
        "and without waiting"
    );

    cluster.start().await;
    until(&chain, &new, Ok(2)).await;
    log_out(&pool, &session_id('a')).await;
    until(&chain, &known, Err(Unresolved::UnknownSession)).await;
    cluster.stop(StopMode::Immediate).await;
}

#[tokio::test]
async fn a_query_that_is_wrong_is_a_failed_look_up() {
    let db = Database::empty().await;
    create_legacy(db.pool()).await;
    let browser = browser_with(&session_id('a'));
    for query in [
        "select nonsense",
        "select now() where $1 > '' and $2 > 0",
        "select $1, $2, $3",
    ] {
        assert_eq!(
            resolve(&chain_with(db.url(), HOUR, query), &browser).await,
            Err(Unresolved::LookupFailed),
            "{query}"
        );
    }
}

/// Asks until the answer is `expected`: there is no signal for "the next look-up will see it".
async fn until(chain: &Chain, browser: &HeaderMap, expected: Result<i64, Unresolved>) {
    let mut again = interval(Duration::from_millis(20));
    let asking = async {
        while resolve(chain, browser).await != expected {
            again.tick().await;
        }
    };
    timeout(Duration::from_secs(20), asking)
        .await
        .unwrap_or_else(|_| panic!("never became {expected:?}"));
}
