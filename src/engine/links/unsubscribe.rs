//! `/u/{message}.{mac}`: the page that asks, and the POST that unsubscribes, which mailbox providers send as well (RFC 8058).
//!
//! Its own file, because one method changes something and the other may not: scanners follow every link of a mail, and none of
//! them presses a button. Whoever has the link may unsubscribe: no cookie, no login, no redirect.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use tokio::time::timeout;

use super::lookup::Missing;
use super::reader::{lost, verify};
use super::{Inner, page, store};
use crate::engine::tracking::Purpose;
use crate::ids::TenantId;
use crate::modern::tenant::account_name;

/// For the suppression to be written.
const DEADLINE: Duration = Duration::from_secs(5);
/// For the sender's name, without which the page is shown as well.
const NAME: Duration = Duration::from_secs(1);

/// Changes nothing.
pub(super) async fn ask(State(links): State<Arc<Inner>>, uri: Uri) -> Response {
    match verify(&links, &uri).await {
        Ok((Purpose::Unsubscribe, _, known)) => {
            page::confirm(sender(&links, known.tenant).await.as_deref())
        }
        Ok(_) => page::nowhere(),
        Err(missing) => lost(missing),
    }
}

/// 200 once it is written that nothing more is sent. The body is not looked at: whatever a POST says, it came from a button
/// or from a mailbox provider in a reader's name.
pub(super) async fn unsubscribe(State(links): State<Arc<Inner>>, uri: Uri) -> Response {
    let (message, known) = match verify(&links, &uri).await {
        Ok((Purpose::Unsubscribe, message, known)) => (message, known),
        Ok(_) => return page::nowhere(),
        Err(missing) => return lost(missing),
    };
    let written = store::unsubscribe(&links.ficus, known.tenant, message);
    match timeout(DEADLINE, written).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::error!(%error, %message, "could not unsubscribe a message's recipient");
            return lost(Missing::Away);
        }
        Err(_) => return lost(Missing::Away),
    }
    tracing::info!(tenant = %known.tenant, %message, "the message's recipient has unsubscribed");
    links.waiting.tell();
    page::unsubscribed(sender(&links, known.tenant).await.as_deref())
}

async fn sender(links: &Inner, tenant: TenantId) -> Option<String> {
    let name = timeout(NAME, account_name(&links.legacy.pool, tenant)).await;
    name.ok()?.ok()?
}
