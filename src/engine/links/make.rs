//! The links of one message, and its body with them.
//!
//! Its own file, and pure: who makes mails stands on this and on [`super::store_targets`], and on nothing else here.

use uuid::Uuid;

use super::Config;
use crate::engine::bounce::verp;
use crate::engine::tracking::rewrite::{rewrite, rewrite_stored, with_pixel};
use crate::engine::tracking::target::Targets;
use crate::engine::tracking::{LinkKeys, Purpose, ShortKey};
use crate::ids::TenantId;

/// Makes links that lead to this service. One is enough for a process.
pub struct LinkMaker {
    keys: LinkKeys,
    public_url: String,
    /// Of the envelope's sender.
    bounce_domain: Option<String>,
}

impl LinkMaker {
    /// `None`: without a public address or a key no links are made.
    pub fn new(config: &Config) -> Result<Option<Self>, ShortKey> {
        let (Some(public_url), Some(keys)) = (&config.public_url, config.keys()?) else {
            return Ok(None);
        };
        Ok(Some(Self {
            keys,
            public_url: public_url.clone(),
            bounce_domain: config.bounce_domain.clone(),
        }))
    }

    /// The targets of a text: a template as it stands, or a finished body that nobody shares. To be stored
    /// ([`super::store_targets`]).
    pub fn targets(&self, html: &str) -> Targets {
        Targets::from_store(rewrite(html, &self.public_url, |_| String::new()).targets)
    }

    /// A finished body with its links leading through here, and the open pixel at its end. `targets` are the stored ones: a link
    /// that is not among them, such as one that is each reader's own, leads where it led.
    pub fn rewrite(
        &self,
        html: &str,
        tenant: TenantId,
        message: Uuid,
        targets: &Targets,
    ) -> String {
        let html = self.lead_through(html, tenant, message, targets);
        self.with_pixel(&html, tenant, message)
    }

    /// The links alone: opens are not counted.
    pub fn lead_through(
        &self,
        html: &str,
        tenant: TenantId,
        message: Uuid,
        targets: &Targets,
    ) -> String {
        let link = |number| self.url(tenant, message, Purpose::Click(number));
        rewrite_stored(html, &self.public_url, targets, link)
    }

    /// The open pixel alone: clicks are not counted.
    pub fn with_pixel(&self, html: &str, tenant: TenantId, message: Uuid) -> String {
        with_pixel(html, &self.url(tenant, message, Purpose::Open))
    }

    /// To whom a mail of this message comes back. `None`: to its sender.
    pub fn return_path(&self, tenant: TenantId, message: Uuid) -> Option<String> {
        let domain = self.bounce_domain.as_ref()?;
        let local = verp::local_part(&self.keys, tenant, message);
        Some(format!("{local}@{domain}"))
    }

    /// Of the body's own link, and of `List-Unsubscribe`.
    pub fn unsubscribe(&self, tenant: TenantId, message: Uuid) -> String {
        self.url(tenant, message, Purpose::Unsubscribe)
    }

    /// Where the gateway of this name reports on a message.
    pub fn callback(&self, tenant: TenantId, message: Uuid, gateway: &str) -> String {
        let path = self.keys.callback(tenant, message, gateway);
        format!("{}{path}", self.public_url)
    }

    /// What the envelope's sender is made with ([`crate::engine::bounce::verp::local_part`]).
    pub fn keys(&self) -> &LinkKeys {
        &self.keys
    }

    fn url(&self, tenant: TenantId, message: Uuid, purpose: Purpose) -> String {
        format!(
            "{}{}",
            self.public_url,
            self.keys.path(tenant, message, purpose)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn config() -> Config {
        Config {
            public_url: Some("https://m.acorn.test".to_owned()),
            key: Secret::new("k".repeat(32)),
            ..Config::default()
        }
    }

    #[test]
    fn a_body_leads_through_here_where_its_targets_were_stored() {
        let maker = LinkMaker::new(&config()).unwrap().unwrap();
        let stored = maker.targets("<a href='https://x.test/'>a</a><a href='{own}'>b</a>");
        assert_eq!(stored.iter().count(), 1);
        let body = "<body><a href='https://x.test/'>a</a><a href='https://x.test/ann'>b</a></body>";
        let html = maker.rewrite(body, TenantId(2), Uuid::from_u128(7), &stored);
        let click = maker.url(TenantId(2), Uuid::from_u128(7), Purpose::Click(0));
        let open = maker.url(TenantId(2), Uuid::from_u128(7), Purpose::Open);
        assert_eq!(
            html,
            format!(
                "<body><a href='{click}'>a</a><a href='https://x.test/ann'>b</a>\
                 <img src=\"{open}\" width=\"1\" height=\"1\" alt=\"\"></body>"
            )
        );
    }

    #[test]
    fn without_an_address_or_a_key_there_are_no_links() {
        let mut without = config();
        without.public_url = None;
        assert!(LinkMaker::new(&without).unwrap().is_none());
        let mut without = config();
        without.key = Secret::default();
        assert!(LinkMaker::new(&without).unwrap().is_none());
        without.key = Secret::new("short");
        assert!(LinkMaker::new(&without).is_err());
    }
}
