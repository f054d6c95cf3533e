//! A split, from the command to the side that answers: who is in the share, who stays in it, and what stands above it.

use ficus::flags::split::bucket_of;

use super::*;
use crate::support::Database;

/// The two sides, split by `sticky`, with tenants 1 to 400 and no flags.
async fn split(database: &Database, sticky: &str) -> Ficus {
    let config = split_by(sticky).await;
    let ficus = Setup::new(database.url(), &config).roles("proxy,control");
    with_tenants(database, sticky, ficus).await
}

/// The configuration of two sides, split by `sticky`.
pub(super) async fn split_by(sticky: &str) -> String {
    let by = format!("[capability.dashboard]\nby = \"split\"\nsticky = \"{sticky}\"\n");
    sides().await.replace("[capability.dashboard]\n", &by)
}

/// A process that has registered its split, before tenants 1 to 400 without flags.
pub(super) async fn with_tenants(database: &Database, sticky: &str, setup: Setup) -> Ficus {
    run(
        database.pool(),
        "insert into ficus.tenant (id) select generate_series(1, 400)",
    )
    .await;
    let ficus = setup.start().await;
    eventually("the capability is registered", || async {
        let sql = "select split_by from ficus.capability where name = 'dashboard'";
        let found = sqlx::query_scalar::<_, Option<String>>(sql);
        let found = found.fetch_optional(database.pool()).await.expect("asked");
        (found.flatten().as_deref() == Some(sticky)).then_some(())
    })
    .await;
    ficus
}

/// By the command, which ends when every proxy has it.
pub(super) async fn set_share(database: &Database, percent: &str) {
    let arguments = [
        "capability",
        "split",
        "dashboard",
        percent,
        "--direct",
        "--reason",
        "a test",
    ];
    let said = run_ficus(&arguments, &[("DATABASE_URL", database.url())]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
}

async fn modern_tenants(ficus: &Ficus) -> Vec<i64> {
    let mut modern = Vec::new();
    for tenant in 1..=60 {
        if served(ficus, &tenant.to_string()).await == "modern" {
            modern.push(tenant);
        }
    }
    modern
}

#[tokio::test]
async fn a_share_of_the_tenants_is_modern_and_raising_it_drops_nobody() {
    let database = Database::new().await;
    let ficus = split(&database, "tenant").await;
    assert_eq!(modern_tenants(&ficus).await, Vec::<i64>::new());
    let expected = |share: u32| -> Vec<i64> {
        let below = |tenant: &i64| bucket_of("dashboard", &tenant.to_string()) < share * 10_000;
        (1..=60).filter(below).collect()
    };
    for percent in [10, 50, 25] {
        set_share(&database, &percent.to_string()).await;
        assert_eq!(
            modern_tenants(&ficus).await,
            expected(percent),
            "{percent} %"
        );
    }
    // A tenant's own word stands above the share, and a rollback of one makes it.
    let one = expected(25)[0].to_string();
    let arguments = [
        "rollback", "--tenant", &one, "--direct", "--reason", "a test",
    ];
    let said = run_ficus(&arguments, &[("DATABASE_URL", database.url())]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    set_share(&database, "100").await;
    assert_eq!(served(&ficus, &one).await, "legacy");
    assert_eq!(modern_tenants(&ficus).await.len(), 59);
}

#[tokio::test]
async fn a_visitor_stays_on_its_side_by_our_cookie() {
    let database = Database::new().await;
    let ficus = split(&database, "session").await;
    let ask = |cookie: Option<String>| {
        let mut request = client().get(ficus.url("/dashboard"));
        if let Some(cookie) = cookie {
            request = request.header("cookie", format!("a=b; {cookie}"));
        }
        async move {
            let answer = request.send().await.expect("an answer");
            let text = |name: &str| {
                let value = answer.headers().get(name)?.to_str().expect("text");
                Some(value.to_owned())
            };
            let side = text("x-ficus-served-by").expect("a side");
            (side, text("set-cookie"))
        }
    };
    assert_eq!(
        ask(None).await.1,
        None,
        "nobody is marked before there is a share"
    );
    set_share(&database, "50").await;
    let (mut modern, mut legacy) = (0, 0);
    for _ in 0..40 {
        let (side, cookie) = ask(None).await;
        let cookie = cookie.expect("a new visitor gets it");
        assert!(
            cookie.ends_with("; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax"),
            "{cookie}"
        );
        let pair = cookie.split(';').next().expect("a pair").to_owned();
        for _ in 0..3 {
            assert_eq!(ask(Some(pair.clone())).await, (side.clone(), None));
        }
        *(if side == "modern" {
            &mut modern
        } else {
            &mut legacy
        }) += 1;
    }
    // One side alone has a chance of 2 in 10^12.
    assert!(modern > 0 && legacy > 0, "{modern} and {legacy}");
}

#[tokio::test]
async fn a_capability_that_moves_by_tenant_takes_no_split() {
    let database = Database::new().await;
    seed(database.pool()).await;
    let arguments = [
        "capability",
        "split",
        "dashboard",
        "10",
        "--direct",
        "--reason",
        "a test",
    ];
    let said = run_ficus(&arguments, &[("DATABASE_URL", database.url())]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("by = \"split\""), "{}", said.err);
    for percent in ["101", "-1", "1.234", "NaN", "ten"] {
        let arguments = [
            "capability",
            "split",
            "dashboard",
            percent,
            "--direct",
            "--reason",
            "x",
        ];
        let said = run_ficus(&arguments, &[("DATABASE_URL", database.url())]).await;
        assert_eq!(said.code, Some(2), "{percent}: {said:?}");
    }
}
