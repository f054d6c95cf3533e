//! TLS at the door: the right certificate, renewed while connections live, and clients that show theirs.

use std::net::SocketAddr;
use std::path::Path;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::wire::{FINE, in_time, recorder};
use super::*;
use crate::support::process::free_ports;
use crate::support::tls::{Authority, Client, Identity};

/// What `[proxy.tls]` says in every test here.
pub fn section(listen: SocketAddr, folder: &Path, names: &[&str], more: &str) -> String {
    let folder = folder.display();
    let mut text = format!("[proxy.tls]\nlisten = [\"{listen}\"]\n{more}\n");
    for name in names {
        text.push_str(&format!(
            "[[proxy.tls.certificate]]\nchain = {{ file = \"{folder}/{name}.pem\" }}\nkey = {{ file = \"{folder}/{name}.key\" }}\n"
        ));
    }
    text
}

struct Stage {
    ficus: Ficus,
    address: SocketAddr,
    asked: wire::Asked,
    authority: Authority,
    folder: TempDir,
}

/// A proxy with a certificate for `app.example.com` and one for `*.tenants.example`.
async fn stage(more: impl FnOnce(&Authority, &Path) -> String) -> Stage {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    authority
        .issue(&["app.example.com"])
        .write(folder.path(), "app");
    authority
        .issue(&["*.tenants.example"])
        .write(folder.path(), "tenants");
    let [address] = free_ports();
    let (legacy, asked) = recorder(FINE).await;
    let more = more(&authority, folder.path());
    let config = section(address, folder.path(), &["app", "tenants"], &more);
    let ficus = in_front_of(legacy, &config).await;
    Stage {
        ficus,
        address,
        asked,
        authority,
        folder,
    }
}

async fn ask(stream: &mut TlsStream<TcpStream>, head: &str) -> String {
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    while !answer.ends_with(b"fine") && !answer.ends_with(b"}\n") {
        let mut bytes = [0; 4096];
        let read = in_time(stream.read(&mut bytes)).await.expect("an answer");
        assert!(read > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&bytes[..read]);
    }
    String::from_utf8(answer).expect("text")
}

const GET: &str = "GET /a HTTP/1.1\r\nhost: app.example.com\r\n\r\n";

async fn shown(client: &Client, address: SocketAddr, name: &str) -> std::io::Result<Vec<u8>> {
    let stream = in_time(client.connect(address, name)).await?;
    let chain = stream
        .get_ref()
        .1
        .peer_certificates()
        .expect("a certificate");
    Ok(chain[0].to_vec())
}

