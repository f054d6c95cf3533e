//! The command line through the real binary: what it prints where, and with which code it ends.
//!
//! Its own file, because scripts and runbooks stand on exactly this.

use std::process::Stdio;

use axum::{Json, Router, routing::post};
use ficus::rollout::Role;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use crate::control_stage::{Stage, ficus, run};

#[tokio::test]
async fn wrong_usage_says_what_was_expected_and_exits_2() {
    let cases: [(&[&str], &str); 16] = [
        (&[], "Usage"),
        (&["nonsense"], "unrecognized subcommand"),
        (&["rollback", "--reason", "x"], "--tenant"),
        (
            &["rollback", "--tenant", "2", "--all", "--reason", "x"],
            "cannot be used with",
        ),
        (&["rollback", "--tenant", "2"], "--reason"),
        (
            &["rollback", "--tenant", "Not A Tenant", "--reason", "x"],
            "positive number",
        ),
        (&["rollback", "--all", "--reason", "x"], "--yes"),
        (
            &[
                "rollback",
                "--all",
                "--yes",
                "--reason",
                "x",
                "--timeout",
                "60s",
            ],
            "25s at most",
        ),
        (
            &["flag", "set", "2", "dashboard", "blue", "--reason", "x"],
            "legacy, shadow, modern",
        ),
        (&["flag", "set", "2", "dashboard", "modern"], "--reason"),
        (&["flag", "list", "--limit", "0"], "1..=1000"),
        (&["flag", "list", "--local", "/tmp/none.sock"], "--direct"),
        (&["flag", "list", "--direct"], "DATABASE_URL"),
        (
            &["flag", "list", "--url", "nowhere"],
            "http://127.0.0.1:8090",
        ),
        (
            &["token", "create", "x", "--role", "king", "--reason", "x"],
            "ofrep, viewer, operator, admin",
        ),
        (&["explain", "GET", "/", "-H", "no-colon"], "Name: value"),
    ];
    for (args, expected) in cases {
        let ran = run(&[], args).await;
        assert_eq!(ran.code, 2, "{args:?}: {ran:?}");
        assert!(ran.stderr.contains(expected), "{args:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{args:?}");
    }
}

#[tokio::test]
async fn every_command_has_help_with_an_example() {
    let commands = [
        "serve",
        "check",
        "migrate",
        "status",
        "explain",
        "rollback",
        "demo",
        "completions",
        "tenant list",
        "tenant show",
        "tenant set",
        "tenant import",
        "tenant sync",
        "wave plan",
        "wave list",
        "wave show",
        "wave start",
        "wave pause",
        "wave resume",
        "wave go",
        "wave advance",
        "wave abort",
        "flag list",
        "flag get",
        "flag set",
        "flag history",
        "capability list",
        "capability show",
        "override list",
        "override set",
        "override clear",
        "alert list",
        "guard status",
        "guard show",
        "guard test",
        "audit list",
        "audit show",
        "audit undo",
        "audit verify",
        "audit export",
        "token create",
        "token list",
        "token revoke",
        "apikey create",
        "apikey list",
        "apikey revoke",
        "message show",
        "message list",
        "message dead-letters",
        "message retry",
        "message settle",
        "message hold",
        "message release",
        "message holds",
    ];
    for command in commands {
        let args: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let ran = run(
            &[
                ("FICUS_TOKEN", "s3cret"),
                ("DATABASE_URL", "postgres://u:s3cret@h/d"),
            ],
            &args,
        )
        .await;
        assert_eq!(ran.code, 0, "{command}");
        assert!(
            ran.stdout.contains(&format!("  ficus {command}")),
            "{command}: {}",
            ran.stdout
        );
        assert!(!ran.stdout.contains("s3cret"), "{command} shows a secret");
    }
}

#[tokio::test]
async fn piped_it_prints_json_and_asked_for_a_table_it_prints_one_without_colours() {
    let stage = Stage::new().await;
    let token = stage.token(Role::Viewer).await;
    let ran = stage.ficus(&token, &["tenant", "list"]).await;
    assert_eq!(ran.json()["items"][1]["slug"], "beta");
    let ran = stage
        .ficus(&token, &["tenant", "list", "--output", "table"])
        .await;
    assert_eq!(
        ran.stdout,
        "ID  SLUG  NAME   CLASS\n1   acme  Acme   low\n2   beta  Beta   low\n3   -     Gamma  low\n"
    );
    let ran = stage.ficus(&token, &["status", "--output", "table"]).await;
    assert!(
        ran.stdout.contains("3 tenants") && !ran.stdout.contains('\x1b'),
        "{}",
        ran.stdout
    );
}

