//! Names whose addresses change, asked of a name server of the test's own.
//!
//! Its own file, because a name server that can be told what to say is needed nowhere else.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, UdpSocket};

use super::super::wire::{Wire, get};
use super::super::{dead_port, in_front_of};
use super::{answer, asked};
use crate::support::process::eventually;

/// What the name server says: addresses, or that it has failed.
type Said = Option<Vec<Ipv4Addr>>;

/// Answers every question for A with what it is told, for AAAA with nothing; a TTL of none, which is the most often
/// that anybody may ask.
async fn name_server(said: Arc<ArcSwap<Said>>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let address = socket.local_addr().expect("its address");
    tokio::spawn(async move {
        let mut packet = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut packet).await {
            let reply = reply(&packet[..length], &said.load());
            let _ = socket.send_to(&reply, from).await;
        }
    });
    address
}

/// RFC 1035, 4.1: the header, the question as it came, and a record for each address.
fn reply(query: &[u8], said: &Said) -> Vec<u8> {
    let end = 12 + query[12..].iter().position(|b| *b == 0).expect("a name") + 5;
    let is_a = query[end - 4..end - 2] == [0, 1];
    let addresses: &[Ipv4Addr] = match said {
        Some(addresses) if is_a => addresses,
        _ => &[],
    };
    let failed = if said.is_none() { 2 } else { 0 };
    let mut reply = query[..2].to_vec();
    reply.extend([
        0x81,
        0x80 | failed,
        0,
        1,
        0,
        addresses.len() as u8,
        0,
        0,
        0,
        0,
    ]);
    reply.extend(&query[12..end]);
    for address in addresses {
        // The name by reference, A, IN, TTL 0, four bytes.
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        reply.extend(address.octets());
    }
    reply
}

/// Two origins on one port of two addresses, which tell their names.
async fn two_on_one_port() -> (u16, [Ipv4Addr; 2]) {
    let addresses = [Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(127, 0, 0, 2)];
    let first = TcpListener::bind((addresses[0], 0))
        .await
        .expect("a free port");
    let port = first.local_addr().expect("its address").port();
    let second = TcpListener::bind((addresses[1], port))
        .await
        .expect("free there too");
    for (listener, name) in [(first, "one"), (second, "two")] {
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut wire = Wire::over(stream);
                tokio::spawn(async move {
                    while wire.request().await.is_ok() {
                        wire.send(answer(200, name)).await;
                    }
                });
            }
        });
    }
    (port, addresses)
}

#[tokio::test]
async fn a_name_is_followed_wherever_it_points_and_kept_when_nobody_knows_it() {
    let (port, [one, two]) = two_on_one_port().await;
    let said = Arc::new(ArcSwap::from_pointee(Some(vec![one])));
    let server = name_server(Arc::clone(&said)).await;
    let config = format!(
        "[proxy]\nresolvers = [\"{server}\"]\n[upstream.moving]\nurl = \"http://moving.example:{port}\"\n\
         [[route]]\npath = \"/{{*rest}}\"\nupstream = \"moving\"\n"
    );
    let ficus = in_front_of(dead_port(), &config).await;
    let told = |name: &'static str| {
        let ficus = &ficus;
        eventually(name, move || async move {
            let answer = asked(ficus, &get("/a", "")).await;
            (answer.text() == name).then_some(())
        })
    };
    told("one").await;
    said.store(Arc::new(Some(vec![two])));
    told("two").await;

    said.store(Arc::new(None));
    eventually("it is noticed that the name server fails", || async {
        ficus
            .log()
            .contains("its last addresses stay")
            .then_some(())
    })
    .await;
    assert_eq!(asked(&ficus, &get("/a", "")).await.text(), "two");

    said.store(Arc::new(Some(vec![one, two])));
    told("one").await;
    told("two").await;
    let metrics = ficus.metrics().await;
    let series = metrics
        .lines()
        .filter(|l| l.starts_with("ficus_upstream_healthy{upstream=\"moving\""));
    assert_eq!(series.count(), 2, "{metrics}");
}

#[tokio::test]
async fn the_hosts_file_is_believed_before_any_name_server() {
    let (port, _) = two_on_one_port().await;
    let config = format!(
        "[proxy]\nresolvers = [\"{}\"]\n[upstream.here]\nurl = \"http://localhost:{port}\"\n\
         [[route]]\npath = \"/{{*rest}}\"\nupstream = \"here\"\n",
        dead_port()
    );
    let ficus = in_front_of(dead_port(), &config).await;
    eventually("localhost is known", || async {
        let answer = asked(&ficus, &get("/a", "")).await;
        (answer.head.status() == 200).then_some(())
    })
    .await;
}
