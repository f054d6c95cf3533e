//! Whether a tenant's texts go to a gateway now: not while it has asked for patience, and one at a time while it refuses the account.
//!
//! Its own file, and pure, because the tenant's e-mails have nothing to do with it: what a mail server's breaker pauses is the tenant. Time
//! is passed in. What is held here waits in the database and uses no attempt.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::engine::retry::{Class, RATE_WAIT, WAIT_LIMIT};
use crate::engine::sms::Gateway;
use crate::ids::TenantId;

/// A tenant's gateway. `None`: it has none that could be used.
pub type Key = (TenantId, Option<Gateway>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Rate,
    Account,
}

#[derive(Clone, Copy, Debug)]
struct Shut {
    why: Why,
    until: DateTime<Utc>,
}

/// What people are to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    None,
    /// The account is refused. Said again at each probe: it is the same trouble.
    Refused,
    /// It was, and is no more.
    Mended,
}

/// Of all tenants whose gateway is shut.
#[derive(Debug)]
pub struct Gates {
    account_wait: TimeDelta,
    shut: BTreeMap<Key, Shut>,
}

impl Gates {
    pub fn new(account_wait: Duration) -> Self {
        Self {
            account_wait: TimeDelta::from_std(account_wait).unwrap_or(TimeDelta::MAX),
            shut: BTreeMap::new(),
        }
    }

    /// `Some`: it does not go, for this. Who goes while the account is refused is the probe, and the next one waits as long again.
    pub fn held(&mut self, key: Key, now: DateTime<Utc>) -> Option<Class> {
        let shut = self.shut.get_mut(&key)?;
        match (shut.why, now < shut.until) {
            (Why::Rate, true) => Some(Class::RateLimited((shut.until - now).to_std().ok())),
            (Why::Account, true) => Some(Class::Account),
            (Why::Rate, false) => {
                self.shut.remove(&key);
                None
            }
            (Why::Account, false) => {
                shut.until = now + self.account_wait;
                None
            }
        }
    }

    /// What follows from an answer.
    pub fn hear(&mut self, key: Key, class: Class, now: DateTime<Utc>) -> Change {
        let was = self.shut.get(&key).map(|it| it.why);
        match class {
            Class::Account => {
                let (why, until) = (Why::Account, now + self.account_wait);
                self.shut.insert(key, Shut { why, until });
                Change::Refused
            }
            // An account that is refused stays so until it is answered well.
            Class::RateLimited(asked) if was != Some(Why::Account) => {
                let wait = asked.unwrap_or(RATE_WAIT).min(WAIT_LIMIT);
                let until = now + TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX);
                let why = Why::Rate;
                self.shut.insert(key, Shut { why, until });
                Change::None
            }
            Class::Accepted | Class::Permanent | Class::Transient(_)
                if was == Some(Why::Account) =>
            {
                self.shut.remove(&key);
                Change::Mended
            }
            // What was sent before it was throttled says nothing of now.
            _ => Change::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = (TenantId(7), Some(Gateway::Twilio));

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + second, 0).unwrap()
    }

    fn gates() -> Gates {
        Gates::new(Duration::from_secs(300))
    }

    #[test]
    fn a_refused_account_is_tried_with_one_message_a_wait_and_opens_with_the_first_answer() {
        let mut gates = gates();
        assert_eq!(gates.held(KEY, at(0)), None);
        assert_eq!(gates.hear(KEY, Class::Account, at(0)), Change::Refused);
        assert_eq!(gates.held(KEY, at(299)), Some(Class::Account));
        assert_eq!(gates.held(KEY, at(300)), None, "the probe");
        assert_eq!(gates.held(KEY, at(300)), Some(Class::Account));
        assert_eq!(gates.hear(KEY, Class::Uncertain, at(301)), Change::None);
        assert_eq!(gates.held(KEY, at(599)), Some(Class::Account));
        assert_eq!(gates.hear(KEY, Class::Permanent, at(599)), Change::Mended);
        assert_eq!(gates.held(KEY, at(599)), None);
        assert_eq!(gates.hear(KEY, Class::Accepted, at(600)), Change::None);
    }

    #[test]
    fn a_throttle_holds_all_for_as_long_as_was_asked_and_nobody_else() {
        let mut gates = gates();
        let asked = Class::RateLimited(Some(Duration::from_secs(10)));
        gates.hear(KEY, asked, at(0));
        let left = Class::RateLimited(Some(Duration::from_secs(4)));
        assert_eq!(gates.held(KEY, at(6)), Some(left));
        for other in [
            (TenantId(8), Some(Gateway::Twilio)),
            (TenantId(7), Some(Gateway::Plivo)),
        ] {
            assert_eq!(gates.held(other, at(6)), None);
        }
        assert_eq!(gates.hear(KEY, Class::Accepted, at(7)), Change::None);
        assert!(gates.held(KEY, at(9)).is_some(), "sent before the throttle");
        assert_eq!(gates.held(KEY, at(10)), None);
        gates.hear(KEY, Class::RateLimited(None), at(20));
        assert!(gates.held(KEY, at(20)).is_some());
        assert_eq!(gates.held(KEY, at(21)), None);
    }

    #[test]
    fn a_throttle_does_not_open_a_refused_account() {
        let mut gates = gates();
        gates.hear(KEY, Class::Account, at(0));
        gates.hear(KEY, Class::RateLimited(None), at(0));
        assert_eq!(gates.held(KEY, at(100)), Some(Class::Account));
    }
}