/// Runs the command line on a terminal of its own, which `script` makes, and types `input` into it.
async fn on_a_terminal(environment: &[(&str, &str)], command: &str, input: &[u8]) -> (i32, String) {
    let line = format!("{} {command}", env!("CARGO_BIN_EXE_ficus"));
    let mut child = tokio::process::Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env_clear()
        .env("SHELL", "/bin/sh")
        .env("PATH", "/usr/bin:/bin")
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("`script` of the package bsdutils");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    drop(stdin);
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

#[tokio::test]
async fn on_a_terminal_it_prints_coloured_tables_unless_told_not_to() {
    let stage = Stage::new().await;
    let (url, token) = (stage.listen().await, stage.token(Role::Viewer).await);
    let reach = [("FICUS_URL", url.as_str()), ("FICUS_TOKEN", token.as_str())];
    let (code, text) = on_a_terminal(&reach, "tenant list", b"").await;
    assert!(
        code == 0 && text.contains("acme") && text.contains("\x1b["),
        "{text:?}"
    );
    let plain = [&reach[..], &[("NO_COLOR", "1")]].concat();
    for (environment, command) in [
        (&plain[..], "tenant list"),
        (&reach[..], "tenant list --no-color"),
    ] {
        let (code, text) = on_a_terminal(environment, command, b"").await;
        assert!(
            code == 0 && text.contains("acme") && !text.contains('\x1b'),
            "{text:?}"
        );
    }
}

#[tokio::test]
async fn a_rollback_of_all_asks_one_question() {
    let stage = Stage::new().await;
    let (url, token) = (stage.listen().await, stage.token(Role::Operator).await);
    let reach = [("FICUS_URL", url.as_str()), ("FICUS_TOKEN", token.as_str())];
    let (code, text) = on_a_terminal(&reach, "rollback --all --reason x", b"n\n").await;
    assert!(code == 1 && text.contains("[y/N]"), "{text:?}");
    assert!(
        ficus::rollout::overrides(stage.pool())
            .await
            .unwrap()
            .is_empty()
    );
    let (code, text) = on_a_terminal(&reach, "rollback --all --reason x", b"y\n").await;
    assert_eq!(code, 0, "{text:?}");
    assert_eq!(
        ficus::rollout::overrides(stage.pool()).await.unwrap().len(),
        1
    );
}

#[tokio::test]
async fn refusals_have_the_exit_codes_of_the_contract() {
    let stage = Stage::new().await;
    let viewer = stage.token(Role::Viewer).await;
    let operator = stage.token(Role::Operator).await;
    let set = ["flag", "set", "2", "dashboard", "modern", "--reason", "x"];
    let with = |more: &[&'static str]| [&set[..], more].concat();
    assert_eq!(
        run(&[("FICUS_URL", &stage.listen().await)], &["flag", "list"])
            .await
            .code,
        7,
        "no token"
    );
    assert_eq!(stage.ficus(&viewer, &set).await.code, 7, "a viewer");
    assert_eq!(
        stage
            .ficus(&operator, &with(&["--expect-revision", "999"]))
            .await
            .code,
        4
    );
    let unknown = stage
        .ficus(
            &operator,
            &["flag", "set", "9", "dashboard", "modern", "--reason", "x"],
        )
        .await;
    assert_eq!(unknown.code, 1);
    assert!(
        unknown.stderr.contains("there is no tenant 9") && unknown.stderr.contains("next: "),
        "{}",
        unknown.stderr
    );
    assert_eq!(stage.ficus(&operator, &set).await.code, 0);
    let again = stage.ficus(&operator, &with(&["--output", "table"])).await;
    assert_eq!(again.code, 0);
    assert!(again.stdout.contains("no change"), "{}", again.stdout);
}

#[tokio::test]
async fn asked_for_json_a_failure_is_json_too() {
    let stage = Stage::new().await;
    let token = stage.token(Role::Viewer).await;
    let ran = stage
        .ficus(&token, &["tenant", "show", "9", "--output", "json"])
        .await;
    let problem: Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!((ran.code, &problem["code"]), (1, &json!("unknown-tenant")));
}

#[tokio::test]
async fn a_dry_run_needs_no_reason_and_shows_the_rows() {
    let stage = Stage::new().await;
    let token = stage.token(Role::Operator).await;
    let ran = stage
        .ficus(
            &token,
            &[
                "flag",
                "set",
                "2",
                "dashboard",
                "modern",
                "--dry-run",
                "--output",
                "table",
            ],
        )
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("would change 1 row"), "{}", ran.stdout);
    assert!(
        ran.stdout
            .contains("flag    2       dashboard   -    modern"),
        "{}",
        ran.stdout
    );
    assert_eq!(stage.state(2, "dashboard").await, None);
}

#[tokio::test]
async fn an_api_that_is_down_leads_to_the_other_two_ways() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let ran = run(
        &[("FICUS_URL", &url)],
        &["rollback", "--tenant", "2", "--reason", "x"],
    )
    .await;
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains("refused")
            && ran.stderr.contains("--direct")
            && ran.stderr.contains("--local"),
        "{}",
        ran.stderr
    );
}

