//! What readers ask for: pixels, clicks, and the links that legacy has sent.
//!
//! Its own file, because these answers are for people with a mail open: none of them waits for anything to be written, and
//! none leads to anything that the request says. A HEAD is a scanner's, and is answered without being counted.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::counts::Event;
use super::lookup::Missing;
use super::store::Known;
use super::{Inner, page};
use crate::engine::tracking::legacy::{LegacyLink, parse};
use crate::engine::tracking::target::Destination;
use crate::engine::tracking::{PIXEL, Purpose, Unverified};

/// `GET /o/{message}.{mac}`
pub(super) async fn open(State(links): State<Arc<Inner>>, method: Method, uri: Uri) -> Response {
    match verify(&links, &uri).await {
        Ok((_, message, known)) => {
            if method == Method::GET {
                links.waiting.count(known.tenant, message, Event::Open);
            }
            pixel()
        }
        Err(Missing::Nowhere) => page::nowhere(),
        // An image in a mail is nothing to try again.
        Err(Missing::Away) => {
            links.waiting.give_up();
            pixel()
        }
    }
}

/// `GET /c/{message}.{link}.{mac}`
pub(super) async fn click(State(links): State<Arc<Inner>>, method: Method, uri: Uri) -> Response {
    let found = async {
        let (purpose, message, known) = verify(&links, &uri).await?;
        let Purpose::Click(link) = purpose else {
            return Err(Missing::Nowhere);
        };
        let targets = links.lookup.targets(known.source).await?;
        let destination = targets.at(link).ok_or(Missing::Nowhere)?;
        if method == Method::GET {
            links.waiting.count(known.tenant, message, Event::Click);
        }
        Ok(to(destination))
    };
    found.await.unwrap_or_else(lost)
}

/// `GET /tracker/{uuid}/open`, `/tracker/{uuid}/click`, `/email/t/…`, `/email/l/…/…` and `/email/n`
pub(super) async fn legacy(State(links): State<Arc<Inner>>, method: Method, uri: Uri) -> Response {
    let is_counted = method == Method::GET;
    match parse(uri.path(), uri.query()) {
        None => page::nowhere(),
        Some(LegacyLink::TrackerOpen(tracker)) => {
            if is_counted {
                links.waiting.count_tracker(tracker, Event::Open);
            }
            pixel()
        }
        Some(LegacyLink::TrackerClick(tracker)) => {
            let found = click_tracker(&links, tracker, is_counted).await;
            found.unwrap_or_else(lost)
        }
        Some(LegacyLink::Open { .. }) => pixel(),
        Some(LegacyLink::Click { url, .. }) => match links.lookup.target(&url).await {
            Ok(targets) => targets.matching(&url).map_or_else(page::nowhere, to),
            Err(missing) => lost(missing),
        },
    }
}

async fn click_tracker(
    links: &Inner,
    tracker: Uuid,
    is_counted: bool,
) -> Result<Response, Missing> {
    let response = match links.lookup.tracker(tracker).await? {
        // As legacy.
        None => redirect("/"),
        Some(targets) => to(targets.at(0).ok_or(Missing::Nowhere)?),
    };
    if is_counted {
        links.waiting.count_tracker(tracker, Event::Click);
    }
    Ok(response)
}

/// What one of our links is for, of which message. `Nowhere`: it is none of ours.
pub(super) async fn verify(links: &Inner, uri: &Uri) -> Result<(Purpose, Uuid, Known), Missing> {
    let keys = links.keys.as_ref().ok_or(Missing::Nowhere)?;
    let link = Unverified::parse(uri.path()).ok_or(Missing::Nowhere)?;
    let known = links.lookup.message(link.message()).await?;
    let link = link.verify(keys, known.tenant).ok_or(Missing::Nowhere)?;
    Ok((link.purpose(), link.message(), known))
}

pub(super) fn lost(missing: Missing) -> Response {
    match missing {
        Missing::Nowhere => page::nowhere(),
        Missing::Away => page::away(),
    }
}

fn to(destination: Destination<'_>) -> Response {
    redirect(&destination.location())
}

/// 302, as legacy: each click comes here again.
fn redirect(location: &str) -> Response {
    let headers = [
        (header::LOCATION, location),
        (header::CACHE_CONTROL, "no-store, private"),
    ];
    (StatusCode::FOUND, headers).into_response()
}

fn pixel() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "image/gif"),
        (header::CACHE_CONTROL, "no-store, private"),
    ];
    (headers, PIXEL.as_slice()).into_response()
}
