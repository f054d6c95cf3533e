//! The rules between keys that no single key can break: listeners that clash, routes that conflict.
//!
//! Its own file, because it looks across sections that are read one by one.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::fault::Fault;
use crate::proxy::Route;

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

/// Routes of one host and method that no route table can hold together.
/// A route with methods and one without are apart: the one that names the request's method goes first.
pub fn conflicting_routes(routes: &[Route]) -> Vec<Fault> {
    let mut tables: BTreeMap<(Option<&str>, Option<&str>), (matchit::Router<()>, Vec<usize>)> =
        BTreeMap::new();
    let mut faults = Vec::new();
    for (index, route) in routes.iter().enumerate() {
        let methods: Vec<Option<&str>> = match route.methods.as_slice() {
            [] => vec![None],
            methods => methods.iter().map(|method| Some(method.as_str())).collect(),
        };
        let mut rival = None;
        for method in methods {
            let (table, held) = tables.entry((route.host.as_deref(), method)).or_default();
            match table.insert(route.path.as_str(), ()) {
                Ok(()) => held.push(index),
                Err(_) => {
                    rival = rival.or_else(|| {
                        held.iter()
                            .copied()
                            .find(|earlier| conflict(&routes[*earlier].path, &route.path))
                    })
                }
            }
        }
        if let Some(rival) = rival {
            let other = &routes[rival].path;
            faults.push(match rival == index {
                true => Fault::new(format!("route[{index}].methods"), "has a method twice"),
                false => Fault::new(format!("route[{index}].path"), format!("conflicts with route[{rival}], {other:?}, of the same host and methods (got {:?})", route.path)),
            });
        }
    }
    faults
}

fn conflict(earlier: &str, later: &str) -> bool {
    let mut table = matchit::Router::new();
    table.insert(earlier, ()).is_err() || table.insert(later, ()).is_err()
}
