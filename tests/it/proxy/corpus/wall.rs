//! The wall between tenants: every way we know to say a tenant that is not one's own, in every combination.
//!
//! Its own file, because these requests are made from a table, and because what must not happen is the same for all.

use super::Origin;
use super::fixture::Case;
use super::origin::{Event, mark_of};
use super::replay::{self, Mode};
use crate::proxy::listening;
use crate::support::Database;
use crate::support::process::{Ficus, Setup};

/// Fields by which somebody might say a tenant; `{}` is what is claimed.
const CLAIMS: [(&str, &str); 22] = [
    ("X-Tenant-ID", "{}"),
    ("X_Tenant_ID", "{}"),
    ("X-Tenant_ID", "{}"),
    ("X_TENANT-ID", "{}"),
    ("X-Ficus-Tenant", "{}"),
    ("X_Ficus_Tenant", "{}"),
    ("X-Ficus_Tenant", "{}"),
    ("X-Ficus-Decision", "{}"),
    ("X-Ficus-Debug", "{}"),
    ("X-User-Id", "{}"),
    ("X_User_Tier", "{}"),
    ("X-Forwarded-Host", "{}.example.com"),
    ("X_Forwarded_Host", "{}.example.com"),
    ("X-Forwarded-Server", "{}.example.com"),
    ("X-Forwarded-For", "{}"),
    ("Forwarded", "host={}.example.com"),
    ("X-Host", "{}.example.com"),
    ("X-Original-Host", "{}.example.com"),
    ("X-HTTP-Host-Override", "{}.example.com"),
    ("Host", "{}.example.com"),
    ("hOsT", "{}.example.com"),
    ("Host_", "{}.example.com"),
];

/// How the claim stands in the head, beside the true Host.
const PLACES: [(&str, &str); 9] = [
    ("before", "{claim}\r\n{host}\r\n"),
    ("after", "{host}\r\n{claim}\r\n"),
    ("twice", "{claim}\r\n{host}\r\n{claim}\r\n"),
    ("nominated", "{host}\r\n{claim}\r\nConnection: {name}\r\n"),
    (
        "nominated first",
        "Connection: close, {name}\r\n{host}\r\n{claim}\r\n",
    ),
    ("blank before the colon", "{host}\r\n{name} : {value}\r\n"),
    ("folded", "{host}\r\nX-A: b\r\n {claim}\r\n"),
    ("behind an LF", "{host}\r\nX-A: b\n{claim}\r\n"),
    ("behind a CR", "{host}\r\nX-A: b\r{claim}\r\n"),
];

/// How the request says its own host; `{}` is its own name, `{other}` the one that it is not.
const FORMS: [(&str, &str, &str); 12] = [
    ("plain", "/dashboard/{id}", "{}.example.com"),
    ("port", "/dashboard/{id}", "{}.example.com:8080"),
    ("upper case", "/dashboard/{id}", "{UPPER}.EXAMPLE.com"),
    ("trailing dot", "/dashboard/{id}", "{}.example.com."),
    (
        "absolute",
        "http://{}.example.com/dashboard/{id}",
        "{}.example.com",
    ),
    (
        "absolute of another",
        "http://{other}.example.com/dashboard/{id}",
        "{}.example.com",
    ),
    (
        "absolute with a user",
        "http://{other}.example.com@{}.example.com/dashboard/{id}",
        "{}.example.com",
    ),
    (
        "double slash",
        "//{other}.example.com/dashboard/{id}",
        "{}.example.com",
    ),
    (
        "query",
        "/dashboard/{id}?tenant={other}&x-tenant-id={other}",
        "{}.example.com",
    ),
    (
        "two hosts in one",
        "/dashboard/{id}",
        "{}.example.com, {other}.example.com",
    ),
    (
        "a user",
        "/dashboard/{id}",
        "{other}.example.com@{}.example.com",
    ),
    ("a subdomain", "/dashboard/{id}", "{other}.{}.example.com"),
];

struct Attempt {
    case: Case,
    /// Whose the request may be at most.
    own: &'static str,
    other: &'static str,
}

fn attempts() -> Vec<Attempt> {
    let mut attempts = Vec::new();
    for (own, other) in [("acme", "bluebird"), ("bluebird", "acme")] {
        for (form, target, host) in FORMS {
            let said = |text: &str| {
                let text = text.replace("{other}", other).replace("{}", own);
                text.replace("{UPPER}", &own.to_uppercase())
            };
            let host = format!("Host: {}", said(host));
            for (name, value) in CLAIMS {
                for (place, fields) in PLACES {
                    // Every place with the plain form, every form with the plain places.
                    if form != "plain" && !matches!(place, "before" | "after" | "nominated") {
                        continue;
                    }
                    let value = value.replace("{}", other);
                    let claim = format!("{name}: {value}");
                    let fields = fields.replace("{claim}", &claim).replace("{host}", &host);
                    let fields = fields.replace("{name}", name).replace("{value}", &value);
                    let head = format!("GET {} HTTP/1.1\r\n{fields}\r\n", said(target));
                    let name = format!("{own}, {form}, {name} {place}");
                    attempts.push(Attempt {
                        case: Case::made(name, head.into_bytes()),
                        own,
                        other,
                    });
                }
            }
        }
    }
    attempts
}

