//! What HTTP promises through the proxy, asked of the real application: redirects, hosts, HEAD, forms.
//!
//! Its own file, because these hold for every request, whoever is logged in.

use reqwest::Method;

use super::Site;
use super::visitor::{BROWSER, JSON, SITE, Visitor};
use crate::support::Database;

#[tokio::test]
async fn laravels_redirects_lead_to_the_host_that_the_visitor_asked() {
    let database = Database::new().await;
    let site = Site::start(database.url()).await;
    let mut visitor = Visitor::at(site.first.proxy);
    let root = visitor.get("/", BROWSER).await;
    assert_eq!((root.status, root.served_by()), (302, "legacy"));
    // Of a route's own redirect Laravel 8 writes the path alone.
    assert_eq!(root.header("location"), "/dashboard");
    let guarded = visitor.get("/dashboard", BROWSER).await;
    assert_eq!(guarded.status, 302);
    assert_eq!(guarded.header("location"), format!("http://{SITE}/login"));
}

#[tokio::test]
async fn a_form_without_its_token_is_refused_by_laravel_and_not_by_us() {
    let database = Database::new().await;
    let site = Site::start(database.url()).await;
    let mut visitor = Visitor::at(site.first.proxy);
    visitor.get("/login", BROWSER).await;
    let fields = "email=owner%40metro.test&password=secret".to_owned();
    let refused = visitor
        .send(Method::POST, "/login", JSON, Some(fields))
        .await;
    assert_eq!((refused.status, refused.served_by()), (419, "legacy"));
}

#[tokio::test]
async fn a_head_request_has_the_headers_of_its_get_and_no_body_on_either_side() {
    let database = Database::new().await;
    let site = Site::start(database.url()).await;
    site.know(&["6"]).await;
    let mut owner = Visitor::log_in(site.first.proxy, "owner@metro.test").await;
    for side in ["legacy", "modern"] {
        site.flip("6", "dashboard", side).await;
        let get = owner.get("/dashboard/stats", JSON).await;
        let head = owner
            .send(Method::HEAD, "/dashboard/stats", JSON, None)
            .await;
        assert_eq!((head.status, head.served_by()), (200, side));
        assert_eq!(head.header("content-type"), get.header("content-type"));
        assert_eq!(head.header("cache-control"), get.header("cache-control"));
        assert!(!get.body.is_empty() && head.body.is_empty(), "{side}");
    }
}

#[tokio::test]
async fn a_visitor_cannot_name_a_tenant_by_header() {
    let database = Database::new().await;
    let site = Site::start(database.url()).await;
    site.know(&["6"]).await;
    site.flip("6", "dashboard", "modern").await;
    let spoofed = reqwest::Method::GET;
    let answer = crate::support::process::client()
        .request(spoofed, site.first.url("/dashboard/stats"))
        .header("x-ficus-tenant", "6")
        .header("x-tenant-id", "6")
        .header("accept", JSON)
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.headers()["x-ficus-served-by"], "legacy");
    assert_eq!(answer.status(), 401);
}
