//! The transitions of a wave: start, pause, resume, go, advance, abort; and what a rollback does to it.
//!
//! Its own file, because each is one transaction under the clock's lock, so that of two that race one wins: whoever
//! looked at the wave before it moved is told so and has changed nothing.

use std::collections::BTreeMap;

use sqlx::PgPool;

use super::gate::{self, Facts, Reconciled, judge};
use super::store::{self, Stored};
use super::{Gate, GateResult, Transition, WaveState, cohort};
use crate::rollout::guard::newest_verdict;
use crate::rollout::queries::Queries;
use crate::rollout::transaction::{Write, within};
use crate::rollout::{Error, Terms};

/// What a transition was refused for, in the words of [`Error::WaveRefused`].
fn refuse<T>(stored: &Stored, why: impl Into<String>) -> Result<T, Error> {
    Err(Error::WaveRefused {
        wave: stored.wave.name.clone(),
        why: why.into(),
    })
}

async fn open(pool: &PgPool, terms: &Terms, name: &str) -> Result<(Write, Stored), Error> {
    let mut write = Write::begin(pool, terms).await?;
    let stored = store::find(write.connection(), name).await?;
    Ok((write, stored))
}

async fn close(
    mut write: Write,
    name: &str,
    changed: u64,
    gates: Vec<GateResult>,
) -> Result<Transition, Error> {
    let wave = store::find(write.connection(), name).await?.wave;
    let change = write.finish(changed).await?;
    Ok(Transition {
        change,
        wave,
        gates,
    })
}

/// Stores who belongs to the wave and moves its first step. Running already, it is a success with `changed: 0`.
pub async fn start(pool: &PgPool, terms: &Terms, name: &str) -> Result<Transition, Error> {
    let (mut write, stored) = open(pool, terms, name).await?;
    match stored.wave.state {
        WaveState::Planned => {}
        WaveState::Running => return close(write, name, 0, Vec::new()).await,
        state => {
            return refuse(
                &stored,
                format!("it is {}, and only a planned wave starts", state.as_str()),
            );
        }
    }
    require_its_turn(&mut write, &stored).await?;
    require_no_override(&mut write, &stored).await?;
    let mut classes = Default::default();
    if !stored.wave.classes.is_empty() {
        let (capability, place) = (&stored.wave.capability, stored.wave.place);
        classes = store::classes_before(write.connection(), capability, place).await?;
        for class in &stored.wave.classes {
            classes.extend(super::plan::class(class));
        }
    }
    let eligible = store::eligible(write.connection(), &stored, &classes).await?;
    let members = cohort::assign(&stored.salt, eligible, &stored.wave.steps);
    if members.is_empty() {
        return refuse(
            &stored,
            "no tenant is left for it: all are on modern, or in another wave",
        );
    }
    store::insert_members(&mut write, &stored, &members).await?;
    let moved = store::move_step(&mut write, stored.id, 1).await?;
    let enter = sqlx::query(
        "update ficus.wave set state = 'running', step = 1, step_at = clock_timestamp(), size = $2 where id = $1",
    )
    .bind(stored.id)
    .bind(i32::try_from(members.len()).unwrap_or(i32::MAX));
    let changed = moved + write.execute(enter).await?;
    close(write, name, changed, Vec::new()).await
}

/// The waves of a capability start one after the other.
async fn require_its_turn(write: &mut Write, stored: &Stored) -> Result<(), Error> {
    let before = sqlx::query_as(
        "select name, state from ficus.wave
         where capability = $1 and place < $2 and state not in ('complete', 'aborted') order by place limit 1",
    )
    .bind(&stored.wave.capability)
    .bind(stored.wave.place);
    let before: Option<(String, String)> =
        within(before.fetch_optional(write.connection())).await?;
    match before {
        Some((name, state)) => refuse(
            stored,
            format!("wave {name} comes before it and is {state}: complete or abort it"),
        ),
        None => Ok(()),
    }
}

/// Under force-legacy nothing would be seen of a step, and all of it at once when the override is cleared.
async fn require_no_override(write: &mut Write, stored: &Stored) -> Result<(), Error> {
    let forced = sqlx::query_scalar(
        "select exists (select from ficus.override where action = 'force-legacy' and (capability is null or capability = $1))",
    )
    .bind(&stored.wave.capability);
    match within(forced.fetch_one(write.connection())).await? {
        true => refuse(
            stored,
            "its capability is forced to legacy: `ficus override clear` comes first",
        ),
        false => Ok(()),
    }
}

