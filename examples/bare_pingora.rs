//! pingora alone, in front of one upstream: what a proxied request costs before ficus adds anything.
//!
//! `cargo run --release --example bare_pingora -- LISTEN UPSTREAM [THREADS]`. An example, so that it is built with the
//! same profile, dependencies and allocator as ficus, which is what makes the two figures comparable.

#![expect(clippy::print_stderr, reason = "a tool for people at a terminal")]

use std::net::SocketAddr;
use std::process::ExitCode;

use async_trait::async_trait;
use pingora::prelude::*;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::configuration::ServerConf;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Bare(SocketAddr);

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _session: &mut Session, _ctx: &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.0, false, String::new())))
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let read = match arguments.as_slice() {
        [listen, upstream] => Some((listen, upstream.parse(), Ok(1))),
        [listen, upstream, threads] => Some((listen, upstream.parse(), threads.parse())),
        _ => None,
    };
    let Some((listen, Ok(upstream), Ok(threads))) = read else {
        eprintln!(
            "usage: bare_pingora LISTEN UPSTREAM [THREADS], such as 127.0.0.1:8020 127.0.0.1:9000 1"
        );
        return ExitCode::from(2);
    };
    let conf = ServerConf {
        threads,
        upstream_keepalive_pool_size: 1024,
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Bare(upstream));
    service.add_tcp(listen);
    server.add_service(service);
    server.run_forever()
}