#[tokio::test]
async fn the_first_token_comes_from_the_database_and_opens_the_api() {
    let stage = Stage::new().await;
    let create = [
        "token", "create", "me", "--role", "admin", "--reason", "first", "--direct", "--output",
        "table",
    ];
    let ran = run(&[("DATABASE_URL", stage.db.url())], &create).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let token = ran.stdout.trim();
    assert!(ficus::rollout::token_digest(token).is_some(), "{ran:?}");
    assert!(ran.stderr.contains("once"), "{}", ran.stderr);
    assert_eq!(
        stage.ficus(token, &["token", "list"]).await.json()["items"][0]["name"],
        "me"
    );
    assert_eq!(
        stage
            .ficus(token, &["token", "revoke", "me", "--reason", "over"])
            .await
            .code,
        0
    );
    let again = run(&[("DATABASE_URL", stage.db.url())], &create).await;
    assert_eq!(again.code, 1, "a name is used once");
}

#[tokio::test]
async fn directly_in_the_database_everything_works_and_the_audit_knows_who() {
    let stage = Stage::new().await;
    let direct = async |args: &[&str]| {
        run(
            &[("DATABASE_URL", stage.db.url())],
            &[args, &["--direct"]].concat(),
        )
        .await
    };
    let set = direct(&[
        "flag",
        "set",
        "acme",
        "dashboard",
        "modern",
        "--reason",
        "by hand",
    ])
    .await;
    assert_eq!(set.code, 0, "{set:?}");
    let revision = set.json()["revision"].to_string();
    assert_eq!(
        direct(&["flag", "get", "acme", "dashboard"]).await.json()["state"],
        "modern"
    );
    let change = direct(&["audit", "show", &revision]).await.json();
    assert_eq!(
        (&change["actor"], &change["source"], &change["reason"]),
        (&json!("kim"), &json!("direct"), &json!("by hand"))
    );
    assert_eq!(
        direct(&["audit", "undo", &revision, "--reason", "no"])
            .await
            .json()["changed"],
        1
    );
    assert_eq!(
        direct(&[
            "override",
            "set",
            "--capability",
            "dashboard",
            "--reason",
            "x"
        ])
        .await
        .json()["changed"],
        1
    );
    assert_eq!(
        direct(&["override", "list"]).await.json()["items"][0]["reason"],
        "x"
    );
    assert_eq!(
        direct(&[
            "override",
            "clear",
            "--capability",
            "dashboard",
            "--reason",
            "x"
        ])
        .await
        .json()["changed"],
        1
    );
    assert_eq!(
        direct(&["tenant", "set", "acme", "--class", "high", "--reason", "x"])
            .await
            .code,
        0
    );
    assert_eq!(
        direct(&["tenant", "show", "acme"]).await.json()["class"],
        "high"
    );
    assert_eq!(
        direct(&["capability", "show", "messaging"]).await.json()["effect"],
        "send"
    );
    assert_eq!(
        direct(&["capability", "list"]).await.json()["items"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        direct(&["flag", "history", "acme"]).await.json()["items"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(direct(&["status"]).await.json()["tenants"], 3);
    assert_eq!(
        direct(&["explain", "GET", "/"]).await.code,
        1,
        "there are no routes to ask"
    );
    for table in [
        &["audit", "list"][..],
        &["audit", "show", &revision],
        &["flag", "history", "acme"],
        &["override", "list"],
        &["flag", "list"],
    ] {
        let ran = direct(&[table, &["--output", "table"]].concat()).await;
        assert!(
            ran.code == 0 && ran.stdout.lines().count() >= 1,
            "{table:?}: {ran:?}"
        );
    }
}

#[tokio::test]
async fn a_password_in_the_databases_url_is_never_shown() {
    for url in [
        "postgres://u:s3cret@127.0.0.1:1/d",
        "postgres://u:s3cret@[bad/d",
        "mysql://u:s3cret@h/d",
        "s3cret",
    ] {
        for args in [
            &["status", "--direct"][..],
            &["status", "--direct", "--output", "json"],
            &["migrate"],
        ] {
            let ran = run(&[("DATABASE_URL", url)], args).await;
            assert_ne!(ran.code, 0, "{url}");
            assert!(
                !format!("{ran:?}").contains("s3cret"),
                "{url} {args:?}: {ran:?}"
            );
        }
    }
}

#[tokio::test]
async fn an_import_tells_every_faulty_line_and_takes_all_or_nothing() {
    let stage = Stage::new().await;
    let token = stage.token(Role::Operator).await;
    let bad = stage.file(
        "bad.csv",
        "id,slug,name,class\n10,ten,Ten,low\nx,eleven,Eleven,low\n12,twelve,Twelve,huge\n",
    );
    let ran = stage
        .ficus(&token, &["tenant", "import", &bad, "--reason", "x"])
        .await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stderr.contains("bad.csv:3: \"x\" is no tenant id"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("bad.csv:4: \"huge\" is no class"),
        "{}",
        ran.stderr
    );
    assert_eq!(
        stage.ficus(&token, &["tenant", "show", "10"]).await.code,
        1,
        "nothing was taken"
    );

    let good = stage.file(
        "good.csv",
        "id,slug,name,class\n10,ten,\"Ten, Inc.\",high\n11,,Eleven,\n",
    );
    let ran = stage
        .ficus(&token, &["tenant", "import", &good, "--reason", "x"])
        .await;
    assert_eq!(
        (ran.code, &ran.json()["changed"]),
        (0, &json!(2)),
        "{ran:?}"
    );
    assert_eq!(
        stage.ficus(&token, &["tenant", "show", "ten"]).await.json()["name"],
        "Ten, Inc."
    );
    assert_eq!(
        stage
            .ficus(
                &token,
                &["tenant", "import", "/no/such.csv", "--reason", "x"]
            )
            .await
            .code,
        1
    );
}

#[tokio::test]
async fn explain_prints_the_chain_with_the_step_that_decided() {
    async fn answer(Json(asked): Json<Value>) -> Json<Value> {
        assert_eq!(
            asked,
            json!({ "method": "GET", "url": "/dash", "headers": [["x-tenant-id", "2"]] })
        );
        Json(
            json!({ "side": "modern", "upstream": "app", "reason": "flag", "revision": 7, "steps": [
            { "step": "route", "outcome": "/dash is dashboard", "decided": false },
            { "step": "flag", "outcome": "modern at revision 7", "decided": true },
        ] }),
        )
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(
        axum::serve(
            listener,
            Router::new().route("/api/v1/explain", post(answer)),
        )
        .into_future(),
    );
    let ran = run(
        &[("FICUS_URL", &url)],
        &[
            "explain",
            "get",
            "/dash",
            "-H",
            "x-tenant-id: 2",
            "--output",
            "table",
        ],
    )
    .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(
        ran.stdout,
        "modern: upstream app, flag, revision 7\n  route     /dash is dashboard\n→ flag      modern at revision 7\n"
    );
}

#[tokio::test]
async fn a_watched_status_is_told_again_and_again() {
    let stage = Stage::new().await;
    let token = stage.token(Role::Viewer).await;
    let url = stage.listen().await;
    let mut watching = ficus(
        &[("FICUS_URL", &url), ("FICUS_TOKEN", &token)],
        &["status", "--watch", "--output", "table"],
    )
    .stdout(Stdio::piped())
    .spawn()
    .unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let mut heads = 0;
    while heads < 2 {
        let line = lines.next_line().await.unwrap().expect("it goes on");
        heads += usize::from(line.contains("3 tenants"));
    }
    watching.kill().await.unwrap();
}

#[tokio::test]
async fn completions_and_the_version_need_nothing() {
    let ran = run(&[], &["completions", "bash"]).await;
    assert!(ran.code == 0 && ran.stdout.contains("rollback"));
    assert_eq!(
        run(&[], &["--version"]).await.stdout,
        format!("ficus {}\n", env!("CARGO_PKG_VERSION"))
    );
}
