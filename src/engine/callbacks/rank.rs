//! What is true of a text when its gateway has said several things of it, in any order.
//!
//! Its own file, and pure: reports overtake each other and come twice, and all orders must come to one truth. Each word has a rank, of one part's
//! reports the highest counts, and of a message's parts the lowest (`ficus.record_callback` compares the numbers, and knows no word).

use crate::engine::sms::Gateway;

/// In the order of their ranks. That a phone has it is known better than that it has not: gateways give up, and then it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Delivery {
    Queued,
    Accepted,
    Sent,
    /// It ended, and nobody says how.
    Unknown,
    Undelivered,
    Delivered,
    Read,
}

/// Why a text was not delivered, as far as its gateway's code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    None,
    /// Another text might arrive.
    Transient,
    Permanent,
    /// There is no such number: nothing more is sent there.
    NoNumber,
    /// The recipient wants none: nothing more is sent there.
    OptedOut,
    /// It is the tenant's account that is refused.
    Account,
    Unknown,
}

impl Delivery {
    /// As the database has it.
    pub fn rank(self) -> i16 {
        match self {
            Self::Queued => 10,
            Self::Accepted => 20,
            Self::Sent => 30,
            Self::Unknown => 40,
            Self::Undelivered => 50,
            Self::Delivered => 60,
            Self::Read => 70,
        }
    }

    /// A gateway's word. `None`: it says nothing of a text that went out, or is newer than this.
    pub fn of(gateway: Gateway, word: &str) -> Option<Self> {
        let found = match (gateway, word) {
            (Gateway::Twilio, "queued" | "scheduled") => Self::Queued,
            (Gateway::Twilio, "accepted" | "sending") => Self::Accepted,
            (Gateway::Twilio, "failed" | "canceled" | "partially_delivered") => Self::Undelivered,
            (Gateway::Vonage, "accepted" | "buffered" | "submitted") => Self::Accepted,
            (Gateway::Vonage, "expired" | "failed" | "rejected" | "undeliverable") => {
                Self::Undelivered
            }
            (Gateway::Vonage, "unknown") => Self::Unknown,
            (Gateway::Plivo, "queued") => Self::Queued,
            (Gateway::Plivo, "failed" | "rejected") => Self::Undelivered,
            (Gateway::Infobip, _) => return None,
            (Gateway::Twilio | Gateway::Plivo, "sent") => Self::Sent,
            (Gateway::Twilio | Gateway::Plivo, "undelivered") => Self::Undelivered,
            (_, "delivered") => Self::Delivered,
            (_, "read") => Self::Read,
            _ => return None,
        };
        Some(found)
    }

    /// Infobip's groups are numbers.
    pub fn of_group(group: i64) -> Option<Self> {
        match group {
            0 => Some(Self::Accepted),
            1 => Some(Self::Sent),
            2 | 4 | 5 => Some(Self::Undelivered),
            3 => Some(Self::Delivered),
            _ => None,
        }
    }
}

impl Cause {
    /// Of a gateway's code. Infobip says itself whether it is for good.
    pub fn of(gateway: Gateway, code: i64) -> Self {
        match (gateway, code) {
            (_, 0) => Self::None,
            (Gateway::Twilio, 30001 | 30003 | 30008 | 30022) => Self::Transient,
            (Gateway::Twilio, 30004 | 30006 | 30007 | 30034) => Self::Permanent,
            (Gateway::Twilio, 30005) => Self::NoNumber,
            (Gateway::Twilio, 30002) => Self::Account,
            (Gateway::Twilio, 21610) => Self::OptedOut,
            (Gateway::Vonage, 2 | 7 | 8) => Self::Transient,
            (Gateway::Vonage, 3 | 4) => Self::NoNumber,
            (Gateway::Vonage, 9) => Self::OptedOut,
            (Gateway::Vonage, 5 | 6 | 10..=15) => Self::Permanent,
            (Gateway::Plivo, 20 | 80) => Self::Transient,
            (Gateway::Plivo, 200) => Self::OptedOut,
            (Gateway::Plivo, 900) => Self::Account,
            (
                Gateway::Plivo,
                10 | 30 | 40 | 50 | 60 | 70 | 90 | 100 | 110 | 201 | 300 | 420 | 450,
            ) => Self::Permanent,
            _ => Self::Unknown,
        }
    }

