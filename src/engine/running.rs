//! Starts the engine: its tasks, bound to each other, and the routes that hand work to them.
//!
//! Its own file, because this is the one place that knows all parts; each of them knows only what it is given.

use std::sync::Arc;

use axum::Router;
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::alarm::Alarm;
use super::callbacks::Callbacks;
use super::campaign::{Expander, Returner};
use super::compose::Composer;
use super::legacy::Legacy;
use super::links::{LinkMaker, LinkStatements, Links};
use super::mail::dkim::Signers;
use super::message::Channel;
use super::provider::Provider;
use super::provider::channels::{Channels, Mails, Texts};
use super::provider::email::{self, OwnServers, Servers, Settings, Suppressor};
use super::provider::sandbox::Sandbox;
use super::provider::sms::Sms;
use super::queue::PostgresQueue;
use super::quota::{Quota, Quotas};
use super::quota_check::QuotaCheck;
use super::schedule::Firer;
use super::sms::Accounts;
use super::spans::Spans;
use super::status::Teller;
use super::submit::Submitter;
use super::turn::Turn;
use super::worker::{self, Hints, House, Options, Worker, keep_house};
use super::{Config, Email, Handle, router};
use crate::laravel::envelope::{AppKey, Opener};
use crate::telemetry::EngineMetrics;
use crate::telemetry::traces::Tracer;

/// The engine's routes, and its tasks in `tasks`: they end at `stop`, after what is under way has ended. `ficus` has the schema of
/// `migrations/`; `legacy` is read and written by the configured statements alone. `name` is for people.
/// Without a tracer nothing is recorded of what is sent.
///
/// # Errors
///
/// If the key for legacy's passwords is none.
pub fn start(
    config: &Config,
    ficus: PgPool,
    legacy: PgPool,
    name: String,
    (metrics, tracer): (&EngineMetrics, Option<Tracer>),
    (tasks, stop): (&TaskTracker, &CancellationToken),
) -> anyhow::Result<Router> {
    // Bounds: three statements at a time, two seconds at the stop.
    let links = Links::start(
        ficus.clone(),
        legacy.clone(),
        &config.links,
        LinkStatements::default(),
        tasks,
        stop.clone(),
    )?;
    let legacy = Legacy::new(legacy, config.statements.clone());
    let quota = |channel| match config.takes_quota {
        true => Quota::start(legacy.clone(), channel, tasks, stop.clone()),
        false => Quota::off(),
    };
    let quotas = Quotas {
        email: quota(Channel::Email),
        sms: quota(Channel::Sms),
    };
    let alarm = Alarm::start(ficus.clone(), tasks, stop.clone());
    let accounts = Accounts::new(legacy.clone(), opener(config)?);
    let provider = Channels {
        email: mails(config, &ficus, &legacy, &links)?,
        sms: texts(config, &ficus, &accounts, &alarm)?,
    };
    let hints = work(
        config,
        &ficus,
        name,
        provider,
        alarm,
        metrics,
        (tasks, stop),
    );
    let callbacks = Callbacks::new(ficus.clone(), accounts, config, metrics.clone())?;
    let (engine, campaigns) = (Uuid::now_v7(), Arc::new(Notify::new()));
    let turn = |(task, lease)| Turn {
        pool: ficus.clone(),
        task,
        engine,
        lease,
    };
    let expander = Expander {
        pool: ficus.clone(),
        legacy: legacy.clone(),
        quotas: quotas.clone(),
        hints: hints.clone(),
        bell: Arc::clone(&campaigns),
        engine,
    };
    tasks.spawn(expander.run(stop.clone()));
    // Bounds: one statement at a time, a hundred schedules a look; it ends at the stop, after the look.
    let firer = Firer {
        pool: ficus.clone(),
        legacy: legacy.clone(),
        campaigns: Arc::clone(&campaigns),
        has_links: config.links.public_url.is_some(),
    };
    tasks.spawn(firer.run(stop.clone()));
    let teller = Teller {
        pool: ficus.clone(),
        legacy: legacy.clone(),
        quotas: quotas.clone(),
        turn: turn(Teller::TASK),
        spans: Spans {
            pool: ficus.clone(),
            tracer,
        },
    };
    tasks.spawn(teller.run(stop.clone()));
    // Bounds: one statement at a time, a hundred tenants and lists a look; it ends at the stop, after the step.
    let returner = Returner {
        pool: ficus.clone(),
        legacy: legacy.clone(),
        turn: turn(Returner::TASK),
        capability: config.capability.clone(),
        on_rollback: config.on_rollback,
    };
    tasks.spawn(returner.run(stop.clone()));
    if config.takes_quota {
        let check = QuotaCheck::new(
            ficus.clone(),
            legacy.clone(),
            metrics.clone(),
            config.quota_tolerance,
        );
        tasks.spawn(check.run(engine, stop.clone()));
    }
    let house = House {
        keep_days: config.keep_days,
        dedup_keep: config.dedup_keep,
        settling: config.settling,
        metrics: metrics.clone(),
    };
    tasks.spawn(keep_house(ficus.clone(), house, stop.clone()));
    let handle = Handle {
        submitter: Submitter::start(ficus.clone(), tasks, stop.clone())
            .measured(metrics.clone(), "api"),
        pool: ficus,
        legacy,
        quotas,
        hints,
        campaigns,
        public_url: config.links.public_url.clone(),
    };
    Ok(router(handle, &links, &callbacks))
}

