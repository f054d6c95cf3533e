//! Tokens: Sanctum's table, the column of Laravel's own guard, and API keys, each in a real PostgreSQL.
//!
//! Its own file, because they need no application, only its tables and its framework.

use ficus::config::Config;
use ficus::identity::store::lookup;
use ficus::identity::token::api_token;
use ficus::identity::{Chain, Facts, Identity, Named, Unresolved};
use ficus::ids::TenantId;
use ficus::secret::{Secret, issue};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::runtime::Handle;

use crate::identity::laravel;
use crate::support::Database;

const SECRET: &str = "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";

/// As Sanctum 2 and `php artisan make:auth`'s guide make them. User 5 is tenant 2's, user 9 is nobody's.
const TABLES: &str = "
    create table users (id bigint primary key, owner_id bigint, api_token varchar(80) unique);
    insert into users values (2, 2, null), (5, 2, 'plain-token-of-five'), (9, null, null);
    create table personal_access_tokens (
        id bigserial primary key, tokenable_type varchar(255) not null, tokenable_id bigint not null,
        name varchar(255) not null, token varchar(64) not null unique, abilities text, last_used_at timestamp(0),
        created_at timestamp(0), updated_at timestamp(0)
    );
    insert into personal_access_tokens (id, tokenable_type, tokenable_id, name, token, created_at) values
        (17, 'App\\Models\\User', 5, 'phone', encode(sha256(repeat('B', 40)::bytea), 'hex'), now() at time zone 'UTC' - interval '2 hours'),
        (18, 'App\\Models\\User', 9, 'nobody', encode(sha256(repeat('C', 40)::bytea), 'hex'), now() at time zone 'UTC'),
        (19, 'App\\Models\\Robot', 5, 'robot', encode(sha256(repeat('D', 40)::bytea), 'hex'), now() at time zone 'UTC');
";

async fn run(pool: &PgPool, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(pool)
        .await
        .expect(sql);
}

async fn tables() -> Database {
    let db = Database::new().await;
    run(db.pool(), TABLES).await;
    db
}

/// One resolver that asks at each request. `keys` is TOML.
fn chain(db: &Database, keys: &str) -> Chain {
    let text = format!("[[tenant]]\ncache_ttl = \"0s\"\n{keys}");
    let config = Config::parse(&text, std::iter::empty()).expect("a configuration");
    let (runtime, own) = (Handle::current(), Secret::new(db.url()));
    Chain::new(
        &config.tenant,
        &runtime,
        &ficus::identity::jwt::Keyrings::default(),
        |resolver| lookup(resolver, &own, &runtime),
    )
    .expect("a chain")
}

/// The tenant and the user; a user without a tenant is tenant 0's.
async fn resolve(chain: &Chain, headers: &HeaderMap) -> Result<(i64, String), Unresolved> {
    let facts = Facts {
        headers,
        host: None,
        target: "/",
        sni: None,
        peer_trusted: false,
    };
    let Identity {
        tenant, user, why, ..
    } = chain.resolve(&facts).await;
    let tenant = match tenant {
        Some(Named::Id(TenantId(tenant))) => tenant,
        _ => 0,
    };
    match (user, why) {
        (Some(user), _) => Ok((tenant, user.id().to_owned())),
        (None, Some(why)) => Err(why),
        (None, None) => panic!("a tenant without a user"),
    }
}

fn header(name: HeaderName, value: &str) -> HeaderMap {
    HeaderMap::from_iter([(name, HeaderValue::from_str(value).expect("a header"))])
}

fn bearer(token: &str) -> HeaderMap {
    header(AUTHORIZATION, &format!("Bearer {token}"))
}

fn five() -> Result<(i64, String), Unresolved> {
    Ok((2, "5".to_owned()))
}

