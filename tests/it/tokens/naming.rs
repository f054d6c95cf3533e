//! Tenants named by path and by query, below what is stronger.
//!
//! Its own file, because these are the names that any link can carry.

use super::*;

const WEAK: &str = r#"
    [[tenant]]
    resolver = "query"
    parameter = "tenant"
    [[tenant]]
    resolver = "path"
    pattern = "/dashboard/t/{tenant}/{*rest}"
"#;

#[tokio::test]
async fn a_path_or_a_query_names_the_tenant_and_a_trusted_header_stands_above_both() {
    let database = seeded().await;
    let ficus = start(&database, WEAK).await;
    for (target, headers, side) in [
        ("/dashboard", &[][..], "legacy"),
        ("/dashboard?tenant=bluebird", &[], "modern"),
        ("/dashboard?tenant=2", &[], "modern"),
        ("/dashboard?tenant=3", &[], "legacy"),
        ("/dashboard/t/bluebird/x", &[], "modern"),
        ("/dashboard/t/%62luebird//x", &[], "modern"),
        ("/x/..//dashboard/t/2/x?tenant=3", &[], "modern"),
        ("/dashboard/t/corner/x?tenant=2", &[], "legacy"),
        ("/dashboard?tenant=2&tenant=2", &[], "legacy"),
        ("/dashboard?tenant=2&tenant[]=2", &[], "legacy"),
        (
            "/dashboard/t/2/x?tenant=2",
            &[("x-tenant-id", "3")],
            "legacy",
        ),
        (
            "/dashboard/t/3/x?tenant=3",
            &[("x-tenant-id", "2")],
            "modern",
        ),
    ] {
        assert_eq!(served(&ficus, target, headers).await, side, "{target}");
    }
}

#[tokio::test]
async fn the_access_log_says_what_named_the_tenant() {
    let database = seeded().await;
    let ficus = start(&database, WEAK).await;
    served(&ficus, "/dashboard/t/2/x", &[]).await;
    served(&ficus, "/dashboard?tenant=2", &[]).await;
    let sources = eventually("both lines are written", || async {
        let lines = ficus.access_log();
        (lines.len() == 2).then(|| {
            lines
                .iter()
                .map(|l| l["identity"].clone())
                .collect::<Vec<_>>()
        })
    })
    .await;
    assert_eq!(sources, ["path", "query"]);
}