/// Stands still until a person resumes it. Nobody moves.
pub async fn pause(pool: &PgPool, terms: &Terms, name: &str) -> Result<Transition, Error> {
    let (mut write, stored) = open(pool, terms, name).await?;
    let changed = match stored.wave.state {
        WaveState::Planned | WaveState::Running => {
            set_state(&mut write, stored.id, "paused").await?
        }
        WaveState::Paused | WaveState::Held => 0,
        state => return refuse(&stored, format!("it is {}", state.as_str())),
    };
    close(write, name, changed, Vec::new()).await
}

/// Goes on after a pause. After a rollback, those whom the wave's rollback or the guard took back move again, and the
/// step bakes anew.
pub async fn resume(pool: &PgPool, terms: &Terms, name: &str) -> Result<Transition, Error> {
    let (mut write, stored) = open(pool, terms, name).await?;
    let step = i16::try_from(stored.wave.step).unwrap_or(i16::MAX);
    let changed = match (stored.wave.state, step) {
        (WaveState::Running, _) => 0,
        (WaveState::Paused | WaveState::Held, 0) => {
            set_state(&mut write, stored.id, "planned").await?
        }
        (WaveState::Paused, _) => set_state(&mut write, stored.id, "running").await?,
        (WaveState::Held, _) => {
            require_no_override(&mut write, &stored).await?;
            let moved = store::move_again(&mut write, stored.id, step).await?;
            let again = sqlx::query(
                "update ficus.wave set state = 'running', step_at = clock_timestamp(), go_step = null where id = $1",
            );
            moved + write.execute(again.bind(stored.id)).await?
        }
        (state, _) => {
            return refuse(
                &stored,
                format!("it is {}: there is nothing to resume", state.as_str()),
            );
        }
    };
    close(write, name, changed, Vec::new()).await
}

/// A person's go for the step that the wave is in.
pub async fn go(pool: &PgPool, terms: &Terms, name: &str) -> Result<Transition, Error> {
    let (mut write, stored) = open(pool, terms, name).await?;
    if !stored.wave.gates.iter().any(|gate| gate == "go") {
        return refuse(&stored, "it has no gate go: it waits for no person");
    }
    match stored.wave.state {
        WaveState::Running | WaveState::Paused if stored.wave.step > 0 => {}
        state => {
            return refuse(
                &stored,
                format!(
                    "it is {}, and in no step that a go could end",
                    state.as_str()
                ),
            );
        }
    }
    let say = sqlx::query(
        "update ficus.wave set go_step = step where id = $1 and go_step is distinct from step",
    );
    let changed = write.execute(say.bind(stored.id)).await?;
    close(write, name, changed, Vec::new()).await
}

/// Ends the wave. Who has moved stays, the others are free for another wave. Nothing takes this back.
pub async fn abort(pool: &PgPool, terms: &Terms, name: &str) -> Result<Transition, Error> {
    let (mut write, stored) = open(pool, terms, name).await?;
    let changed = match stored.wave.state {
        WaveState::Aborted => 0,
        WaveState::Complete => {
            return refuse(
                &stored,
                "it is complete: `ficus rollback --wave` takes it back",
            );
        }
        _ => set_state(&mut write, stored.id, "aborted").await?,
    };
    close(write, name, changed, Vec::new()).await
}

async fn set_state(write: &mut Write, id: i32, state: &'static str) -> Result<u64, Error> {
    let set = sqlx::query("update ficus.wave set state = $2 where id = $1");
    write.execute(set.bind(id).bind(state)).await
}

/// Enters the next step, or completes the wave after its last one, if every gate lets it. `skip`: the gates that an
/// administrator goes past.
pub async fn advance(
    pool: &PgPool,
    terms: &Terms,
    name: &str,
    queries: Option<&Queries>,
    skip: &[String],
) -> Result<Transition, Error> {
    let seen = store::find(pool, name).await?;
    if seen.wave.state != WaveState::Running {
        let state = seen.wave.state.as_str();
        return refuse(
            &seen,
            format!("it is {state}, and only a running wave advances"),
        );
    }
    let gates = ask_gates(pool, &seen, queries, skip).await?;
    if !gates.iter().all(|gate| gate.outcome.lets_pass()) {
        return Err(Error::Gates {
            wave: seen.wave.name,
            results: gates,
        });
    }
    let mut terms = terms.clone();
    terms.author.evidence =
        Some(serde_json::json!({ "wave": name, "step": seen.wave.step, "gates": gates }));
    // The gates were asked without the lock, and of this wave as it was seen.
    let (mut write, stored) = open(pool, &terms, name).await?;
    if stored.wave.revision != seen.wave.revision {
        return Err(Error::WaveMoved {
            wave: stored.wave.name,
            expected: seen.wave.revision,
            actual: stored.wave.revision,
        });
    }
    require_no_override(&mut write, &stored).await?;
    let changed = if stored.wave.is_in_last_step() {
        set_state(&mut write, stored.id, "complete").await?
    } else {
        let next = i16::try_from(stored.wave.step + 1).unwrap_or(i16::MAX);
        let moved = store::move_step(&mut write, stored.id, next).await?;
        let enter = sqlx::query(
            "update ficus.wave set step = $2, step_at = clock_timestamp() where id = $1",
        );
        moved + write.execute(enter.bind(stored.id).bind(next)).await?
    };
    store::store_gates(&mut write, &stored, &gates).await?;
    close(write, name, changed, gates).await
}

