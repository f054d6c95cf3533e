//! A plan: drafts of waves checked, and what each of their steps would move.
//!
//! Its own file, because it is pure: every fault of a plan is told at once, before anything is stored.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::{Deserialize, Serialize};

use super::cohort::{self, Percent};
use super::{Bake, Gate};
use crate::ids::{TenantId, TenantRef, is_slug};
use crate::rollout::Class;

const CLASSES: [Class; 4] = [Class::Internal, Class::Low, Class::Medium, Class::High];
/// Waves of one plan.
const MAX_WAVES: usize = 100;

/// A wave as a person writes it. What is absent is taken from [`Defaults`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// Ids or slugs; in place of classes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<String>,
    /// Percents, rising.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<Vec<f64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bake: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gates: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto: Option<bool>,
}

/// What drafts have that do not say otherwise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// 100 % at once unless given. The class internal always moves at once.
    pub steps: Option<Vec<f64>>,
    /// A day unless given.
    pub bake: Option<String>,
    /// The guard alone unless given.
    pub gates: Option<Vec<String>>,
    #[serde(default)]
    pub auto: bool,
}

/// Why a wave cannot be planned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PlanFault {
    pub wave: String,
    pub fault: String,
}

/// A wave that can be stored.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spec {
    pub name: String,
    pub classes: Vec<Class>,
    pub tenants: Vec<TenantId>,
    pub steps: Vec<Percent>,
    pub bake: Bake,
    pub gates: Vec<Gate>,
    pub auto: bool,
}

/// A tenant as planning sees it.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub id: TenantId,
    pub slug: Option<String>,
    pub class: Class,
    /// In a wave of the capability already, or on modern already.
    pub taken: bool,
    /// To the capability, in the last seven days.
    pub requests: i64,
    /// To all capabilities that send.
    pub sends: i64,
}

/// What a plan is checked against.
pub(super) struct Known<'a> {
    pub capability: &'a str,
    pub names: &'a HashSet<String>,
    /// Of `[[reconcile]]`.
    pub checks: &'a BTreeSet<String>,
    pub tenants: &'a [Candidate],
}

/// One wave for each class, the small ones first.
pub(super) fn by_class() -> Vec<Draft> {
    let draft = |class: &Class| Draft {
        classes: vec![class.as_str().to_owned()],
        ..Draft::default()
    };
    CLASSES.iter().map(draft).collect()
}

/// The drafts as waves, or every fault.
pub(super) fn check(
    drafts: &[Draft],
    defaults: &Defaults,
    known: &Known<'_>,
) -> Result<Vec<Spec>, Vec<PlanFault>> {
    let mut names = known.names.clone();
    let mut named = HashSet::new();
    let mut faults = Vec::new();
    let mut specs = Vec::new();
    if drafts.is_empty() || drafts.len() > MAX_WAVES {
        let fault = format!(
            "a plan has 1 to {MAX_WAVES} waves, this one {}",
            drafts.len()
        );
        let wave = known.capability.to_owned();
        return Err(vec![PlanFault { wave, fault }]);
    }
    for (place, draft) in drafts.iter().enumerate() {
        let name = match &draft.name {
            Some(name) => name.clone(),
            None => free_name(known.capability, draft, place, &names),
        };
        let mut fault = |fault: String| {
            faults.push(PlanFault {
                wave: name.clone(),
                fault,
            })
        };
        if !is_slug(&name) {
            fault(format!(
                "{name:?} is no name: expected 1 to 63 of a-z, 0-9, '-', '_' and '.' that begin with a letter"
            ));
        } else if !names.insert(name.clone()) {
            fault("there is a wave of this name".to_owned());
        }
        let classes = collect(draft.classes.iter().map(|name| class(name)), &mut fault);
        let tenants = draft.tenants.iter().map(|it| tenant(it, known.tenants));
        let tenants: Vec<TenantId> = collect(tenants, &mut fault);
        for tenant in &tenants {
            if !named.insert(*tenant) {
                fault(format!("tenant {tenant} stands twice in the plan"));
            }
        }
        match (draft.classes.is_empty(), draft.tenants.is_empty()) {
            (true, true) => fault("it names neither classes nor tenants".to_owned()),
            (false, false) => {
                fault("it names classes and tenants: expected one of them".to_owned())
            }
            _ => {}
        }
        let at_once = classes == [Class::Internal];
        let steps = draft
            .steps
            .clone()
            .or(defaults.steps.clone().filter(|_| !at_once));
        let steps = steps.unwrap_or_else(|| vec![100.0]);
        let steps: Vec<Percent> = collect(steps.into_iter().map(Percent::try_from), &mut fault);
        let bake = draft.bake.as_ref().or(defaults.bake.as_ref());
        let bake = bake.map_or("24h", String::as_str).parse();
        let gates = draft.gates.clone().or(defaults.gates.clone());
        let gates = gates.unwrap_or_else(|| vec!["guard".to_owned()]);
        let gates = gates.iter().map(|gate| known_gate(gate, known.checks));
        let mut gates: Vec<Gate> = collect(gates, &mut fault);
        gates.sort();
        gates.dedup();
        if let Err(unsorted) = cohort::check_steps(&steps) {
            fault(unsorted);
        }
        match bake {
            Err(unread) => fault(unread),
            Ok(bake) => specs.push(Spec {
                name: name.clone(),
                classes,
                tenants,
                steps,
                bake,
                gates,
                auto: draft.auto.unwrap_or(defaults.auto),
            }),
        }
    }
    if faults.is_empty() {
        Ok(specs)
    } else {
        Err(faults)
    }
}

