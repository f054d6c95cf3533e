//! Rate limits that proxies share in Redis, and what becomes of them when it goes away.
//!
//! Its own file, because these tests stop and freeze a Redis of their own.

use std::net::SocketAddr;

use futures_util::future::join_all;

use super::in_front_of;
use super::wire::{FINE, Wire, ask, get, recorder};
use crate::support::process::{Ficus, eventually};
use crate::support::redis::Redis;

/// Two proxies with one Redis and one route. The deadline is long where a busy machine must not decide a test.
async fn pair(redis: &Redis, limit: &str, deadline: &str) -> [Ficus; 2] {
    let (legacy, _) = recorder(FINE).await;
    let more = format!(
        "[redis]\nurl = \"{}\"\n\
         [proxy]\ntrusted_proxies = [\"127.0.0.0/8\"]\nrate_limit = {{ store = \"redis\", deadline = \"{deadline}\" }}\n\
         [[route]]\npath = \"/a\"\nside = \"legacy\"\nrate_limit = {{ limit = \"{limit}\", by = \"ip\" }}\n",
        redis.url()
    );
    [
        in_front_of(legacy, &more).await,
        in_front_of(legacy, &more).await,
    ]
}

fn from(address: &str) -> String {
    get("/a", &format!("x-forwarded-for: {address}\r\n"))
}

/// How many of so many requests on one connection come through.
async fn allowed(proxy: SocketAddr, request: &str, times: usize) -> usize {
    let mut client = Wire::connect(proxy).await;
    let mut allowed = 0;
    for _ in 0..times {
        let status = client.ask(request).await.head.status();
        assert!([200, 429].contains(&status), "{status}");
        allowed += usize::from(status == 200);
    }
    allowed
}

/// How many requests a process counted alone.
async fn counted_alone(ficus: &Ficus) -> u64 {
    let metrics = ficus.metrics().await;
    let mut lines = metrics.lines();
    let count = lines.find_map(|line| line.strip_prefix("ficus_rate_limits_counted_alone_total "));
    count
        .and_then(|count| count.parse().ok())
        .expect("a number")
}

#[tokio::test]
async fn two_proxies_that_share_let_exactly_the_limit_through() {
    let redis = Redis::start().await;
    let fleet = pair(&redis, "200/day", "10s").await;
    let request = from("192.0.2.1");
    let bursts = fleet
        .iter()
        .flat_map(|ficus| (0..4).map(|_| allowed(ficus.proxy, &request, 50)));
    let counted = join_all(bursts).await;
    assert_eq!(counted.iter().sum::<usize>(), 200, "{counted:?}");
    for ficus in &fleet {
        assert_eq!(counted_alone(ficus).await, 0);
    }
    // Nobody's address can be read there.
    let mut connection = redis.connection().await;
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg("*")
        .query_async(&mut connection)
        .await
        .expect("keys");
    assert_eq!(keys.len(), 1);
    assert!(
        keys[0].starts_with("ficus:limit:") && !keys[0].contains("192"),
        "{keys:?}"
    );
    let left: i64 = redis::cmd("TTL")
        .arg(&keys[0])
        .query_async(&mut connection)
        .await
        .expect("a time");
    assert!(
        (86_000..=86_400).contains(&left),
        "a counter goes when it is full: {left}"
    );
}

#[tokio::test]
async fn what_is_left_is_told_as_redis_has_it() {
    let redis = Redis::start().await;
    let [one, other] = pair(&redis, "3/day", "10s").await;
    for (ficus, left) in [(&one, 2), (&other, 1), (&one, 0)] {
        let answer = ask(ficus.proxy, from("192.0.2.1")).await;
        let told = answer.head.get("ratelimit").expect("what is left");
        assert!(
            told.starts_with(&format!("\"default\";r={left};t=")),
            "{told}"
        );
    }
    let refused = ask(other.proxy, from("192.0.2.1")).await;
    assert_eq!(refused.head.status(), 429);
    let after: u64 = refused
        .head
        .get("retry-after")
        .expect("a time")
        .parse()
        .expect("a number");
    assert!((28_000..=28_800).contains(&after), "{after}");
}

#[tokio::test]
async fn without_redis_each_goes_on_from_what_it_knew() {
    let mut redis = Redis::start().await;
    let [one, other] = pair(&redis, "10/day", "10s").await;
    let request = from("192.0.2.1");
    assert_eq!(allowed(one.proxy, &request, 4).await, 4);
    assert_eq!(allowed(other.proxy, &request, 3).await, 3);
    assert_eq!(allowed(one.proxy, &request, 1).await, 1);
    redis.kill().await;
    // One knew of eight, the other of seven.
    assert_eq!(allowed(one.proxy, &request, 5).await, 2);
    assert_eq!(allowed(other.proxy, &request, 5).await, 3);
    assert_eq!(counted_alone(&one).await, 5);
    assert!(one.log().contains("redis is away"), "{}", one.log());

    redis.start_again().await;
    eventually("they share again", || async {
        ask(one.proxy, from("192.0.2.2")).await;
        let mut connection = redis.connection().await;
        let keys: u64 = redis::cmd("DBSIZE")
            .query_async(&mut connection)
            .await
            .ok()?;
        (keys > 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_redis_that_says_nothing_costs_the_deadline_and_no_answer() {
    let redis = Redis::start().await;
    let [ficus, _] = pair(&redis, "10/day", "20ms").await;
    redis.signal("STOP");
    assert_eq!(allowed(ficus.proxy, &from("192.0.2.1"), 30).await, 10);
    assert_eq!(counted_alone(&ficus).await, 30);
    redis.signal("CONT");
}
