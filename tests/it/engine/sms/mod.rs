//! Texts through the four vendors, and what they report.
//!
//! Its own folder, because all of it stands on doubles of the vendors and on rows of a tenant's own accounts.

mod callbacks;
mod campaigns;
mod order;
mod outcomes;
mod proxied;
mod reporting;
mod sending;

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};

use super::bed::{Engine, Tables};
use crate::support::sms::{
    APP_KEY, INFOBIP_KEY, PLIVO_ID, SECRET, SmsVendors, TWILIO_ID, VONAGE_KEY, seal,
};
use crate::support::smtp::Script;

const LEFT: &str = "select sms::bigint from email_s_m_s_limit_rates where owner_id = 2";
const SENT: &str = "select count(*) from user_sent_records where owner_id = 2 and type = 'sms'";
const LINK_KEY: &str = "only-for-tests-only-for-tests-01";
/// What the four are called, in the order of their rows.
const GATEWAYS: [&str; 4] = ["twilio", "vonage", "plivo", "infobip"];

/// An engine before the doubles of all four vendors, with lines of its configuration more.
struct Bed {
    engine: Engine,
    vendors: SmsVendors,
}

impl Bed {
    async fn start() -> Self {
        Self::with("").await
    }

    /// With lines more at the end, in the section of Vonage.
    async fn with(more: &str) -> Self {
        let (vendors, address) = SmsVendors::start().await;
        Self::of(vendors, &config(address, address, more)).await
    }

    /// With lines more at the beginning, in the section of the engine.
    async fn before_all(more: &str) -> Self {
        let (vendors, address) = SmsVendors::start().await;
        let config = config(address, address, "");
        Self::of(vendors, &format!("{more}{config}")).await
    }

    /// With Twilio at an address of its own.
    async fn before(twilio: SocketAddr, more: &str) -> Self {
        let (vendors, address) = SmsVendors::start().await;
        Self::of(vendors, &config(address, twilio, more)).await
    }

    async fn of(vendors: SmsVendors, config: &str) -> Self {
        let tables = Tables::new().await;
        give_accounts(&tables).await;
        let engine = Engine::with(tables, Script::default(), config).await;
        Self { engine, vendors }
    }

    /// Hands in one and answers its id.
    async fn accept(&self, text: &Value) -> String {
        let answer = self.engine.accept(text).await;
        let id = answer["accepted"][0]["id"].as_str();
        id.unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// How often callbacks came to this.
    fn callbacks(&self, provider: &str, result: &str) -> u64 {
        let text = self.engine.metrics.encode(None);
        let begin =
            format!("ficus_callbacks_total{{provider=\"{provider}\",result=\"{result}\"}} ");
        let line = text.lines().find_map(|it| it.strip_prefix(&begin));
        line.map_or(0, |count| count.parse().expect("a number"))
    }
}

fn config(vendors: SocketAddr, twilio: SocketAddr, more: &str) -> String {
    format!(
        r#"
        app_key = "{APP_KEY}"
        link_key = "{LINK_KEY}"
        [engine.sms]
        timeout = "5s"
        [engine.sms.twilio]
        url = "http://{twilio}"
        [engine.sms.plivo]
        url = "http://{vendors}"
        [engine.sms.infobip]
        url = "http://{vendors}"
        [engine.sms.vonage]
        url = "http://{vendors}"
        messages_url = "http://{vendors}"
        {more}"#
    )
}

/// The tenant has an account at each vendor, sealed as Laravel seals.
async fn give_accounts(tables: &Arc<Tables>) {
    tables
        .change_legacy("delete from sms_services where owner_id = 2")
        .await;
    let accounts = [
        ("twilio", TWILIO_ID, SECRET),
        ("vonage", VONAGE_KEY, SECRET),
        ("plivo", PLIVO_ID, SECRET),
        ("infobip", INFOBIP_KEY, ""),
    ];
    for (gateway, key, secret) in accounts {
        sqlx::query("insert into sms_services (owner_id, provider, api_key, api_secret, sender_id) values (2, $1, $2, $3, '+15550000002')")
            .bind(gateway)
            .bind(seal(key))
            .bind(seal(secret))
            .execute(tables.legacy.pool())
            .await
            .expect("an account");
    }
}

fn text(to: &str, gateway: &str) -> Value {
    json!({
        "type": "sms",
        "recipient": { "phone": to, "name": "Ann" },
        "content": { "text": "Hello" },
        "gateway": gateway,
    })
}
