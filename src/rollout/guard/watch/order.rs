//! What a judgement makes the guard do: which rollback, of whom, and in which words.
//!
//! Its own file, because here the cool-down is kept: what was taken back a short while ago is not taken back again.

use super::State;
use crate::ids::{TenantId, TenantRef};
use crate::rollout::Scope;
use crate::rollout::guard::memory::Judgement;
use crate::rollout::guard::scope::{Extent, Failing};
use crate::rollout::guard::verdict::Verdict;
use crate::rollout::guard::words::describe;

/// The rollback, in words too. `None`: everything in it cools down.
pub(super) fn order(
    state: &State,
    capability: &str,
    extent: &Extent,
    judgement: &Judgement,
) -> Option<(Scope, String, &'static str, String)> {
    let of = |tenant: i64| judgement.failing.iter().find(|it| it.tenant == tenant);
    let first = judgement.failing.first().map(|it| &it.finding);
    let worst = match judgement.finding.verdict {
        Verdict::Fail => &judgement.finding,
        _ => first.unwrap_or(&judgement.finding),
    };
    match extent {
        Extent::Capability if state.cools(capability, None) => None,
        Extent::Capability => Some((
            Scope::Capability(capability.to_owned()),
            format!("all of {capability}"),
            worst.measure.cause(),
            describe(worst),
        )),
        // A wave needs no rest: who is on modern by it again was moved again by a person, who resumed it.
        Extent::Wave(wave) => {
            let of_wave = |it: &&Failing| it.wave.as_ref() == Some(wave);
            let found = judgement.failing.iter().find(of_wave)?;
            Some((
                Scope::Wave(wave.clone()),
                format!("wave {wave}"),
                found.finding.measure.cause(),
                describe(&found.finding),
            ))
        }
        Extent::Tenants(tenants) => {
            let warm: Vec<i64> = tenants
                .iter()
                .copied()
                .filter(|tenant| !state.cools(capability, Some(*tenant)))
                .collect();
            let found = warm
                .first()
                .and_then(|tenant| of(*tenant))
                .map(|it| &it.finding)?;
            let whom = match warm.as_slice() {
                [one] => format!("tenant {one}"),
                many => format!("{} tenants", many.len()),
            };
            let refs = warm
                .into_iter()
                .map(|id| TenantRef::Id(TenantId(id)))
                .collect();
            Some((
                Scope::Flags(capability.to_owned(), refs),
                whom,
                found.measure.cause(),
                describe(found),
            ))
        }
    }
}
