//! What the modern services have in common: the tenant of a request, answers in the legacy application's form, faults.
//!
//! Its own folder, because `engine` and `dashboard` both need it, and neither may import the other or the proxy.

pub mod accept;
pub mod json;
pub mod page;
pub mod problem;
pub mod tenant;

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

use crate::modern::problem::Problem;

/// Adds what every modern service answers beside its own routes: liveness, and problem documents for the rest.
pub fn complete(router: Router) -> Router {
    router
        .route("/health/live", get(|| async { "live\n" }))
        .fallback(no_route)
        .method_not_allowed_fallback(|| async {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this path does not take this method",
            )
        })
}

/// Turns a failed query into a fault, and logs it: the only place that does. `doing` reads after "could not".
pub fn failed(doing: &'static str) -> impl FnOnce(sqlx::Error) -> Problem {
    move |error| {
        tracing::error!(%error, doing, "a query failed");
        let status = match error {
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::Tls(_) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Problem::new(
            status,
            format!("could not {doing}: try again, and look at the service's log if it lasts"),
        )
    }
}

/// The id in a path segment, or 404: legacy's routes take digits only, so anything else is no route there either.
pub fn id_in_path(text: &str) -> Result<i64, Problem> {
    let digits = (1..=18).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let id = if digits { text.parse().ok() } else { None };
    id.ok_or_else(|| Problem::not_found("an id in a path is a number of at most 18 digits"))
}

/// Laravel serves a path with a slash at its end as the one without, so links of that form exist.
async fn no_route(uri: Uri) -> Response {
    let path = uri.path();
    let bare = path.trim_end_matches('/');
    // "//host/" without its last slash would lead the browser to another host; to a browser "\\" is a slash too.
    let leads_away = path.starts_with("//") || path.starts_with("/\\");
    if bare.len() < path.len() && !bare.is_empty() && !leads_away {
        let query = uri.query().map(|q| format!("?{q}")).unwrap_or_default();
        return Redirect::permanent(&format!("{bare}{query}")).into_response();
    }
    Problem::not_found("this service has no such path").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_digits_that_fit_into_bigint() {
        assert_eq!(id_in_path("21"), Ok(21));
        for text in ["", "-1", "+1", "abc", "9999999999999999999", "1.0"] {
            assert_eq!(
                id_in_path(text).map_err(|p| p.status()),
                Err(StatusCode::NOT_FOUND),
                "{text:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_slash_at_the_end_leads_to_the_path_without_it_and_nowhere_else() {
        let location = |response: &Response| {
            response
                .headers()
                .get("location")
                .map(|v| v.to_str().unwrap().to_owned())
        };
        let redirect = no_route(Uri::from_static("/dashboard/campaigns/?page=2")).await;
        assert_eq!(
            location(&redirect).as_deref(),
            Some("/dashboard/campaigns?page=2")
        );
        for path in ["/nothing", "/", "//elsewhere.test/", "/\\elsewhere.test/"] {
            let response = no_route(path.parse().unwrap()).await;
            assert_eq!(
                (response.status(), location(&response)),
                (StatusCode::NOT_FOUND, None),
                "{path}"
            );
        }
    }
}
