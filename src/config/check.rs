//! The rules between keys that no single key can break: listeners that clash, routes that conflict.
//!
//! Its own file, because it looks across sections that are read one by one.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::fault::Fault;
use crate::identity::Resolver;
use crate::proxy::Route;
use crate::proxy::policy::auth::Auth;

/// Two listeners on one address. Port 0 takes any free port and clashes with nothing.
pub fn clashing_listeners(listeners: &[(String, SocketAddr)]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (index, (key, address)) in listeners.iter().enumerate() {
        let earlier = listeners[..index]
            .iter()
            .find(|(_, earlier)| clash(*earlier, *address));
        if let Some((other, _)) = earlier {
            faults.push(Fault::new(
                key,
                format!(
                    "listens where {other} does already (got {:?})",
                    address.to_string()
                ),
            ));
        }
    }
    faults
}

/// The wildcard of a family takes every address of it; a dual-stack `[::]` is left to the kernel to judge.
fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip(), other.ip());
    one.port() == other.port()
        && one.port() != 0
        && a.is_ipv4() == b.is_ipv4()
        && (a == b || a.is_unspecified() || b.is_unspecified())
}

/// One route table of the proxy, and which routes it holds.
#[derive(Default)]
struct Held {
    table: matchit::Router<()>,
    routes: Vec<usize>,
}

/// Routes of one host and method that no route table can hold together. A route without methods is in a table of its
/// own, which the proxy asks when that of the request's method has no answer; so it is with hosts.
/// `None` is a route with faults of its own, which is left out and keeps its place.
pub fn conflicting_routes(routes: &[Option<Route>]) -> Vec<Fault> {
    let mut tables: BTreeMap<(Option<&str>, Option<&str>), Held> = BTreeMap::new();
    let mut faults = Vec::new();
    let paths: Vec<&str> = routes
        .iter()
        .map(|route| route.as_ref().map_or("", |route| route.path.as_str()))
        .collect();
    let read = routes
        .iter()
        .enumerate()
        .filter_map(|(index, route)| Some((index, route.as_ref()?)));
    for (index, route) in read {
        let methods: Vec<Option<&str>> = match route.methods.as_slice() {
            [] => vec![None],
            methods => methods.iter().map(|method| Some(method.as_str())).collect(),
        };
        let mut rival = None;
        for method in methods {
            let held = tables.entry((route.host.as_deref(), method)).or_default();
            if held.table.insert(route.path.as_str(), ()).is_ok() {
                held.routes.push(index);
                continue;
            }
            let first = held
                .routes
                .iter()
                .find(|earlier| conflict(paths[**earlier], paths[index]));
            // Three routes may conflict of which no two do: any of them leads the reader there.
            rival = rival.or(first.or(held.routes.last()).copied());
        }
        if let Some(rival) = rival {
            faults.push(conflict_fault(&paths, index, rival));
        }
    }
    faults
}

/// Routes that ask for a proof where no resolver takes one: every request would be refused.
pub fn unprovable_routes(routes: &[Option<Route>], resolvers: &[Resolver]) -> Vec<Fault> {
    if resolvers.iter().any(Resolver::proves) {
        return Vec::new();
    }
    let asks = |route: &Route| matches!(route.policy.auth, Auth::Required { .. });
    let asking = routes
        .iter()
        .enumerate()
        .filter(|(_, route)| route.as_ref().is_some_and(asks));
    asking
        .map(|(index, _)| {
            Fault::new(
                format!("route[{index}].auth"),
                "is \"required\", and no [[tenant]] takes a proof, such as resolver = \"jwt\": every request would get 401",
            )
        })
        .collect()
}

fn conflict_fault(paths: &[&str], index: usize, rival: usize) -> Fault {
    if rival == index {
        return Fault::new(format!("route[{index}].methods"), "has a method twice");
    }
    let (other, path) = (paths[rival], paths[index]);
    let problem = format!(
        "conflicts with route[{rival}], {other:?}, of the same host and methods (got {path:?})"
    );
    Fault::new(format!("route[{index}].path"), problem)
}

fn conflict(earlier: &str, later: &str) -> bool {
    let mut table = matchit::Router::new();
    table.insert(earlier, ()).is_err() || table.insert(later, ()).is_err()
}