    /// Why nothing more is sent to the recipient, as `ficus.suppression` has it.
    pub fn suppresses(self) -> Option<&'static str> {
        match self {
            Self::OptedOut => Some("unsubscribed"),
            Self::NoNumber => Some("bounced"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_every_gateway_has_its_place() {
        use Delivery::{Accepted, Delivered, Queued, Read, Sent, Undelivered, Unknown};
        type Words = &'static [(&'static str, Option<Delivery>)];
        let table: [(Gateway, Words); 3] = [
            (
                Gateway::Twilio,
                &[
                    ("accepted", Some(Accepted)),
                    ("scheduled", Some(Queued)),
                    ("queued", Some(Queued)),
                    ("sending", Some(Accepted)),
                    ("sent", Some(Sent)),
                    ("delivered", Some(Delivered)),
                    ("undelivered", Some(Undelivered)),
                    ("failed", Some(Undelivered)),
                    ("canceled", Some(Undelivered)),
                    ("read", Some(Read)),
                    ("partially_delivered", Some(Undelivered)),
                    ("receiving", None),
                    ("received", None),
                ],
            ),
            (
                Gateway::Vonage,
                &[
                    ("accepted", Some(Accepted)),
                    ("buffered", Some(Accepted)),
                    ("delivered", Some(Delivered)),
                    ("expired", Some(Undelivered)),
                    ("failed", Some(Undelivered)),
                    ("rejected", Some(Undelivered)),
                    ("unknown", Some(Unknown)),
                    ("submitted", Some(Accepted)),
                    ("undeliverable", Some(Undelivered)),
                    ("read", Some(Read)),
                ],
            ),
            (
                Gateway::Plivo,
                &[
                    ("queued", Some(Queued)),
                    ("sent", Some(Sent)),
                    ("delivered", Some(Delivered)),
                    ("undelivered", Some(Undelivered)),
                    ("failed", Some(Undelivered)),
                    ("rejected", Some(Undelivered)),
                    ("read", Some(Read)),
                    ("unknown", None),
                ],
            ),
        ];
        for (gateway, words) in table {
            for (word, expected) in words {
                assert_eq!(Delivery::of(gateway, word), *expected, "{gateway} {word}");
            }
            assert_eq!(Delivery::of(gateway, "brand-new"), None);
        }
        let groups = [0, 1, 2, 3, 4, 5, 6].map(Delivery::of_group);
        assert_eq!(
            groups,
            [
                Some(Accepted),
                Some(Sent),
                Some(Undelivered),
                Some(Delivered),
                Some(Undelivered),
                Some(Undelivered),
                None
            ]
        );
    }

    #[test]
    fn what_is_known_better_has_the_higher_rank() {
        let all = [
            Delivery::Queued,
            Delivery::Accepted,
            Delivery::Sent,
            Delivery::Unknown,
            Delivery::Undelivered,
            Delivery::Delivered,
            Delivery::Read,
        ];
        assert!(all.is_sorted() && all.map(Delivery::rank).is_sorted());
    }

    #[test]
    fn every_code_has_its_cause() {
        use Cause::{Account, NoNumber, None, OptedOut, Permanent, Transient, Unknown};
        let table: [(Gateway, Cause, &[i64]); 17] = [
            (Gateway::Twilio, Transient, &[30001, 30003, 30008, 30022]),
            (Gateway::Twilio, Permanent, &[30004, 30006, 30007, 30034]),
            (Gateway::Twilio, NoNumber, &[30005]),
            (Gateway::Twilio, Account, &[30002]),
            (Gateway::Twilio, OptedOut, &[21610]),
            (Gateway::Twilio, Unknown, &[30999]),
            (Gateway::Vonage, None, &[0]),
            (Gateway::Vonage, Transient, &[2, 7, 8]),
            (Gateway::Vonage, NoNumber, &[3, 4]),
            (Gateway::Vonage, OptedOut, &[9]),
            (Gateway::Vonage, Permanent, &[5, 6, 10, 11, 12, 13, 14, 15]),
            (Gateway::Vonage, Unknown, &[1, 99]),
            (Gateway::Plivo, Transient, &[20, 80]),
            (
                Gateway::Plivo,
                Permanent,
                &[10, 30, 40, 50, 60, 70, 90, 100, 110, 201, 300, 420, 450],
            ),
            (Gateway::Plivo, OptedOut, &[200]),
            (Gateway::Plivo, Account, &[900]),
            (Gateway::Plivo, Unknown, &[1000]),
        ];
        for (gateway, cause, codes) in table {
            for code in codes {
                assert_eq!(Cause::of(gateway, *code), cause, "{gateway} {code}");
            }
        }
        assert_eq!(OptedOut.suppresses(), Some("unsubscribed"));
        assert_eq!(NoNumber.suppresses(), Some("bounced"));
        assert_eq!(Permanent.suppresses(), Option::None);
    }
}
