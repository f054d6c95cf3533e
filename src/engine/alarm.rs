//! Tells people of tenants whose mail server fails, or whose SMS gateway refuses them: one alert an episode, in the table of alerts.
//!
//! Its own file, because telling must never keep a message from leaving: it has a task of its own, and what finds no room is dropped.

use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::breaker::{Kind, Trouble};
use crate::alerts::{Alert, Severity, raise, resolve};
use crate::ids::TenantId;

/// Waiting to be written. Each is said again at the next probe.
const WAITING: usize = 1_000;
/// Between two looks for alerts of which nobody says anything any more.
const SWEEP: Duration = Duration::from_secs(600);
/// An alert that was not seen for so long is over: its engine died, and whoever took over found the server well, or nothing waits.
/// Probes are a minute apart, or as `engine.account_wait` says, an hour at most.
const UNSEEN: &str = "3 hours";

/// Clones tell the same task.
#[derive(Clone)]
pub struct Alarm(Option<mpsc::Sender<Word>>);

enum Word {
    Raise(Trouble),
    End(TenantId),
    /// With the gateway's name and its code.
    RaiseGateway(TenantId, &'static str, String),
    EndGateway(TenantId, &'static str),
}

impl Alarm {
    /// Nobody is told.
    pub fn off() -> Self {
        Self(None)
    }

    /// Runs until `stop`, in a task of `tasks`.
    pub fn start(pool: PgPool, tasks: &TaskTracker, stop: CancellationToken) -> Self {
        let (words, heard) = mpsc::channel(WAITING);
        tasks.spawn(async move { stop.run_until_cancelled(write(pool, heard)).await });
        Self(Some(words))
    }

    /// Said again in the same episode, it is the same alert.
    pub fn raise(&self, trouble: Trouble) {
        self.say(Word::Raise(trouble));
    }

    pub fn end(&self, tenant: TenantId) {
        self.say(Word::End(tenant));
    }

    /// Said again at each probe, it is the same alert.
    pub fn raise_gateway(&self, tenant: TenantId, gateway: &'static str, code: &str) {
        self.say(Word::RaiseGateway(tenant, gateway, code.to_owned()));
    }

    pub fn end_gateway(&self, tenant: TenantId, gateway: &'static str) {
        self.say(Word::EndGateway(tenant, gateway));
    }

    fn say(&self, word: Word) {
        if let Some(words) = &self.0 {
            let _ = words.try_send(word);
        }
    }
}

async fn write(pool: PgPool, mut heard: mpsc::Receiver<Word>) {
    let mut sweep = interval(SWEEP);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let done = tokio::select! {
            word = heard.recv() => match word {
                Some(Word::Raise(trouble)) => tell(&pool, &trouble).await,
                Some(Word::End(tenant)) => end(&pool, &key(tenant)).await,
                Some(Word::RaiseGateway(tenant, gateway, code)) => {
                    tell_of_gateway(&pool, tenant, gateway, &code).await
                }
                Some(Word::EndGateway(tenant, gateway)) => {
                    end(&pool, &gateway_key(tenant, gateway)).await
                }
                None => return,
            },
            _ = sweep.tick() => end_unseen(&pool).await,
        };
        if let Err(error) = done {
            tracing::error!(%error, "an alert of a tenant's mail server is not stored");
        }
    }
}

async fn tell(pool: &PgPool, trouble: &Trouble) -> sqlx::Result<()> {
    let (title, body) = text(trouble);
    let alert = Alert {
        severity: Severity::Warning,
        key: &key(trouble.tenant),
        capability: None,
        title: &title,
        body: &body,
    };
    raise(&mut *pool.acquire().await?, &alert).await
}

async fn tell_of_gateway(
    pool: &PgPool,
    tenant: TenantId,
    gateway: &str,
    code: &str,
) -> sqlx::Result<()> {
    let title = match gateway {
        "none" => format!("tenant {tenant}: there is no SMS gateway that can be used"),
        gateway => format!("tenant {tenant}: {gateway} refuses its texts"),
    };
    let body = format!(
        "It says {code}. The tenant's texts through it wait, and one is tried now and then; nobody else's are held up. They leave by themselves once it takes one."
    );
    let alert = Alert {
        severity: Severity::Warning,
        key: &gateway_key(tenant, gateway),
        capability: None,
        title: &title,
        body: &body,
    };
    raise(&mut *pool.acquire().await?, &alert).await
}

async fn end(pool: &PgPool, key: &str) -> sqlx::Result<()> {
    resolve(&mut *pool.acquire().await?, key).await
}

async fn end_unseen(pool: &PgPool) -> sqlx::Result<()> {
    sqlx::query(
        "update ficus.alert set resolved_at = clock_timestamp()
         where resolved_at is null and (key like 'mail-server/%' or key like 'sms-gateway/%') and seen_at < clock_timestamp() - $1::text::interval",
    )
    .bind(UNSEEN)
    .execute(pool)
    .await
    .map(drop)
}

fn key(tenant: TenantId) -> String {
    format!("mail-server/{tenant}")
}

fn gateway_key(tenant: TenantId, gateway: &str) -> String {
    format!("sms-gateway/{tenant}/{gateway}")
}

/// Title and body.
fn text(trouble: &Trouble) -> (String, String) {
    let (tenant, fault) = (trouble.tenant, &trouble.fault);
    let title = match (&fault.server, fault.kind) {
        (Some(server), Kind::Away) => format!("tenant {tenant}: {server} cannot be reached"),
        (Some(server), Kind::Account) => format!("tenant {tenant}: {server} refuses us"),
        (None, _) => format!("tenant {tenant}: there is no mail server that can be used"),
    };
    let since = trouble.since.format("%Y-%m-%d %H:%M:%S");
    let body = format!(
        "Since {since} UTC ({}). Its messages wait, and one is tried now and then; nobody else's are held up. They leave by themselves once the server takes one.",
        fault.code
    );
    (title, body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::breaker::Fault;

    #[test]
    fn an_alert_names_the_tenant_the_server_and_the_code() {
        let fault = Fault {
            kind: Kind::Account,
            server: Some("mail.example.com:587".to_owned()),
            code: "535 5.7.8".to_owned(),
        };
        let trouble = Trouble {
            tenant: TenantId(7),
            since: "2026-01-01T10:59:59Z".parse().expect("a time"),
            fault,
            is_new: true,
        };
        let (title, body) = text(&trouble);
        assert_eq!(title, "tenant 7: mail.example.com:587 refuses us");
        assert!(
            body.starts_with("Since 2026-01-01 10:59:59 UTC (535 5.7.8)."),
            "{body}"
        );
    }
}