/// Tenant 1, acme, is on legacy and tenant 2, bluebird, on modern, where `dashboard` is concerned. A request says by its
/// host whose it is, and by `x-tenant-id` from the load balancer, which is not the test.
async fn two_tenants(database: &Database, legacy: &Origin, modern: &Origin) -> Ficus {
    sqlx::raw_sql(
        "insert into ficus.capability (name) values ('dashboard');
         insert into ficus.tenant (id, slug) values (1, 'acme'), (2, 'bluebird');
         insert into ficus.flag (tenant_id, capability, state) values (2, 'dashboard', 'modern')",
    )
    .execute(database.pool())
    .await
    .expect("seeded");
    let (legacy, modern) = (legacy.address, modern.address);
    let config = format!(
        r#"
        [proxy]
        trusted_proxies = ["10.0.0.0/8"]
        [proxy.timeouts]
        keepalive = "3s"
        [upstream.legacy]
        url = "http://{legacy}"
        [upstream.modern]
        url = "http://{modern}"
        [capability.dashboard]
        effect = "read"
        modern = "modern"
        [[route]]
        path = "/dashboard/{{*rest}}"
        capability = "dashboard"
        [[tenant]]
        resolver = "header"
        name = "x-tenant-id"
        [[tenant]]
        resolver = "host"
        pattern = "{{tenant}}.example.com"
        "#
    );
    listening(Setup::new(database.url(), &config)).await
}

/// Whether the true host is a tenant's, and the target one that the route knows.
fn is_known(name: &str) -> bool {
    let form = name.split(", ").nth(1).unwrap_or_default();
    matches!(
        form,
        "plain" | "port" | "upper case" | "trailing dot" | "absolute" | "query"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_gets_through_the_wall_between_tenants() {
    let database = Database::new().await;
    let (legacy, modern) = (Origin::start().await, Origin::start().await);
    let ficus = two_tenants(&database, &legacy, &modern).await;
    let attempts = attempts();
    assert!(attempts.len() >= 150, "{} attempts", attempts.len());
    let mut answered = 0;
    for (number, attempt) in attempts.iter().enumerate() {
        let seen = replay::send(&attempt.case, number, Mode::Alone, ficus.proxy).await;
        assert!(!seen.hangs, "{} hangs", attempt.case.name);
        answered += usize::from(seen.answers.first().is_some_and(|a| a.status == 200));
    }
    // Most of them are honest requests with a field too many: were all refused, nothing would be proved.
    assert!(
        answered > attempts.len() / 3,
        "{answered} of {}",
        attempts.len()
    );

    let mut faults = Vec::new();
    for (side, origin) in [("acme", &legacy), ("bluebird", &modern)] {
        for event in origin.events() {
            let request = match event {
                Event::Asked(request) => request,
                other => {
                    faults.push(format!("{other:?}"));
                    continue;
                }
            };
            let mark = mark_of(&request).filter(|mark| mark.ends_with('a'));
            let Some(number) = mark.and_then(|mark| mark[1..5].parse::<usize>().ok()) else {
                continue;
            };
            let Attempt { case, own, other } = &attempts[number];
            let tenant = request.all("x-ficus-tenant");
            let id: &[u8] = if *own == "acme" { b"1" } else { b"2" };
            // A host of no tenant is nobody's, and nobody is served by legacy.
            let is_own = tenant == [id] && side == *own;
            let is_nobodys = tenant.is_empty() && side == "acme" && !is_known(&case.name);
            if !(is_own || is_nobodys) {
                faults.push(format!("{}: {tenant:?} at the side of {side}", case.name));
            }
            for (name, value) in &request.fields {
                let name = name.to_ascii_lowercase().replace('_', "-");
                let is_believed = name.starts_with("x-ficus")
                    || name.starts_with("x-forwarded")
                    || name.starts_with("x-user")
                    || matches!(&*name, "x-tenant-id" | "forwarded" | "host");
                // The one form whose true host holds the other's name.
                let is_true_host = case.name.contains("a subdomain") && name.ends_with("host");
                let claims = value.windows(other.len()).any(|w| w == other.as_bytes());
                if is_believed && claims && !is_true_host {
                    faults.push(format!("{}: {name} got through", case.name));
                }
            }
        }
    }
    assert!(
        faults.is_empty(),
        "{} faults\n{}\n",
        faults.len(),
        faults.join("\n")
    );
}
