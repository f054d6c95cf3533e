//! What happens after an attempt failed: another address, the other side, or the truth to the client.
//!
//! Pure, and its own file, because a request that is carried out twice is the worst that a proxy can do: every
//! combination of what is known is tried in the tests.

use crate::flags::Effect;

/// How far a request has got, over all its attempts. It never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Not a byte of it has left: whoever was tried cannot have done anything.
    Untouched,
    /// Bytes may have reached an upstream, and it may have done what they ask.
    Sent,
    /// An upstream's answer has begun.
    Answered,
}

/// What went wrong with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection: refused, not in time, no TLS, or no address known.
    Unreachable,
    /// We did not try: the breaker is open.
    Open,
    /// We did not try: the upstream has all the requests that it may have.
    Busy,
    /// The connection ended before an answer began.
    Broken,
    /// No answer in time.
    Timeout,
    /// An answer that is none.
    BadAnswer,
    /// The modern side says that it does not know this, and that it has done nothing.
    Miss,
    /// The client's fault or our own: no upstream can help.
    NotTheirs,
}

impl Failure {
    pub const ALL: [Self; 8] = [
        Self::Unreachable,
        Self::Open,
        Self::Busy,
        Self::Broken,
        Self::Timeout,
        Self::BadAnswer,
        Self::Miss,
        Self::NotTheirs,
    ];

    /// In the access log and in the metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Open => "breaker-open",
            Self::Busy => "upstream-busy",
            Self::Broken => "broken",
            Self::Timeout => "timeout",
            Self::BadAnswer => "bad-answer",
            Self::Miss => "miss",
            Self::NotTheirs => "not-theirs",
        }
    }
}

/// Everything that the decision may depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    pub failure: Failure,
    pub stage: Stage,
    /// By its method (RFC 9110, 9.2.2).
    pub idempotent: bool,
    /// Whatever has been read of the body is still there to be sent again.
    pub body_kept: bool,
    /// What the capability's requests do to the world; `None` for those that belong to none.
    pub effect: Option<Effect>,
    /// The connection had served another request: its end may have nothing to do with this one.
    pub reused: bool,
    /// Attempts with this upstream that are left.
    pub attempts_left: u8,
    /// The upstream has an address that has not just failed.
    pub other_address: bool,
    /// Legacy may answer in the other's place when that fails. Never true when legacy was asked.
    pub may_fall_back: bool,
    /// Legacy may answer what modern does not know. Never true when legacy was asked.
    pub may_miss: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The same upstream once more, at another address if it has one, and on a new connection.
    Again,
    /// Legacy's upstream.
    Legacy,
    /// The client is told.
    GiveUp,
}

/// The one place where it is decided.
pub fn next(situation: &Situation) -> Next {
    let s = situation;
    if s.failure == Failure::NotTheirs || s.stage == Stage::Answered || !s.body_kept {
        return Next::GiveUp;
    }
    if s.failure == Failure::Miss {
        // Its own word that nothing was done makes this safe for every method and effect.
        return if s.may_miss {
            Next::Legacy
        } else {
            Next::GiveUp
        };
    }
    if !may_replay(s) {
        return Next::GiveUp;
    }
    let again = s.attempts_left > 0
        && match s.failure {
            Failure::Unreachable => s.other_address,
            Failure::Broken => s.other_address || s.reused,
            // The time is used up, the nonsense will be the same, and what we refuse is refused again.
            _ => false,
        };
    match (again, s.may_fall_back) {
        (true, _) => Next::Again,
        (false, true) => Next::Legacy,
        (false, false) => Next::GiveUp,
    }
}

