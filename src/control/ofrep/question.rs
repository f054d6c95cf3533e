//! Whom a body asks for, whether its token may ask that, and the protocol's words for what is wrong.
//!
//! Its own file, because it is the border: a token of one tenant must learn nothing of another.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::control::auth::Tenants;
use crate::flags::Snapshot;
use crate::ids::TenantRef;

/// What an evaluation can fail with.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) details: String,
}

impl Fault {
    fn bad(code: &'static str, details: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code,
            details: details.into(),
        }
    }

    fn body(&self, key: Option<&str>) -> Value {
        let mut body = json!({ "errorCode": self.code, "errorDetails": self.details });
        if let Some(key) = key {
            body["key"] = json!(key);
        }
        body
    }

    pub(super) fn answer(&self, key: Option<&str>) -> Response {
        match self.status {
            // The protocol gives these no body.
            StatusCode::FORBIDDEN => self.status.into_response(),
            status => (status, [(CACHE_CONTROL, "no-store")], Json(self.body(key))).into_response(),
        }
    }
}

/// Whom the body asks for, and its context.
pub(super) fn question(body: &[u8], tenants: &Tenants) -> Result<(TenantRef, Value), Fault> {
    let body: Value = serde_json::from_slice(body)
        .map_err(|fault| Fault::bad("PARSE_ERROR", fault.to_string()))?;
    let context = body
        .get("context")
        .filter(|it| it.is_object())
        .ok_or_else(|| Fault::bad("INVALID_CONTEXT", "expected an object `context`"))?;
    let key = match context.get("targetingKey") {
        None | Some(Value::Null) => {
            return Err(Fault::bad(
                "TARGETING_KEY_MISSING",
                "targetingKey names the tenant: its id or its slug",
            ));
        }
        Some(Value::String(key)) if key.is_empty() => {
            return Err(Fault::bad("TARGETING_KEY_MISSING", "targetingKey is empty"));
        }
        Some(Value::String(key)) => key,
        Some(_) => {
            return Err(Fault::bad(
                "INVALID_CONTEXT",
                "targetingKey must be a string",
            ));
        }
    };
    let tenant = key.parse().map_err(|_| match tenants {
        // Whoever may ask for some alone is not told which words could be names.
        Tenants::These(_) => Fault {
            status: StatusCode::FORBIDDEN,
            code: "GENERAL",
            details: String::new(),
        },
        Tenants::All => Fault::bad(
            "INVALID_CONTEXT",
            "targetingKey names no tenant: expected an id or a slug",
        ),
    })?;
    Ok((tenant, context.clone()))
}

/// A token of one tenant learns nothing of another: not even whether it exists.
pub(super) fn allowed(
    snapshot: &Snapshot,
    tenant: &TenantRef,
    tenants: &Tenants,
) -> Result<(), Fault> {
    let Tenants::These(ids) = tenants else {
        return Ok(());
    };
    let id = match tenant {
        TenantRef::Id(id) => Some(*id),
        TenantRef::Slug(_) => snapshot.find(tenant).map(|tenant| tenant.id),
    };
    match id.is_some_and(|id| ids.contains(&id)) {
        true => Ok(()),
        false => Err(Fault {
            status: StatusCode::FORBIDDEN,
            code: "GENERAL",
            details: String::new(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_question_lacks_is_told_in_the_protocols_words() {
        let code = |body: &str| question(body.as_bytes(), &Tenants::All).unwrap_err().code;
        assert_eq!(code("{"), "PARSE_ERROR");
        assert_eq!(code("{}"), "INVALID_CONTEXT");
        assert_eq!(code(r#"{"context":[]}"#), "INVALID_CONTEXT");
        assert_eq!(code(r#"{"context":{}}"#), "TARGETING_KEY_MISSING");
        assert_eq!(
            code(r#"{"context":{"targetingKey":""}}"#),
            "TARGETING_KEY_MISSING"
        );
        assert_eq!(code(r#"{"context":{"targetingKey":7}}"#), "INVALID_CONTEXT");
        assert_eq!(
            code(r#"{"context":{"targetingKey":"A b"}}"#),
            "INVALID_CONTEXT"
        );
    }
}