fn collect<T>(
    items: impl Iterator<Item = Result<T, String>>,
    fault: &mut impl FnMut(String),
) -> Vec<T> {
    items
        .filter_map(|item| item.map_err(&mut *fault).ok())
        .collect()
}

/// `CAPABILITY-CLASS`, or `CAPABILITY-PLACE` where there is not one class; with a number behind it when it is taken.
fn free_name(capability: &str, draft: &Draft, place: usize, taken: &HashSet<String>) -> String {
    let stem = match draft.classes.as_slice() {
        [class] => format!("{capability}-{class}"),
        _ => format!("{capability}-{}", place + 1),
    };
    let numbered = (2..).map(|number| format!("{stem}-{number}"));
    [stem.clone()]
        .into_iter()
        .chain(numbered)
        .find(|name| !taken.contains(name))
        .unwrap_or(stem)
}

pub(super) fn class(name: &str) -> Result<Class, String> {
    let known = CLASSES.into_iter().find(|class| class.as_str() == name);
    known.ok_or_else(|| {
        format!("class {name:?} is not known: expected internal, low, medium or high")
    })
}

fn tenant(text: &str, tenants: &[Candidate]) -> Result<TenantId, String> {
    let wanted: TenantRef = text.parse().map_err(|fault| format!("{fault}"))?;
    let found = match &wanted {
        TenantRef::Id(id) => tenants
            .binary_search_by_key(id, |it| it.id)
            .ok()
            .map(|_| *id),
        TenantRef::Slug(slug) => tenants
            .iter()
            .find(|it| it.slug.as_ref() == Some(slug))
            .map(|it| it.id),
    };
    found.ok_or_else(|| format!("there is no tenant {wanted}"))
}

fn known_gate(text: &str, checks: &BTreeSet<String>) -> Result<Gate, String> {
    let gate: Gate = text.parse()?;
    match &gate {
        Gate::Reconcile(name) if !checks.contains(name) => Err(format!(
            "gate {text:?} is not defined: the configuration has no [[reconcile]] of this name"
        )),
        _ => Ok(gate),
    }
}

/// A wave of a plan, and what it would move.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PlannedWave {
    pub name: String,
    pub capability: String,
    pub classes: Vec<String>,
    pub bake_seconds: i64,
    pub gates: Vec<String>,
    pub auto: bool,
    pub tenants: usize,
    pub steps: Vec<PlannedStep>,
}

