//! A row of the table of routes: who may call it, what it takes and what it answers.
//!
//! Its own file, because the router, the check of roles and the OpenAPI document are all made from these rows, so
//! none of them can say what the others do not.
//!
//! A new route is a row in [`super::endpoints`] with all of this:
//!
//! ```text
//! write(Method::POST, "/api/v1/things", post(things::make))   who: open, read (viewer), write (operator), admin
//!     .says("Make a thing")                                   one line, for the document
//!     .query::<things::ListQuery>()                           where it reads a query
//!     .takes::<things::MakeBody>()                            where it reads a body
//!     .answers::<Written>()                                   what 200 holds
//! ```
//!
//! The types derive `schemars::JsonSchema`; bodies made by `write_body!` do so already. A test refuses rows that say
//! nothing and documents that are not OpenAPI 3.1.

use axum::http::Method;
use axum::routing::MethodRouter;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::State;
use crate::rollout::Role;

/// Adds a type to the document and answers how to refer to it.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// One row of the table.
pub struct Endpoint {
    pub method: Method,
    pub path: &'static str,
    /// `None`: for everyone.
    pub role: Option<Role>,
    pub summary: &'static str,
    pub(super) query: Option<SchemaOf>,
    pub(super) body: Option<SchemaOf>,
    pub(super) answer: Answer,
    pub(super) handler: MethodRouter<State>,
}

/// What a success holds.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    /// JSON, with this status.
    Json(u16, SchemaOf),
    /// A text of this media type.
    Text(&'static str),
}

impl Endpoint {
    pub(super) fn new(
        method: Method,
        path: &'static str,
        role: Option<Role>,
        handler: MethodRouter<State>,
    ) -> Self {
        Self {
            method,
            path,
            role,
            summary: "",
            query: None,
            body: None,
            answer: Answer::Text("text/plain"),
            handler,
        }
    }

    pub(super) fn says(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }

    pub(super) fn query<T: JsonSchema>(mut self) -> Self {
        self.query = Some(|generator| generator.root_schema_for::<T>());
        self
    }

    pub(super) fn takes<T: JsonSchema>(mut self) -> Self {
        self.body = Some(|generator| generator.subschema_for::<T>());
        self
    }

    pub(super) fn answers<T: JsonSchema>(mut self) -> Self {
        self.answer = Answer::Json(200, |generator| generator.subschema_for::<T>());
        self
    }

    /// 201 and what was made.
    pub(super) fn makes<T: JsonSchema>(mut self) -> Self {
        self.answer = Answer::Json(201, |generator| generator.subschema_for::<T>());
        self
    }

    pub(super) fn answers_text(mut self, media_type: &'static str) -> Self {
        self.answer = Answer::Text(media_type);
        self
    }

    /// The names between braces in the path, in their order.
    pub(super) fn parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }
}
