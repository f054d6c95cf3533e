//! The audit as evidence: the chain finds what was done to it, whoever did it.
//!
//! Its own folder, because each test is somebody with the rights of a superuser who tries not to be found.

mod anchors;
mod chain;
mod grounds;
mod webhook;

use ficus::rollout::Role;
use serde_json::Value;
use sqlx::AssertSqlSafe;

use crate::control_stage::{Ran, Stage};

/// Changes by every way that writes more than one row or table: revisions 1 to 8, and perhaps more.
async fn written() -> (Stage, String) {
    let stage = Stage::new().await;
    let token = stage.token(Role::Viewer).await;
    sqlx::raw_sql(
        "insert into ficus.flag (tenant_id, capability, state) values (1, 'dashboard', 'modern'), (2, 'dashboard', 'shadow');
         insert into ficus.flag (tenant_id, capability, state) values (1, 'dashboard', 'legacy'), (3, 'dashboard', 'modern')
             on conflict on constraint flag_pkey do update set state = excluded.state;
         begin; set constraints all immediate;
         update ficus.flag set state = 'legacy'; update ficus.tenant set name = 'Zoë|\"x' where id = 1; commit;
         with gone as (delete from ficus.flag where tenant_id = 3 returning 1)
             insert into ficus.override (action) select 'force-legacy' from gone;
         begin; update ficus.tenant set class = 'high'; rollback;
         update ficus.tenant set class = 'medium' where id = 2;",
    )
    .execute(stage.pool())
    .await
    .unwrap();
    (stage, token)
}

/// Changes an actor and makes every hash after it anew, with the schema's own functions.
const REWRITE: &str = "update ficus.change set actor = 'nobody' where revision = 3;
    do $$
    declare before bytea := decode(repeat('00', 32), 'hex'); l record;
    begin
        update ficus.link as k set digest = sha256(ficus.change_bytes(c)) from ficus.change as c where k.part = 'change' and c.revision = k.revision;
        for l in select * from ficus.link order by seq loop
            before := ficus.link_hash(before, l.seq, l.revision, l.part, l.rows, l.first_place, l.last_place, l.digest);
            update ficus.link set hash = before where seq = l.seq;
        end loop;
    end $$";

/// As a superuser who has switched every trigger off.
async fn tamper(stage: &Stage, sql: &str) {
    let off = "alter table ficus.change disable trigger all; alter table ficus.change_item disable trigger all;
               alter table ficus.link disable trigger all; alter table ficus.confirmation disable trigger all;";
    let done = sqlx::raw_sql(AssertSqlSafe(format!("{off} {sql}")))
        .execute(stage.pool())
        .await;
    done.expect(sql);
}

async fn verify(stage: &Stage, token: &str, more: &[&str]) -> (Ran, Value) {
    let args = [&["audit", "verify", "--output", "json"], more].concat();
    let ran = stage.ficus(token, &args).await;
    let report = ran.json();
    (ran, report)
}
