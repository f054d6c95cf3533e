//! The guard at work: reads what is new, judges, takes back what fails, and says so.
//!
//! Its own file, because here alone the guard acts; what it acts on is decided in the pure files beside it. What it
//! remembers is only a cache: a new leader reads half an hour back and knows the same.

mod order;

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::sync::Mutex;

use super::alarm::{alert, tell};
use super::episode::Episodes;
use super::judge::Rule;
use super::limits::Config;
use super::memory::{Judgement, Memory, Standing};
use super::scope::Extent;
use super::series::{Bin, bins, horizon};
use super::store::{self, Known, Mark, VerdictRow};
use super::verdict::Verdict;
use super::words::describe;
use crate::alerts::Severity;
use crate::rollout::outcomes::Asked;
use crate::rollout::{Author, Error, Source, Terms, roll_back};
use crate::telemetry::Metrics;

use self::order::order;

/// Who the audit names.
const ACTOR: &str = "guard";
/// Findings of tenants that the evidence of one rollback holds.
const MOST_EVIDENCE: usize = 20;

/// The guard of a process; it looks only while the process leads.
pub struct Guard {
    config: Arc<ArcSwap<Config>>,
    metrics: Arc<Metrics>,
    state: Mutex<Option<State>>,
}

/// What one look leaves to the next.
struct State {
    /// Under which limits the memory counts what is slow.
    config: Arc<Config>,
    memory: Memory,
    known: Known,
    /// Everything before has been read.
    read_until: DateTime<Utc>,
    revision: i64,
    marks: Vec<Mark>,
    judged: Bin,
    told: Episodes,
}

impl Guard {
    pub fn new(config: Arc<ArcSwap<Config>>, metrics: Arc<Metrics>) -> Self {
        Self {
            config,
            metrics,
            state: Mutex::new(None),
        }
    }

    /// One look. Dropped in the middle or failed, the next one reads everything anew.
    pub async fn look(&self, pool: &PgPool, now: DateTime<Utc>) -> anyhow::Result<()> {
        let mut place = self.state.lock().await;
        let config = self.config.load_full();
        let kept = place.take().filter(|s| Arc::ptr_eq(&s.config, &config));
        let mut state = match kept {
            Some(state) => state,
            None => State::begin(pool, config, now).await?,
        };
        let is_new = state.read(pool, now).await?;
        if is_new {
            self.judge(pool, &mut state).await?;
        }
        *place = Some(state);
        Ok(())
    }

    /// This process leads no more.
    pub fn rest(&self) {
        self.metrics.guard.forget();
    }

    async fn judge(&self, pool: &PgPool, state: &mut State) -> anyhow::Result<()> {
        let mut db = pool.acquire().await?;
        let now = state.judged;
        let silent = store::silent_proxies(&mut db).await?;
        let nobody = !store::has_proxies(&mut db).await?;
        if state.tells("silent", !silent.is_empty()) {
            let title = "proxies do not tell what they count: the guard holds";
            alert(
                &mut db,
                Severity::Critical,
                "guard/silent",
                None,
                title,
                &silent.join(", "),
            )
            .await;
        }
        let (mut rows, mut orders) = (Vec::new(), Vec::new());
        for (capability, forced) in store::capabilities(&mut db).await? {
            let limits = state.config.limits_of(&capability).clone();
            let suspects = state.memory.suspects(&capability, &limits, now);
            let mut standing = Standing {
                since: state.since(&capability),
                silent: nobody || !silent.is_empty(),
                ..Standing::default()
            };
            if !suspects.is_empty() {
                let found = store::on_modern(&mut db, &capability, &suspects).await?;
                let found = found.into_iter();
                standing.tenants = found
                    .map(|(tenant, since, wave)| (tenant, (since, wave)))
                    .collect();
                let gone = state.taken_back(&capability);
                standing.taken_back = store::taken_back(&mut db, &capability, &gone).await?;
            }
            let tenants = state.config.tenants;
            let judgement = state
                .memory
                .judge(&capability, &limits, &standing, tenants, now);
            self.metrics
                .guard
                .verdict(&capability, judgement.verdict.number());
            let evidence = evidence(state, &capability, &judgement);
            rows.push(VerdictRow {
                capability: capability.clone(),
                tenant: None,
                verdict: judgement.verdict,
                evidence: evidence.clone(),
            });
            rows.extend(judgement.failing.iter().map(|it| VerdictRow {
                capability: capability.clone(),
                tenant: Some(it.tenant),
                verdict: Verdict::Fail,
                evidence: json!({ "finding": it.finding, "wave": it.wave, "words": describe(&it.finding) }),
            }));
            let is_shared = judgement.finding.rule == Rule::Shared;
            if state.tells(&format!("shared {capability}"), is_shared) {
                let key = format!("guard/shared/{capability}");
                let title =
                    format!("{capability}: both sides are over the limits; nothing is rolled back");
                let body = describe(&judgement.finding);
                alert(
                    &mut db,
                    Severity::Critical,
                    &key,
                    Some(&capability),
                    &title,
                    &body,
                )
                .await;
            }
            if !forced && !judgement.extents.is_empty() {
                orders.push((capability, judgement, evidence));
            }
        }
        // Given back first: a rollback takes one of its own, and nothing may keep it waiting.
        drop(db);
        for (capability, judgement, evidence) in &orders {
            for extent in &judgement.extents {
                self.take_back(pool, state, capability, extent, judgement, evidence)
                    .await;
            }
        }
        let mut db = pool.acquire().await?;
        Ok(store::put_verdicts(&mut db, &rows).await?)
    }