/// Whether sending the request again can do no harm. What sends messages is never sent again, whatever its method:
/// in the applications that this stands in front of, a bare GET sends a campaign.
fn may_replay(s: &Situation) -> bool {
    s.stage == Stage::Untouched || s.idempotent && s.effect != Some(Effect::Send)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every combination of everything.
    fn all() -> Vec<Situation> {
        let mut all = Vec::new();
        let effects = [
            None,
            Some(Effect::Read),
            Some(Effect::Write),
            Some(Effect::Send),
        ];
        for failure in Failure::ALL {
            for stage in [Stage::Untouched, Stage::Sent, Stage::Answered] {
                for effect in effects {
                    for attempts_left in 0..3 {
                        for bits in 0..64u8 {
                            let bit = |place: u8| bits >> place & 1 == 1;
                            all.push(Situation {
                                failure,
                                stage,
                                idempotent: bit(0),
                                body_kept: bit(1),
                                effect,
                                reused: bit(2),
                                attempts_left,
                                other_address: bit(3),
                                may_fall_back: bit(4),
                                may_miss: bit(5),
                            });
                        }
                    }
                }
            }
        }
        assert_eq!(all.len(), 8 * 3 * 4 * 3 * 64);
        all
    }

    fn those(which: impl Fn(&Situation) -> bool) -> Vec<(Situation, Next)> {
        let all = all().into_iter().filter(which);
        let decided: Vec<_> = all.map(|s| (s, next(&s))).collect();
        assert!(!decided.is_empty(), "a test about nothing");
        decided
    }

    #[test]
    fn what_sends_is_never_carried_out_twice() {
        let sends = |s: &Situation| {
            s.effect == Some(Effect::Send)
                && s.stage != Stage::Untouched
                && s.failure != Failure::Miss
        };
        for (s, next) in those(sends) {
            assert_eq!(next, Next::GiveUp, "{s:?}");
        }
    }

    #[test]
    fn what_is_not_idempotent_is_sent_again_only_if_nothing_was_sent() {
        let post = |s: &Situation| {
            !s.idempotent && s.stage > Stage::Untouched && s.failure != Failure::Miss
        };
        for (s, next) in those(post) {
            assert_eq!(next, Next::GiveUp, "{s:?}");
        }
    }

    #[test]
    fn a_body_that_is_not_kept_is_never_sent_in_part() {
        for (s, next) in those(|s| !s.body_kept) {
            assert_eq!(next, Next::GiveUp, "{s:?}");
        }
    }

    #[test]
    fn after_an_answer_has_begun_there_is_no_other() {
        for (s, next) in those(|s| s.stage == Stage::Answered) {
            assert_eq!(next, Next::GiveUp, "{s:?}");
        }
    }

    #[test]
    fn legacy_is_asked_only_where_the_configuration_says_so() {
        for (s, next) in those(|_| true) {
            let allowed = match s.failure {
                Failure::Miss => s.may_miss,
                _ => s.may_fall_back,
            };
            assert!(next != Next::Legacy || allowed, "{s:?}");
        }
    }

    #[test]
    fn attempts_end() {
        for (s, next) in those(|s| s.attempts_left == 0) {
            assert_ne!(next, Next::Again, "{s:?}");
        }
    }

    #[test]
    fn nobody_is_asked_again_who_took_too_long_spoke_nonsense_or_was_not_asked() {
        let pointless =
            |s: &Situation| !matches!(s.failure, Failure::Unreachable | Failure::Broken);
        for (s, next) in those(pointless) {
            assert_ne!(next, Next::Again, "{s:?}");
        }
    }

    #[test]
    fn one_dead_address_alone_is_not_asked_again_at_once() {
        let alone =
            |s: &Situation| !s.other_address && (s.failure == Failure::Unreachable || !s.reused);
        for (s, next) in those(alone) {
            assert_ne!(next, Next::Again, "{s:?}");
        }
    }

    #[test]
    fn what_can_be_helped_is_helped() {
        for (s, next) in those(|s| s.body_kept && s.stage != Stage::Answered) {
            let harmless =
                s.stage == Stage::Untouched || s.idempotent && s.effect != Some(Effect::Send);
            let expected = match s.failure {
                Failure::NotTheirs => Next::GiveUp,
                Failure::Miss if s.may_miss => Next::Legacy,
                Failure::Miss => Next::GiveUp,
                _ if !harmless => Next::GiveUp,
                Failure::Unreachable if s.attempts_left > 0 && s.other_address => Next::Again,
                Failure::Broken if s.attempts_left > 0 && (s.other_address || s.reused) => {
                    Next::Again
                }
                _ if s.may_fall_back => Next::Legacy,
                _ => Next::GiveUp,
            };
            assert_eq!(next, expected, "{s:?}");
        }
    }
}
