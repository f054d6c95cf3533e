//! The same campaign by legacy and by the engine: the same mails to the same people, and the same rows afterwards.
//!
//! Its own file, because this is what a tenant must not notice when it moves.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mail_parser::{MessageParser, MimeHeaders};
use sqlx::PgPool;

use super::visitor::{JSON, SITE, Visitor};
use super::{Site, legacy, legacy_pool};
use crate::support::Database;
use crate::support::process::eventually;
use crate::support::smtp::{Answer, MailServer, Received, Script};

/// Two tenants that differ in nothing but their numbers: what stands in legacy's tables has quotes, tags and umlauts in it.
const TWINS: &str = r#"
insert into users (id, owner_id, name, email, password, domain, created_at, updated_at)
select t.id, t.id, 'Müller & "Söhne"', 'owner@' || t.domain || '.test', u.password, t.domain, now(), now()
from (values (51, 'twina'), (52, 'twinb')) as t (id, domain), users as u where u.id = 9;
insert into email_s_m_s_limit_rates (owner_id, email, sms, created_at, updated_at) select t, 100, 100, now(), now() from unnest('{51,52}'::bigint[]) as t;
insert into smtp_servers (id, owner_id, name, created_at, updated_at) select t, t, 'Own', now(), now() from unnest('{51,52}'::bigint[]) as t;
insert into email_services (owner_id, smtp_server_id, created_at, updated_at) select t, t, now(), now() from unnest('{51,52}'::bigint[]) as t;
insert into sender_email_ids (owner_id, name, email, reply_to, created_at, updated_at)
select t, 'Müller & "Söhne"', 'news@twins.test', 'answers@twins.test', now(), now() from unnest('{51,52}'::bigint[]) as t;
insert into email_contacts (id, owner_id, name, email, is_unsubscribed, created_at, updated_at)
select t * 100 + i, t, (array['Zoë O''Hara', '<b>Bold</b>', 'A & B, Ltd.', 'Łucja', 'Refused', 'Unsubscribed', 'Bounced', '{click_url}'])[i],
    'reader' || i || '@twins.test', i = 6, now(), now()
from unnest('{51,52}'::bigint[]) as t cross join generate_series(1, 8) as i;
insert into bounced_emails (owner_id, email, reason, created_at, updated_at) select t, 'reader7@twins.test', '550', now(), now() from unnest('{51,52}'::bigint[]) as t;
insert into template_builders (id, owner_id, name, subject, html, link, created_at, updated_at)
select t * 10 + 1, t, 'Twin', 'Grüße aus Köln, and "more"',
    E'<h1>Grüße</h1>\n<p>Dear {name},</p>\n.\n..dots\n<p><a href="{click_url}">Read on</a> at 100 % = all</p><img src="{open_url}" alt="">' || repeat('<p>A long line of text that has to be folded. </p>', 30),
    'https://www.twins.test/?a=1&b=2', now(), now() from unnest('{51,52}'::bigint[]) as t;
insert into campaigns (id, owner_id, name, type, status, created_at, updated_at) select t * 10 + 1, t, 'Twin', 'email', 'draft', now(), now() from unnest('{51,52}'::bigint[]) as t;
insert into campaign_emails (owner_id, campaign_id, email_contact_id, created_at, updated_at)
select t, t * 10 + 1, t * 100 + i, now(), now() from unnest('{51,52}'::bigint[]) as t cross join generate_series(1, 8) as i order by t, i;
"#;

/// Seals as `encrypt()` does, by PHP itself.
const ENCRYPT: &str = r#"$key = base64_decode(substr($argv[1], 7)); $iv = random_bytes(16);
$value = openssl_encrypt(serialize($argv[2]), 'AES-256-CBC', $key, 0, $iv); $iv = base64_encode($iv);
echo base64_encode(json_encode(['iv' => $iv, 'value' => $value, 'mac' => hash_hmac('sha256', $iv . $value, $key), 'tag' => '']));"#;

async fn encrypt(app_key: &str, text: &str) -> String {
    let php = tokio::process::Command::new("php")
        .args(["-r", ENCRYPT, "--", app_key, text])
        .output()
        .await
        .expect("php runs");
    assert!(
        php.status.success(),
        "{}",
        String::from_utf8_lossy(&php.stderr)
    );
    String::from_utf8(php.stdout).expect("base64")
}

/// A server that wants a login, and refuses one recipient. SwiftMailer loses its step when it has pipelined a recipient that is
/// refused, and fails the next message too: legacy's gets a server that offers it no pipelining.
async fn server(offers: &'static [&'static str]) -> MailServer {
    let answers = &[
        ("AUTH PLAIN", Answer::Say("235 2.7.0 welcome")),
        ("RCPT TO:<reader5@", Answer::Say("550 5.1.1 no such user")),
    ];
    let mut script = Script::answering(answers);
    script.offers = offers.to_vec();
    MailServer::start(script).await
}

/// What a reader sees of a mail, and the headers that programs look at.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Mail {
    envelope: (String, Vec<String>),
    from: String,
    to: String,
    reply_to: String,
    subject: String,
    html: String,
    is_html: bool,
}

