//! Gates: the conditions that a wave must meet before it advances, and what they say of what is known.
//!
//! Its own file, because it is pure: whoever wants to know why a wave stands reads this, and a gate that does not know
//! never says yes.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Bake;
use crate::rollout::guard::Verdict;

/// Which stands first in every wave, named or not.
pub const BAKE: &str = "bake";

/// A condition beyond the bake time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gate {
    /// The guard says pass of the capability, and fail of none of the wave's tenants.
    Guard,
    /// Modern's answers to copies of requests match legacy's.
    Shadow,
    /// A person has said go.
    Go,
    /// A query of `[[reconcile]]` finds no difference.
    Reconcile(String),
}

impl FromStr for Gate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "guard" => Ok(Self::Guard),
            None if text == "shadow" => Ok(Self::Shadow),
            None if text == "go" => Ok(Self::Go),
            Some(("reconcile", name)) if !name.is_empty() => Ok(Self::Reconcile(name.to_owned())),
            _ => Err(format!(
                "gate {text:?} is not defined: expected guard, shadow, go or reconcile:NAME"
            )),
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guard => f.write_str("guard"),
            Self::Shadow => f.write_str("shadow"),
            Self::Go => f.write_str("go"),
            Self::Reconcile(name) => write!(f, "reconcile:{name}"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Pass,
    /// Not yet, or nobody knows yet.
    Wait,
    Fail,
    /// What it asks does not exist here.
    NotAvailable,
    /// An administrator went past it.
    Skipped,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Wait => "wait",
            Self::Fail => "fail",
            Self::NotAvailable => "not-available",
            Self::Skipped => "skipped",
        }
    }

    pub fn lets_pass(self) -> bool {
        matches!(self, Self::Pass | Self::Skipped)
    }
}

/// What one gate said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct GateResult {
    pub gate: String,
    pub outcome: Outcome,
    pub detail: String,
}

/// What a query of `[[reconcile]]` answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reconciled {
    Equal,
    /// How many rows differ, and the first of them.
    Differs {
        rows: usize,
        first: String,
    },
    Failed(String),
    /// The configuration has no such check, or there is no configuration here.
    Unknown,
    /// Only looked at, so not asked.
    NotAsked,
}

/// Everything that gates look at.
#[derive(Clone, Debug)]
pub struct Facts {
    pub now: DateTime<Utc>,
    pub bake: Bake,
    /// Since when the step bakes.
    pub since: DateTime<Utc>,
    /// The guard's newest verdict on the capability, and when it was judged.
    pub verdict: (Verdict, Option<DateTime<Utc>>),
    /// Members of which the guard says fail.
    pub failing: Vec<i64>,
    /// A person has said go after this step.
    pub go: bool,
    pub reconciled: BTreeMap<String, Reconciled>,
}

/// What each gate says, the bake time first.
pub fn judge(gates: &[Gate], facts: &Facts) -> Vec<GateResult> {
    let asked = gates
        .iter()
        .map(|gate| (gate.to_string(), ask(gate, facts)));
    [(BAKE.to_owned(), baked(facts))]
        .into_iter()
        .chain(asked)
        .map(|(gate, (outcome, detail))| GateResult {
            gate,
            outcome,
            detail,
        })
        .collect()
}

/// Marks those that an administrator goes past. Each must be one of them.
pub fn skip(results: &mut [GateResult], names: &[String]) -> Result<(), String> {
    for name in names {
        let Some(result) = results.iter_mut().find(|result| result.gate == *name) else {
            let known: Vec<&str> = results.iter().map(|result| result.gate.as_str()).collect();
            return Err(format!(
                "the wave has no gate {name:?}: its gates are {}",
                known.join(", ")
            ));
        };
        if result.outcome != Outcome::Pass {
            result.detail = format!("{}: {}", result.outcome.as_str(), result.detail);
            result.outcome = Outcome::Skipped;
        }
    }
    Ok(())
}

fn baked(facts: &Facts) -> (Outcome, String) {
    let over = facts.since + facts.bake.delta();
    if facts.now >= over {
        (Outcome::Pass, format!("{} are over", facts.bake))
    } else {
        let left = Bake::of(over - facts.now);
        (Outcome::Wait, format!("{left} of {} are left", facts.bake))
    }
}

fn ask(gate: &Gate, facts: &Facts) -> (Outcome, String) {
    match gate {
        Gate::Guard => guarded(facts),
        Gate::Shadow => (
            Outcome::NotAvailable,
            "shadow traffic is not built yet".to_owned(),
        ),
        Gate::Go if facts.go => (Outcome::Pass, "a person has said go".to_owned()),
        Gate::Go => (Outcome::Wait, "no person has said go".to_owned()),
        Gate::Reconcile(name) => reconciled(facts.reconciled.get(name)),
    }
}

