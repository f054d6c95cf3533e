//! Answers "which side, and why" for one request, with the very functions that route it.
//!
//! Its own file, because `ficus explain`, the admin API and the console ask it, and none of them is in a
//! request's path.

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use serde::{Deserialize, Serialize};

use super::edge::{Edge, Leads, Target, caller};
use super::explain_hold::Held;
use super::hold;
use super::intent::is_write;
use super::policy::auth::{Auth, is_one_tenant};
use super::refusal::Refusal;
use super::routes::normal_path;
use super::upstream::Standing;
use super::visitor;
use crate::flags::{Caller, Flags, Keys, Reason, Snapshot};
use crate::identity::{Facts, Identity, Named, Proof, Strength, Unresolved, User, normalise_host};

/// A request as an operator describes it.
#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    pub method: String,
    /// A path with query, or a whole URL.
    pub url: String,
    #[serde(default)]
    pub headers: Vec<(String, String)>,
}

/// The whole chain of reasons, in the order in which they are asked.
#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Explanation {
    /// `legacy` or `modern`; `none` where the route refuses the request.
    pub side: String,
    /// The upstream's name.
    pub upstream: String,
    /// The decision's reason, as in the log and in the metrics.
    pub reason: String,
    pub revision: i64,
    /// One line a step: what was asked and what it answered.
    pub steps: Vec<ExplainStep>,
}

#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ExplainStep {
    /// `route`, `policy`, `tenant`, `auth`, `freeze`, `local`, `override`, `flag`,
    /// `split`, `default`.
    pub step: String,
    pub outcome: String,
    /// True for the step that decided.
    pub decided: bool,
}

/// Holds the routes, the resolvers and the flags that the proxy itself uses.
pub struct Explainer {
    pub edge: Arc<ArcSwap<Edge>>,
    pub flags: Flags,
}

impl Explainer {
    /// What the proxy knows of its upstreams now.
    pub fn upstreams(&self) -> Vec<Standing> {
        let edge = self.edge.load();
        edge.upstreams.iter().map(|u| u.standing()).collect()
    }

