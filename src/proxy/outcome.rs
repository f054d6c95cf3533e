//! What a request says of the side that was asked: the guard's evidence.
//!
//! Its own file, and pure but for the counting, because whom a failure belongs to decides whether tenants are moved:
//! legacy's good answer in modern's place is modern's failure, and a client that goes away is nobody's.

use std::time::Duration;

use pingora::ErrorSource;
use pingora::prelude::*;

use super::context::Context;
use super::upstream::failover::Failure;
use crate::rollout::outcomes::{Ending, Key, Outcomes};

/// A client that leaves before the answer has begun says something of the upstream when it has waited this long: that it
/// took as long. Without it a side that hangs would look as if nobody asked it.
const PATIENT: Duration = Duration::from_secs(1);

/// How a request went, as far as it matters here.
#[derive(Clone, Copy, Debug)]
struct Course {
    /// An upstream was asked.
    asked: bool,
    /// Why legacy answered in modern's place.
    fell_back: Option<Failure>,
    /// The last thing that went wrong on the way.
    failure: Option<Failure>,
    status: Option<u16>,
    /// Ficus itself answered.
    refused: bool,
    broken: Broken,
    /// To the first byte of the answer, or to the end without one.
    waited: Duration,
}

/// Who broke the request off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    Nobody,
    Client,
    Other,
}

/// Counts a request that is over.
pub fn count(
    outcomes: &Outcomes,
    ctx: &Context,
    status: Option<u16>,
    e: Option<&Error>,
    elapsed: Duration,
) {
    let Some(verdict) = &ctx.verdict else { return };
    let Some(capability) = ctx.edge.capability(verdict.capability).counted else {
        return;
    };
    let course = Course {
        asked: ctx.journey.has_asked(),
        fell_back: ctx.journey.fell_back(),
        failure: ctx.journey.last_failure(),
        status,
        refused: ctx.refusal.is_some(),
        broken: match e.map(|e| e.esource()) {
            None => Broken::Nobody,
            Some(ErrorSource::Downstream) => Broken::Client,
            Some(_) => Broken::Other,
        },
        waited: ctx.answered_after.unwrap_or(elapsed),
    };
    if let Some(ending) = ending(course) {
        let key = Key {
            capability,
            side: verdict.decision.side.into(),
            tenant: ctx.tenant.unwrap_or(0),
        };
        outcomes.count(key, ending, course.waited);
    }
}

/// `None`: it says nothing of the side.
fn ending(course: Course) -> Option<Ending> {
    if !course.asked {
        return None;
    }
    match course.fell_back {
        Some(Failure::Miss) => return Some(Ending::Missed),
        Some(Failure::Unreachable) => return Some(Ending::Unreachable),
        Some(_) => return Some(Ending::Failed),
        None => {}
    }
    let failed = match course.failure {
        Some(Failure::Unreachable) => Ending::Unreachable,
        _ => Ending::Failed,
    };
    match (course.status, course.broken) {
        (None, Broken::Client) => (course.waited >= PATIENT).then_some(Ending::Answered),
        (None, _) => Some(failed),
        (Some(500..), _) => Some(failed),
        // Ours, of something that the client did.
        (Some(_), _) if course.refused => None,
        // The head was there and the rest was not.
        (Some(_), Broken::Other) => Some(Ending::Failed),
        (Some(_), _) => Some(Ending::Answered),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Course = Course {
        asked: true,
        fell_back: None,
        failure: None,
        status: Some(200),
        refused: false,
        broken: Broken::Nobody,
        waited: Duration::from_millis(20),
    };

    #[test]
    fn an_answer_of_the_applications_own_is_one_and_only_500_and_above_is_a_failure() {
        for status in [200, 302, 404, 422, 499] {
            let status = Some(status);
            assert_eq!(ending(Course { status, ..GOOD }), Some(Ending::Answered));
        }
        for status in [500, 503] {
            let status = Some(status);
            assert_eq!(ending(Course { status, ..GOOD }), Some(Ending::Failed));
        }
    }

    #[test]
    fn legacys_answer_in_moderns_place_is_moderns_failure_and_a_miss_is_a_miss() {
        let with = |failure| {
            let fell_back = Some(failure);
            ending(Course { fell_back, ..GOOD })
        };
        assert_eq!(with(Failure::Timeout), Some(Ending::Failed));
        assert_eq!(with(Failure::Open), Some(Ending::Failed));
        assert_eq!(with(Failure::Unreachable), Some(Ending::Unreachable));
        assert_eq!(with(Failure::Miss), Some(Ending::Missed));
    }

    #[test]
    fn a_client_that_leaves_is_no_error_and_tells_only_how_long_it_has_waited() {
        let left = Course {
            status: None,
            broken: Broken::Client,
            ..GOOD
        };
        assert_eq!(ending(left), None);
        let waited = Duration::from_secs(8);
        assert_eq!(ending(Course { waited, ..left }), Some(Ending::Answered));
        // In the middle of an answer.
        let status = Some(200);
        assert_eq!(ending(Course { status, ..left }), Some(Ending::Answered));
    }

    #[test]
    fn what_breaks_without_an_answer_or_within_it_is_a_failure() {
        let broken = Course {
            broken: Broken::Other,
            ..GOOD
        };
        assert_eq!(ending(broken), Some(Ending::Failed));
        let status = None;
        assert_eq!(ending(Course { status, ..broken }), Some(Ending::Failed));
        let (status, refused) = (Some(502), true);
        let failure = Some(Failure::Unreachable);
        let dead = Course {
            status,
            refused,
            failure,
            ..broken
        };
        assert_eq!(ending(dead), Some(Ending::Unreachable));
        // Unreachable at first, answered at another address.
        assert_eq!(ending(Course { failure, ..GOOD }), Some(Ending::Answered));
    }

    #[test]
    fn what_ficus_refuses_for_the_clients_doing_says_nothing() {
        let refused = true;
        for status in [408, 413, 429] {
            let status = Some(status);
            assert_eq!(
                ending(Course {
                    status,
                    refused,
                    ..GOOD
                }),
                None
            );
        }
        assert_eq!(
            ending(Course {
                asked: false,
                status: Some(503),
                refused,
                ..GOOD
            }),
            None
        );
    }
}
