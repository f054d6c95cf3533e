//! A tenant's mail server that is stored with us: it comes before legacy's row, and its password opens with our key alone.
//!
//! Its own file, because the credential is looked for everywhere where it must not be.

use ficus::engine::operations::{self, By, NewMailServer};
use ficus::engine::sealed::{Keyring, Place, SMTP_PASSWORD};
use ficus::ids::TenantId;
use ficus::secret::Secret;

use super::bed::{Engine, TENANT, Tables, message};
use crate::support::smtp::{MailServer, Script};

/// 32 bytes.
const KEYS: &str = "2026a:b25seS1mb3ItdGVzdHMtb25seS1mb3ItdGVzdHMtMDE=";
const PASSWORD: &str = "tanstaaftanstaaf";
const BY: By<'static> = By {
    actor: "kim",
    source: "cli",
    reason: "INC-42",
};

/// Stores the server as the API does, its password sealed for this tenant.
async fn store(tables: &Tables, server: &MailServer, sealed_for: i64) {
    let keyring = Keyring::parse(&Secret::new(KEYS)).expect("keys");
    let place = Place {
        tenant: TenantId(sealed_for),
        name: SMTP_PASSWORD,
    };
    let sealed = keyring.seal(place, &Secret::new(PASSWORD));
    let sealed = sealed.expect("a sealed password");
    let new = NewMailServer {
        host: "127.0.0.1",
        port: server.address.port(),
        username: Some("tim"),
        sealed: Some(&sealed),
        encryption: None,
    };
    let mut connection = tables.pool().acquire().await.expect("a connection");
    operations::set_mail_server(&mut connection, TenantId(TENANT), &new, BY)
        .await
        .expect("stored");
}

async fn own() -> MailServer {
    MailServer::start(Script {
        offers: vec!["AUTH PLAIN"],
        ..Script::default()
    })
    .await
}

#[tokio::test]
async fn mails_go_through_it_before_legacys_and_its_password_stands_nowhere() {
    let (tables, server) = (Tables::new().await, own().await);
    store(&tables, &server, TENANT).await;
    let more = format!("quota = \"off\"\nsealing_keys = \"{KEYS}\"");
    let engine = Engine::with(tables, Script::default(), &more).await;
    engine.accept(&message("one@example.com")).await;
    let seen = server.until(|seen| !seen.messages.is_empty()).await;
    assert!(
        seen.lines
            .contains(&"AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm".to_owned()),
        "{:?}",
        seen.lines
    );
    assert!(engine.mail.seen().messages.is_empty());
    let stored: String = sqlx::query_scalar(
        "select string_agg(t.line, ' ') from (
             select m::text as line from ficus.message as m union all select s::text from ficus.mail_server as s
             union all select o::text from ficus.message_operation as o union all select a::text from ficus.attempt as a
         ) as t",
    )
    .fetch_one(engine.tables.pool())
    .await
    .expect("what is stored");
    assert!(!stored.contains(PASSWORD), "{stored}");

    // Taken away, legacy's counts again, within the time that settings are believed.
    let mut connection = engine.tables.pool().acquire().await.expect("a connection");
    let unset = operations::unset_mail_server(&mut connection, TenantId(TENANT), BY).await;
    assert!(unset.expect("taken away"));
    let mut number = 0;
    crate::support::process::eventually("legacy's server is used", || {
        number += 1;
        let message = message(&format!("next{number}@example.com"));
        let engine = &engine;
        async move {
            engine.accept(&message).await;
            (!engine.mail.seen().messages.is_empty()).then_some(())
        }
    })
    .await;
}

/// A row that was copied from another tenant, or an engine without the key.
#[tokio::test]
async fn a_password_that_does_not_open_holds_the_message_and_says_why() {
    for (sealed_for, keys) in [
        (3, format!("sealing_keys = \"{KEYS}\"")),
        (TENANT, String::new()),
    ] {
        let (tables, server) = (Tables::new().await, own().await);
        store(&tables, &server, sealed_for).await;
        let engine = Engine::with(tables, Script::default(), &keys).await;
        engine.accept(&message("one@example.com")).await;
        let alert = "select count(*) from ficus.alert where key like 'mail-server/%' and body like '%bad-password%'";
        crate::support::process::eventually("people are told", || async {
            (engine.tables.ficus(alert).await == 1).then_some(())
        })
        .await;
        assert!(server.seen().messages.is_empty() && engine.mail.seen().messages.is_empty());
    }
}
