//! The leader: of all processes on one database, the one that holds an advisory lock.
//!
//! Its own file, because how long two may believe to be it, and how long nobody is, is decided here: a lost leader is
//! succeeded within 15 s, and one that cannot reach the database stops before its successor may begin.

use std::future::Future;
use std::time::Duration;

use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// "ficus" in ASCII. Advisory locks belong to a database, so two installations on one server have two leaders.
const LOCK: i64 = 0x66_69_63_75_73;
/// A follower asks for the lock this often: half of what a clean loss takes.
const ASK_EVERY: Duration = Duration::from_secs(3);
/// The leader proves its session this often, and gives it this long: after 6 s without an answer it is none any more.
const PROBE_EVERY: Duration = Duration::from_secs(3);
const PROBE_DEADLINE: Duration = Duration::from_secs(3);
/// PostgreSQL ends a session that has been silent for so long, and with it the lock: longer than the 6 s after which
/// the leader itself has stopped, so that the successor is alone.
const SESSION: &str = "set idle_session_timeout = '9s'; set statement_timeout = '3s'";
/// What the leader did may take this long to end.
const GIVE_UP: Duration = Duration::from_secs(5);

/// Runs `work` whenever this process leads, until `stop`. What `work` is given is cancelled when the lead is lost.
/// Bound: one connection, one `work` at a time.
pub async fn lead<F, Fut>(url: &str, stop: CancellationToken, work: F)
where
    F: Fn(CancellationToken) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    loop {
        let term = async {
            match term(url, &stop, &work).await {
                Ok(()) => {}
                Err(e) => tracing::warn!(error = %format!("{e:#}"), "not the leader"),
            }
            sleep(ASK_EVERY).await;
        };
        tokio::select! {
            () = term => {}
            () = stop.cancelled() => return,
        }
    }
}

/// From connecting until the lead is lost or the database is.
async fn term<F, Fut>(url: &str, stop: &CancellationToken, work: &F) -> anyhow::Result<()>
where
    F: Fn(CancellationToken) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let options = super::connect_options(url)?.application_name("ficus leader");
    let mut session = timeout(PROBE_DEADLINE, options.connect()).await??;
    sqlx::raw_sql(SESSION).execute(&mut session).await?;
    let mut ask = interval(ASK_EVERY);
    loop {
        ask.tick().await;
        let got = sqlx::query_scalar("select pg_try_advisory_lock($1)").bind(LOCK);
        if timeout(PROBE_DEADLINE, got.fetch_one(&mut session)).await?? {
            break;
        }
    }
    tracing::info!("this process leads");
    let until = stop.child_token();
    // Cancelled with this future, too: a drop guard, since `stop` drops it in the middle.
    let _end = until.clone().drop_guard();
    let mut running = tokio::spawn(work(until.clone()));
    let lost = tokio::select! {
        lost = hold(&mut session) => lost,
        ended = &mut running => return ended.map_err(Into::into),
    };
    until.cancel();
    if timeout(GIVE_UP, &mut running).await.is_err() {
        running.abort();
    }
    let _ = timeout(PROBE_DEADLINE, session.close()).await;
    lost.map(|never| match never {})
}

/// Proves the session until it cannot be proven.
async fn hold(session: &mut PgConnection) -> anyhow::Result<std::convert::Infallible> {
    let mut probe = interval(PROBE_EVERY);
    loop {
        probe.tick().await;
        timeout(
            PROBE_DEADLINE,
            sqlx::query("select 1").execute(&mut *session),
        )
        .await??;
    }
}
