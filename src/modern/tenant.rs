//! The tenant of a request to a modern service: the header that the proxy sets.
//!
//! Its own file, because it is the whole of the services' trust: they listen where only the proxy reaches them.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use sqlx::PgPool;

use super::failed;
use crate::ids::TenantId;
use crate::modern::problem::Problem;

/// Set by the proxy after it has removed what the client sent under this name.
pub const HEADER: &str = "x-ficus-tenant";

/// The tenant on whose behalf a request is; a request without one is answered 401.
#[derive(Clone, Copy, Debug)]
pub struct Tenant(pub TenantId);

impl<S: Sync> FromRequestParts<S> for Tenant {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all(HEADER).iter();
        let id = match (values.next(), values.next()) {
            (Some(value), None) => value
                .to_str()
                .ok()
                .and_then(|text| text.parse().ok())
                .filter(|id: &i64| *id > 0),
            _ => None,
        };
        match id {
            Some(id) => Ok(Self(TenantId(id))),
            None => Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                format!(
                    "the request names no tenant: log in, and reach this service through the proxy, which sets {HEADER}"
                ),
            )),
        }
    }
}

/// The name on the tenant's account, for a page's head: in legacy's table the owner's own row has the tenant's id.
pub async fn account_name(legacy: &PgPool, tenant: TenantId) -> Result<Option<String>, Problem> {
    sqlx::query_scalar("select name from users where id = $1 and owner_id = $1")
        .bind(tenant.0)
        .fetch_optional(legacy)
        .await
        .map_err(failed("read the account"))
}
