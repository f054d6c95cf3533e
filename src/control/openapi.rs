//! `/api/openapi.json`: the table of routes as an OpenAPI 3.1 document.
//!
//! Its own file, because it is read by programs that never see our source: it is made from the same rows as the
//! router, so it cannot name a route that is not there, or leave one out.

use axum::Json;
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::endpoint::{Answer, Endpoint};
use super::{Document, endpoints};
use crate::rollout::Role;

const PROBLEM: &str = "application/problem+json";

pub(super) async fn show() -> Json<Value> {
    Json(document(&endpoints()))
}

/// The document of these rows.
pub(super) fn document(rows: &[Endpoint]) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|it| {
        it.definitions_path = "/components/schemas".into();
        it.meta_schema = None;
    });
    let mut schemas = settings.into_generator();
    let problem = schemas.subschema_for::<Document>();
    let mut paths = Map::new();
    for row in rows {
        let operation = operation(row, &problem, &mut schemas);
        let path = paths.entry(row.path).or_insert_with(|| json!({}));
        path[row.method.as_str().to_lowercase()] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Ficus admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Moves tenants between legacy and modern, and takes them back. Every refusal is a problem document (RFC 9457); \
                            every write takes a reason, `dry_run`, `expect_revision`, and an Idempotency-Key.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "A token of `ficus token create`: Authorization: Bearer ficus_…" },
            },
        },
    })
}

fn operation(row: &Endpoint, problem: &Schema, schemas: &mut SchemaGenerator) -> Value {
    let mut operation = Map::new();
    operation.insert("summary".into(), json!(row.summary));
    operation.insert("operationId".into(), json!(operation_id(row)));
    // Empty where nobody has to say who asks: then the document's reader need not wonder.
    let security = row.role.map(|_| json!({ "token": [] }));
    operation.insert(
        "security".into(),
        json!(security.into_iter().collect::<Vec<_>>()),
    );
    operation.insert("x-ficus-role".into(), json!(row.role.map(Role::as_str)));
    let parameters = parameters(row, schemas);
    if !parameters.is_empty() {
        operation.insert("parameters".into(), Value::Array(parameters));
    }
    if let Some(body) = row.body {
        let content = json!({ "application/json": { "schema": body(schemas) } });
        operation.insert(
            "requestBody".into(),
            json!({ "required": true, "content": content }),
        );
    }
    let (status, content) = match row.answer {
        Answer::Json(status, schema) => (
            status,
            json!({ "application/json": { "schema": schema(schemas) } }),
        ),
        Answer::Text(media_type) => (
            200,
            json!({ media_type: { "schema": { "type": "string" } } }),
        ),
    };
    operation.insert(
        "responses".into(),
        json!({
            status.to_string(): { "description": "Done.", "content": content },
            "default": { "description": "Refused.", "content": { PROBLEM: { "schema": problem } } },
        }),
    );
    Value::Object(operation)
}

fn parameters(row: &Endpoint, schemas: &mut SchemaGenerator) -> Vec<Value> {
    let in_path = row
        .parameters()
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    let mut parameters: Vec<Value> = in_path.collect();
    if let Some(query) = row.query {
        let query = query(schemas).to_value();
        let required: Vec<&str> = query["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        for (name, schema) in query["properties"].as_object().into_iter().flatten() {
            parameters.push(json!({ "name": name, "in": "query", "required": required.contains(&name.as_str()), "schema": schema }));
        }
    }
    if row.body.is_some() && !row.method.is_safe() {
        parameters.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": false, "schema": { "type": "string", "maxLength": 200 },
            "description": "The same key with the same request is done once and answered alike for 24 hours.",
        }));
    }
    parameters
}

/// `putFlagsTenantCapability`: unique, since method and path are.
fn operation_id(row: &Endpoint) -> String {
    let words = row
        .path
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !matches!(*word, "" | "api" | "v1"));
    let capitalised = words.map(|word| word[..1].to_uppercase() + &word[1..]);
    row.method.as_str().to_lowercase() + &capitalised.collect::<String>()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::http::Method;

    use super::*;

    #[test]
    fn every_route_says_what_it_does_and_who_may_call_it() {
        for row in endpoints() {
            assert!(
                !row.summary.is_empty(),
                "{} {} says nothing",
                row.method,
                row.path
            );
            assert_eq!(
                row.body.is_some(),
                !matches!(row.method, Method::GET),
                "{} {}: a body, or none",
                row.method,
                row.path
            );
        }
    }

    #[test]
    fn the_document_has_each_row_once() {
        let rows = endpoints();
        let document = document(&rows);
        let mut ids = BTreeSet::new();
        for row in &rows {
            let operation = &document["paths"][row.path][row.method.as_str().to_lowercase()];
            assert_eq!(
                operation["summary"], row.summary,
                "{} {}",
                row.method, row.path
            );
            assert_eq!(operation["x-ficus-role"], json!(row.role.map(Role::as_str)));
            assert!(
                ids.insert(operation["operationId"].to_string()),
                "{operation}"
            );
        }
    }
}