fn guarded(facts: &Facts) -> (Outcome, String) {
    if let Some(first) = facts.failing.first() {
        let many = facts.failing.len();
        return (
            Outcome::Fail,
            format!("{many} of its tenants fail, {first} the first"),
        );
    }
    let (verdict, at) = facts.verdict;
    let outcome = match (verdict, at) {
        (Verdict::Fail, _) => Outcome::Fail,
        (Verdict::Pass, Some(at)) if at >= facts.since => Outcome::Pass,
        (Verdict::Pass, _) => return (Outcome::Wait, "no verdict since the step began".to_owned()),
        // The guard says that it does not know.
        (Verdict::Insufficient | Verdict::NoData, _) => Outcome::Wait,
    };
    (outcome, format!("verdict {}", verdict.as_str()))
}

fn reconciled(answer: Option<&Reconciled>) -> (Outcome, String) {
    match answer {
        Some(Reconciled::Equal) => (Outcome::Pass, "no row differs".to_owned()),
        Some(Reconciled::Differs { rows, first }) => {
            (Outcome::Fail, format!("{rows} rows differ, first {first}"))
        }
        Some(Reconciled::Failed(why)) => (Outcome::Wait, format!("could not be asked: {why}")),
        Some(Reconciled::NotAsked) => (Outcome::Wait, "asked when the wave advances".to_owned()),
        Some(Reconciled::Unknown) | None => (
            Outcome::NotAvailable,
            "no such [[reconcile]] in the configuration of whom is asked".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn facts() -> Facts {
        let now = DateTime::from_timestamp(1_000_000, 0).unwrap();
        Facts {
            now,
            bake: "1h".parse().unwrap(),
            since: now - TimeDelta::hours(2),
            verdict: (Verdict::Pass, Some(now)),
            failing: Vec::new(),
            go: false,
            reconciled: BTreeMap::new(),
        }
    }

    fn outcome(gate: &str, facts: &Facts) -> Outcome {
        judge(&[gate.parse().unwrap()], facts)[1].outcome
    }

    #[test]
    fn a_step_bakes_for_its_time() {
        let mut facts = facts();
        assert_eq!(judge(&[], &facts)[0].outcome, Outcome::Pass);
        facts.since = facts.now - TimeDelta::minutes(59);
        assert_eq!(judge(&[], &facts)[0].detail, "1m of 1h are left");
    }

    #[test]
    fn only_a_fresh_pass_of_the_guard_lets_pass() {
        let expected = [
            (Verdict::Pass, Outcome::Pass),
            (Verdict::Fail, Outcome::Fail),
            (Verdict::Insufficient, Outcome::Wait),
            (Verdict::NoData, Outcome::Wait),
        ];
        for (verdict, outcome_of_it) in expected {
            let mut facts = facts();
            facts.verdict.0 = verdict;
            assert_eq!(outcome("guard", &facts), outcome_of_it, "{verdict:?}");
        }
        let mut before_the_step = facts();
        before_the_step.since = before_the_step.now + TimeDelta::seconds(1);
        assert_eq!(outcome("guard", &before_the_step), Outcome::Wait);
    }

    #[test]
    fn one_failing_tenant_outweighs_a_capability_that_passes() {
        let mut facts = facts();
        facts.failing = vec![7];
        assert_eq!(outcome("guard", &facts), Outcome::Fail);
    }

    #[test]
    fn what_cannot_be_asked_is_never_a_yes() {
        assert_eq!(outcome("shadow", &facts()), Outcome::NotAvailable);
        assert_eq!(outcome("reconcile:quota", &facts()), Outcome::NotAvailable);
        for answer in [
            Reconciled::Failed("timeout".to_owned()),
            Reconciled::NotAsked,
            Reconciled::Unknown,
        ] {
            let mut facts = facts();
            facts.reconciled.insert("quota".to_owned(), answer);
            assert!(!outcome("reconcile:quota", &facts).lets_pass());
        }
    }

    #[test]
    fn an_administrator_goes_past_a_gate_that_the_wave_has_and_what_it_said_is_kept() {
        let mut results = judge(&[Gate::Go], &facts());
        assert!(skip(&mut results, &["guard".to_owned()]).is_err());
        skip(&mut results, &["go".to_owned()]).unwrap();
        assert_eq!(results[1].outcome, Outcome::Skipped);
        assert_eq!(results[1].detail, "wait: no person has said go");
    }

    #[test]
    fn a_gate_that_is_not_defined_is_named() {
        for text in ["moon", "reconcile:", "reconcile", "guard:x", ""] {
            let fault = text.parse::<Gate>().unwrap_err();
            assert!(fault.contains("is not defined"), "{fault}");
        }
    }
}