fn mails(config: &Config, pool: &PgPool, legacy: &Legacy, links: &Links) -> anyhow::Result<Mails> {
    if config.email == Email::Sandbox {
        return Ok(Mails::Sandbox(Sandbox::default()));
    }
    let composer = Composer::new(
        pool.clone(),
        config.links.public_url.clone(),
        LinkMaker::new(&config.links)?,
        Signers::new(&config.dkim)?,
    );
    let own = OwnServers {
        pool: pool.clone(),
        keyring: config.keyring()?,
    };
    let servers = Servers::new(legacy.clone(), own, settings(config)?);
    let suppressor = Suppressor {
        pool: pool.clone(),
        links: links.clone(),
    };
    let email = email::Email::new(composer, servers, suppressor);
    Ok(Mails::Smtp(Box::new(email)))
}

fn texts(
    config: &Config,
    pool: &PgPool,
    accounts: &Accounts,
    alarm: &Alarm,
) -> anyhow::Result<Texts> {
    if !config.sms.is_live {
        return Ok(Texts::Sandbox(Sandbox::default()));
    }
    let sms = Sms::new(
        pool.clone(),
        accounts.clone(),
        config.sms.clone(),
        config.account_wait,
        LinkMaker::new(&config.links)?,
        alarm.clone(),
    )?;
    Ok(Texts::Vendors(Box::new(sms)))
}

fn work<P: Provider>(
    config: &Config,
    pool: &PgPool,
    name: String,
    provider: P,
    alarm: Alarm,
    metrics: &EngineMetrics,
    (tasks, stop): (&TaskTracker, &CancellationToken),
) -> Hints {
    let queue = PostgresQueue::new(pool.clone(), name, config.lease);
    let options = Options {
        lease: config.lease,
        account_wait: config.account_wait,
        lanes: super::lanes::Bounds {
            tenant_under_way: config.tenant_under_way,
            under_way: config.under_way,
            ..worker::Options::default().lanes
        },
        ..Options::default()
    };
    let (worker, hints) = Worker::new(Arc::new(queue), Arc::new(provider), options);
    let worker = worker.measured(metrics.clone()).telling(alarm);
    tasks.spawn(worker.run(stop.clone()));
    hints
}

fn settings(config: &Config) -> anyhow::Result<Settings> {
    Ok(Settings {
        relay: config.relay.clone(),
        local_name: config.local_name.clone(),
        connections: config.connections,
        opener: opener(config)?,
    })
}

/// `None`: there is no key, and what is sealed stays so.
fn opener(config: &Config) -> anyhow::Result<Option<Opener>> {
    if config.app_key.is_empty() {
        return Ok(None);
    }
    let key = AppKey::parse(&config.app_key, config.cipher).map_err(anyhow::Error::msg)?;
    Opener::new(&key).map(Some).map_err(anyhow::Error::msg)
}
