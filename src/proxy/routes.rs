//! Which capability a request belongs to: by host, path and method.
//!
//! Pure, and its own file, because a path that legacy and ficus read differently is a way around a flag:
//! matching happens on one normal form, while the bytes that the client sent are what is forwarded.

use std::collections::HashMap;

use http::Method;
use matchit::Router;

pub use crate::identity::normal_path;

/// Routes by host, method and path; `T` is what a route leads to. The more exact table is asked first: host and
/// method, then host, then method, then neither.
pub struct Routes<T> {
    by_host: HashMap<String, ByMethod<T>>,
    any_host: ByMethod<T>,
}

struct ByMethod<T> {
    by_method: Vec<(Method, Router<T>)>,
    any_method: Router<T>,
}

/// A route that cannot stand in the table.
#[derive(Debug, thiserror::Error)]
#[error("route {path}: {problem}")]
pub struct BadRoute {
    pub path: String,
    pub problem: String,
}

/// One route as it is given.
pub struct RouteSpec<'a, T> {
    pub path: &'a str,
    pub methods: &'a [Method],
    pub host: Option<&'a str>,
    pub target: T,
}

impl<T: Clone> Routes<T> {
    /// Builds the table. Two routes may share a path when they differ in host or in method.
    pub fn build<'a>(specs: impl IntoIterator<Item = RouteSpec<'a, T>>) -> Result<Self, BadRoute> {
        let mut routes = Self {
            by_host: HashMap::new(),
            any_host: ByMethod::default(),
        };
        for spec in specs {
            let table = match spec.host {
                Some(host) => routes.by_host.entry(host.to_owned()).or_default(),
                None => &mut routes.any_host,
            };
            table.insert(&spec).map_err(|e| BadRoute {
                path: spec.path.to_owned(),
                problem: e.to_string(),
            })?;
        }
        Ok(routes)
    }

    /// The route of a request.
    pub fn find(&self, host: Option<&str>, method: &Method, path: &str) -> Option<&T> {
        let path = normal_path(path);
        let own = host
            .filter(|_| !self.by_host.is_empty())
            .and_then(|host| self.by_host.get(host));
        own.and_then(|table| table.find(method, &path))
            .or_else(|| self.any_host.find(method, &path))
    }
}

impl<T> Default for ByMethod<T> {
    fn default() -> Self {
        Self {
            by_method: Vec::new(),
            any_method: Router::new(),
        }
    }
}

impl<T: Clone> ByMethod<T> {
    fn insert(&mut self, spec: &RouteSpec<'_, T>) -> Result<(), matchit::InsertError> {
        let path = normal_path(spec.path);
        if spec.methods.is_empty() {
            return self.any_method.insert(path, spec.target.clone());
        }
        for method in spec.methods {
            let place = self.by_method.iter().position(|(m, _)| m == method);
            let place = place.unwrap_or_else(|| {
                self.by_method.push((method.clone(), Router::new()));
                self.by_method.len() - 1
            });
            self.by_method[place]
                .1
                .insert(path.clone(), spec.target.clone())?;
        }
        Ok(())
    }

    fn find(&self, method: &Method, path: &str) -> Option<&T> {
        let own = self.by_method.iter().find(|(m, _)| m == method);
        let found = own.and_then(|(_, router)| router.at(path).ok());
        found
            .or_else(|| self.any_method.at(path).ok())
            .map(|found| found.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Routes<&'static str> {
        let any: &[Method] = &[];
        let get = &[Method::GET];
        let spec = |path, methods, host, target| RouteSpec {
            path,
            methods,
            host,
            target,
        };
        Routes::build([
            spec("/dashboard", any, None, "dashboard"),
            spec("/dashboard/{*rest}", any, None, "dashboard"),
            spec("/campaign/send-email/{*rest}", get, None, "send"),
            spec(
                "/campaign/schedule-email/{c}/{t}/store",
                &[Method::POST][..],
                None,
                "schedule",
            ),
            spec("/dashboard", any, Some("eu.example.com"), "eu"),
            spec("/", any, None, "root"),
        ])
        .expect("a good table")
    }

    #[test]
    fn a_route_is_found_by_host_method_and_path() {
        let table = table();
        assert_eq!(
            table.find(None, &Method::GET, "/dashboard/stats?week=1"),
            Some(&"dashboard")
        );
        assert_eq!(
            table.find(Some("eu.example.com"), &Method::GET, "/dashboard"),
            Some(&"eu")
        );
        assert_eq!(
            table.find(Some("eu.example.com"), &Method::GET, "/dashboard/stats"),
            Some(&"dashboard")
        );
        assert_eq!(
            table.find(
                None,
                &Method::POST,
                "/campaign/send-email/campaign-1/template-2"
            ),
            None
        );
        assert_eq!(
            table.find(None, &Method::POST, "/campaign/schedule-email/1/2/store"),
            Some(&"schedule")
        );
        assert_eq!(table.find(None, &Method::GET, "/elsewhere"), None);
        assert_eq!(table.find(None, &Method::GET, "/"), Some(&"root"));
    }

    #[test]
    fn no_spelling_of_a_path_goes_around_its_route() {
        for path in [
            "/dashboard/",
            "//dashboard",
            "/./dashboard",
            "/x/../dashboard",
            "/%64ashboard",
            "/%2e/dashboard",
            "/x/%2e%2e/dashboard",
            "/dashboard%2F",
            "/../../dashboard",
            "/dashboard/.",
        ] {
            assert_eq!(
                table().find(None, &Method::GET, path),
                Some(&"dashboard"),
                "{path}"
            );
        }
        assert_eq!(
            table().find(None, &Method::GET, "/campaign%2Fsend-email%2Fcampaign-1/x"),
            Some(&"send")
        );
    }

    #[test]
    fn one_path_may_have_another_shape_for_another_method() {
        let spec = |path, methods, target| RouteSpec {
            path,
            methods,
            host: None,
            target,
        };
        let table = Routes::build([
            spec("/a/{id}", &[Method::GET][..], "one"),
            spec("/a/{*rest}", &[Method::POST][..], "rest"),
        ]);
        let table = table.expect("no conflict");
        assert_eq!(table.find(None, &Method::GET, "/a/7"), Some(&"one"));
        assert_eq!(table.find(None, &Method::POST, "/a/7/b"), Some(&"rest"));
        assert_eq!(table.find(None, &Method::PUT, "/a/7"), None);
    }

    #[test]
    fn two_routes_of_one_path_that_conflict_are_refused() {
        let spec = |path| RouteSpec {
            path,
            methods: &[],
            host: None,
            target: (),
        };
        assert!(Routes::build([spec("/a/{b}"), spec("/a/{c}/d"), spec("/a/{*rest}")]).is_err());
    }
}
