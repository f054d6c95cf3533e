//! Which account a tenant's texts go through, and whose reports are believed: legacy's row, opened and checked.
//!
//! Its own file, because two ask it that know nothing of each other, who sends and who takes reports, and because rows change while messages
//! wait: they are read again every few seconds.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;

use super::{Gateway, Sender};
use crate::engine::legacy::{Legacy, StoredService};
use crate::engine::retry::Class;
use crate::ids::TenantId;
use crate::laravel;
use crate::laravel::envelope::Opener;
use crate::secret::Secret;

/// How long a tenant's row is believed.
const SETTINGS: Duration = Duration::from_secs(5);
const MOST_ACCOUNTS: u64 = 10_000;
/// Where a tenant's own base URL may lead: a row must not send texts and logins wherever it likes.
const INFOBIP: &str = ".infobip.com";

/// A tenant's account at a vendor. It does not print.
pub struct Account {
    pub gateway: Gateway,
    /// The account's id, or its key.
    pub key: Secret,
    /// Empty with Infobip, whose key is all.
    pub secret: Secret,
    /// What reports are signed with, where that is not the secret.
    pub signing: Option<Secret>,
    /// In place of the configuration's.
    pub base: Option<String>,
    pub sender: Option<Sender>,
    senders: Vec<Sender>,
}

impl Account {
    /// One of the tests'.
    #[cfg(test)]
    pub fn of(gateway: Gateway, key: &str, secret: &str) -> Self {
        Self {
            gateway,
            key: Secret::new(key),
            secret: Secret::new(secret),
            signing: None,
            base: None,
            sender: None,
            senders: Vec::new(),
        }
    }

    /// The sender that a message asks for, if it is the tenant's; without a wish, the account's.
    pub fn sender(&self, asked: Option<&str>) -> Option<Sender> {
        let Some(asked) = asked else {
            return self.sender.clone();
        };
        let asked = Sender::parse(asked).ok()?;
        let is_own = self.sender.as_ref() == Some(&asked) || self.senders.contains(&asked);
        is_own.then_some(asked)
    }
}

/// Why there is no account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Legacy's database did not answer.
    Database,
    /// The tenant has none of this gateway that is active.
    None,
    /// Key or secret do not open with the application's key.
    Sealed,
    Unusable,
}

impl Missing {
    pub fn code(self) -> &'static str {
        match self {
            Self::Database => "no-database",
            Self::None => "no-service",
            Self::Sealed => "bad-secret",
            Self::Unusable => "bad-service",
        }
    }
}

impl From<Missing> for Class {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Database => Self::NotSent,
            Missing::None | Missing::Sealed | Missing::Unusable => Self::Account,
        }
    }
}

type Asked = (TenantId, Option<Gateway>);

/// Clones are the same.
#[derive(Clone)]
pub struct Accounts {
    legacy: Legacy,
    opener: Option<Arc<Opener>>,
    found: Cache<Asked, Arc<Account>>,
}

impl Accounts {
    pub fn new(legacy: Legacy, opener: Option<Opener>) -> Self {
        Self {
            legacy,
            opener: opener.map(Arc::new),
            found: Cache::builder()
                .max_capacity(MOST_ACCOUNTS)
                .time_to_live(SETTINGS)
                .build(),
        }
    }

    /// `None`: the first that the tenant has.
    pub async fn find(
        &self,
        tenant: TenantId,
        gateway: Option<Gateway>,
    ) -> Result<Arc<Account>, Missing> {
        let read = async {
            let stored = self.legacy.sms_service(tenant, gateway).await;
            let stored = stored.map_err(|error| {
                tracing::warn!(%error, %tenant, "could not read a tenant's SMS service");
                Missing::Database
            })?;
            self.open(stored.ok_or(Missing::None)?).map(Arc::new)
        };
        let found = self.found.try_get_with((tenant, gateway), read).await;
        found.map_err(|missing| *missing)
    }

