//! Files fetched from a server of the tests' own, and from where nobody may be sent.
//!
//! Its own file, because the server has TLS and a certificate that is made for the test.

use std::sync::Arc;

use rcgen::CertifiedKey;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

/// Answers each connection with what `answer` makes of the path that is asked for. Ends with the test's runtime.
async fn serve(answer: fn(&str) -> String) -> (SocketAddr, Fetcher) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut head = [0; 4096];
            let length = stream.read(&mut head).await.unwrap_or_default();
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            let path = head.split(' ').nth(1).unwrap_or_default();
            let _ = stream.write_all(answer(path).as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    let certificate = reqwest::Certificate::from_der(cert.der()).unwrap();
    let fetcher = Fetcher {
        permitted: Some((address, certificate)),
        ..Fetcher::default()
    };
    (address, fetcher)
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/csv; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn redirect(to: &str) -> String {
    format!(
        "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
}

async fn load(fetcher: &Fetcher, url: &str) -> Result<File, Fault> {
    let wanted = Wanted {
        name: "prices.csv",
        kind: None,
        inline: None,
        source: Source::Url(url),
    };
    fetcher.load(&wanted).await
}

/// `localhost` is the name in the certificate.
fn url(address: SocketAddr, path: &str) -> String {
    format!("https://localhost:{}{path}", address.port())
}

#[tokio::test]
async fn a_file_is_fetched_through_a_redirect() {
    let (address, fetcher) = serve(|path| match path {
        "/a" => redirect("/b?x=1"),
        "/b?x=1" => ok("a;b"),
        "/slow" => "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab".to_owned(),
        "/large" => format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            FILE_LIMIT + 1
        ),
        "/inside" => redirect("https://169.254.169.254/latest/meta-data/"),
        "/plain" => redirect("http://localhost/"),
        "/round" => redirect("/round"),
        _ => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
    })
    .await;
    let file = load(&fetcher, &url(address, "/a")).await.unwrap();
    assert_eq!(
        (file.bytes.as_slice(), file.kind.as_str()),
        (&b"a;b"[..], "text/csv")
    );
    let metadata = "169.254.169.254".parse().unwrap();
    for (path, expected) in [
        ("/none", Fault::Status(404)),
        ("/slow", Fault::Transport),
        ("/large", Fault::TooLarge),
        ("/inside", Fault::Forbidden(metadata)),
        ("/plain", Fault::Url),
        ("/round", Fault::Redirects),
    ] {
        assert_eq!(
            load(&fetcher, &url(address, path)).await.unwrap_err(),
            expected,
            "{path}"
        );
    }
}

#[tokio::test]
async fn nobody_is_sent_inside() {
    let (address, _) = serve(|_| ok("secret")).await;
    let fetcher = Fetcher::default();
    let loopback = format!("https://127.0.0.1:{}/", address.port());
    for url in [
        loopback.as_str(),
        "https://2130706433/",
        "https://0x7f.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/",
        "https://10.0.0.1/",
        "https://localhost/",
    ] {
        let fault = load(&fetcher, url).await.unwrap_err();
        assert!(matches!(fault, Fault::Forbidden(_)), "{url} {fault:?}");
    }
}

#[tokio::test]
async fn only_https_without_credentials_is_asked() {
    for url in [
        "http://example.com/",
        "file:///etc/passwd",
        "ftp://example.com/",
        "https://user:secret@example.com/",
        "https://user@example.com/",
        "//example.com/",
        "",
        &format!("https://example.com/{}", "a".repeat(URL_LIMIT)),
    ] {
        assert_eq!(
            load(&Fetcher::default(), url).await.unwrap_err(),
            Fault::Url,
            "{url}"
        );
    }
}

#[tokio::test]
async fn a_file_that_is_given_needs_no_server() {
    let wanted = |text| Wanted {
        name: "../a.pdf",
        kind: Some("application/pdf"),
        inline: Some("logo"),
        source: Source::Base64(text),
    };
    let fetcher = Fetcher::default();
    let file = fetcher.load(&wanted("aGVs\r\nbG8=\n")).await.unwrap();
    assert_eq!(file.bytes, b"hello");
    assert_eq!(
        (file.name.as_str(), file.kind.as_str()),
        ("a.pdf", "application/pdf")
    );
    assert_eq!(
        fetcher.load(&wanted("a?b")).await.unwrap_err(),
        Fault::Base64
    );
    let large = STANDARD.encode(vec![0; FILE_LIMIT + 1]);
    assert_eq!(
        fetcher.load(&wanted(&large)).await.unwrap_err(),
        Fault::TooLarge
    );
}

#[test]
fn what_may_work_later_is_told_from_what_will_not() {
    for fault in [
        Fault::Timeout,
        Fault::Transport,
        Fault::Unresolved,
        Fault::Status(503),
        Fault::Status(429),
    ] {
        assert!(fault.is_transient(), "{fault}");
    }
    for fault in [
        Fault::Status(404),
        Fault::TooLarge,
        Fault::Url,
        Fault::Redirects,
        Fault::Forbidden([10, 0, 0, 1].into()),
    ] {
        assert!(!fault.is_transient(), "{fault}");
    }
}