#[tokio::test]
async fn a_sanctum_token_names_its_user_with_its_id_and_without() {
    let db = tables().await;
    let chain = chain(&db, "resolver = \"sanctum\"");
    assert_eq!(
        resolve(&chain, &bearer(&format!("17|{SECRET}"))).await,
        five()
    );
    assert_eq!(resolve(&chain, &bearer(SECRET)).await, five());
    for (token, why) in [
        (format!("18|{SECRET}"), "another row's id"),
        (format!("99|{SECRET}"), "no row"),
        (format!("17|{}", "C".repeat(40)), "another row's secret"),
        (format!("19|{}", "D".repeat(40)), "not a user's"),
        ("E".repeat(40), "nobody's"),
    ] {
        assert_eq!(
            resolve(&chain, &bearer(&token)).await,
            Err(Unresolved::UnknownToken),
            "{why}"
        );
    }
    let nobodys = resolve(&chain, &bearer(&format!("18|{}", "C".repeat(40)))).await;
    assert_eq!(nobodys, Ok((0, "9".to_owned())), "a user without a tenant");

    run(
        db.pool(),
        "delete from personal_access_tokens where id = 17",
    )
    .await;
    assert_eq!(
        resolve(&chain, &bearer(&format!("17|{SECRET}"))).await,
        Err(Unresolved::UnknownToken),
        "deleted"
    );
}

#[tokio::test]
async fn a_sanctum_token_ends_with_its_expiration() {
    let db = tables().await;
    let token = bearer(&format!("17|{SECRET}"));
    let of_three_hours = chain(&db, "resolver = \"sanctum\"\nexpiration = \"3h\"");
    assert_eq!(resolve(&of_three_hours, &token).await, five());
    let of_one_hour = chain(&db, "resolver = \"sanctum\"\nexpiration = \"1h\"");
    assert_eq!(
        resolve(&of_one_hour, &token).await,
        Err(Unresolved::UnknownToken)
    );
}

#[tokio::test]
async fn a_guards_token_is_found_plain_and_hashed() {
    let db = tables().await;
    let plain = chain(&db, "resolver = \"api_token\"");
    let hashed = chain(&db, "resolver = \"api_token\"\nhash = true");
    let token = bearer("plain-token-of-five");
    assert_eq!(resolve(&plain, &token).await, five());
    assert_eq!(
        resolve(&hashed, &token).await,
        Err(Unresolved::UnknownToken)
    );
    run(
        db.pool(),
        "update users set api_token = encode(sha256(api_token::bytea), 'hex')",
    )
    .await;
    assert_eq!(resolve(&hashed, &token).await, five());
    assert_eq!(resolve(&plain, &token).await, Err(Unresolved::UnknownToken));
}

#[tokio::test]
async fn an_api_key_names_its_tenant_until_it_is_revoked_or_expires() {
    let db = tables().await;
    let (key, other) = (issue("ficus_key_"), issue("ficus_key_"));
    run(
        db.pool(),
        &format!(
            "insert into ficus.tenant (id) values (2);
             insert into ficus.api_key (name, tenant_id, digest) values ('ci', 2, sha256('{key}'))"
        ),
    )
    .await;
    let chain = chain(&db, "resolver = \"api_key\"");
    let name = HeaderName::from_static("x-api-key");
    let (key, other) = (header(name.clone(), &key), header(name, &other));
    let found = Ok((2, "key:ci".to_owned()));
    assert_eq!(resolve(&chain, &key).await, found);
    assert_eq!(resolve(&chain, &other).await, Err(Unresolved::UnknownToken));
    for (set, alive) in [
        ("expires_at = now() + interval '1 hour'", true),
        ("expires_at = now() - interval '1 second'", false),
        ("expires_at = null", true),
        ("revoked_at = now()", false),
    ] {
        run(db.pool(), &format!("update ficus.api_key set {set}")).await;
        let expected = match alive {
            true => found.clone(),
            false => Err(Unresolved::UnknownToken),
        };
        assert_eq!(resolve(&chain, &key).await, expected, "{set}");
    }
}

