//! What ficus itself looks after for as long as it leads: proxies that fell silent.
//!
//! Its own file, because these alerts begin and end by themselves. What is seen in metrics is Prometheus' to watch
//! (config/prometheus-rules.yml), what a guard finds it raises itself.

use sqlx::PgPool;

/// How long a proxy may be silent: plan for a restart, not for a dead machine.
const SILENT: &str = "1 minute";

/// Raises an alert of each proxy that fell silent without a goodbye, and ends it when the proxy is back, stopped or gone.
pub async fn watch_proxies(pool: &PgPool) -> sqlx::Result<()> {
    let mut tx = pool.begin().await?;
    sqlx::query(
        "select ficus.raise_alert('critical', 'proxy-silent/' || i.id, null,
                'proxy ' || i.name || ' is silent',
                'No sign of life since ' || to_char(i.heartbeat_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC. It may still serve: a rollback is not confirmed by it.')
         from ficus.instance as i
         where 'proxy' = any (i.roles) and i.stopped_at is null and i.heartbeat_at < clock_timestamp() - $1::text::interval
           and not exists (select from ficus.alert as a where a.key = 'proxy-silent/' || i.id and a.resolved_at is null)",
    )
    .bind(SILENT)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "update ficus.alert as a set resolved_at = clock_timestamp()
         where a.resolved_at is null and a.key like 'proxy-silent/%' and not exists (
             select from ficus.instance as i
             where a.key = 'proxy-silent/' || i.id and i.stopped_at is null and i.heartbeat_at < clock_timestamp() - $1::text::interval)",
    )
    .bind(SILENT)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}
