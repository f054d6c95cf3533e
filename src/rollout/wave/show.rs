//! Waves, shown.
//!
//! Its own file, because looking changes nothing and asks legacy's database nothing.

use sqlx::PgPool;

use super::gate::judge;
use super::store::{self, Stored, kept_by_a_person};
use super::{StepCount, Wave, WaveDetail, WaveState, act};
use crate::rollout::transaction::within;
use crate::rollout::{Error, capabilities, page};

/// In the order of capability and place.
pub async fn waves(
    pool: &PgPool,
    capability: Option<&str>,
    limit: u32,
) -> Result<Vec<Wave>, Error> {
    if let Some(capability) = capability {
        capabilities::require(pool, capability).await?;
    }
    let waves = store::list(pool, capability, page(limit)).await?;
    Ok(waves.into_iter().map(|stored| stored.wave).collect())
}

pub async fn wave(pool: &PgPool, name: &str) -> Result<WaveDetail, Error> {
    let stored = store::find(pool, name).await?;
    let gates_now = match stored.wave.state {
        WaveState::Running | WaveState::Paused | WaveState::Held if stored.wave.step > 0 => {
            judge(&act::gates(&stored)?, &act::facts(pool, &stored).await?)
        }
        _ => Vec::new(),
    };
    Ok(WaveDetail {
        gates_now,
        by_step: by_step(pool, &stored).await?,
        last_gates: store::last_gates(pool, stored.id).await?,
        wave: stored.wave,
    })
}

async fn by_step(pool: &PgPool, stored: &Stored) -> Result<Vec<StepCount>, Error> {
    let query = sqlx::query_as(concat!(
        "select m.step, count(*) as members, count(*) filter (where f.state = 'modern') as on_modern, count(*) filter (where ",
        kept_by_a_person!(),
        ") as kept
         from ficus.wave_member as m
         left join ficus.flag as f on f.tenant_id = m.tenant_id and f.capability = m.capability
         where m.wave_id = $1 group by m.step order by m.step"
    ));
    within(query.bind(stored.id).fetch_all(pool)).await
}
