//! When a tenant's messages go to its server, while that server fails: not for a while, then one, then all.
//!
//! Its own file, and pure: who is left alone, for how long, and when people are told, is decided here; time and chance are passed in.
//! A tenant has no breaker while its server answers. With its first failure it is open; once its pause is over it is half-open, and
//! the next message is the probe.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rand::Rng;

use super::retry::JITTER;
use crate::ids::TenantId;

/// After the first failure, and after each probe that failed; the last one again and again. A server that restarts is back after the
/// first two; one message a minute costs a dead one nothing.
pub const PAUSES: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(60),
];
/// A server that cannot be reached for so long is no restart any more: people are told.
pub const TELL_AFTER: TimeDelta = TimeDelta::minutes(5);

/// What an attempt says of its tenant's server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sign {
    /// Nothing: it was not asked, or its answer says neither.
    None,
    /// It answered, whatever it thinks of the message.
    Reached,
    Failed(Fault),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It cannot be reached, or ends the connection.
    Away,
    /// It refuses the login, or the tenant has none that can be used.
    Account,
}

/// How it failed. No address, no user, no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: Kind,
    /// Host and port. `None`: the tenant has no server that can be used.
    pub server: Option<String>,
    pub code: String,
}

/// What people are to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub tenant: TenantId,
    pub since: DateTime<Utc>,
    pub fault: Fault,
    /// They have not been told of this episode yet.
    pub is_new: bool,
}

/// What follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    None,
    /// Nothing of the tenant before `until`, and then one at a time.
    Pause {
        until: DateTime<Utc>,
        trouble: Option<Trouble>,
    },
    /// All of it goes.
    Close {
        was_told: bool,
    },
}

/// One tenant's, from its first failure until its server answers: an episode.
#[derive(Clone, Copy, Debug)]
struct Breaker {
    kind: Kind,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
    /// Failures that each began a pause.
    pauses: usize,
    was_told: bool,
}

/// Of all tenants whose server fails.
#[derive(Debug)]
pub struct Breakers {
    /// The pause after the account failed. Each login that is refused brings an account nearer to being locked.
    account_wait: Duration,
    open: BTreeMap<TenantId, Breaker>,
}

impl Breakers {
    pub fn new(account_wait: Duration) -> Self {
        Self {
            account_wait,
            open: BTreeMap::new(),
        }
    }

    /// What follows from an attempt at a message of this tenant that ended at `now`.
    pub fn hear(
        &mut self,
        tenant: TenantId,
        sign: Sign,
        now: DateTime<Utc>,
        rng: &mut impl Rng,
    ) -> Change {
        match sign {
            Sign::None => Change::None,
            Sign::Reached => match self.open.remove(&tenant) {
                Some(breaker) => Change::Close {
                    was_told: breaker.was_told,
                },
                None => Change::None,
            },
            Sign::Failed(fault) => self.fail(tenant, fault, now, rng),
        }
    }

    /// Forgets the tenants that `keep` does not want: they are another engine's.
    pub fn retain(&mut self, keep: impl Fn(TenantId) -> bool) {
        self.open.retain(|tenant, _| keep(*tenant));
    }

    fn fail(
        &mut self,
        tenant: TenantId,
        fault: Fault,
        now: DateTime<Utc>,
        rng: &mut impl Rng,
    ) -> Change {
        let breaker = self.open.entry(tenant).or_insert(Breaker {
            kind: fault.kind,
            since: now,
            until: now,
            pauses: 0,
            was_told: false,
        });
        // What was on its way when it opened says nothing new, but that the login is refused as well.
        let is_worse = (breaker.kind, fault.kind) == (Kind::Away, Kind::Account);
        if now < breaker.until && !is_worse {
            return Change::None;
        }
        let pause = match fault.kind {
            Kind::Account => self.account_wait,
            Kind::Away => PAUSES[breaker.pauses.min(PAUSES.len() - 1)],
        };
        breaker.kind = fault.kind;
        breaker.until = now + spread(pause, rng);
        breaker.pauses += 1;
        let is_told =
            breaker.was_told || fault.kind == Kind::Account || now - breaker.since >= TELL_AFTER;
        let trouble = is_told.then_some(Trouble {
            tenant,
            since: breaker.since,
            fault,
            is_new: !breaker.was_told,
        });
        breaker.was_told = is_told;
        Change::Pause {
            until: breaker.until,
            trouble,
        }
    }
}

