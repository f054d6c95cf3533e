//! Tenants: read, set, imported.
//!
//! Its own file, because it owns `ficus.tenant` and the two ways in which a person names one.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgExecutor, PgPool};

use super::transaction::{Write, within};
use super::{Change, Error, Terms, page};
use crate::ids::{Revision, TenantId, TenantRef, is_slug};

/// Rows that one import takes at most: what 64 MiB of JSON holds.
const MAX_IMPORT: usize = 1_000_000;
/// Faults that one refusal lists.
const MAX_FAULTS: usize = 1000;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, sqlx::FromRow, schemars::JsonSchema)]
pub struct Tenant {
    #[sqlx(try_from = "i64")]
    pub id: TenantId,
    pub slug: Option<String>,
    pub name: String,
    pub class: String,
    /// Set by hand: not recomputed from volume.
    pub class_pinned: bool,
    #[sqlx(try_from = "i64")]
    pub revision: Revision,
    pub changed_at: DateTime<Utc>,
}

#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    clap::ValueEnum,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    Internal,
    Low,
    Medium,
    High,
}

impl Class {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// What to set on one tenant; what is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantPatch {
    pub slug: Option<String>,
    pub name: Option<String>,
    pub class: Option<Class>,
}

/// A row of an import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTenant {
    pub id: i64,
    /// `None` or empty: keeps the slug that is there.
    #[serde(default)]
    pub slug: Option<String>,
    #[serde(default)]
    pub name: String,
    /// `None`: keeps the class that is there, `low` for a new tenant. Given, it is pinned.
    #[serde(default)]
    pub class: Option<Class>,
}

/// Why a row cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantRowFault {
    /// From 1, in the order of the import.
    pub row: usize,
    pub fault: String,
}

/// Tenants in the order of their ids, from the one after `after`.
pub async fn tenants(
    pool: &PgPool,
    after: Option<TenantId>,
    limit: u32,
) -> Result<Vec<Tenant>, Error> {
    let query = sqlx::query_as(
        "select id, slug, name, class, class_pinned, revision, changed_at from ficus.tenant
         where id > $1 order by id limit $2",
    )
    .bind(after.map_or(0, |id| id.0))
    .bind(page(limit));
    within(query.fetch_all(pool)).await
}

pub async fn tenant(pool: &PgPool, tenant: &TenantRef) -> Result<Tenant, Error> {
    let id = resolve(pool, tenant).await?;
    let query = sqlx::query_as(
        "select id, slug, name, class, class_pinned, revision, changed_at from ficus.tenant where id = $1",
    )
    .bind(id.0);
    within(query.fetch_optional(pool))
        .await?
        .ok_or_else(|| Error::UnknownTenant(tenant.clone()))
}

/// The id of the tenant that a person named.
pub(super) async fn resolve(
    db: impl PgExecutor<'_>,
    tenant: &TenantRef,
) -> Result<TenantId, Error> {
    let (id, slug) = match tenant {
        TenantRef::Id(id) => (Some(id.0), None),
        TenantRef::Slug(slug) => (None, Some(slug)),
    };
    let query = sqlx::query_scalar("select id from ficus.tenant where id = $1 or slug = $2")
        .bind(id)
        .bind(slug);
    within(query.fetch_optional(db))
        .await?
        .map(TenantId)
        .ok_or_else(|| Error::UnknownTenant(tenant.clone()))
}

/// The ids of all, or the first that is unknown: a rollback of "these" must not silently be one of "some".
pub(super) async fn resolve_all(
    db: &mut PgConnection,
    wanted: &[TenantRef],
) -> Result<Vec<i64>, Error> {
    let ids: Vec<Option<i64>> = wanted
        .iter()
        .map(|it| {
            if let TenantRef::Id(id) = it {
                Some(id.0)
            } else {
                None
            }
        })
        .collect();
    let slugs: Vec<Option<&str>> = wanted
        .iter()
        .map(|it| {
            if let TenantRef::Slug(slug) = it {
                Some(slug.as_str())
            } else {
                None
            }
        })
        .collect();
    // Sub-selects and no join on "id or slug", so that each is one look into an index. One statement, since the
    // clock is locked meanwhile.
    let query = sqlx::query_scalar(
        "select coalesce((select t.id from ficus.tenant as t where t.id = w.id), (select t.id from ficus.tenant as t where t.slug = w.slug))
         from unnest($1::bigint[], $2::text[]) with ordinality as w (id, slug, nth) order by w.nth",
    )
    .bind(ids)
    .bind(slugs);
    let found: Vec<Option<i64>> = within(query.fetch_all(db)).await?;
    let named = found.into_iter().zip(wanted);
    named
        .map(|(id, tenant)| id.ok_or_else(|| Error::UnknownTenant(tenant.clone())))
        .collect()
}

