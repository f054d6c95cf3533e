//! How much a tenant may still send, as legacy's table says: taken before a message is accepted, given back for what was not.
//!
//! Its own file, because legacy takes from the same row at the same time. Requests that come at once are one statement, each tenant's
//! row is taken from once, and never below zero. Between taking and accepting a crash loses what was taken for that one group; the check
//! of the counters finds it (docs/ENGINE.md).

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::group::{Bounds, Fault, Group, Statement};
use super::legacy::Legacy;
use super::message::Channel;
use super::submit::StoreFault;
use crate::ids::TenantId;

/// One at a time: two would wait for each other's rows.
const BOUNDS: Bounds = Bounds {
    items: 1_000,
    statements: 1,
    waiting: 1_000,
};

/// One a channel: their numbers stand in one row, and neither is paid for with the other.
#[derive(Clone)]
pub struct Quotas {
    pub email: Quota,
    pub sms: Quota,
}

impl Quotas {
    pub fn of(&self, channel: Channel) -> &Quota {
        match channel {
            Channel::Email => &self.email,
            Channel::Sms => &self.sms,
        }
    }
}

/// Clones are the same.
#[derive(Clone)]
pub struct Quota(Option<Taking>);

#[derive(Clone)]
struct Taking {
    group: Group<(TenantId, u32), u32, StoreFault>,
    legacy: Legacy,
    channel: Channel,
}

impl Quota {
    /// Nobody counts.
    pub fn off() -> Self {
        Self(None)
    }

    /// Of one channel. Runs until `stop`, in tasks of `tasks`.
    pub fn start(
        legacy: Legacy,
        channel: Channel,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let group = Group::start(Take(legacy.clone(), channel), BOUNDS, tasks, stop);
        Self(Some(Taking {
            group,
            legacy,
            channel,
        }))
    }

    /// How many of `wanted` the tenant may send. They are taken.
    pub async fn take(&self, tenant: TenantId, wanted: u32) -> Result<u32, Fault<StoreFault>> {
        match &self.0 {
            Some(taking) if wanted > 0 => {
                let granted = taking.group.call(vec![(tenant, wanted)]).await?;
                Ok(granted.first().copied().unwrap_or_default())
            }
            _ => Ok(wanted),
        }
    }

    /// Gives back what was taken and is not sent. An error is told in the log: the caller's answer does not depend on it.
    pub async fn give(&self, tenant: TenantId, count: u32) {
        let Some(taking) = self.0.as_ref().filter(|_| count > 0) else {
            return;
        };
        let back = [(tenant, i32::try_from(count).unwrap_or(i32::MAX))];
        if let Err(error) = taking.legacy.give_quota(taking.channel, &back).await {
            tracing::error!(%error, %tenant, count, "could not give quota back: the tenant may send fewer than it should");
        }
    }
}

struct Take(Legacy, Channel);

impl Statement<(TenantId, u32), u32> for Take {
    type Error = StoreFault;

    async fn run(&self, wanted: Vec<(TenantId, u32)>) -> Result<Vec<u32>, StoreFault> {
        let mut sums: BTreeMap<TenantId, u32> = BTreeMap::new();
        for (tenant, count) in &wanted {
            let sum = sums.entry(*tenant).or_default();
            *sum = sum.saturating_add(*count);
        }
        let sums: Vec<_> = sums
            .into_iter()
            .map(|(tenant, count)| (tenant, i32::try_from(count).unwrap_or(i32::MAX)))
            .collect();
        let granted = self.0.take_quota(self.1, &sums).await;
        let granted = granted.map_err(StoreFault::new)?;
        let left = granted
            .into_iter()
            .map(|(tenant, count)| (tenant, u32::try_from(count).unwrap_or_default()));
        Ok(share(&wanted, left.collect()))
    }
}

/// What each gets of what its tenant has: whoever came first, first.
fn share(wanted: &[(TenantId, u32)], mut left: BTreeMap<TenantId, u32>) -> Vec<u32> {
    let each = wanted.iter().map(|(tenant, count)| {
        let left = left.entry(*tenant).or_default();
        let got = (*count).min(*left);
        *left -= got;
        got
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_goes_to_whoever_came_first_and_no_tenant_pays_for_another() {
        let (one, two) = (TenantId(1), TenantId(2));
        let wanted = [(one, 3), (two, 2), (one, 3), (one, 1)];
        let left = [(one, 5), (two, 9)].into();
        assert_eq!(share(&wanted, left), [3, 2, 2, 0]);
        assert_eq!(share(&wanted, BTreeMap::new()), [0; 4]);
    }
}
