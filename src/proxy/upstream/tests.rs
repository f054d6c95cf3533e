//! An upstream without sockets: which address a request gets, and what is kept and given back.
//!
//! Its own file, because its parts are built here for the tests of the files beside it, too.

use std::time::Duration;

use super::*;

pub fn origin(url: &str) -> Origin {
    let (scheme, rest) = url.split_once("://").expect("a scheme");
    let tls = scheme == "https";
    let default = if tls { 443 } else { 80 };
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().expect("a port")),
        None => (rest, default),
    };
    Origin {
        tls,
        host: host.trim_matches(['[', ']']).to_owned(),
        port,
    }
}

pub fn settings(urls: &[&str]) -> Settings {
    let second = Duration::from_secs(1);
    Settings {
        origins: urls.iter().map(|url| origin(url)).collect(),
        connect_timeout: second,
        read_timeout: second,
        write_timeout: second,
        idle_timeout: second,
        preserve_host: true,
        max_requests: 0,
        attempts: 2,
        tls: Tls {
            ca: Vec::new(),
            sni: None,
            verify: true,
            client: None,
        },
        health: None,
        outlier: Some(outlier::Settings {
            failures: 2,
            eject: Duration::from_secs(60),
            max_ejected: 50,
        }),
        breaker: None,
    }
}

const THREE: [&str; 3] = [
    "http://127.0.0.1:1",
    "http://127.0.0.1:2",
    "http://127.0.0.1:3",
];

fn upstream(settings: &Settings) -> (Arc<Upstream>, Metrics) {
    let metrics = Metrics::new();
    let upstream = Upstream::new("modern", settings, &[], &metrics);
    (Arc::new(upstream), metrics)
}

fn ports(upstream: &Upstream, requests: usize) -> Vec<u16> {
    let legs: Vec<Leg> = (0..requests)
        .map(|_| upstream.take(None).expect("a place"))
        .collect();
    let mut ports: Vec<u16> = legs.iter().map(|leg| leg.endpoint.address.port()).collect();
    ports.sort_unstable();
    ports
}

#[test]
fn requests_under_way_are_spread_evenly_and_leave_no_trace() {
    let (upstream, _) = upstream(&settings(&THREE));
    for _ in 0..3 {
        assert_eq!(ports(&upstream, 6), [1, 1, 2, 2, 3, 3]);
    }
    let endpoints = upstream.endpoints.load();
    assert!(endpoints.all.iter().all(|e| e.in_flight() == 0));
}

#[test]
fn an_address_that_fails_twice_in_a_row_is_left_out_and_only_one_of_three() {
    let (upstream, metrics) = upstream(&settings(&THREE));
    for _ in 0..100 {
        let mut leg = upstream.take(None).expect("a place");
        let failed = (leg.endpoint.address.port() < 3).then_some(Failed::Connect);
        upstream.note(&mut leg, failed);
    }
    let text = metrics.encode(None);
    let healthy = text
        .lines()
        .filter(|l| l.starts_with("ficus_upstream_healthy{") && l.ends_with(" 1"));
    assert_eq!(healthy.count(), 2, "{text}");
    assert_eq!(ports(&upstream, 4).last(), Some(&3));
}

#[test]
fn when_every_address_is_unhealthy_all_are_asked() {
    let (upstream, _) = upstream(&settings(&THREE));
    let health = Health {
        path: "/".to_owned(),
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        healthy_after: 1,
        unhealthy_after: 1,
        status: 200..=299,
    };
    let all = Arc::clone(&upstream.endpoints.load().all);
    all[0].checked(false, &health);
    upstream.refresh();
    assert_eq!(ports(&upstream, 4), [2, 2, 3, 3]);
    for endpoint in all.iter() {
        endpoint.checked(false, &health);
    }
    upstream.refresh();
    assert_eq!(ports(&upstream, 3), [1, 2, 3]);
}

#[test]
fn over_its_limit_an_upstream_takes_nothing_until_something_ends() {
    let (upstream, _) = upstream(&Settings {
        max_requests: 1,
        ..settings(&THREE[..1])
    });
    let held = upstream.take(None).ok();
    assert_eq!(upstream.take(None).err(), Some(Taken::BUSY));
    drop(held);
    assert!(upstream.take(None).is_ok());
}

#[test]
fn a_probe_whose_client_went_away_is_given_back() {
    let (upstream, _) = upstream(&Settings {
        breaker: Some(breaker::Settings {
            failures: 1,
            min_requests: 1,
            window: Duration::from_secs(1),
            open: Duration::ZERO,
            probes: 1,
        }),
        ..settings(&THREE[..1])
    });
    let mut leg = upstream.take(None).expect("closed");
    upstream.note(&mut leg, Some(Failed::Timeout));
    let breaker = upstream.breaker.as_ref().expect("there is one");
    assert_eq!(breaker.state(), breaker::State::Open);
    for _ in 0..3 {
        drop(upstream.take(None).expect("a probe"));
    }
    let mut leg = upstream.take(None).expect("a probe");
    upstream.note(&mut leg, None);
    assert_eq!(breaker.state(), breaker::State::Closed);
}

#[test]
fn an_address_that_stays_keeps_its_record_and_one_that_goes_leaves_the_metrics() {
    let (upstream, metrics) = upstream(&settings(&["http://legacy.internal:80"]));
    let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
    assert_eq!(upstream.take(None).err(), Some(Taken::NOWHERE));
    upstream.point_to(0, &[ip("10.0.0.1"), ip("10.0.0.2")]);
    let kept = Arc::clone(&upstream.endpoints.load().all[1]);
    upstream.point_to(0, &[ip("10.0.0.2"), ip("10.0.0.3")]);
    assert!(Arc::ptr_eq(&kept, &upstream.endpoints.load().all[0]));
    let text = metrics.encode(None);
    assert!(
        !text.contains("10.0.0.1") && text.contains("10.0.0.3"),
        "{text}"
    );
}

#[test]
fn an_upstream_that_a_reload_leaves_out_leaves_the_metrics() {
    let (upstream, metrics) = upstream(&settings(&THREE));
    upstream.retire(None);
    upstream.refresh();
    assert!(!metrics.encode(None).contains("address="));
}