    /// Decides as the proxy would for a trusted peer, since whoever asks may name any tenant. The error says what
    /// is wrong with the question.
    pub async fn explain(&self, request: &ExplainRequest) -> Result<Explanation, String> {
        let method = Method::from_bytes(request.method.to_ascii_uppercase().as_bytes())
            .map_err(|_| format!("{:?} is no HTTP method", request.method))?;
        let uri: Uri = request
            .url
            .parse()
            .map_err(|e| format!("{:?} is no URL or path: {e}", request.url))?;
        let headers = header_map(&request.headers)?;
        let named_host = headers
            .get(header::HOST)
            .and_then(|v| v.to_str().ok())
            .or(uri.host());
        let host = named_host
            .map(|h| normalise_host(h).ok_or_else(|| format!("{h:?} is no host")))
            .transpose()?;

        let edge = self.edge.load_full();
        let leads = edge.route(host.as_deref(), &method, uri.path());
        let Leads { target, policy, .. } = leads;
        let facts = Facts {
            headers: &headers,
            host: host.as_deref(),
            target: uri.path_and_query().map_or("/", |target| target.as_str()),
            sni: None,
            peer_trusted: true,
        };
        let of_capability = edge.of(leads).and_then(|it| it.effect);
        let writes = is_write(&method, &headers, facts.target, leads.effect, of_capability);
        let looks = edge.needs_tenant(leads) || writes && hold::asks_tenant(&self.flags);
        let identity = if looks {
            Some(edge.chain.resolve(&facts).await)
        } else {
            None
        };

        let snapshot = self.flags.load_full();
        let Some(snapshot) = snapshot.as_deref() else {
            return Err("this process has no snapshot yet, so the proxy answers 503".to_owned());
        };
        let caller = caller(snapshot, identity.as_ref().and_then(|i| i.tenant.as_ref()));
        let keys = Keys {
            user: identity
                .as_ref()
                .and_then(|i| i.user.as_deref())
                .map(User::id),
            session: visitor::named(&headers),
        };
        let verdict = edge.decide(leads, Some(snapshot), caller, keys);
        let auth = policy.map(|place| &edge.policy(place).auth);
        let judged = match (auth, &identity) {
            (Some(auth), Some(identity)) => auth.judge(identity, || {
                let weaker = edge.chain.weaker(identity.strength, &facts);
                is_one_tenant(Some(snapshot), identity.tenant.as_ref(), weaker)
            }),
            _ => Ok(()),
        };
        let reason = verdict.decision.reason;

        let mut steps = vec![route_step(&edge, target, &method, uri.path(), reason)];
        for asked in policy
            .iter()
            .flat_map(|place| edge.policy(*place).describe())
        {
            steps.push(step("policy", asked, false));
        }
        if let Some(identity) = &identity {
            steps.push(step(
                "tenant",
                tenant_outcome(identity, caller, matches!(target, Target::Capability(_))),
                matches!(reason, Reason::NoTenant | Reason::UnknownTenant),
            ));
        }
        if let (Some(demand), Some(identity)) = (auth.and_then(Auth::describe), &identity) {
            let outcome = auth_outcome(&demand, identity, judged);
            steps.push(step("auth", outcome, judged.is_err()));
        }
        if let Err(refusal) = judged {
            return Ok(Explanation {
                side: "none".to_owned(),
                upstream: "none".to_owned(),
                reason: refusal.as_str().to_owned(),
                revision: snapshot.revision.0,
                steps,
            });
        }
        let held = Held {
            snapshot,
            capability: edge.of(leads).map(|it| &*it.name),
            caller,
            keys,
            now: self.flags.server_time(),
        };
        if let Some((outcome, decided)) = held.freeze(writes) {
            steps.push(step("freeze", outcome, decided));
            if decided {
                return Ok(Explanation {
                    side: "none".to_owned(),
                    upstream: "none".to_owned(),
                    reason: Refusal::Frozen.as_str().to_owned(),
                    revision: snapshot.revision.0,
                    steps,
                });
            }
        }
        if let Target::Capability(place) = target {
            let name = &edge.capability(place).name;
            steps.extend(flag_steps(snapshot, name, caller, reason));
            if let Some(outcome) = held.split() {
                let decided = matches!(reason, Reason::Split | Reason::NoSplitKey);
                steps.push(step("split", outcome, decided));
            }
            if matches!(reason, Reason::Default) {
                steps.push(step("default", "legacy".to_owned(), true));
            }
        }
        Ok(Explanation {
            side: verdict.decision.side.as_str().to_owned(),
            upstream: verdict
                .upstream
                .map_or("none", |place| &edge.upstreams[place].name)
                .to_owned(),
            reason: reason.as_str().to_owned(),
            revision: snapshot.revision.0,
            steps,
        })
    }
}

