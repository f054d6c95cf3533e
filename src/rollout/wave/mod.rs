//! Waves: ordered cohorts of tenants that move together, step by step, past a bake time and gates.
//!
//! Its own folder, because a wave is planned, shown, moved and run. [`cohort`] (who), [`gate`] (whether), [`bake`] and
//! [`mod@plan`] decide and are pure; [`store`] has the SQL, [`act`] the transitions, [`run`] the leader's job.
//!
//! A wave writes flags and reads none at request time: once a step is entered, the wave may be forgotten.

mod act;
mod bake;
pub mod cohort;
mod gate;
mod plan;
mod planning;
mod run;
mod show;
mod store;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Change;
use crate::ids::Revision;

pub use act::{abort, advance, go, pause, resume, start};
pub use bake::Bake;
pub use cohort::Percent;
pub use gate::{Gate, GateResult, Outcome, Reconciled};
pub use plan::{Defaults, Draft, Largest, PlanFault, PlannedStep, PlannedWave};
pub use planning::{Plan, plan};
pub use run::advance_waves;
pub use show::{wave, waves};

pub(super) use act::{hold_all_of, hold_those_of, take_back};

/// Where a wave stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WaveState {
    Planned,
    Running,
    /// By a person.
    Paused,
    /// After a rollback; only a person resumes it.
    Held,
    Complete,
    Aborted,
}

impl WaveState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Held => "held",
            Self::Complete => "complete",
            Self::Aborted => "aborted",
        }
    }
}

impl TryFrom<String> for WaveState {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let all = [
            Self::Planned,
            Self::Running,
            Self::Paused,
            Self::Held,
            Self::Complete,
            Self::Aborted,
        ];
        all.into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| format!("{text:?} is no state of a wave"))
    }
}

/// A wave as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Wave {
    pub name: String,
    pub capability: String,
    /// The order of the capability's waves.
    pub place: i32,
    /// Empty: its tenants were named.
    pub classes: Vec<String>,
    pub steps: Vec<Percent>,
    pub bake_seconds: i64,
    pub gates: Vec<String>,
    /// The leader advances it by itself.
    pub auto: bool,
    pub state: WaveState,
    /// The step that it is in, from 1; 0 before the first.
    pub step: usize,
    /// Since when the step bakes.
    pub step_at: Option<DateTime<Utc>>,
    /// A person has said go after this step.
    pub go: bool,
    /// Members. `None`: it has not started.
    pub size: Option<i32>,
    /// Members whose flag stands on modern.
    pub on_modern: i64,
    pub revision: Revision,
    pub changed_at: DateTime<Utc>,
    /// Who changed it last, and why.
    pub actor: Option<String>,
    pub reason: Option<String>,
}

impl Wave {
    pub fn bake(&self) -> Bake {
        Bake::of(chrono::TimeDelta::seconds(self.bake_seconds))
    }

    pub fn is_in_last_step(&self) -> bool {
        self.step == self.steps.len()
    }
}

/// A wave, what its gates say now, and its members by step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct WaveDetail {
    #[serde(flatten)]
    pub wave: Wave,
    /// What the gates say now; of reconciliations, only that they are asked when it advances.
    pub gates_now: Vec<GateResult>,
    pub by_step: Vec<StepCount>,
    /// The gates of the newest advance, as they were stored.
    pub last_gates: Vec<GateResult>,
}

/// A step of a wave that has started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, sqlx::FromRow, schemars::JsonSchema)]
pub struct StepCount {
    pub step: i16,
    /// Members that move in it.
    pub members: i64,
    pub on_modern: i64,
    /// Members that the wave leaves where they are: a person has set them to legacy.
    pub kept: i64,
}

/// What a transition did.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    pub change: Change,
    pub wave: Wave,
    pub gates: Vec<GateResult>,
}
