//! How many requests are under way, of everybody and of each tenant, where that is bounded.
//!
//! Its own file, because one slow tenant must not take every place there is, and because counting a million tenants
//! may cost neither memory nor a lock.
//!
//! A tenant is counted in two of a fixed number of cells, one in each row, and is over its limit when both are. Another
//! tenant at its limit is felt only by who shares both cells with it, one in 16 million; ten of them by six in a million.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::upstream::Seat;

/// Cells in one row: 16 KiB.
const CELLS: usize = 4096;

/// The counters of one process. They outlive every reload, so that a limit counts what began before it.
pub struct InFlight {
    all: Arc<AtomicUsize>,
    rows: [Box<[AtomicU32]>; 2],
}

/// One request's places, given back when it is dropped.
#[derive(Default)]
pub struct Places {
    _all: Option<Seat>,
    _tenant: Option<TenantSeat>,
}

struct TenantSeat {
    in_flight: Arc<InFlight>,
    cells: [usize; 2],
}

impl Default for InFlight {
    fn default() -> Self {
        let row = || (0..CELLS).map(|_| AtomicU32::new(0)).collect();
        Self {
            all: Arc::default(),
            rows: [row(), row()],
        }
    }
}

impl InFlight {
    /// A place among all requests. `false`: there are `most` already. 0: no bound, and nothing is counted.
    pub fn enter(&self, places: &mut Places, most: usize) -> bool {
        if most == 0 {
            return true;
        }
        places._all = Seat::take(&self.all, most);
        places._all.is_some()
    }

    /// A place among the requests of a tenant.
    pub fn enter_tenant(self: &Arc<Self>, places: &mut Places, tenant: i64, most: u32) -> bool {
        if most == 0 {
            return true;
        }
        let cells = cells(tenant);
        let before = [0, 1].map(|row| self.rows[row][cells[row]].fetch_add(1, Ordering::Relaxed));
        let seat = TenantSeat {
            in_flight: Arc::clone(self),
            cells,
        };
        let is_free = before.iter().any(|before| *before < most);
        // One that is refused gives its place back at once: what a tenant asks in vain does not count.
        places._tenant = is_free.then_some(seat);
        is_free
    }
}

impl Drop for TenantSeat {
    fn drop(&mut self) {
        for (row, cell) in self.in_flight.rows.iter().zip(self.cells) {
            row[cell].fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Two cells that have nothing to do with each other, by the finaliser of SplitMix64.
fn cells(tenant: i64) -> [usize; 2] {
    let mut z = (tenant as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    [z as usize % CELLS, (z >> 32) as usize % CELLS]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks for `count` places and keeps those that it gets.
    fn take(in_flight: &Arc<InFlight>, tenant: i64, count: usize, most: u32) -> Vec<Places> {
        (0..count)
            .filter_map(|_| {
                let mut places = Places::default();
                in_flight
                    .enter_tenant(&mut places, tenant, most)
                    .then_some(places)
            })
            .collect()
    }

    #[test]
    fn a_tenant_has_as_many_places_as_the_limit_says_and_gets_them_back() {
        let in_flight = Arc::new(InFlight::default());
        let held = take(&in_flight, 7, 10, 3);
        assert_eq!(held.len(), 3);
        drop(held);
        assert_eq!(take(&in_flight, 7, 10, 3).len(), 3);
    }

    #[test]
    fn a_tenant_at_its_limit_takes_nothing_from_the_others() {
        let in_flight = Arc::new(InFlight::default());
        let _held = take(&in_flight, 1, 50, 10);
        for tenant in 2..20_000 {
            assert_eq!(
                take(&in_flight, tenant, 10, 10).len(),
                10,
                "tenant {tenant}"
            );
        }
    }

    #[test]
    fn all_places_together_are_bounded_and_given_back() {
        let in_flight = InFlight::default();
        let (mut one, mut other) = (Places::default(), Places::default());
        assert!(in_flight.enter(&mut one, 1));
        assert!(!in_flight.enter(&mut other, 1));
        drop(one);
        assert!(in_flight.enter(&mut other, 1));
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let in_flight = Arc::new(InFlight::default());
        let mut places = Places::default();
        assert!(in_flight.enter(&mut places, 0) && in_flight.enter_tenant(&mut places, 7, 0));
        assert!(places._all.is_none() && places._tenant.is_none());
    }

    #[test]
    fn tenants_in_a_row_are_spread_over_the_cells() {
        let mut used = vec![0u32; CELLS];
        for tenant in 0..CELLS as i64 {
            used[cells(tenant)[0]] += 1;
        }
        assert!(used.iter().max() < Some(&10));
    }
}