#[tokio::test]
async fn a_request_over_tls_is_answered_and_says_so_upstream() {
    let mut stage = stage(|_, _| String::new()).await;
    let client = stage.authority.client(&["http/1.1"], None);
    let mut stream = client
        .connect(stage.address, "app.example.com")
        .await
        .expect("a handshake");
    for _ in 0..3 {
        assert!(ask(&mut stream, GET).await.starts_with("HTTP/1.1 200"));
        let request = stage.asked.next().await;
        assert_eq!(request.head.get("x-forwarded-proto"), Some("https"));
    }
    // Heads are checked to the letter here too.
    let answer = ask(&mut stream, "GET /a HTTP/1.1\nhost: x\n\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn each_name_has_its_certificate_and_an_unknown_one_the_first() {
    let stage = stage(|_, _| String::new()).await;
    let client = stage.authority.client(&[], None);
    let app = shown(&client, stage.address, "app.example.com")
        .await
        .expect("app's");
    let tenant = shown(&client, stage.address, "acme.tenants.example")
        .await
        .expect("the tenants'");
    assert_ne!(app, tenant);
    // Neither is for these, and the client says so.
    for name in ["elsewhere.example", "a.b.tenants.example"] {
        let refused = shown(&client, stage.address, name)
            .await
            .expect_err("another's");
        assert!(refused.to_string().contains("certificate"), "{refused}");
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_the_next_and_a_bad_one_to_nobody() {
    let stage = stage(|_, _| String::new()).await;
    let client = stage.authority.client(&["http/1.1"], None);
    let mut open = client
        .connect(stage.address, "app.example.com")
        .await
        .expect("a handshake");
    let old = shown(&client, stage.address, "app.example.com")
        .await
        .expect("the old one");
    stage
        .authority
        .issue(&["app.example.com"])
        .write(stage.folder.path(), "app");
    let renewed = eventually("the new certificate is shown", || async {
        let now = shown(&client, stage.address, "app.example.com")
            .await
            .expect("one of both");
        (now != old).then_some(now)
    })
    .await;
    let other = stage.authority.issue(&["app.example.com"]);
    let broken = Identity {
        chain: other.chain,
        key: "no key at all".to_owned(),
    };
    broken.write(stage.folder.path(), "app");
    eventually("the fault is told", || async {
        stage
            .ficus
            .log()
            .contains("proxy.tls.certificate[0].key")
            .then_some(())
    })
    .await;
    let now = shown(&client, stage.address, "app.example.com")
        .await
        .expect("the good one");
    assert_eq!(now, renewed);
    // The oldest connection has noticed nothing of it all.
    assert!(ask(&mut open, GET).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn who_must_show_a_certificate_and_has_none_is_turned_away() {
    let clients = Authority::new();
    let stage = stage(|_, folder| {
        std::fs::write(folder.join("clients.pem"), &clients.pem).expect("written");
        let file = folder.join("clients.pem");
        format!(
            "client_auth = \"required\"\nclient_ca = {{ file = \"{}\" }}",
            file.display()
        )
    })
    .await;
    let strangers = Authority::new();
    let (known, unknown) = (clients.issue(&["someone"]), strangers.issue(&["someone"]));
    for (shows, is_let_in) in [(None, false), (Some(&unknown), false), (Some(&known), true)] {
        let client = stage.authority.client(&["http/1.1"], shows);
        // In TLS 1.3 a client learns of its refusal only when it reads.
        let answered = async {
            let mut stream = client.connect(stage.address, "app.example.com").await?;
            stream.write_all(GET.as_bytes()).await?;
            let mut first = [0; 12];
            stream.read_exact(&mut first).await?;
            std::io::Result::Ok(first)
        };
        let answered = in_time(answered).await;
        assert_eq!(answered.is_ok_and(|it| &it == b"HTTP/1.1 200"), is_let_in);
    }
}

#[tokio::test]
async fn a_connection_made_for_one_tenant_is_not_used_for_another() {
    let mut stage = stage(|_, _| {
        "[[tenant]]\nresolver = \"host\"\npattern = \"{tenant}.tenants.example\"".to_owned()
    })
    .await;
    let client = stage.authority.client(&["http/1.1"], None);
    let mut stream = client
        .connect(stage.address, "acme.tenants.example")
        .await
        .expect("a handshake");
    let own = "GET / HTTP/1.1\r\nhost: acme.tenants.example\r\n\r\n";
    assert!(ask(&mut stream, own).await.starts_with("HTTP/1.1 200"));
    stage.asked.next().await;
    let other = "GET / HTTP/1.1\r\nhost: globex.tenants.example\r\n\r\n";
    assert!(ask(&mut stream, other).await.starts_with("HTTP/1.1 421"));
    assert_eq!(stage.asked.waiting(), 0);
}

#[tokio::test]
async fn what_is_no_handshake_is_let_go_and_counted() {
    let stage = stage(|_, _| "[proxy.timeouts]\nhead = \"300ms\"".to_owned()).await;
    let mut silent = wire::Wire::connect(stage.address).await;
    let mut plain = wire::Wire::connect(stage.address).await;
    plain.send(GET).await;
    plain.rest().await;
    silent.rest().await;
    eventually("both are counted", || async {
        let metrics = stage.ficus.metrics().await;
        let line = metrics
            .lines()
            .find(|it| it.contains("tls-handshake"))?
            .to_owned();
        line.ends_with(" 2").then_some(())
    })
    .await;
}