    fn open(&self, stored: StoredService) -> Result<Account, Missing> {
        let gateway = Gateway::parse(&stored.gateway).ok_or(Missing::Unusable)?;
        let key = self.id(stored.key.as_deref())?;
        let secret = match (gateway, stored.secret.as_deref()) {
            (Gateway::Infobip, _) => Secret::default(),
            (_, secret) => self.secret(secret.ok_or(Missing::None)?)?,
        };
        let signing = stored.signing.as_deref().filter(|it| !it.is_empty());
        let signing = signing.map(|it| self.secret(it)).transpose()?;
        if !is_word(&key, gateway) {
            return Err(Missing::Unusable);
        }
        let base = match stored.base.filter(|it| !it.is_empty()) {
            Some(base) if gateway == Gateway::Infobip => {
                Some(infobip_base(&base).ok_or(Missing::Unusable)?)
            }
            _ => None,
        };
        let sender = stored.sender.filter(|it| !it.trim().is_empty());
        let sender = sender.map(|it| Sender::parse(&it)).transpose();
        let senders = stored
            .senders
            .iter()
            .filter_map(|it| Sender::parse(it).ok());
        Ok(Account {
            gateway,
            key,
            secret,
            signing,
            base,
            sender: sender.map_err(|_| Missing::Unusable)?,
            senders: senders.collect(),
        })
    }

    /// An account's id is no secret, and some rows have it as it is.
    fn id(&self, text: Option<&str>) -> Result<Secret, Missing> {
        match text {
            None | Some("") => Err(Missing::None),
            Some(text) if text.starts_with("eyJ") => self.secret(text),
            Some(text) => Ok(Secret::new(text)),
        }
    }

    fn secret(&self, sealed: &str) -> Result<Secret, Missing> {
        let opener = self.opener.as_ref().ok_or(Missing::Sealed)?;
        laravel::decrypt(opener, sealed).map_err(|_| Missing::Sealed)
    }
}

/// What stands in a path or a header must not end it. Infobip's key has a dash and a dot, and stands in no path.
fn is_word(key: &Secret, gateway: Gateway) -> bool {
    let key = key.reveal();
    let fits = |b: u8| match gateway {
        Gateway::Infobip => b.is_ascii_graphic(),
        _ => b.is_ascii_alphanumeric(),
    };
    (1..=255).contains(&key.len()) && key.bytes().all(fits)
}

/// `https://abc123.api.infobip.com`, or the host alone, as Infobip's portal shows it.
fn infobip_base(text: &str) -> Option<String> {
    let host = text.strip_prefix("https://").unwrap_or(text);
    let host = host.trim_end_matches('/').to_ascii_lowercase();
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    (host.ends_with(INFOBIP) && host.bytes().all(fits)).then(|| format!("https://{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenants_base_leads_to_the_vendor_or_nowhere() {
        for good in ["abc123.api.infobip.com", "https://ABC123.api.infobip.com/"] {
            assert_eq!(
                infobip_base(good).as_deref(),
                Some("https://abc123.api.infobip.com")
            );
        }
        for bad in [
            "http://abc123.api.infobip.com",
            "https://evil.test/.infobip.com",
            "https://evil.test#.infobip.com",
            "https://user@x.infobip.com",
            "https://abc123.api.infobip.com.evil.test",
            "https://169.254.169.254",
            "infobip.com:8080",
        ] {
            assert_eq!(infobip_base(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_key_cannot_leave_its_place_in_the_path() {
        for bad in ["", "AC1/../..", "AC1?x", "AC 1", "AC1\r\nx: y"] {
            assert!(!is_word(&Secret::new(bad), Gateway::Twilio), "{bad}");
        }
        assert!(is_word(&Secret::new("AC0123abc"), Gateway::Twilio));
        assert!(is_word(&Secret::new("a1b2-c3.d4"), Gateway::Infobip));
    }
}
