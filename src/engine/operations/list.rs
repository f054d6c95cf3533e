//! Pages of messages, newest first.
//!
//! Its own file, because a table of a hundred million rows is listed by whatever index answers, and never further than a bound.

use sqlx::{PgConnection, PgPool, Postgres, QueryBuilder};
use uuid::Uuid;

use super::mask::mask;
use super::{MessageRow, State};
use crate::ids::TenantId;

/// Messages that one page looks at. Beyond, the next page goes on: a filter that few messages pass must not read the whole table.
const LOOK: i64 = 20_000;

/// Which messages are meant.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    pub tenant: Option<TenantId>,
    pub campaign: Option<i64>,
    pub state: Option<State>,
    /// Only those accepted before this one.
    pub before: Option<Uuid>,
}

/// A page.
#[derive(Clone, Debug)]
pub struct Listed {
    pub messages: Vec<MessageRow>,
    /// Where the next page begins. `None`: there is no more.
    pub next: Option<Uuid>,
}

/// At most `most`, their recipients masked. A page may have fewer, or none, and a next one: that is how far was looked.
pub async fn list(pool: &PgPool, filter: Filter, most: i64) -> Result<Listed, sqlx::Error> {
    // One moment: what comes in between must not be taken for looked at.
    let mut tx = pool
        .begin_with("begin isolation level repeatable read read only")
        .await?;
    // Candidates come in their order, so that no more of them are looked at than the page takes.
    let mut query = QueryBuilder::<Postgres>::new("select n.* from (");
    push_candidates(&mut query, filter);
    query.push(
        ") as l cross join lateral (select * from ficus.message_now as n where n.id = l.id offset 0) as n where true",
    );
    if let Some(campaign) = filter.campaign {
        query.push(" and n.campaign_id = ").push_bind(campaign);
    }
    if let Some(state) = filter.state {
        query.push(" and n.state = ").push_bind(state.as_str());
    }
    query.push(" order by l.id desc limit ").push_bind(most);
    let mut messages: Vec<MessageRow> = query.build_query_as().fetch_all(&mut *tx).await?;
    for message in &mut messages {
        message.recipient = mask(&message.channel, &message.recipient);
    }
    let is_full = i64::try_from(messages.len()).unwrap_or(i64::MAX) >= most;
    let next = match messages.last() {
        Some(message) if is_full => Some(message.id),
        _ => end_of_look(&mut tx, filter).await?,
    };
    Ok(Listed { messages, next })
}

/// How far was looked. `None`: to the end.
async fn end_of_look(tx: &mut PgConnection, filter: Filter) -> Result<Option<Uuid>, sqlx::Error> {
    let mut query = QueryBuilder::<Postgres>::new("with looked as materialized (");
    push_candidates(&mut query, filter);
    query.push(") select (select l.id from looked as l order by l.id limit 1) where (select count(*) from looked) >= ");
    query.push_bind(LOOK);
    query.build_query_scalar().fetch_optional(tx).await
}

/// The ids that are looked at: of what has ended badly, and of what is queued, there are few, and an index of their own leads to them.
fn push_candidates(query: &mut QueryBuilder<Postgres>, filter: Filter) {
    let tenant = filter.tenant;
    match filter.state {
        Some(state @ (State::Dead | State::Uncertain | State::Unknown)) => {
            push_ends(query, state, filter)
        }
        // Of one tenant its messages are fewer than everybody's failed ones.
        Some(state @ (State::Failed | State::Cancelled)) if tenant.is_none() => {
            push_ends(query, state, filter)
        }
        Some(State::Due | State::Waiting | State::Sending) => {
            query.push("select w.id from (select d.id, d.shard, d.tenant_id from ficus.due as d");
            query.push(" union all select l.id, l.shard, l.tenant_id from ficus.later as l) as w where true");
            if let Some(tenant) = tenant {
                query.push(" and w.tenant_id = ").push_bind(tenant.0);
                query
                    .push(" and w.shard = ")
                    .push_bind(super::super::message::shard_of(tenant));
            }
            push_end_of(query, "w", filter.before);
        }
        _ => {
            query.push("select m.id from ficus.message as m where true");
            if let Some(tenant) = tenant {
                query.push(" and m.tenant_id = ").push_bind(tenant.0);
            }
            push_end_of(query, "m", filter.before);
        }
    }
}

fn push_ends(query: &mut QueryBuilder<Postgres>, state: State, filter: Filter) {
    // The word itself and no parameter, so that the index of just these states is known to fit.
    query.push("select e.id from ficus.attempt_end as e where e.state = '");
    query.push(state.as_str()).push("'");
    if let Some(tenant) = filter.tenant {
        query.push(" and e.tenant_id = ").push_bind(tenant.0);
    }
    push_end_of(query, "e", filter.before);
}

fn push_end_of(query: &mut QueryBuilder<Postgres>, table: &'static str, before: Option<Uuid>) {
    if let Some(before) = before {
        query.push(" and ").push(table).push(".id < ");
        query.push_bind(before);
    }
    query.push(" order by ").push(table).push(".id desc limit ");
    query.push_bind(LOOK);
}