/// `own` numbers and the tracker's id are put apart: they are what differs.
fn read(received: &Received, campaign: i64) -> Mail {
    let mail = MessageParser::default()
        .parse(received.body.as_bytes())
        .expect("a mail");
    let party = |address: Option<&mail_parser::Address<'_>>| {
        let address = address.and_then(|it| it.first()).expect("an address");
        format!("{:?} <{}>", address.name(), address.address().expect("one"))
    };
    let number = mail.header("X-Campaign").and_then(|it| it.as_text());
    assert_eq!(number, Some(campaign.to_string().as_str()));
    let html = mail.body_html(0).expect("HTML").replace("\r\n", "\n");
    let start = html.find("/tracker/").expect("a link") + "/tracker/".len();
    let tracker = html[start..start + 36].to_owned();
    let part = mail.html_part(0).and_then(|it| it.content_type());
    Mail {
        envelope: (received.from.clone(), received.to.clone()),
        from: party(mail.from()),
        to: party(mail.to()),
        reply_to: party(mail.reply_to()),
        subject: mail.subject().expect("a subject").to_owned(),
        html: html.replace(&tracker, "TRACKER").trim_end().to_owned(),
        is_html: part.is_some_and(|it| it.subtype() == Some("html")),
    }
}

/// The rows that a campaign leaves, without its own numbers and times.
async fn rows(pool: &PgPool, tenant: i64) -> BTreeMap<&'static str, Vec<String>> {
    let mut found = BTreeMap::new();
    for (what, sql) in [
        (
            "trackers",
            "select concat_ws(' ', email, link, status, opens, clicks) from email_trackers where owner_id = $1 order by 1",
        ),
        (
            "records",
            "select concat_ws(' ', type) from user_sent_records where owner_id = $1",
        ),
        (
            "quota",
            "select concat_ws(' ', email, sms) from email_s_m_s_limit_rates where owner_id = $1",
        ),
        (
            "campaign",
            "select status::text from campaigns where owner_id = $1",
        ),
        (
            "log",
            "select concat_ws(' ', channel, sent, failed, skipped) from campaign_logs where owner_id = $1",
        ),
    ] {
        let rows = sqlx::query_scalar(sql).bind(tenant).fetch_all(pool).await;
        found.insert(what, rows.expect(what));
    }
    found
}

#[tokio::test]
async fn a_campaign_of_a_moved_tenant_leaves_the_mails_and_the_rows_that_legacy_would_have_left() {
    let database = Database::new().await;
    let (application, pool) = (legacy().await, legacy_pool().await);
    sqlx::raw_sql(TWINS).execute(&pool).await.expect("twins");
    let by_legacy = server(&["AUTH PLAIN", "8BITMIME"]).await;
    let by_engine = server(&["AUTH PLAIN", "8BITMIME", "PIPELINING"]).await;
    for (tenant, server) in [(51, &by_legacy), (52, &by_engine)] {
        sqlx::query("update smtp_servers set host = '127.0.0.1', port = $2, username = 'twin', password = $3 where owner_id = $1")
            .bind(tenant)
            .bind(i32::from(server.address.port()))
            .bind(encrypt(&application.app_key, "päss wörd").await)
            .execute(&pool)
            .await
            .expect("a server");
    }
    let site = Site::start(database.url()).await;
    site.know(&["51", "52"]).await;
    site.flip("52", "messaging", "modern").await;

    let mut stayed = Visitor::log_in(site.first.proxy, "owner@twina.test").await;
    let sent = stayed
        .get("/campaign/send-email/campaign-511/template-511", JSON)
        .await;
    assert_eq!(
        (sent.status, sent.served_by()),
        (200, "legacy"),
        "{}",
        sent.body
    );
    let mut moved = Visitor::log_in(site.first.proxy, "owner@twinb.test").await;
    let accepted = moved
        .get("/campaign/send-email/campaign-521/template-521", JSON)
        .await;
    assert_eq!(
        (accepted.status, accepted.served_by()),
        (202, "modern"),
        "{}",
        accepted.body
    );
    eventually("the campaign's log", || async {
        (rows(&pool, 52).await["log"].len() == 1).then_some(())
    })
    .await;

    let mails = |server: &MailServer, campaign| {
        let mut mails: Vec<Mail> = server
            .seen()
            .messages
            .iter()
            .map(|it| read(it, campaign))
            .collect();
        mails.sort();
        mails
    };
    let (expected, found) = (mails(&by_legacy, 511), mails(&by_engine, 521));
    let kept = rows(&pool, 51).await;
    assert_eq!(expected.len(), 5, "legacy's own: {kept:?}");
    for (expected, found) in expected.iter().zip(&found) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), 5);
    assert!(
        found[0]
            .html
            .contains(&format!("http://{SITE}/tracker/TRACKER/click")),
        "{}",
        found[0].html
    );
    assert_eq!(rows(&pool, 52).await, rows(&pool, 51).await);
    // Both have logged in with the same password. SwiftMailer says the user twice, once as whom it would act for.
    let login = |server: &MailServer| {
        let lines = server.seen().lines;
        let line = lines
            .iter()
            .find_map(|line| line.strip_prefix("AUTH PLAIN "));
        let told = STANDARD.decode(line.expect("a login")).expect("base64");
        let told = String::from_utf8(told).expect("text");
        told.split_once('\0').expect("three parts").1.to_owned()
    };
    assert_eq!(login(&by_engine), "twin\0päss wörd");
    assert_eq!(login(&by_engine), login(&by_legacy));
    // A link of the engine's mail is legacy's too.
    let tracker: String =
        sqlx::query_scalar("select tracker::text from email_trackers where owner_id = 52 limit 1")
            .fetch_one(&pool)
            .await
            .expect("a tracker");
    let clicked = stayed.get(&format!("/tracker/{tracker}/click"), JSON).await;
    assert_eq!(clicked.status, 302, "{}", clicked.body);
}