/// What each gate says. Reconciliations are asked only when everything that costs less lets the wave pass.
async fn ask_gates(
    pool: &PgPool,
    seen: &Stored,
    queries: Option<&Queries>,
    skip: &[String],
) -> Result<Vec<GateResult>, Error> {
    let mut facts = facts(pool, seen).await?;
    let gates = gates(seen)?;
    let mut results = judge(&gates, &facts);
    gate::skip(&mut results, skip).map_err(Error::Invalid)?;
    let checks: Vec<&String> = gates
        .iter()
        .filter_map(|gate| match gate {
            Gate::Reconcile(name) if !skip.contains(&gate.to_string()) => Some(name),
            _ => None,
        })
        .collect();
    let rest = results
        .iter()
        .filter(|result| !result.gate.starts_with("reconcile:"));
    let rest_lets_pass = rest.clone().all(|result| result.outcome.lets_pass());
    if checks.is_empty() || !rest_lets_pass {
        return Ok(results);
    }
    facts.reconciled = match queries {
        Some(queries) => queries.reconcile(checks).await,
        None => BTreeMap::new(),
    };
    results = judge(&gates, &facts);
    gate::skip(&mut results, skip).map_err(Error::Invalid)?;
    Ok(results)
}

pub(super) fn gates(stored: &Stored) -> Result<Vec<Gate>, Error> {
    let gates = stored.wave.gates.iter();
    gates
        .map(|gate| gate.parse().map_err(Error::Invalid))
        .collect()
}

/// What is known without asking legacy's database.
pub(super) async fn facts(pool: &PgPool, stored: &Stored) -> Result<Facts, Error> {
    let (now, failing) = store::failing(pool, stored).await?;
    let newest = within(newest_verdict(pool, &stored.wave.capability)).await?;
    let checks = gates(stored)?.into_iter().filter_map(|gate| match gate {
        Gate::Reconcile(name) => Some((name, Reconciled::NotAsked)),
        _ => None,
    });
    Ok(Facts {
        now,
        bake: stored.wave.bake(),
        since: stored.wave.step_at.unwrap_or(now),
        verdict: (newest.verdict, newest.at),
        failing,
        go: stored.wave.go,
        reconciled: checks.collect(),
    })
}

/// The rollback of a wave: everyone who stands on modern because of it, to legacy; and the wave on hold. No condition.
pub(in crate::rollout) async fn take_back(write: &mut Write, name: &str) -> Result<u64, Error> {
    let stored = store::find(write.connection(), name).await?;
    let moved = store::take_back(write, stored.id).await?;
    let hold = sqlx::query(
        "update ficus.wave set state = 'held' where id = $1 and state not in ('held', 'aborted')",
    );
    Ok(moved + write.execute(hold.bind(stored.id)).await?)
}

/// Holds the waves under way that have moved one of these tenants.
pub(in crate::rollout) async fn hold_those_of(
    write: &mut Write,
    capability: Option<&str>,
    tenants: &[i64],
) -> Result<u64, Error> {
    let hold = sqlx::query(
        "update ficus.wave as w set state = 'held'
         where w.state in ('running', 'paused') and w.step > 0 and ($2::text is null or w.capability = $2)
           and exists (select from ficus.wave_member as m
                       where m.wave_id = w.id and m.tenant_id = any ($1) and m.moved_revision is not null)",
    );
    write.execute(hold.bind(tenants).bind(capability)).await
}

/// Holds the waves under way of a capability, or with `None` of all.
pub(in crate::rollout) async fn hold_all_of(
    write: &mut Write,
    capability: Option<&str>,
) -> Result<u64, Error> {
    let hold = sqlx::query(
        "update ficus.wave set state = 'held'
         where state in ('running', 'paused') and step > 0 and ($1::text is null or capability = $1)",
    );
    write.execute(hold.bind(capability)).await
}
