//! E-mail through each tenant's own server: the mail is made, the server found, and what it answers told in the engine's words.
//!
//! Its own folder, because here the parts meet that know nothing of each other: letters, legacy's settings and SMTP.

mod outcome;
mod own;
mod servers;
mod suppress;

use super::{Intent, Outcome, Provider, smtp};
use crate::engine::compose::Composer;
use crate::engine::queue::Due;
use crate::engine::retry::Class;

pub use own::OwnServers;
pub use servers::{Servers, Settings};
pub use suppress::Suppressor;

pub struct Email {
    composer: Composer,
    servers: Servers,
    suppressor: Suppressor,
}

impl Email {
    pub fn new(composer: Composer, servers: Servers, suppressor: Suppressor) -> Self {
        Self {
            composer,
            servers,
            suppressor,
        }
    }
}

impl Provider for Email {
    fn name(&self) -> &'static str {
        "smtp"
    }

    async fn send(&self, due: &Due, intent: Intent) -> Outcome {
        let composed = match self.composer.compose(due).await {
            Ok(composed) => composed,
            Err(unsent) => return Outcome::of(unsent.class, unsent.code),
        };
        let server = match self
            .servers
            .find(due.tenant, composed.server.as_ref())
            .await
        {
            Ok(server) => server,
            Err(missing) => return Outcome::of(Class::from(missing), missing.code()),
        };
        let intent = intent.record(server.name.clone());
        let sent = server.pool.send(composed.message, intent).await;
        let is_nobody = matches!(&sent, smtp::Outcome::Failed { fault, .. } if fault.suppress);
        let outcome = outcome::told(server.name, sent);
        if is_nobody {
            self.suppressor.suppress(due, &outcome.code).await;
        }
        outcome
    }
}
