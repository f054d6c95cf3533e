//! The addresses of a name: asked of DNS again when its answer is out of date, and kept when DNS does not answer.
//!
//! Its own file, because a name is resolved here and never in a request's path.

use std::net::{IpAddr, SocketAddr};
use std::sync::Weak;
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::time::sleep;

use super::Upstream;

/// An answer is used this long at least, whatever it says: 0 would ask without end.
const SHORTEST: Duration = Duration::from_secs(1);
/// And this long at most, or a wrong TTL would hold an address for days.
const LONGEST: Duration = Duration::from_secs(3600);
/// After a question that nobody answered.
const RETRY: Duration = Duration::from_secs(2);

/// Keeps the addresses of one origin current until its upstream is gone.
pub async fn keep(upstream: Weak<Upstream>, place: usize) {
    let mut failing = false;
    loop {
        let Some(held) = upstream.upgrade() else {
            return;
        };
        let gone = held.gone.clone();
        let (host, servers) = (
            held.config.origins[place].host.clone(),
            held.resolvers.clone(),
        );
        let name = held.name.clone();
        drop(held);
        let answer = tokio::select! {
            answer = look_up(&host, &servers) => answer,
            () = gone.cancelled() => return,
        };
        let pause = match answer {
            Ok((addresses, ttl)) => {
                let Some(held) = upstream.upgrade() else {
                    return;
                };
                held.point_to(place, &addresses);
                if std::mem::replace(&mut failing, false) {
                    tracing::info!(upstream = name, host, "the upstream's name resolves again");
                }
                jitter(ttl.clamp(SHORTEST, LONGEST))
            }
            Err(problem) => {
                // Said once: a name server that is down for an hour must not fill the log.
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(
                        upstream = name,
                        host,
                        problem,
                        "the upstream's name does not resolve; its last addresses stay"
                    );
                }
                jitter(RETRY)
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = gone.cancelled() => return,
        }
    }
}

/// Up to a tenth more, so that many proxies do not ask at the same moment.
pub fn jitter(time: Duration) -> Duration {
    time.mul_f64(1.0 + rand::random::<f64>() / 10.0)
}

/// Every address of a name, and how long that is true. `/etc/hosts` and `/etc/resolv.conf` are read each time: they
/// change too, and an answer that is still good is not asked for.
pub async fn look_up(
    host: &str,
    servers: &[SocketAddr],
) -> Result<(Vec<IpAddr>, Duration), String> {
    let mut builder = match servers {
        [] => TokioResolver::builder_tokio().map_err(|e| format!("/etc/resolv.conf: {e}"))?,
        servers => TokioResolver::builder_with_config(
            ResolverConfig::from_name_servers(servers.iter().map(name_server).collect()),
            TokioRuntimeProvider::default(),
        ),
    };
    builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    let resolver = builder.build().map_err(|e| e.to_string())?;
    let found = resolver.lookup_ip(host).await.map_err(|e| e.to_string())?;
    let mut addresses: Vec<IpAddr> = found.iter().collect();
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() {
        return Err("it has no address".to_owned());
    }
    let ttl = found
        .valid_until()
        .saturating_duration_since(Instant::now());
    Ok((addresses, ttl))
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut server.connections {
        connection.port = address.port();
    }
    server
}
