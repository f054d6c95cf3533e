//! The admin API: who may call what, and how it answers what is wrong.
//!
//! Its own file, because the roles' matrix is generated from the API's own table of routes.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use ficus::control::{endpoints, local_router};
use ficus::embedded::StopMode;
use ficus::rollout::{self, Role};
use serde_json::{Value, json};

use crate::control_stage::{Stage, api, ask, author, flags_in, seed, send};
use crate::support::Cluster;

/// A path of the table with its parameters filled in by things that exist.
fn filled(path: &str) -> String {
    path.replace("{tenant}", "2")
        .replace("{capability}", "dashboard")
        .replace("{revision}", "1")
        .replace("{name}", "nobody")
        .replace("{wave}", "none")
        .replace("{message}", "01931c5e-7a40-7000-8000-000000000001")
        .replace("{key}", "dashboard")
}

/// A body that is JSON and nothing that any route accepts: enough to see whether the door opens.
fn nothing(method: &Method) -> Option<Value> {
    (*method != Method::GET).then(|| json!({ "no-such-field": 1 }))
}

#[tokio::test]
async fn every_route_opens_to_its_role_and_those_above_and_to_nobody_else() {
    let stage = Stage::new().await;
    let roles = [Role::Viewer, Role::Operator, Role::Admin];
    let mut tokens = Vec::new();
    for role in roles {
        tokens.push((role, stage.token(role).await));
    }
    // A stream of events has no end to read to.
    let ends = endpoints()
        .into_iter()
        .filter(|it| !it.path.ends_with("/events"));
    for endpoint in ends {
        let (method, path) = (endpoint.method.clone(), filled(endpoint.path));
        let status = stage
            .ask(method.clone(), &path, None, nothing(&method))
            .await
            .status;
        let Some(wanted) = endpoint.role else {
            assert_ne!(
                status,
                StatusCode::UNAUTHORIZED,
                "{method} {path} is for everyone"
            );
            continue;
        };
        assert_eq!(
            status,
            StatusCode::UNAUTHORIZED,
            "{method} {path} without a token"
        );
        for (role, token) in &tokens {
            let status = stage
                .ask(method.clone(), &path, Some(token), nothing(&method))
                .await
                .status;
            if *role < wanted {
                assert_eq!(status, StatusCode::FORBIDDEN, "{method} {path} as {role:?}");
            } else {
                let shut = [
                    StatusCode::UNAUTHORIZED,
                    StatusCode::FORBIDDEN,
                    StatusCode::METHOD_NOT_ALLOWED,
                ];
                assert!(
                    !shut.contains(&status),
                    "{method} {path} as {role:?}: {status}"
                );
            }
        }
    }
}

#[tokio::test]
async fn no_write_is_open_to_a_viewer_and_no_token_route_to_an_operator() {
    for endpoint in endpoints() {
        let role = endpoint.role;
        let reads = endpoint.method == Method::GET
            || endpoint.path == "/api/v1/explain"
            || endpoint.path.starts_with("/ofrep/");
        if !reads {
            assert!(
                role >= Some(Role::Operator),
                "{} {}",
                endpoint.method,
                endpoint.path
            );
        }
        if endpoint.path.contains("/tokens") {
            assert_eq!(
                role,
                Some(Role::Admin),
                "{} {}",
                endpoint.method,
                endpoint.path
            );
        }
        if endpoint.path.starts_with("/api/v1/") {
            assert!(role.is_some(), "{} {}", endpoint.method, endpoint.path);
        }
    }
}

#[tokio::test]
async fn a_token_that_is_unknown_mistyped_or_of_another_scheme_opens_nothing() {
    let stage = Stage::new().await;
    let good = stage.token(Role::Viewer).await;
    let stranger = Stage::new().await.token(Role::Admin).await;
    for token in [stranger.as_str(), "ficus_AAAA", "", &good[..good.len() - 1]] {
        let answer = stage
            .ask(Method::GET, "/api/v1/status", Some(token), None)
            .await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{token}");
        assert!(answer.headers.contains_key("www-authenticate"));
    }
}

#[tokio::test]
async fn a_revoked_token_stops_working_within_two_seconds() {
    let stage = Stage::new().await;
    let token = stage.token(Role::Viewer).await;
    assert_eq!(
        stage
            .ask(Method::GET, "/api/v1/status", Some(&token), None)
            .await
            .status,
        StatusCode::OK
    );
    rollout::revoke_token(stage.pool(), &author(), "viewer")
        .await
        .unwrap();
    let start = Instant::now();
    while stage
        .ask(Method::GET, "/api/v1/status", Some(&token), None)
        .await
        .status
        != StatusCode::UNAUTHORIZED
    {
        assert!(start.elapsed() < Duration::from_secs(2), "it still works");
        tokio::task::yield_now().await;
    }
}

