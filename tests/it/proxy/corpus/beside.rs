//! The same corpus through nginx and HAProxy, which `make soak` runs: a table of three.
//!
//! Its own file, because it needs programs that the tests do not, and because what others do is no test of ours.

use std::net::SocketAddr;
use std::process::Stdio;

use tokio::process::{Child, Command};

use super::fixture::{self, Case};
use super::origin::Origin;
use super::verdict::{GRADES, Grade};
use super::{DEADLINES, Outcome, replay_all};
use crate::proxy::in_front_of;
use crate::support::process::{eventually, free_ports};

/// nginx as a proxy with the same deadlines, and an id on each request by which the origin knows what it sent.
fn nginx(port: SocketAddr, origin: SocketAddr, folder: &str) -> String {
    format!(
        "daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log;\n\
         events {{ worker_connections 1024; }}\n\
         http {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;\n\
           fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n\
           client_header_timeout 2s; client_body_timeout 1s; keepalive_timeout 3s; client_max_body_size 0;\n\
           upstream origin {{ server {origin}; keepalive 64; }}\n\
           server {{ listen {port}; location / {{\n\
             proxy_pass http://origin; proxy_http_version 1.1; proxy_request_buffering off; proxy_next_upstream off;\n\
             proxy_set_header Connection \"\"; proxy_set_header Host $http_host; proxy_set_header X-Request-ID $request_id;\n\
           }} }} }}\n"
    )
}

/// HAProxy likewise.
fn haproxy(port: SocketAddr, origin: SocketAddr) -> String {
    format!(
        "defaults\n mode http\n timeout connect 2s\n timeout server 5s\n timeout client 3s\n timeout http-request 2s\n\
         timeout http-keep-alive 3s\n retries 0\n option http-keep-alive\n http-reuse always\n\
         frontend in\n bind {port}\n http-request set-header x-request-id %[uuid]\n default_backend origin\n\
         backend origin\n server origin {origin}\n"
    )
}

async fn start(command: &mut Command, port: SocketAddr) -> Child {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let child = command.kill_on_drop(true).spawn();
    let child = child.expect("it starts: install nginx and haproxy, which make soak asks for");
    eventually("it listens", || async {
        tokio::net::TcpStream::connect(port).await.ok().map(drop)
    })
    .await;
    child
}

/// What is no promise of ficus alone.
fn cases() -> Vec<Case> {
    let mut cases = fixture::all();
    cases.retain(|case| !case.source.starts_with("ficus "));
    cases
}

fn row(name: &str, outcome: &Outcome) -> String {
    let count = |grade: Grade| {
        outcome
            .grades
            .values()
            .filter(|(it, _)| *it == grade)
            .count()
    };
    let counts = GRADES.map(|grade| count(grade).to_string()).join(" | ");
    let Outcome {
        crossed, orphans, ..
    } = outcome;
    format!("| {name} | {counts} | {crossed} | {} |", orphans.len())
}

/// `CORPUS_DETAILS=FILE` takes each case that is no pass.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "make soak: needs nginx and haproxy"]
async fn the_corpus_through_nginx_haproxy_and_ficus() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let path = folder.path().to_str().expect("a path in UTF-8");
    let mut rows = vec![
        format!(
            "| {} requests | pass | warn | fail | desync | hang | leak | crossed | stray |",
            cases().len()
        ),
        "|---|---|---|---|---|---|---|---|---|".to_owned(),
    ];
    let mut details = String::new();
    let mut note = |name: &str, outcome: &Outcome| {
        rows.push(row(name, outcome));
        for (case, (grade, why)) in &outcome.grades {
            if *grade != Grade::Pass {
                details.push_str(&format!("{name} {grade:?} {case}: {why}\n"));
            }
        }
        for orphan in &outcome.orphans {
            details.push_str(&format!("{name} {orphan}\n"));
        }
    };

    let (origin, [port]) = (Origin::start().await, free_ports());
    let file = folder.path().join("nginx.conf");
    std::fs::write(&file, nginx(port, origin.address, path)).expect("its configuration");
    let child = start(
        Command::new("nginx").args(["-p", path, "-c"]).arg(&file),
        port,
    )
    .await;
    note("nginx", &replay_all(cases(), port, &origin).await);
    stop(child).await;

    let (origin, [port]) = (Origin::start().await, free_ports());
    let file = folder.path().join("haproxy.cfg");
    std::fs::write(&file, haproxy(port, origin.address)).expect("its configuration");
    let child = start(
        Command::new("haproxy").arg("-db").arg("-f").arg(&file),
        port,
    )
    .await;
    note("HAProxy", &replay_all(cases(), port, &origin).await);
    stop(child).await;

    let origin = Origin::start().await;
    let proxy = in_front_of(origin.address, DEADLINES).await;
    let ours = replay_all(cases(), proxy.proxy, &origin).await;
    note("ficus", &ours);
    say(&rows.join("\n"));
    if let Ok(file) = std::env::var("CORPUS_DETAILS") {
        std::fs::write(file, details).expect("the details are written");
    }
    let unsafe_ones = ours
        .grades
        .values()
        .filter(|(grade, _)| *grade >= Grade::Hang)
        .count();
    assert_eq!((unsafe_ones, ours.crossed, ours.orphans.len()), (0, 0, 0));
}

#[allow(clippy::print_stdout, reason = "the table is what it is run for")]
fn say(table: &str) {
    println!("{table}");
}

/// By a signal that lets nginx end its worker.
async fn stop(mut child: Child) {
    let pid = child.id().expect("it runs").to_string();
    let sent = std::process::Command::new("kill")
        .args(["-TERM", &pid])
        .status();
    assert!(sent.expect("kill runs").success());
    child.wait().await.expect("it ends");
}
