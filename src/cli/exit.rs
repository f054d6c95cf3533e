//! Exit codes, and what a command can fail with.
//!
//! Its own file, because scripts branch on these numbers: they are a promise.

use crate::control::Problem;

pub const FAILED: u8 = 1;
pub const USAGE: u8 = 2;
/// By a guard or a gate.
pub const REFUSED: u8 = 3;
pub const CONFLICT: u8 = 4;
pub const UNCONFIRMED: u8 = 5;
pub const NOT_ALLOWED: u8 = 7;

pub const HELP: &str = "Exit codes:
  0  done, and confirmed where a confirmation was waited for
  1  failed
  2  wrong usage
  3  refused by a guard or gate
  4  the revision is not the expected one
  5  done, but not confirmed by every live proxy in time
  7  not allowed";

#[derive(Debug)]
pub enum Failure {
    Usage(String),
    /// The answer was no.
    Refused(Problem),
    /// There was no answer; what to try instead.
    Unreachable {
        what: String,
        hint: String,
    },
    Other(anyhow::Error),
}

impl Failure {
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => USAGE,
            Self::Refused(problem) => match (problem.status, problem.code.as_str()) {
                (401 | 403, _) => NOT_ALLOWED,
                (409, _) => CONFLICT,
                (_, "guard" | "gate" | "wave-state") => REFUSED,
                (_, "bad-plan") => USAGE,
                _ => FAILED,
            },
            Self::Unreachable { .. } | Self::Other(_) => FAILED,
        }
    }

    /// As a problem document, for `--output json`.
    pub fn problem(&self) -> serde_json::Value {
        let (code, detail, hint) = match self {
            Self::Refused(problem) => return serde_json::json!(problem),
            Self::Usage(detail) => ("usage", detail.clone(), None),
            Self::Unreachable { what, hint } => ("unreachable", what.clone(), Some(hint)),
            Self::Other(error) => ("failed", format!("{error:#}"), None),
        };
        serde_json::json!({ "code": code, "detail": detail, "hint": hint })
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    #[test]
    fn each_refusal_has_the_exit_code_of_the_contract() {
        let code = |status| Failure::from(Problem::new(status, "x", "")).code();
        assert_eq!(code(StatusCode::UNAUTHORIZED), 7);
        assert_eq!(code(StatusCode::FORBIDDEN), 7);
        assert_eq!(code(StatusCode::CONFLICT), 4);
        assert_eq!(code(StatusCode::NOT_FOUND), 1);
        assert_eq!(code(StatusCode::SERVICE_UNAVAILABLE), 1);
        assert_eq!(
            Failure::from(Problem::new(StatusCode::FAILED_DEPENDENCY, "gate", "")).code(),
            3
        );
    }
}
