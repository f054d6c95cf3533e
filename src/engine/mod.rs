//! The messaging engine's public face: takes campaign sends durably, lists what is scheduled.
//!
//! Its own folder, because it stays when the proxy is gone. Sending itself is still to come: what is accepted
//! here stands in `ficus.send_request` until then.
//!
//! What it will stand on is here: [`template`] fills in a campaign's texts, [`address`] checks whom they go to, [`mail`] makes
//! the bytes of an e-mail of them, with [`attachment`]s and the links of [`tracking`]; [`idempotency`] says which two sends are
//! one, [`retry`] what follows an attempt, [`bounce`] what a relay reports back; [`sealed`] keeps credentials. All but the
//! attachments' fetcher are pure: no database, no network, the time passed in.

pub mod address;
pub mod attachment;
pub mod bounce;
mod group;
pub mod html;
pub mod idempotency;
pub mod lanes;
pub mod mail;
pub mod message;
pub mod operations;
pub mod provider;
pub mod queue;
pub mod retry;
mod schedule;
pub mod sealed;
mod send;
pub mod submit;
pub mod template;
pub mod tracking;
pub mod worker;

use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use sqlx::PgPool;

use crate::modern::complete;

/// What `[engine]` says.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub listen: SocketAddr,
    pub settling: worker::Settling,
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
