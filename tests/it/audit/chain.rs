//! What was edited, deleted, inserted or swapped is named; what was not is intact.
//!
//! Its own file, because none of it needs anything outside the database.

use ficus::db;
use ficus::rollout::audit::{self, Entry};
use sha2::{Digest, Sha256};
use sqlx::{Connection, PgConnection};

use super::{tamper, verify, written};
use crate::support::Database;

#[tokio::test]
async fn an_untouched_audit_is_intact_whatever_wrote_it() {
    let (stage, token) = written().await;
    let (ran, report) = verify(&stage, &token, &[]).await;
    assert_eq!((ran.code, &report["intact"]), (0, &true.into()), "{report}");
    assert_eq!(report["faults_in_all"], 0);
    assert!(report["changes"].as_u64() >= Some(8), "{report}");
}

/// What is done, and what the report must say of it.
const TAMPERING: [(&str, &str, &str); 12] = [
    ("update ficus.change set actor = 'nobody' where revision = 4", "edited", "change 4 was edited"),
    ("update ficus.change set reason = 'so' where revision = 4", "edited", "change 4 was edited"),
    ("update ficus.change set at = at + interval '1 microsecond' where revision = 5", "edited", "change 5 was edited"),
    ("update ficus.change set evidence = '{}' where revision = 5", "edited", "change 5 was edited"),
    (
        "update ficus.change_item set after = '{\"state\": \"modern\"}' where place = (select min(place) from ficus.change_item where revision = 4)",
        "edited",
        "of change 4 was edited",
    ),
    (
        "delete from ficus.change_item where place = (select max(place) from ficus.change_item where revision = 4)",
        "deleted",
        "of change 4 was deleted",
    ),
    ("delete from ficus.change_item where revision = 4; delete from ficus.change where revision = 4", "deleted", "change 4 was deleted"),
    (
        "update ficus.change_item as i set before = o.before, after = o.after, tenant_id = o.tenant_id, capability = o.capability, entity = o.entity
         from ficus.change_item as o where (i.place, o.place) in (
             select min(place), max(place) from ficus.change_item where revision = 4
             union all select max(place), min(place) from ficus.change_item where revision = 4)",
        "edited",
        "of change 4 was edited",
    ),
    (
        "insert into ficus.change_item (revision, entity, tenant_id, capability, after) values (4, 'flag', 9, 'dashboard', '{\"state\": \"modern\"}')",
        "inserted",
        "of change 4 is in no link",
    ),
    (
        "insert into ficus.change (revision, at, entity, actor, source, db_user, application) values (999, now(), 'flag', 'x', 'x', 'x', '')",
        "inserted",
        "change 999 is in no link",
    ),
    ("delete from ficus.link where seq = 5", "deleted", "links 5 to 5 are missing"),
    (
        "update ficus.change set actor = 'nobody' where revision = 4;
         update ficus.link as l set digest = sha256(ficus.change_bytes(c)) from ficus.change as c
         where c.revision = 4 and l.revision = 4 and l.part = 'change'",
        "edited",
        "does not follow from the link before it",
    ),
];

#[tokio::test]
async fn whatever_a_superuser_does_to_a_row_is_found_and_the_row_is_named() {
    let (stage, token) = written().await;
    for (sql, kind, what) in TAMPERING {
        let url = stage.db.url().to_owned();
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let kept = "create schema kept; create table kept.change as table ficus.change; create table kept.change_item as table ficus.change_item; create table kept.link as table ficus.link;";
        sqlx::raw_sql(kept).execute(&mut connection).await.unwrap();

        tamper(&stage, sql).await;

        let (ran, report) = verify(&stage, &token, &[]).await;
        assert_eq!(ran.code, 1, "{sql}: {report}");
        let faults = report["faults"].as_array().unwrap();
        let found = faults
            .iter()
            .any(|it| it["kind"] == kind && it["what"].as_str().unwrap().contains(what));
        assert!(found, "{sql}: {report}");

        let back = "delete from ficus.confirmation; delete from ficus.change_item; delete from ficus.change; delete from ficus.link;
                    insert into ficus.change select * from kept.change;
                    insert into ficus.change_item overriding system value select * from kept.change_item;
                    insert into ficus.link select * from kept.link; drop schema kept cascade";
        sqlx::raw_sql(back).execute(&mut connection).await.unwrap();
        let (_, report) = verify(&stage, &token, &[]).await;
        assert_eq!(report["intact"], true, "put back after {sql}: {report}");
    }
}

