//! The operator's statements, and what their rows say.
//!
//! Its own file, because it is the only SQL in the path of identity.

use std::sync::Arc;

use anyhow::Context;
use sqlx::postgres::{PgArguments, PgPool, PgRow};
use sqlx::{Arguments as _, AssertSqlSafe, Encode, Postgres, Row as _, Type, TypeInfo, ValueRef};
use tokio::runtime::Handle;

use crate::db;
use crate::identity::User;
use crate::identity::answers::{DEADLINE, Owner};
use crate::ids::TenantId;
use crate::secret::Secret;

/// Few, because they are the legacy application's connections: 8 at a millisecond each are 8,000 look-ups a second.
const CONNECTIONS: u32 = 8;

/// One statement, on connections of its own.
pub struct Query {
    pool: PgPool,
    text: Arc<str>,
}

/// The statement's parameters, from $1 on.
pub struct Arguments(PgArguments);

/// What a statement answers: the tenant's id, then, as far as there are such columns, the user's id and the user's tier.
pub struct Row(PgRow);

impl Query {
    /// `own` is ficus' database, for an empty `url`. Connects when first asked.
    pub fn new(text: &str, url: &Secret, own: &Secret, runtime: &Handle) -> anyhow::Result<Self> {
        let url = if url.is_empty() { own } else { url };
        // A pool of its own, so that a flood of proofs cannot take the control plane's connections.
        let limits = db::Config {
            url: Secret::default(),
            legacy_url: Secret::default(),
            pool: CONNECTIONS,
            acquire_timeout: DEADLINE,
            // The server gives up when nobody waits any more.
            statement_timeout: DEADLINE,
        };
        let _entered = runtime.enter();
        let pool = db::connect_lazily(url.reveal(), &limits).context("database_url")?;
        Ok(Self {
            pool,
            text: text.into(),
        })
    }

    /// Another statement on the same connections.
    pub fn also(&self, text: &str) -> Self {
        Self {
            pool: self.pool.clone(),
            text: text.into(),
        }
    }

    /// The first row.
    pub async fn fetch(&self, arguments: Arguments) -> anyhow::Result<Option<Row>> {
        // The statement is configuration: whoever writes it has the database's password as well.
        let query = sqlx::query_with(AssertSqlSafe(Arc::clone(&self.text)), arguments.0);
        Ok(query.fetch_optional(&self.pool).await?.map(Row))
    }
}

impl Arguments {
    pub fn new() -> Self {
        Self(PgArguments::default())
    }

    pub fn with<'q, T>(mut self, value: T) -> anyhow::Result<Self>
    where
        T: Encode<'q, Postgres> + Type<Postgres> + 'q,
    {
        let added = self.0.add(value);
        added.map_err(|_| anyhow::anyhow!("a parameter cannot be sent"))?;
        Ok(self)
    }
}

impl Row {
    /// Whether the column holds text, rather than a number.
    pub fn is_text(&self, column: usize) -> bool {
        let found = self.0.try_get_raw(column);
        found.is_ok_and(|it| !it.is_null() && is_text(it.type_info().name()))
    }

    pub fn text(&self, column: usize) -> anyhow::Result<Option<String>> {
        let found = self
            .0
            .try_get_raw(column)
            .with_context(|| format!("the query answers no column {}", column + 1))?;
        if found.is_null() {
            return Ok(None);
        }
        match found.type_info().name() {
            name if is_text(name) => Ok(Some(self.0.try_get(column)?)),
            name => self
                .integer(column, name)
                .map(|number| Some(number.to_string())),
        }
    }

    /// Whose it is, from the column `first` on. NULL is nobody, and so is 0, which some applications write in its place.
    pub fn owner(&self, first: usize) -> anyhow::Result<Option<Owner>> {
        let column = self
            .0
            .try_get_raw(first)
            .with_context(|| format!("the query answers no column {}", first + 1))?;
        let tenant = if column.is_null() {
            0
        } else {
            self.integer(first, column.type_info().name())?
        };
        let optional = |column: usize| match self.0.len() > column {
            true => self.text(column),
            false => Ok(None),
        };
        let (user, tier) = (optional(first + 1)?, optional(first + 2)?);
        let owner = Owner {
            tenant: (tenant > 0).then_some(TenantId(tenant)),
            user: user
                .and_then(|id| User::new(&id, tier.as_deref()))
                .map(Arc::new),
        };
        Ok((owner != Owner::default()).then_some(owner))
    }

    /// Any integer will do: `owner_id` is an int4 in applications that began before Laravel 5.8.
    fn integer(&self, column: usize, name: &str) -> anyhow::Result<i64> {
        Ok(match name {
            "INT8" => self.0.try_get::<i64, _>(column)?,
            "INT4" => self.0.try_get::<i32, _>(column)?.into(),
            "INT2" => self.0.try_get::<i16, _>(column)?.into(),
            other => anyhow::bail!(
                "the query's column {} is of type {other}: cast it to bigint or text",
                column + 1
            ),
        })
    }
}

fn is_text(name: &str) -> bool {
    matches!(name, "TEXT" | "VARCHAR" | "CHAR" | "NAME")
}