#[tokio::test]
async fn an_operators_own_table_of_keys_is_asked_by_the_hash() {
    let db = tables().await;
    run(
        db.pool(),
        "create table keys (hash text, account bigint, label text, plan text);
         insert into keys values (encode(sha256('sk_live_0123456789abcdef'), 'hex'), 4, 'robot', 'pro')",
    )
    .await;
    let chain = chain(
        &db,
        "resolver = \"api_key\"\nheader = \"x-key\"\napi_key_query = \"select account, label, plan from keys where hash = $1\"",
    );
    let key = header(HeaderName::from_static("x-key"), "sk_live_0123456789abcdef");
    assert_eq!(resolve(&chain, &key).await, Ok((4, "robot".to_owned())));
}

#[tokio::test]
async fn a_stopped_database_refuses_nobody_whose_token_is_known() {
    let db = tables().await;
    let chain = chain(&db, "resolver = \"sanctum\"");
    let token = bearer(&format!("17|{SECRET}"));
    assert_eq!(resolve(&chain, &token).await, five());
    run(
        db.pool(),
        "alter table personal_access_tokens rename to away",
    )
    .await;
    assert_eq!(
        resolve(&chain, &token).await,
        five(),
        "the answer that is held"
    );
    assert_eq!(
        resolve(&chain, &bearer(&"E".repeat(40))).await,
        Err(Unresolved::LookupFailed)
    );
}

/// What we take for the token, Laravel's own guard takes for the token.
#[test]
fn laravels_guard_sees_the_token_that_we_see() {
    let basic = "Basic dXNlcjpwYXNzd29yZA==";
    let heads = [
        ("/a?api_token=q", ""),
        ("/a?api_token=q", "Bearer b"),
        ("/a?api_token=", "Bearer b"),
        ("/a?api_token=0", "Bearer b"),
        ("/a?x=1&api%5Ftoken=q%2Dr", ""),
        ("/a?api.token=q", ""),
        ("/a?api_token=a&api_token=b", ""),
        ("/a?api_token=a&api.token=b", ""),
        ("/a?API_TOKEN=a", "Bearer b"),
        ("/a", "Bearer b,c"),
        ("/a", "Basic x, Bearer b"),
        ("/a", "bearer b"),
        ("/a", basic),
        ("/a", "basic dXNlcjpwYXNzd29yZA=="),
        ("/a", ""),
    ];
    let arguments: Vec<&str> = heads
        .iter()
        .flat_map(|(target, header)| [*target, *header])
        .collect();
    let printed = laravel(
        r#"$class = new ReflectionClass(Illuminate\Auth\TokenGuard::class);
        foreach (array_chunk(array_slice($argv, 1), 2) as [$target, $header]) {
            $server = $header === '' ? [] : ['HTTP_AUTHORIZATION' => $header];
            $guard = $class->newInstanceWithoutConstructor();
            $guard->setRequest(Illuminate\Http\Request::create($target, 'GET', [], [], [], $server));
            foreach (['inputKey' => 'api_token', 'storageKey' => 'api_token'] as $name => $value) {
                $property = $class->getProperty($name);
                $property->setAccessible(true);
                $property->setValue($guard, $value);
            }
            echo json_encode($guard->getTokenForRequest()), "\n";
        }"#,
        &arguments,
    );
    let theirs: Vec<Option<String>> = printed
        .lines()
        .map(|line| serde_json::from_str(line).expect("what PHP printed"))
        .collect();
    assert_eq!(theirs.len(), heads.len(), "{printed}");
    let mut seen = 0;
    for ((target, value), theirs) in heads.into_iter().zip(theirs) {
        let headers = match value {
            "" => HeaderMap::new(),
            value => header(AUTHORIZATION, value),
        };
        if let Ok(ours) = api_token::read(&headers, target, "api_token", false) {
            let ours = ours.text.expect("plain").into_owned();
            assert_eq!(Some(ours), theirs, "{target} {value}");
            seen += 1;
        }
    }
    assert!(seen >= 9, "only {seen} were seen at all");
}