    async fn take_back(
        &self,
        pool: &PgPool,
        state: &mut State,
        capability: &str,
        extent: &Extent,
        judgement: &Judgement,
        evidence: &Value,
    ) {
        let Some((scope, whom, cause, words)) = order(state, capability, extent, judgement) else {
            if state.tells(&format!("cooling {capability} {extent:?}"), true) {
                let key = format!("guard/{capability}");
                let title =
                    format!("{capability} fails again within the cool-down: a person has to look");
                tell(
                    pool,
                    &key,
                    capability,
                    &title,
                    &describe(&judgement.finding),
                )
                .await;
            }
            return;
        };
        let reason = format!("{whom}: {words}");
        if !state.config.acts {
            if state.tells(&format!("would {capability} {extent:?}"), true) {
                tracing::error!(
                    capability,
                    reason,
                    "would be rolled back, and guard.act is off"
                );
            }
            return;
        }
        let author =
            Author::new(ACTOR, Source::Guard, reason.clone()).with_evidence(evidence.clone());
        match roll_back(pool, &Terms::of(author), &scope).await {
            Ok(change) if change.changed > 0 => {
                self.metrics.count_rollback(capability, cause);
                let key = format!("guard/{capability}/{}", change.revision.0);
                let title = format!("{capability} is rolled back to legacy: {whom}");
                tell(pool, &key, capability, &title, &reason).await;
            }
            Ok(_) => {}
            // Tried again at the next look: it is still true then.
            Err(e @ (Error::Locked(_) | Error::Unavailable(_) | Error::Unsure)) => {
                tracing::error!(capability, error = %e, "the rollback did not succeed yet");
            }
            Err(e) => tracing::error!(capability, error = %e, "the rollback is refused"),
        }
    }
}

impl State {
    async fn begin(pool: &PgPool, config: Arc<Config>, now: DateTime<Utc>) -> anyhow::Result<Self> {
        let mut db = pool.acquire().await?;
        Ok(Self {
            memory: Memory::default(),
            known: Known::new(),
            read_until: now - chrono::Duration::seconds(horizon() * 10),
            revision: store::revision_before(&mut db, config.cool_down).await?,
            marks: Vec::new(),
            judged: 0,
            told: Episodes::default(),
            config,
        })
    }

