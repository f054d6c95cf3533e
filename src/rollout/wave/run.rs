//! The leader's job: starts and advances the waves that were told to go by themselves.
//!
//! Its own file, because this is the only hand that moves tenants forward without a person: it acts on running waves that
//! say `auto`, past no gate, no hold and no pause, and starts a wave only behind one that is complete.

use sqlx::PgPool;

use super::act::{advance, start};
use crate::rollout::queries::Queries;
use crate::rollout::transaction::within;
use crate::rollout::{Author, Error, Source, Terms};

/// Waves that one run looks at; the others come in the next.
const MAX_WAVES: i64 = 100;

/// One run. A wave that cannot go on holds no other up; the first fault that is not "not yet" is answered.
pub async fn advance_waves(pool: &PgPool, queries: Option<&Queries>) -> Result<(), Error> {
    let due = sqlx::query_as(
        "select w.name, w.state from ficus.wave as w
         where w.auto and (w.state = 'running' or w.state = 'planned'
             and exists (select from ficus.wave as b where b.capability = w.capability and b.place < w.place and b.state = 'complete')
             and not exists (select from ficus.wave as b
                             where b.capability = w.capability and b.place < w.place and b.state not in ('complete', 'aborted')))
         order by w.capability, w.place limit $1",
    )
    .bind(MAX_WAVES);
    let due: Vec<(String, String)> = within(due.fetch_all(pool)).await?;
    let mut fault = None;
    for (name, state) in due {
        let step = match state.as_str() {
            "planned" => start(pool, &terms("the wave before it is complete"), &name).await,
            _ => advance(pool, &terms("its gates let it pass"), &name, queries, &[]).await,
        };
        match step {
            Ok(done) => tracing::info!(
                wave = name,
                state = done.wave.state.as_str(),
                step = done.wave.step,
                revision = done.change.revision.0,
                rows = done.change.changed,
                "the wave went on by itself"
            ),
            // Not yet, or somebody was faster.
            Err(Error::Gates { .. } | Error::WaveRefused { .. } | Error::WaveMoved { .. }) => {}
            Err(other) => fault = fault.or(Some(other)),
        }
    }
    fault.map_or(Ok(()), Err)
}

fn terms(reason: &str) -> Terms {
    Terms::of(Author::new("ficus", Source::Wave, reason))
}