#[tokio::test]
async fn what_was_there_before_the_chain_is_its_genesis() {
    let db = Database::empty().await;
    let mut connection = PgConnection::connect(db.url()).await.unwrap();
    sqlx::raw_sql("create schema ficus; set search_path = ficus")
        .execute(&mut connection)
        .await
        .unwrap();
    sqlx::migrate!().run_to(3, &mut connection).await.unwrap();
    sqlx::raw_sql(
        "insert into ficus.capability (name) values ('dashboard'); insert into ficus.tenant (id) select generate_series(1, 50);
         insert into ficus.flag (tenant_id, capability, state) select id, 'dashboard', 'modern' from ficus.tenant;
         delete from ficus.tenant where id < 5",
    )
    .execute(&mut connection)
    .await
    .unwrap();

    db::migrate(db.url()).await.unwrap();

    let head = audit::head(db.pool()).await.unwrap();
    assert_eq!((head.revision, head.last_change), (4, 4), "{head:?}");
    assert!(checked(db.pool()).await.intact);
    sqlx::raw_sql("update ficus.flag set state = 'legacy'")
        .execute(db.pool())
        .await
        .unwrap();
    assert!(checked(db.pool()).await.intact, "and goes on");
}

#[tokio::test]
async fn an_export_is_verified_without_the_database_and_by_the_documented_rule() {
    let (stage, token) = written().await;
    let export = stage.ficus(&token, &["audit", "export"]).await;
    assert_eq!(export.code, 0, "{export:?}");
    let file = stage.file("audit.ndjson", &export.stdout);
    let (ran, report) = verify(&stage, &token, &["--file", &file]).await;
    assert_eq!((ran.code, &report["intact"]), (0, &true.into()), "{report}");

    // docs/AUDIT.md, in a few lines of its own: the last change, hashed by hand.
    let entries: Vec<Entry> = export
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (link, change) = entries
        .windows(2)
        .filter_map(|pair| match pair {
            [Entry::Link(link), Entry::Change(change)] => Some((link, change)),
            _ => None,
        })
        .next_back()
        .unwrap();
    let field =
        |text: Option<&str>| text.map_or("-".to_owned(), |text| format!("{}:{text},", text.len()));
    let revision = change.revision.to_string();
    let row: String = [
        Some(revision.as_str()),
        Some(&change.at),
        Some(&change.entity),
        Some(&change.actor),
        Some(&change.source),
        change.reason.as_deref(),
        Some(&change.db_user),
        Some(&change.application),
        change.action_id.as_deref(),
        change.acted_at.as_deref(),
        change.evidence.as_deref(),
        change.requested_at.as_deref(),
    ]
    .map(field)
    .concat();
    let digest: String = Sha256::digest(row)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(digest, link.digest);

    let edited = export
        .stdout
        .replace("\"actor\":\"ficus\"", "\"actor\":\"nobody\"");
    assert_ne!(edited, export.stdout);
    let file = stage.file("edited.ndjson", &edited);
    let (ran, report) = verify(&stage, &token, &["--file", &file]).await;
    assert_eq!(
        (ran.code, &report["intact"]),
        (1, &false.into()),
        "{report}"
    );
}

#[tokio::test]
async fn the_audit_refuses_update_delete_and_truncate_in_a_replicas_session_too() {
    let (stage, _) = written().await;
    for table in ["change", "change_item", "link", "confirmation"] {
        for sql in [
            format!("delete from ficus.{table}"),
            format!("truncate ficus.{table} cascade"),
        ] {
            let tried = sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
                "set session_replication_role = replica; {sql}"
            )))
            .execute(stage.pool())
            .await;
            assert!(
                tried.unwrap_err().to_string().contains("append-only"),
                "{sql}"
            );
        }
    }
}

async fn checked(pool: &sqlx::PgPool) -> audit::Report {
    let mut verifier = audit::Verifier::new(Vec::new());
    let changes = audit::sealed_changes(pool, 0, 1000).await.unwrap();
    let items = audit::sealed_items(pool, 0, 1000).await.unwrap();
    for link in audit::links(pool, 0, 1000).await.unwrap() {
        verifier.take(&Entry::Link(link.clone()));
        for change in changes
            .iter()
            .filter(|it| link.part == audit::Part::Change && it.revision == link.revision)
        {
            verifier.take(&Entry::Change(change.clone()));
        }
        for item in items.iter().filter(|it| {
            Some(it.place) >= link.first_place
                && Some(it.place) <= link.last_place
                && link.part == audit::Part::Items
        }) {
            verifier.take(&Entry::Item(item.clone()));
        }
    }
    verifier.finish(Some(&audit::head(pool).await.unwrap()))
}
