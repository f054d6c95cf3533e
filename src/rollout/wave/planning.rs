//! Planning: drafts against the tenants and the traffic of now, stored as planned waves.
//!
//! Its own file, because it is the only writer of new waves.

use std::collections::{BTreeSet, HashSet};

use sqlx::PgPool;

use super::plan::{self, Defaults, Draft, Known, PlanFault, PlannedWave};
use super::store;
use crate::rollout::queries::Queries;
use crate::rollout::transaction::{Write, within};
use crate::rollout::{Change, Error, Terms, capabilities};

/// The salt of the order unless a plan has its own: a tenant has the same place in every capability's waves.
const SALT: &str = "ficus";

/// What to plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub capability: String,
    /// Empty: a wave for each class that has tenants left.
    pub waves: Vec<Draft>,
    pub defaults: Defaults,
    /// Decides the order. `None`: the same for all.
    pub salt: Option<String>,
}

/// Checks a plan, stores its waves behind those that are there, and tells what each of their steps would move.
pub async fn plan(
    pool: &PgPool,
    terms: &Terms,
    plan: &Plan,
    queries: Option<&Queries>,
) -> Result<(Change, Vec<PlannedWave>), Error> {
    let capability = plan.capability.as_str();
    let salt = plan.salt.as_deref().unwrap_or(SALT);
    let refuse = |fault: String| {
        let wave = capability.to_owned();
        Err(Error::BadPlan(vec![PlanFault { wave, fault }]))
    };
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    if !(1..=63).contains(&salt.len()) || !salt.bytes().all(fits) {
        return refuse(format!(
            "salt {salt:?} is none: expected 1 to 63 of A-Z, a-z, 0-9, '_', '.' and '-'"
        ));
    }
    // Read before the write begins: a look at a million tenants must make no rollback wait. What a wave takes is decided
    // when it starts, so a tenant who comes meanwhile is not lost.
    capabilities::require(pool, capability).await?;
    let there = sqlx::query_as("select name, capability, state from ficus.wave");
    let there: Vec<(String, String, String)> = within(there.fetch_all(pool)).await?;
    let waiting = there
        .iter()
        .find(|(_, of, state)| of == capability && state == "planned");
    if let Some((name, ..)) = waiting {
        return refuse(format!(
            "wave {name} is planned already: start it, or abort it, before planning more"
        ));
    }
    let names: HashSet<String> = there.into_iter().map(|(name, ..)| name).collect();
    let (tenants, totals) = store::candidates(pool, capability).await?;
    let checks: BTreeSet<String> = queries.map(Queries::names).unwrap_or_default();
    let known = Known {
        capability,
        names: &names,
        checks: &checks,
        tenants: &tenants,
    };
    let proposed = plan.waves.is_empty();
    let drafts = match proposed {
        true => plan::by_class(),
        false => plan.waves.clone(),
    };
    let mut specs = plan::check(&drafts, &plan.defaults, &known).map_err(Error::BadPlan)?;
    let before = store::classes_before(pool, capability, i32::MAX).await?;
    let preview = |specs: &[_]| plan::preview(capability, salt, specs, &before, &tenants, totals);
    if proposed {
        // A class without a tenant is no fault where nobody asked for it.
        let counts = preview(&specs);
        let mut counts = counts.iter().map(|wave| wave.tenants);
        specs.retain(|_| counts.next() != Some(0));
        if specs.is_empty() {
            return refuse("no tenant is left to move: all are on modern, or in a wave".to_owned());
        }
    }
    let planned = preview(&specs);
    let empty = planned.iter().filter(|wave| wave.tenants == 0);
    let faults: Vec<PlanFault> = empty
        .map(|wave| PlanFault {
            wave: wave.name.clone(),
            fault: "it is over no tenants: none is of it, or all are on modern or in another wave"
                .to_owned(),
        })
        .collect();
    if !faults.is_empty() {
        return Err(Error::BadPlan(faults));
    }
    let mut write = Write::begin(pool, terms).await?;
    let mut changed = 0;
    for spec in &specs {
        changed += store::insert(&mut write, capability, salt, spec).await?;
    }
    Ok((write.finish(changed).await?, planned))
}