    /// Reads what is new. Whether there is reason to judge again: a report, or a new bucket.
    async fn read(&mut self, pool: &PgPool, now: DateTime<Utc>) -> anyhow::Result<bool> {
        let mut db = pool.acquire().await?;
        let bin = store::now(&mut db).await?;
        let reports = store::new_reports(&mut db, self.read_until, &self.known).await?;
        let (memory, config) = (&mut self.memory, &self.config);
        store::buckets(&mut db, &reports, |bucket| memory.add(&bucket, config)).await?;
        let is_new = !reports.is_empty() || bin > self.judged;
        self.known.extend(reports);
        // Tenant 0 is the whole: what was reported of nobody in particular, and of everybody.
        let mut whole: BTreeMap<(Bin, String, String), (u64, u64)> = BTreeMap::new();
        for row in store::outcomes(&mut db, self.read_until).await? {
            let key = (row.at, row.capability.clone(), row.kind.clone());
            let sum = whole.entry(key).or_default();
            (sum.0, sum.1) = (sum.0 + row.good, sum.1 + row.bad);
            if row.tenant > 0 {
                let counts = (row.good, row.bad);
                self.memory
                    .set_outcome(row.at, &row.capability, &row.kind, row.tenant, counts);
            }
        }
        for ((at, capability, kind), counts) in whole {
            self.memory.set_outcome(at, &capability, &kind, 0, counts);
        }
        let (revision, marks) = store::marks(&mut db, self.revision).await?;
        self.revision = revision;
        self.marks.extend(marks);
        (self.read_until, self.judged) = (now, bin);
        let cool_down = bins(self.config.cool_down);
        let oldest = bin - horizon();
        self.marks
            .retain(|mark| mark.at >= oldest.min(bin - cool_down));
        // A little longer than they can be met again.
        self.known.retain(|_, at| *at >= oldest - 60);
        self.memory.forget_before(bin);
        Ok(is_new)
    }

    /// Since when the whole of a capability is in one piece: after the last of its rollbacks and overrides.
    fn since(&self, capability: &str) -> Bin {
        let concerns = |mark: &&Mark| match &mark.capability {
            Some(name) => name == capability,
            None => mark.entity == "override",
        };
        let marks = self.marks.iter().filter(concerns);
        marks.map(|mark| mark.at + 1).max().unwrap_or(0)
    }

    fn cools(&self, capability: &str, tenant: Option<i64>) -> bool {
        let oldest = self.judged - bins(self.config.cool_down);
        self.marks.iter().any(|mark| {
            mark.by_guard
                && mark.at >= oldest
                && mark.capability.as_deref() == Some(capability)
                && match tenant {
                    Some(_) => mark.tenant == tenant,
                    None => mark.entity == "override",
                }
        })
    }

    /// Whom the guard took back one by one within the cool-down.
    fn taken_back(&self, capability: &str) -> Vec<i64> {
        let oldest = self.judged - bins(self.config.cool_down);
        let marks = self.marks.iter();
        marks
            .filter(|mark| mark.by_guard && mark.at >= oldest && mark.entity == "flag")
            .filter(|mark| mark.capability.as_deref() == Some(capability))
            .filter_map(|mark| mark.tenant)
            .collect()
    }

    fn tells(&mut self, what: &str, is_so: bool) -> bool {
        self.told.begins(what, is_so, self.judged)
    }
}

/// What was measured, for the verdict and for the audit.
fn evidence(state: &State, capability: &str, judgement: &Judgement) -> Value {
    let now = state.judged;
    let from = now - (judgement.finding.window_s / 10).max(1);
    let side = |side: Asked| {
        let [p50, p95, p99] = state.memory.quantiles(capability, side, from, now);
        json!({ "p50_ms": p50, "p95_ms": p95, "p99_ms": p99 })
    };
    let failing: Vec<Value> = judgement
        .failing
        .iter()
        .take(MOST_EVIDENCE)
        .map(|it| json!({ "tenant": it.tenant, "wave": it.wave, "finding": it.finding }))
        .collect();
    json!({
        "from": store::begin_of(from),
        "until": store::begin_of(now),
        "words": describe(&judgement.finding),
        "finding": judgement.finding,
        "modern": side(Asked::Modern),
        "legacy": side(Asked::Legacy),
        "tenants_failing": judgement.failing.len(),
        "failing": failing,
        "tenants_active": state.memory.active(capability),
        "extents": judgement.extents,
        "limits": state.config.limits_of(capability),
    })
}