fn assert_problem(answer: &crate::control_stage::Answer, status: u16, code: &str) {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.body);
    assert_eq!(
        answer.headers["content-type"], "application/problem+json",
        "{}",
        answer.body
    );
    assert_eq!(answer.body["code"], code, "{}", answer.body);
    assert_eq!(answer.body["type"], format!("urn:ficus:problem:{code}"));
    assert_eq!(answer.body["status"], status);
    assert!(
        answer.body["detail"]
            .as_str()
            .is_some_and(|detail| !detail.is_empty())
    );
}

#[tokio::test]
async fn every_fault_is_a_problem_document() {
    let stage = Stage::new().await;
    let token = stage.token(Role::Admin).await;
    let flag = "/api/v1/flags/2/dashboard";
    let get = |path: &'static str| stage.ask(Method::GET, path, Some(&token), None);
    let put = |body: Value| stage.ask(Method::PUT, flag, Some(&token), Some(body));
    assert_problem(&get("/api/v1/nothing").await, 404, "no-route");
    assert_problem(&get("/").await, 404, "no-route");
    assert_problem(&get("/api/v1/tenants/9").await, 404, "unknown-tenant");
    assert_problem(&get("/api/v1/tenants/A%20b").await, 422, "invalid");
    assert_problem(
        &get("/api/v1/flags/2/nope").await,
        404,
        "unknown-capability",
    );
    assert_problem(&get("/api/v1/changes/4711").await, 404, "unknown-change");
    assert_problem(&get("/api/v1/changes/x").await, 400, "bad-path");
    assert_problem(&get("/api/v1/tenants?limit=x").await, 400, "bad-query");
    assert_problem(&get("/api/v1/tenants?limt=1").await, 400, "bad-query");
    assert_problem(&get("/api/v1/flags?after=x").await, 422, "invalid");
    assert_problem(
        &put(json!({ "state": "modern", "reason": "x", "dryrun": true })).await,
        422,
        "bad-body",
    );
    assert_problem(
        &put(json!({ "state": "blue", "reason": "x" })).await,
        422,
        "bad-body",
    );
    assert_problem(&put(json!({ "state": "modern" })).await, 422, "invalid");
    assert_problem(
        &put(json!({ "state": "modern", "reason": "  " })).await,
        422,
        "invalid",
    );
    assert_problem(
        &put(json!({ "state": "modern", "reason": "x".repeat(1001) })).await,
        422,
        "invalid",
    );
    assert_problem(
        &put(json!({ "state": "modern", "reason": "x", "timeout": "60s" })).await,
        422,
        "invalid",
    );
    assert_problem(
        &put(json!({ "state": "modern", "reason": "x", "expect_revision": 999 })).await,
        409,
        "revision-conflict",
    );
    assert_problem(
        &stage
            .ask(
                Method::POST,
                "/api/v1/explain",
                Some(&token),
                Some(json!({ "method": "GET", "url": "/" })),
            )
            .await,
        501,
        "no-proxy",
    );
    assert_eq!(
        stage.state(2, "dashboard").await,
        None,
        "none of it was written"
    );

    let wrong = stage.ask(Method::PATCH, flag, Some(&token), None).await;
    assert_problem(&wrong, 405, "wrong-method");
    assert!(
        wrong.headers["allow"].to_str().unwrap().contains("PUT"),
        "{:?}",
        wrong.headers
    );
}

