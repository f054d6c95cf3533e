//! Which changes of a running configuration take effect only after a restart.
//!
//! Its own file, because operators read this list, and each new key must be placed on one side of it.

use super::Config;

/// The keys in which two configurations differ and which only a restart applies. Everything else of
/// `[proxy]`, `[upstream.*]`, `[capability.*]`, `[[route]]`, `[[tenant]]`, `[guard]`, `telemetry.log`, and which requests
/// `telemetry.traces` records, applies at once.
pub fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let differs = [
        ("proxy.listen", old.proxy.listen != new.proxy.listen),
        (
            "proxy.tls.listen",
            old.proxy.tls.listen != new.proxy.tls.listen,
        ),
        ("proxy.threads", old.proxy.threads != new.proxy.threads),
        ("proxy.pool", old.proxy.pool != new.proxy.pool),
        ("proxy.drain", old.proxy.drain != new.proxy.drain),
        (
            "proxy.rate_limit",
            old.proxy.rate_limit != new.proxy.rate_limit,
        ),
        ("control.listen", old.control.listen != new.control.listen),
        ("control.socket", old.control.socket != new.control.socket),
        (
            "control.public_url",
            old.control.public_url != new.control.public_url,
        ),
        ("audit", old.audit != new.audit),
        ("alerts", old.alerts != new.alerts),
        ("database.url", old.database.url != new.database.url),
        (
            "database.legacy_url",
            old.database.legacy_url != new.database.legacy_url,
        ),
        ("database.pool", old.database.pool != new.database.pool),
        (
            "database.acquire_timeout",
            old.database.acquire_timeout != new.database.acquire_timeout,
        ),
        (
            "database.statement_timeout",
            old.database.statement_timeout != new.database.statement_timeout,
        ),
        ("flags.poll", old.flags.poll != new.flags.poll),
        (
            "flags.heartbeat",
            old.flags.heartbeat != new.flags.heartbeat,
        ),
        ("flags.notify", old.flags.notify != new.flags.notify),
        (
            "flags.state_dir",
            old.flags.state_dir != new.flags.state_dir,
        ),
        (
            "flags.bootstrap",
            old.flags.bootstrap != new.flags.bootstrap,
        ),
        (
            "flags.cold_start",
            old.flags.cold_start != new.flags.cold_start,
        ),
        (
            "rollout.volume_query",
            old.rollout.volume.sql != new.rollout.volume.sql,
        ),
        (
            "rollout.volume_deadline",
            old.rollout.volume.deadline != new.rollout.volume.deadline,
        ),
        ("reconcile", old.rollout.reconcile != new.rollout.reconcile),
        (
            "telemetry.format",
            old.telemetry.format != new.telemetry.format,
        ),
        (
            "telemetry.access_log",
            old.telemetry.access_log != new.telemetry.access_log,
        ),
        (
            "telemetry.traces.endpoint",
            old.telemetry.traces.endpoint != new.telemetry.traces.endpoint,
        ),
        (
            "telemetry.traces.protocol",
            old.telemetry.traces.protocol != new.telemetry.traces.protocol,
        ),
        (
            "telemetry.traces.headers",
            old.telemetry.traces.headers != new.telemetry.traces.headers,
        ),
        (
            "telemetry.traces.service_name",
            old.telemetry.traces.service_name != new.telemetry.traces.service_name,
        ),
        (
            "telemetry.traces.timeout",
            old.telemetry.traces.timeout != new.telemetry.traces.timeout,
        ),
        (
            "telemetry.traces.queue",
            old.telemetry.traces.queue != new.telemetry.traces.queue,
        ),
        (
            "dashboard.listen",
            old.dashboard.listen != new.dashboard.listen,
        ),
        ("engine.listen", old.engine.listen != new.engine.listen),
        (
            "engine.on_uncertain",
            old.engine.settling.on_uncertain != new.engine.settling.on_uncertain,
        ),
        (
            "engine.settle_after",
            old.engine.settling.after != new.engine.settling.after,
        ),
        ("instance.name", old.instance != new.instance),
    ];
    differs
        .into_iter()
        .filter(|(_, differs)| *differs)
        .map(|(key, _)| key)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::valid;
    use super::*;

    #[test]
    fn what_cannot_change_while_running_is_named() {
        let expected = [
            "proxy.listen",
            "proxy.threads",
            "proxy.pool",
            "proxy.drain",
            "proxy.rate_limit",
            "control.listen",
            "control.socket",
            "control.public_url",
            "alerts",
            "database.url",
            "database.legacy_url",
            "database.pool",
            "database.acquire_timeout",
            "database.statement_timeout",
            "flags.poll",
            "flags.heartbeat",
            "flags.notify",
            "flags.state_dir",
            "flags.bootstrap",
            "flags.cold_start",
            "rollout.volume_query",
            "rollout.volume_deadline",
            "reconcile",
            "telemetry.format",
            "telemetry.access_log",
            "telemetry.traces.endpoint",
            "telemetry.traces.protocol",
            "telemetry.traces.headers",
            "telemetry.traces.service_name",
            "telemetry.traces.timeout",
            "telemetry.traces.queue",
            "dashboard.listen",
            "engine.listen",
            "engine.on_uncertain",
            "engine.settle_after",
            "instance.name",
        ];
        assert_eq!(needs_restart(&valid("minimal"), &valid("full")), expected);
    }

    #[test]
    fn routes_upstreams_limits_tenants_and_the_log_level_change_while_running() {
        let (old, full) = (valid("minimal"), valid("full"));
        let mut new = old.clone();
        let fixed = new.proxy;
        new.proxy = full.proxy;
        (new.proxy.listen, new.proxy.threads) = (fixed.listen, fixed.threads);
        new.proxy.pool = fixed.pool;
        (new.proxy.drain, new.proxy.rate_limit) = (fixed.drain, fixed.rate_limit);
        (new.tenant, new.telemetry.log) = (full.tenant, full.telemetry.log);
        let chosen = full.telemetry.traces;
        (new.telemetry.traces.sample, new.telemetry.traces.tenants) =
            (chosen.sample, chosen.tenants);
        assert_eq!(needs_restart(&old, &new), [] as [&str; 0]);
    }
}