fn header_map(pairs: &[(String, String)]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::try_from(name.as_str())
            .map_err(|_| format!("{name:?} is no header name"))?;
        let value = HeaderValue::try_from(value.as_str())
            .map_err(|_| format!("the value of {name} cannot stand in a header"))?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn step(step: &str, outcome: String, decided: bool) -> ExplainStep {
    ExplainStep {
        step: step.to_owned(),
        outcome,
        decided,
    }
}

fn route_step(
    edge: &Edge,
    target: Target,
    method: &Method,
    path: &str,
    reason: Reason,
) -> ExplainStep {
    let path = normal_path(path);
    let outcome = match target {
        Target::Capability(place) => format!(
            "{method} {path} belongs to capability {}",
            edge.capability(place).name
        ),
        Target::Side(side) => format!("{method} {path} always goes to {}", side.as_str()),
        Target::Upstream(place) => format!(
            "{method} {path} always goes to upstream {}",
            edge.upstreams[place].name
        ),
        Target::NoRoute => format!("no route names {method} {path}: legacy"),
    };
    step(
        "route",
        outcome,
        matches!(reason, Reason::Route | Reason::NoRoute),
    )
}

/// `decides`: without a tenant, legacy answers.
fn tenant_outcome(identity: &Identity<'_>, caller: Caller<'_>, decides: bool) -> String {
    let legacy = if decides { ": legacy" } else { "" };
    let refused = identity
        .why
        .filter(|w| *w != Unresolved::NoProof)
        .map_or(String::new(), |why| {
            format!(" (refused on the way: {})", why.as_str())
        });
    let named = match (&identity.tenant, caller) {
        (Some(_), Caller::Tenant(t)) => {
            let slug = t.slug.as_ref();
            let slug = slug.map_or(String::new(), |slug| format!(" ({slug})"));
            let proven = match identity.strength {
                Strength::Proven => "proven",
                _ => "not proven",
            };
            format!("{} says tenant {}{slug}, {proven}", identity.source, t.id)
        }
        (Some(Named::Id(id)), _) => format!(
            "{} says tenant {id}, which has no row{legacy}",
            identity.source
        ),
        (Some(Named::Slug(slug)), _) => format!(
            "{} says tenant {slug}, which has no row{legacy}",
            identity.source
        ),
        (None, _) => format!("no resolver names a tenant{legacy}"),
    };
    named + &refused
}

fn auth_outcome(demand: &str, identity: &Identity<'_>, judged: Result<(), Refusal>) -> String {
    let shown = match (identity.proof, identity.user.as_deref()) {
        (Proof::Absent, _) => "no proof is shown".to_owned(),
        (Proof::Refused(why), _) => format!("the proof is refused ({})", why.as_str()),
        (Proof::Unjudged(why), _) => format!("the proof cannot be judged ({})", why.as_str()),
        (Proof::Held(source), None) => format!("{source} holds and names no user"),
        (Proof::Held(source), Some(user)) => match user.tier() {
            Some(tier) => format!("{source} holds, user {} of tier {tier}", user.id()),
            None => format!("{source} holds, user {}", user.id()),
        },
    };
    match judged {
        Ok(()) => format!("{demand}: {shown}"),
        Err(refusal) => {
            let (status, label) = (refusal.status(), refusal.as_str());
            format!("{demand}: {shown}: {status} {label}")
        }
    }
}

/// Overrides are asked before the tenant matters; they are listed after it, as people think.
fn flag_steps(
    snapshot: &Snapshot,
    capability: &str,
    caller: Caller<'_>,
    reason: Reason,
) -> Vec<ExplainStep> {
    let local = if snapshot.is_rolled_back_locally(capability, caller) {
        "a local rollback on this proxy covers it: legacy".to_owned()
    } else {
        "no local rollback on this proxy".to_owned()
    };
    let forced = snapshot.forced();
    let known = snapshot.capability(capability);
    let over = match known {
        _ if forced.all => "force-legacy stands for everything: legacy".to_owned(),
        Some(known) if forced.capabilities >> known.ordinal & 1 == 1 => {
            format!("force-legacy stands for {capability}: legacy")
        }
        Some(_) => "none".to_owned(),
        None => format!("capability {capability} is not registered in ficus.capability: legacy"),
    };
    let mut steps = vec![
        step("local", local, reason == Reason::Local),
        step(
            "override",
            over,
            matches!(
                reason,
                Reason::ForcedAll | Reason::Forced | Reason::UnknownCapability
            ),
        ),
    ];
    if let (Caller::Tenant(tenant), Some(known)) = (caller, known) {
        match tenant.state(known.ordinal) {
            Some(state) => {
                let outcome = format!(
                    "row ({}, {capability}) says {}, as of revision {}",
                    tenant.id,
                    state.as_str(),
                    snapshot.revision
                );
                steps.push(step("flag", outcome, reason == Reason::Flag));
            }
            None => {
                steps.push(step(
                    "flag",
                    format!("no row for ({}, {capability})", tenant.id),
                    false,
                ));
            }
        }
    }
    steps
}