#[tokio::test]
async fn a_body_that_is_no_json_or_too_large_is_refused() {
    let stage = Stage::new().await;
    let router = api(stage.pool(), &stage.flags);
    let token = stage.token(Role::Operator).await;
    let post = |path: &str, kind: &str, body: String| {
        let request = Request::post(path)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", kind);
        send(&router, request.body(Body::from(body)).unwrap())
    };
    let rollback = "/api/v1/rollback";
    assert_problem(
        &post(rollback, "application/json", "{".into()).await,
        400,
        "bad-body",
    );
    assert_problem(
        &post(rollback, "text/plain", "{}".into()).await,
        415,
        "not-json",
    );
    let large = json!({ "all": true, "reason": "x".repeat(2 << 20) }).to_string();
    assert_problem(
        &post(rollback, "application/json", large).await,
        413,
        "body-too-large",
    );

    let many: Vec<_> = (100..40_000)
        .map(|id| json!({ "id": id, "name": "a tenant of some size" }))
        .collect();
    let import = json!({ "tenants": many, "reason": "many" }).to_string();
    assert!(import.len() > 1 << 20);
    let answer = post("/api/v1/tenants/import", "application/json", import).await;
    assert_eq!(
        (answer.status, &answer.body["changed"]),
        (StatusCode::OK, &json!(39_900)),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn exactly_one_scope_is_taken() {
    let stage = Stage::new().await;
    let token = stage.token(Role::Operator).await;
    let bodies = [
        json!({}),
        json!({ "tenants": [] }),
        json!({ "all": true, "capability": "dashboard" }),
        json!({ "tenants": ["2"], "all": true }),
    ];
    for mut body in bodies {
        body["reason"] = json!("x");
        assert_problem(
            &stage
                .ask(
                    Method::POST,
                    "/api/v1/rollback",
                    Some(&token),
                    Some(body.clone()),
                )
                .await,
            422,
            "invalid",
        );
    }
    for body in [
        json!({ "reason": "x" }),
        json!({ "all": true, "capability": "dashboard", "reason": "x" }),
    ] {
        assert_problem(
            &stage
                .ask(
                    Method::POST,
                    "/api/v1/overrides",
                    Some(&token),
                    Some(body.clone()),
                )
                .await,
            422,
            "invalid",
        );
        assert_problem(
            &stage
                .ask(
                    Method::DELETE,
                    "/api/v1/overrides",
                    Some(&token),
                    Some(body),
                )
                .await,
            422,
            "invalid",
        );
    }
    assert!(rollout::overrides(stage.pool()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_list_is_walked_by_its_cursor() {
    let stage = Stage::new().await;
    let token = stage.token(Role::Viewer).await;
    let mut path = "/api/v1/tenants?limit=2".to_owned();
    let mut seen = Vec::new();
    loop {
        let answer = stage.ask(Method::GET, &path, Some(&token), None).await;
        seen.extend(
            answer.body["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|it| it["id"].as_i64().unwrap()),
        );
        let Some(next) = answer.body["next"].as_str() else {
            break;
        };
        path = format!("/api/v1/tenants?limit=2&after={next}");
    }
    assert_eq!(seen, [1, 2, 3]);
}

#[tokio::test]
async fn a_flip_and_its_undo_go_through_the_api() {
    let stage = Stage::new().await;
    let token = stage.token(Role::Operator).await;
    let flag = "/api/v1/flags/acme/dashboard";
    let put = |body| stage.ask(Method::PUT, flag, Some(&token), Some(body));
    let dry = put(json!({ "state": "modern", "dry_run": true })).await;
    assert_eq!(
        (&dry.body["changed"], &dry.body["dry_run"]),
        (&json!(1), &json!(true)),
        "{}",
        dry.body
    );
    assert_eq!(dry.body["preview"][0]["after"]["state"], "modern");
    let done = put(json!({ "state": "modern", "reason": "first" })).await;
    let revision = &done.body["revision"];
    assert_eq!(done.body["changed"], 1);
    assert_eq!(
        stage.ask(Method::GET, flag, Some(&token), None).await.body["state"],
        "modern"
    );
    let undo = format!("/api/v1/changes/{revision}/undo");
    let undone = stage
        .ask(
            Method::POST,
            &undo,
            Some(&token),
            Some(json!({ "reason": "no" })),
        )
        .await;
    assert_eq!(undone.body["changed"], 1, "{}", undone.body);
    let history = stage
        .ask(
            Method::GET,
            "/api/v1/flags/acme/history?capability=dashboard",
            Some(&token),
            None,
        )
        .await;
    assert_eq!(history.body["items"].as_array().unwrap().len(), 2);
    assert_eq!(history.body["items"][0]["source"], "api");
}

#[tokio::test]
async fn a_token_is_shown_once_and_never_listed() {
    let stage = Stage::new().await;
    let admin = stage.token(Role::Admin).await;
    let made = stage
        .ask(
            Method::POST,
            "/api/v1/tokens",
            Some(&admin),
            Some(json!({ "name": "ci", "role": "viewer", "reason": "ci" })),
        )
        .await;
    assert_eq!(
        (made.status, &made.headers["cache-control"]),
        (StatusCode::CREATED, &"no-store".parse().unwrap())
    );
    let text = made.body["token"].as_str().unwrap();
    assert_eq!(
        stage
            .ask(Method::GET, "/api/v1/tenants", Some(text), None)
            .await
            .status,
        StatusCode::OK
    );
    let listed = stage
        .ask(Method::GET, "/api/v1/tokens", Some(&admin), None)
        .await;
    assert!(
        !listed.body.to_string().contains("ficus_"),
        "{}",
        listed.body
    );
    assert_eq!(
        stage
            .ask(
                Method::DELETE,
                "/api/v1/tokens/ci",
                Some(&admin),
                Some(json!({ "reason": "over" }))
            )
            .await
            .body["changed"],
        1
    );
    assert_eq!(
        stage
            .ask(
                Method::DELETE,
                "/api/v1/tokens/ci",
                Some(&admin),
                Some(json!({ "reason": "over" }))
            )
            .await
            .body["changed"],
        0
    );
    assert_problem(
        &stage
            .ask(
                Method::DELETE,
                "/api/v1/tokens/nobody",
                Some(&admin),
                Some(json!({ "reason": "over" })),
            )
            .await,
        404,
        "unknown-token",
    );
}

#[tokio::test]
async fn health_and_metrics_answer_without_a_token_and_ready_waits_for_a_snapshot() {
    let stage = Stage::new().await;
    assert_eq!(
        stage
            .ask(Method::GET, "/health/live", None, None)
            .await
            .status,
        StatusCode::OK
    );
    assert_problem(
        &stage.ask(Method::GET, "/health/ready", None, None).await,
        503,
        "not-ready",
    );
    let metrics = stage.ask(Method::GET, "/metrics", None, None).await;
    assert!(
        metrics.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    assert!(metrics.body.as_str().unwrap().ends_with("# EOF\n"));
}

#[tokio::test]
async fn without_postgresql_it_says_so_within_five_seconds_and_answers_again_afterwards() {
    let mut cluster = Cluster::new().await;
    let pool = cluster.pool();
    seed(&pool).await;
    let token = rollout::create_token(&pool, &author(), "op", Role::Operator)
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let router = api(&pool, &flags_in(folder.path()));
    cluster.stop(StopMode::Fast).await;
    let rollback = json!({ "all": true, "reason": "x" });
    let start = Instant::now();
    let answer = ask(
        &router,
        Method::POST,
        "/api/v1/rollback",
        Some(&token),
        Some(rollback.clone()),
    )
    .await;
    assert!(
        start.elapsed() < Duration::from_millis(5500),
        "{:?}",
        start.elapsed()
    );
    assert_problem(&answer, 503, "database-unavailable");
    assert!(answer.headers.contains_key("retry-after"));
    assert!(answer.body["hint"].as_str().unwrap().contains("--local"));
    cluster.start().await;
    let answer = ask(
        &router,
        Method::POST,
        "/api/v1/rollback",
        Some(&token),
        Some(rollback),
    )
    .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
}

#[tokio::test]
async fn a_proxys_socket_rolls_back_in_the_same_shape_and_asks_no_database() {
    let folder = tempfile::tempdir().unwrap();
    let flags = flags_in(folder.path());
    let router = local_router(flags.clone(), None);
    let answer = ask(
        &router,
        Method::POST,
        "/api/v1/rollback",
        None,
        Some(json!({ "tenants": ["2"], "reason": "dark" })),
    )
    .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.body["proxies"][0]["name"], "proxy-here");
    assert_eq!(
        (&answer.body["confirmed"], &answer.body["changed"]),
        (&json!(true), &Value::Null)
    );
    assert_eq!(flags.local_actions().len(), 1);
    let status = ask(&router, Method::GET, "/api/v1/status", None, None).await;
    assert_eq!(
        (&status.body["ready"], &status.body["age_seconds"]),
        (&json!(false), &Value::Null)
    );
    assert_problem(
        &ask(&router, Method::GET, "/api/v1/tenants", None, None).await,
        404,
        "no-route",
    );
    assert_problem(
        &ask(
            &router,
            Method::POST,
            "/api/v1/rollback",
            None,
            Some(json!({ "all": true })),
        )
        .await,
        422,
        "invalid",
    );
    // Whoever names one capability of a tenant does not get all of them taken back, and is told so.
    let two = json!({ "tenants": ["2"], "capability": "dashboard", "reason": "x" });
    assert_problem(
        &ask(&router, Method::POST, "/api/v1/rollback", None, Some(two)).await,
        422,
        "invalid",
    );
    let freeze = ask(&router, Method::POST, "/api/v1/freezes", None, None).await;
    assert_problem(&freeze, 404, "no-route");
    assert_eq!(flags.local_actions().len(), 1);
    let unknown = json!({ "tenants": ["nobody"], "reason": "x" });
    assert_problem(
        &ask(
            &router,
            Method::POST,
            "/api/v1/rollback",
            None,
            Some(unknown),
        )
        .await,
        422,
        "invalid",
    );
}
