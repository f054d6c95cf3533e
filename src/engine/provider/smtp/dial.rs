//! From nothing to a server that waits for mail: TCP, greeting, EHLO, TLS, login.
//!
//! Its own file, because none of it is pipelined and no message is part of it: whatever fails here, none was sent.

use std::borrow::Cow;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::auth::{Login, Mechanism, without_secrets};
use super::capability::Capabilities;
use super::classify::{Stage, classify};
use super::link::{Link, Lost, Stream};
use super::outcome::{Class, Fault};
use super::reply::Reply;
use super::server::{Credentials, Security, Server};
use super::tls::Tls;

/// A server that waits for mail, and what it offers.
pub struct Session {
    pub link: Link<Box<dyn Stream>>,
    pub abilities: Capabilities,
}

pub async fn dial(server: &Server, tls: Option<&Tls>) -> Result<Session, Fault> {
    let times = &server.timeouts;
    let address = (server.host.as_str(), server.port);
    let stream = within(times.connect, "connecting", TcpStream::connect(address)).await?;
    // A body and its end are one write, and so is each group: nothing is gained by holding their last segment back, and
    // against a server that delays its acknowledgements 40 ms a message are lost.
    stream
        .set_nodelay(true)
        .map_err(|e| Fault::not_sent(format!("connecting: {e}")))?;
    let (mut link, abilities) = match (server.security, tls) {
        (Security::Plain, _) => {
            let mut link = Link::new(stream);
            greeted(&mut link, server).await?;
            let abilities = hello(&mut link, server).await?;
            (link.boxed(), abilities)
        }
        (Security::Implicit, Some(tls)) => {
            let mut link = Link::new(encrypt(stream, tls, times.connect).await?);
            greeted(&mut link, server).await?;
            let abilities = hello(&mut link, server).await?;
            (link.boxed(), abilities)
        }
        (Security::StartTls, Some(tls)) => {
            let stream = start_tls(stream, server).await?;
            let mut link = Link::new(encrypt(stream, tls, times.connect).await?);
            // What was offered in plain text counts for nothing (RFC 3207, 4.2).
            let abilities = hello(&mut link, server).await?;
            (link.boxed(), abilities)
        }
        (Security::Implicit | Security::StartTls, None) => {
            return Err(Fault::not_sent("TLS: there are no roots"));
        }
    };
    // As in legacy, a server that offers no login is used without one: nothing secret is said, and one that wants it
    // answers 530 to MAIL.
    if let (Some(credentials), true) = (&server.credentials, abilities.auth) {
        log_in(&mut link, server, &abilities, credentials).await?;
    }
    Ok(Session { link, abilities })
}

async fn greeted<S: Stream>(link: &mut Link<S>, server: &Server) -> Result<(), Fault> {
    let until = Instant::now() + server.timeouts.greeting;
    let reply = link.reply(until).await.map_err(lost("greeting"))?;
    match reply.code {
        220 => Ok(()),
        _ => Err(classify(Stage::Greeting, reply)),
    }
}

async fn hello<S: Stream>(link: &mut Link<S>, server: &Server) -> Result<Capabilities, Fault> {
    let reply = ask(link, server, "EHLO", &server.local_name).await?;
    if reply.code == 250 {
        return Ok(Capabilities::of(&reply.text));
    }
    // RFC 5321, 3.2: a server that does not know EHLO may know HELO. One that is busy or wants a login knows it.
    if !matches!(reply.code, 500..=504 | 550) {
        return Err(classify(Stage::Hello, reply));
    }
    let reply = ask(link, server, "HELO", &server.local_name).await?;
    match reply.code {
        250 => Ok(Capabilities::default()),
        _ => Err(classify(Stage::Hello, reply)),
    }
}

/// Up to where the handshake begins. Nothing but EHLO and STARTTLS is said in plain text.
async fn start_tls(stream: TcpStream, server: &Server) -> Result<TcpStream, Fault> {
    let mut link = Link::new(stream);
    greeted(&mut link, server).await?;
    if !hello(&mut link, server).await?.starttls {
        return Err(Fault::not_sent("TLS: the server does not offer STARTTLS"));
    }
    let reply = ask(&mut link, server, "STARTTLS", "").await?;
    if reply.code != 220 {
        return Err(classify(Stage::StartTls, reply));
    }
    link.into_quiet()
        .ok_or_else(|| Fault::not_sent("TLS: there is plain text after the reply to STARTTLS"))
}

async fn encrypt(
    stream: TcpStream,
    tls: &Tls,
    limit: Duration,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Fault> {
    let handshake = tls.connector.connect(tls.name.clone(), stream);
    within(limit, "TLS", handshake).await
}

async fn log_in<S: Stream>(
    link: &mut Link<S>,
    server: &Server,
    abilities: &Capabilities,
    credentials: &Credentials,
) -> Result<(), Fault> {
    let is_encrypted = server.security != Security::Plain;
    let mut last = Fault::new(
        Class::Account,
        "login: the server offers no mechanism that we could use",
    );
    for mechanism in Mechanism::to_try(&abilities.mechanisms, credentials, is_encrypted) {
        let mut reply = try_login(link, server, mechanism, credentials).await?;
        if reply.is_positive() {
            return Ok(());
        }
        let may_go_on = mechanism.may_be_followed(reply.code);
        reply.text = without_secrets(reply.text, credentials);
        last = classify(Stage::Login, reply);
        if !may_go_on {
            break;
        }
    }
    Err(last)
}

async fn try_login<S: Stream>(
    link: &mut Link<S>,
    server: &Server,
    mechanism: Mechanism,
    credentials: &Credentials,
) -> Result<Reply, Fault> {
    let mut login = Login::new(mechanism, credentials);
    let mut reply = ask(link, server, &login.command(), "").await?;
    while reply.code == 334 {
        // "*" gives the attempt up (RFC 4954, 4).
        let answer = login.answer(&reply.text);
        let line = answer.unwrap_or_else(|_| "*".to_owned());
        let gives_up = line == "*";
        reply = ask(link, server, &line, "").await?;
        if gives_up {
            let what = "login: the server asks what the mechanism has no answer to";
            return Err(Fault::new(Class::Account, what));
        }
    }
    Ok(reply)
}

/// One command, one reply, never in a group: what comes after depends on it.
async fn ask<S: Stream>(
    link: &mut Link<S>,
    server: &Server,
    command: &str,
    argument: &str,
) -> Result<Reply, Fault> {
    let line = match argument {
        "" => format!("{command}\r\n"),
        _ => format!("{command} {argument}\r\n"),
    };
    let written = link.write(line.as_bytes(), server.timeouts.block).await;
    written.map_err(lost("opening the session"))?;
    let until = Instant::now() + server.timeouts.session;
    let reply = link.reply(until).await;
    reply.map_err(lost("opening the session"))
}

async fn within<T>(
    limit: Duration,
    what: &'static str,
    doing: impl Future<Output = std::io::Result<T>>,
) -> Result<T, Fault> {
    match timeout(limit, doing).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(e)) => Err(Fault::not_sent(format!("{what}: {e}"))),
        Err(_) => Err(Fault::not_sent(format!("{what}: not in time"))),
    }
}

fn lost(what: &'static str) -> impl Fn(Lost) -> Fault {
    move |lost| {
        let what: Cow<'static, str> = format!("{what}: {lost}").into();
        Fault::not_sent(what)
    }
}
