//! Whose a Laravel session is, wherever the application keeps its sessions.
//!
//! Its own file, because the way is the same for each driver: the session's data, the user in it, the user's tenant.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;

use super::files::Files;
use super::oldest_alive;
use super::redis::Redis;
use super::sql::{Arguments, Query};
use crate::identity::answers::Owner;
use crate::identity::key::UserKey;
use crate::identity::laravel::SessionId;
use crate::identity::laravel::payload::Payload;
use crate::identity::{Driver, Key, LaravelSession, User};
use crate::laravel::envelope::AppKey;
use crate::laravel::php::Unreadable;
use crate::secret::Secret;

pub struct SessionStore {
    source: Source,
    payload: Payload,
    users: Query,
    lifetime: Duration,
    /// Somebody's session could not be read, and it was told once.
    told: AtomicBool,
}

enum Source {
    Table(Query),
    Redis(Redis),
    Files(Files),
    /// The proxy has read the session already, and asks for its user.
    Cookies,
}

impl SessionStore {
    pub fn new(session: &LaravelSession, own: &Secret, runtime: &Handle) -> anyhow::Result<Self> {
        let key = AppKey::parse(&session.app_key, session.cipher).map_err(anyhow::Error::msg)?;
        let payload = Payload::new(&session.guard, session.encrypt.then_some(&key))
            .map_err(anyhow::Error::msg)?;
        let users = Query::new(&session.user_query, &session.database_url, own, runtime)?;
        let source = match &session.driver {
            Driver::Database => Source::Table(users.also(&session.query)),
            Driver::Redis { url, prefix } => Source::Redis(Redis::new(url, prefix, runtime)?),
            Driver::File { folder } => Source::Files(Files::new(folder)),
            Driver::Cookie => Source::Cookies,
        };
        Ok(Self {
            source,
            payload,
            users,
            lifetime: session.memory.lifetime,
            told: AtomicBool::new(false),
        })
    }

    pub async fn find(&self, key: Key) -> anyhow::Result<Option<Owner>> {
        let user = match (&self.source, key) {
            (Source::Cookies, Key::User(user)) => Ok(Some(user)),
            (Source::Table(query), Key::Session(id)) => {
                let arguments = Arguments::new().with(id.reveal())?;
                let arguments = arguments.with(oldest_alive(self.lifetime)?)?;
                let Some(row) = query.fetch(arguments).await? else {
                    return Ok(None);
                };
                // A number is the tenant already; text is the session's payload.
                if !row.is_text(0) {
                    return row.owner(0);
                }
                let payload = row.text(0)?.unwrap_or_default();
                self.payload.user_in_row(&payload)
            }
            (Source::Redis(redis), Key::Session(id)) => match redis.get(id).await?.as_slice() {
                b"" => Ok(None),
                value => self.payload.user_in_cache(value),
            },
            (Source::Files(files), Key::Session(id)) => self.read_file(files, id).await?,
            _ => Ok(None),
        };
        match user {
            Ok(Some(user)) => self.find_tenant(user).await,
            Ok(None) => Ok(None),
            Err(Unreadable) => {
                self.tell();
                Ok(None)
            }
        }
    }

    async fn read_file(
        &self,
        files: &Files,
        id: SessionId,
    ) -> anyhow::Result<Result<Option<UserKey>, Unreadable>> {
        let data = files.read(id, oldest_alive(self.lifetime)?).await?;
        Ok(self.payload.user(&data))
    }

    async fn find_tenant(&self, user: UserKey) -> anyhow::Result<Option<Owner>> {
        let arguments = Arguments::new().with(user.reveal())?;
        let Some(row) = self.users.fetch(arguments).await? else {
            return Ok(None);
        };
        let mut owner = row.owner(0)?.unwrap_or_default();
        if owner.user.is_none() {
            owner.user = User::new(user.reveal(), None).map(Arc::new);
        }
        Ok(Some(owner))
    }

    /// Once: either one session is broken, or all are, because the configuration is not the application's.
    fn tell(&self) {
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a session's data cannot be read, and names nobody: compare driver and encrypt with the application's SESSION_DRIVER and session.encrypt"
            );
        }
    }
}