/// What stands on modern because of the wave once it is in this step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PlannedStep {
    pub percent: Percent,
    /// This step's own.
    pub moves: usize,
    /// This step's and those of the steps before.
    pub tenants: usize,
    /// Of all tenants.
    pub tenants_percent: f64,
    /// Of the capability's requests in the last seven days. `None`: there were none.
    pub requests_percent: Option<f64>,
    /// Of the requests to capabilities that send, in the last seven days.
    pub sends_percent: Option<f64>,
    /// Who has the most of the capability's requests.
    pub largest: Option<Largest>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Largest {
    pub tenant: TenantId,
    pub slug: Option<String>,
    pub requests_percent: f64,
}

/// Requests of the last seven days, those that named no tenant included.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub requests: i64,
    pub sends: i64,
}

/// What each wave would move if all were started one after the other, now.
pub(super) fn preview(
    capability: &str,
    salt: &str,
    specs: &[Spec],
    before: &BTreeSet<Class>,
    tenants: &[Candidate],
    totals: Totals,
) -> Vec<PlannedWave> {
    let by_id: BTreeMap<TenantId, &Candidate> = tenants.iter().map(|it| (it.id, it)).collect();
    let mut free: BTreeSet<TenantId> = tenants
        .iter()
        .filter(|it| !it.taken)
        .map(|it| it.id)
        .collect();
    let mut classes = before.clone();
    let mut planned = Vec::new();
    for spec in specs {
        classes.extend(&spec.classes);
        let named: HashSet<TenantId> = spec.tenants.iter().copied().collect();
        let takes = |it: &&Candidate| match spec.classes.is_empty() {
            true => named.contains(&it.id),
            false => classes.contains(&it.class),
        };
        let cohort = tenants
            .iter()
            .filter(|it| free.contains(&it.id))
            .filter(takes);
        let cohort: Vec<_> = cohort.map(|it| (it.id, it.class)).collect();
        let members = cohort::assign(salt, cohort, &spec.steps);
        let mut so_far: Vec<&Candidate> = Vec::with_capacity(members.len());
        let mut steps = Vec::new();
        let mut next = members.iter().peekable();
        for (place, percent) in spec.steps.iter().enumerate() {
            let stood = so_far.len();
            while let Some(member) = next.next_if(|member| member.step <= place + 1) {
                so_far.extend(by_id.get(&member.tenant));
            }
            steps.push(step(
                *percent,
                so_far.len() - stood,
                &so_far,
                tenants.len(),
                totals,
            ));
        }
        for member in &members {
            free.remove(&member.tenant);
        }
        planned.push(PlannedWave {
            name: spec.name.clone(),
            capability: capability.to_owned(),
            classes: spec
                .classes
                .iter()
                .map(|it| it.as_str().to_owned())
                .collect(),
            bake_seconds: spec.bake.seconds(),
            gates: spec.gates.iter().map(Gate::to_string).collect(),
            auto: spec.auto,
            tenants: members.len(),
            steps,
        });
    }
    planned
}

fn step(
    percent: Percent,
    moves: usize,
    so_far: &[&Candidate],
    all: usize,
    totals: Totals,
) -> PlannedStep {
    let sum = |of: fn(&Candidate) -> i64| so_far.iter().map(|it| of(it)).sum::<i64>();
    let largest = so_far
        .iter()
        .max_by_key(|it| (it.requests, std::cmp::Reverse(it.id)));
    PlannedStep {
        percent,
        moves,
        tenants: so_far.len(),
        tenants_percent: share(so_far.len() as i64, all as i64).unwrap_or(0.0),
        requests_percent: share(sum(|it| it.requests), totals.requests),
        sends_percent: share(sum(|it| it.sends), totals.sends),
        largest: largest.and_then(|it| {
            Some(Largest {
                tenant: it.id,
                slug: it.slug.clone(),
                requests_percent: share(it.requests, totals.requests)?,
            })
        }),
    }
}

/// In percent, to hundredths.
fn share(part: i64, whole: i64) -> Option<f64> {
    (whole > 0).then(|| (part as f64 * 10_000.0 / whole as f64).round() / 100.0)
}