/// So that tenants of one relay do not come back together.
fn spread(pause: Duration, rng: &mut impl Rng) -> TimeDelta {
    let factor = 1.0 - JITTER + 2.0 * JITTER * rng.random::<f64>();
    TimeDelta::from_std(pause.mul_f64(factor)).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    const TENANT: TenantId = TenantId(7);
    const ACCOUNT_WAIT: Duration = Duration::from_secs(300);

    struct Clock {
        breakers: Breakers,
        now: DateTime<Utc>,
        rng: SmallRng,
    }

    fn clock() -> Clock {
        Clock {
            breakers: Breakers::new(ACCOUNT_WAIT),
            now: "2026-01-01T10:59:59Z".parse().expect("a time"),
            rng: SmallRng::seed_from_u64(7),
        }
    }

    fn failed(kind: Kind) -> Sign {
        Sign::Failed(Fault {
            kind,
            server: Some("mail.example.com:587".to_owned()),
            code: "not_sent".to_owned(),
        })
    }

    impl Clock {
        fn hear(&mut self, sign: Sign) -> Change {
            self.breakers.hear(TENANT, sign, self.now, &mut self.rng)
        }

        /// Fails, and waits until the pause is over: its length in seconds, and what people are told.
        fn fail_and_wait(&mut self, kind: Kind) -> (f64, Option<Trouble>) {
            let Change::Pause { until, trouble } = self.hear(failed(kind)) else {
                panic!("it opens");
            };
            let pause = (until - self.now).as_seconds_f64();
            self.now = until;
            (pause, trouble)
        }
    }

    #[test]
    fn the_pauses_grow_up_to_a_minute() {
        let mut clock = clock();
        for expected in [1.0, 5.0, 30.0, 60.0, 60.0, 60.0] {
            let (pause, _) = clock.fail_and_wait(Kind::Away);
            assert!(
                (pause / expected - 1.0).abs() <= JITTER + 0.001,
                "{pause} s where {expected} s were due"
            );
        }
    }

    #[test]
    fn what_was_on_its_way_when_it_opened_makes_no_pause_longer() {
        let mut clock = clock();
        assert_ne!(clock.hear(failed(Kind::Away)), Change::None);
        for _ in 0..99 {
            assert_eq!(clock.hear(failed(Kind::Away)), Change::None);
        }
        clock.now += TimeDelta::seconds(2);
        let (pause, _) = clock.fail_and_wait(Kind::Away);
        assert!(pause < 6.0, "the second pause, and not the hundredth");
    }

    #[test]
    fn an_answer_closes_it_and_the_next_failure_is_the_first() {
        let mut clock = clock();
        for _ in 0..3 {
            clock.fail_and_wait(Kind::Away);
        }
        assert_eq!(clock.hear(Sign::None), Change::None);
        assert_eq!(clock.hear(Sign::Reached), Change::Close { was_told: false });
        assert_eq!(clock.hear(Sign::Reached), Change::None);
        assert!(clock.fail_and_wait(Kind::Away).0 < 2.0);
    }

    #[test]
    fn people_are_told_of_a_server_that_is_away_for_five_minutes_once_an_episode() {
        let mut clock = clock();
        let start = clock.now;
        let mut told = Vec::new();
        while clock.now < start + TimeDelta::minutes(20) {
            let at = clock.now - start;
            if let (_, Some(trouble)) = clock.fail_and_wait(Kind::Away) {
                assert_eq!(trouble.since, start);
                told.push((at, trouble.is_new));
            }
        }
        let (first, rest) = told.split_first().expect("they are told");
        assert!(first.1 && first.0 >= TELL_AFTER && first.0 < TimeDelta::minutes(7));
        assert!(rest.iter().all(|it| !it.1), "{rest:?}");
        assert_eq!(clock.hear(Sign::Reached), Change::Close { was_told: true });
    }

    #[test]
    fn people_are_told_at_once_of_an_account_that_fails_and_it_is_left_alone_for_longer() {
        let mut clock = clock();
        clock.hear(failed(Kind::Away));
        // The breaker is open already, by a connection that failed.
        let (pause, trouble) = clock.fail_and_wait(Kind::Account);
        assert!((pause / 300.0 - 1.0).abs() <= JITTER + 0.001, "{pause}");
        assert!(trouble.expect("they are told").is_new);
        let (_, trouble) = clock.fail_and_wait(Kind::Account);
        assert!(!trouble.expect("the same episode").is_new);
    }

    #[test]
    fn nobody_else_is_touched() {
        let mut clock = clock();
        clock.hear(failed(Kind::Away));
        let other = clock
            .breakers
            .hear(TenantId(8), Sign::Reached, clock.now, &mut clock.rng);
        assert_eq!(other, Change::None);
        clock.breakers.retain(|tenant| tenant != TENANT);
        assert_eq!(clock.hear(Sign::Reached), Change::None);
    }
}
