//! Asks the stores whose a proof is: databases, Redis, files.
//!
//! Its own folder, because all input and output in the path of identity is here, on the control runtime and behind
//! [`super::answers`]. The statements are the operator's.

mod files;
mod redis;
mod sessions;
mod sql;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use subtle::ConstantTimeEq;
use tokio::runtime::Handle;

use super::answers::{Lookup, Owner, Question};
use super::{ApiKey, ApiToken, Key, Resolver, Sanctum};
use crate::secret::Secret;
use sql::Query;

/// The keys that `ficus apikey` issues.
const OWN_KEYS: &str = "select tenant_id, 'key:' || name from ficus.api_key where digest = decode($1, 'hex') \
    and revoked_at is null and (expires_at is null or expires_at > now())";

/// The look-up that a resolver describes; `own` is ficus' database, for an empty `database_url`.
/// Connects when first asked, so that ficus starts without its stores. Connections live on `runtime`.
pub fn lookup(resolver: &Resolver, own: &Secret, runtime: &Handle) -> anyhow::Result<Lookup> {
    match resolver {
        Resolver::LaravelSession(session) => {
            let store = sessions::SessionStore::new(session, own, runtime)?;
            Ok(asking(store, |store, question| async move {
                store.find(question.key).await
            }))
        }
        Resolver::Sanctum(it) => {
            let query = Query::new(&it.query, &it.database_url, own, runtime)?;
            let store = (query, it.clone());
            Ok(asking(store, |store, question| async move {
                find_sanctum(&store.0, &store.1, question.key).await
            }))
        }
        Resolver::ApiToken(ApiToken {
            query,
            database_url,
            ..
        }) => {
            let query = Query::new(query, database_url, own, runtime)?;
            Ok(asking(query, |query, question| async move {
                find_token(&query, question).await
            }))
        }
        Resolver::ApiKey(ApiKey {
            query,
            database_url,
            ..
        }) => {
            let query = match query.as_str() {
                "" => Query::new(OWN_KEYS, &Secret::default(), own, runtime)?,
                query => Query::new(query, database_url, own, runtime)?,
            };
            Ok(asking(query, |query, question| async move {
                find_token(&query, question).await
            }))
        }
        _ => bail!("there is nothing to look up"),
    }
}

fn asking<S, F>(store: S, find: impl Fn(Arc<S>, Question) -> F + Send + Sync + 'static) -> Lookup
where
    S: Send + Sync + 'static,
    F: Future<Output = anyhow::Result<Option<Owner>>> + Send + 'static,
{
    let store = Arc::new(store);
    Arc::new(move |question| Box::pin(find(Arc::clone(&store), question)))
}

/// By the row's id the hash is compared here, every digit of it, as Sanctum does.
async fn find_sanctum(query: &Query, it: &Sanctum, key: Key) -> anyhow::Result<Option<Owner>> {
    let Key::Sanctum { id, digest } = key else {
        return Ok(None);
    };
    let hash = digest.hex();
    let lives: Option<i64> = match it.expiration {
        Some(expiration) => Some(i64::try_from(expiration.as_secs())?),
        None => None,
    };
    let mut arguments = sql::Arguments::new().with(id)?.with(&hash)?;
    if it.query.contains("$3") {
        arguments = arguments.with(lives)?;
    }
    let Some(row) = query.fetch(arguments).await? else {
        return Ok(None);
    };
    let stored = row.text(0)?.unwrap_or_default();
    if !bool::from(stored.as_bytes().ct_eq(hash.as_bytes())) {
        return Ok(None);
    }
    row.owner(1)
}

async fn find_token(query: &Query, question: Question) -> anyhow::Result<Option<Owner>> {
    let Key::Token(digest) = question.key else {
        return Ok(None);
    };
    let arguments = sql::Arguments::new();
    let arguments = match &question.text {
        Some(text) => arguments.with(text.reveal())?,
        None => arguments.with(digest.hex())?,
    };
    match query.fetch(arguments).await? {
        Some(row) => row.owner(0),
        None => Ok(None),
    }
}

/// The oldest time at which who was active then is alive, in seconds since 1970.
fn oldest_alive(lifetime: Duration) -> anyhow::Result<i64> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock is before 1970")?;
    Ok(i64::try_from(now.saturating_sub(lifetime).as_secs())?)
}