/// Sets what the patch names. A tenant that is named by a number and not there yet is made.
pub async fn set_tenant(
    pool: &PgPool,
    terms: &Terms,
    tenant: &TenantRef,
    patch: &TenantPatch,
) -> Result<Change, Error> {
    if let Some(slug) = patch.slug.as_deref().filter(|slug| !is_slug(slug)) {
        return Err(Error::Invalid(bad_slug(slug)));
    }
    let mut write = Write::begin(pool, terms).await?;
    let id = match (resolve(write.connection(), tenant).await, tenant) {
        (Err(Error::UnknownTenant(_)), TenantRef::Id(id)) => *id,
        (id, _) => id?,
    };
    let set = sqlx::query(
        "insert into ficus.tenant (id, slug, name, class, class_pinned)
         select $1, coalesce($2, t.slug), coalesce($3, t.name, ''), coalesce($4, t.class, 'low'),
                coalesce(t.class_pinned, false) or $4 is not null
         from (values ($1)) as wanted (id) left join ficus.tenant as t on t.id = wanted.id
         where t.id is null or t.slug is distinct from coalesce($2, t.slug) or t.name <> coalesce($3, t.name)
            or t.class <> coalesce($4, t.class) or ($4 is not null and not t.class_pinned)
         on conflict on constraint tenant_pkey do update
             set slug = excluded.slug, name = excluded.name, class = excluded.class, class_pinned = excluded.class_pinned",
    )
    .bind(id.0)
    .bind(&patch.slug)
    .bind(&patch.name)
    .bind(patch.class.map(Class::as_str));
    let changed = write.execute(set).await?;
    write.finish(changed).await
}

/// Inserts and updates many in one statement: one revision, whatever their number. All or nothing.
pub async fn import_tenants(
    pool: &PgPool,
    terms: &Terms,
    rows: &[NewTenant],
) -> Result<Change, Error> {
    let faults = check_rows(rows);
    if !faults.is_empty() {
        return Err(Error::BadRows(faults));
    }
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let slugs: Vec<Option<&str>> = rows
        .iter()
        .map(|row| row.slug.as_deref().filter(|s| !s.is_empty()))
        .collect();
    let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    let classes: Vec<Option<&str>> = rows
        .iter()
        .map(|row| row.class.map(Class::as_str))
        .collect();
    let mut write = Write::begin(pool, terms).await?;
    let import = sqlx::query(
        "insert into ficus.tenant (id, slug, name, class, class_pinned)
         select n.id, coalesce(n.slug, t.slug), coalesce(nullif(n.name, ''), t.name, ''), coalesce(n.class, t.class, 'low'),
                coalesce(t.class_pinned, false) or n.class is not null
         from unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) as n (id, slug, name, class)
         left join ficus.tenant as t on t.id = n.id
         where t.id is null or t.slug is distinct from coalesce(n.slug, t.slug)
            or t.name <> coalesce(nullif(n.name, ''), t.name)
            or t.class <> coalesce(n.class, t.class) or (n.class is not null and not t.class_pinned)
         on conflict on constraint tenant_pkey do update
             set slug = excluded.slug, name = excluded.name, class = excluded.class, class_pinned = excluded.class_pinned",
    )
    .bind(ids)
    .bind(slugs)
    .bind(names)
    .bind(classes);
    let changed = write.execute(import).await?;
    write.finish(changed).await
}

/// What is wrong with the rows by themselves, a thousand faults at most.
pub fn check_rows(rows: &[NewTenant]) -> Vec<TenantRowFault> {
    if rows.len() > MAX_IMPORT {
        let fault = format!(
            "an import takes {MAX_IMPORT} rows at most, this one has {}",
            rows.len()
        );
        return vec![TenantRowFault {
            row: MAX_IMPORT + 1,
            fault,
        }];
    }
    let mut ids = HashSet::with_capacity(rows.len());
    let mut slugs = HashSet::with_capacity(rows.len());
    let mut faults = Vec::new();
    for (nth, row) in rows.iter().enumerate() {
        let mut fault = |fault: String| {
            faults.push(TenantRowFault {
                row: nth + 1,
                fault,
            })
        };
        if row.id <= 0 {
            fault(format!(
                "{} is no tenant id: expected a positive number",
                row.id
            ));
        } else if !ids.insert(row.id) {
            fault(format!("tenant {} stands twice", row.id));
        }
        let Some(slug) = row.slug.as_deref().filter(|slug| !slug.is_empty()) else {
            continue;
        };
        if !is_slug(slug) {
            fault(bad_slug(slug));
        } else if !slugs.insert(slug) {
            fault(format!("slug {slug:?} stands twice"));
        }
    }
    faults.truncate(MAX_FAULTS);
    faults
}

fn bad_slug(slug: &str) -> String {
    let seen: String = slug.chars().take(80).collect();
    format!(
        "{seen:?} is no slug: expected 1 to 63 of a-z, 0-9, '-', '_' and '.' that begin with a letter"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: i64, slug: &str) -> NewTenant {
        NewTenant {
            id,
            slug: Some(slug.into()),
            name: String::new(),
            class: None,
        }
    }

    #[test]
    fn every_faulty_row_is_named() {
        let rows = [
            row(1, "a"),
            row(0, "b"),
            row(1, "c"),
            row(4, "A b"),
            row(5, "a"),
            row(6, ""),
        ];
        let faulty: Vec<usize> = check_rows(&rows).iter().map(|fault| fault.row).collect();
        assert_eq!(faulty, [2, 3, 4, 5]);
    }
}
