//! The messaging engine's public face: takes campaign sends durably, lists what is scheduled.
//!
//! Its own folder, because it stays when the proxy is gone. Sending itself is still to come: what is accepted
//! here stands in `ficus.send_request` until then.

pub mod provider;
mod schedule;
mod send;

use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use sqlx::PgPool;

use crate::modern::complete;

/// What `[engine]` says.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub listen: SocketAddr,
}

/// Where the engine writes, and whose campaigns it reads.
#[derive(Clone)]
struct Databases {
    ficus: PgPool,
    legacy: PgPool,
}

/// The engine's routes. `legacy` is read, and never written; `ficus` has the schema of `migrations/`.
pub fn router(ficus: PgPool, legacy: PgPool) -> Router {
    let routes = Router::new()
        // The router knows no prefix inside a segment: `send` takes "campaign-7" apart.
        .route(
            "/campaign/send-email/{campaign}/{template}",
            get(send::accept_campaign).head(send::refuse_head),
        )
        .route("/campaign/schedule-emails", get(schedule::list_emails))
        .with_state(Databases { ficus, legacy });
    complete(routes)
}
