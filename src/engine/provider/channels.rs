//! Both channels' providers as one: each message goes to its channel's.
//!
//! Its own file, because the worker knows one provider, and nothing of channels.

use super::email::Email;
use super::sandbox::Sandbox;
use super::sms::Sms;
use super::{Intent, Outcome, Provider};
use crate::engine::message::Channel;
use crate::engine::queue::Due;

pub struct Channels {
    pub email: Mails,
    pub sms: Texts,
}

pub enum Mails {
    Smtp(Box<Email>),
    Sandbox(Sandbox),
}

pub enum Texts {
    Vendors(Box<Sms>),
    Sandbox(Sandbox),
}

impl Provider for Channels {
    fn name(&self) -> &'static str {
        "channels"
    }

    /// Of texts it is the vendor, of which there are four; of mails there are as many servers as tenants.
    fn kind<'a>(&'a self, channel: Channel, connection: &'a str) -> &'a str {
        match (channel, &self.email, &self.sms) {
            (Channel::Email, Mails::Smtp(email), _) => email.name(),
            (Channel::Email, Mails::Sandbox(sandbox), _) => sandbox.name(),
            (Channel::Sms, _, Texts::Sandbox(sandbox)) => sandbox.name(),
            (Channel::Sms, _, Texts::Vendors(sms)) if connection.is_empty() => sms.name(),
            (Channel::Sms, ..) => connection,
        }
    }

    async fn send(&self, due: &Due, intent: Intent) -> Outcome {
        match due.channel {
            Channel::Email => match &self.email {
                Mails::Smtp(email) => email.send(due, intent).await,
                Mails::Sandbox(sandbox) => sandbox.send(due, intent).await,
            },
            Channel::Sms => match &self.sms {
                Texts::Vendors(sms) => sms.send(due, intent).await,
                Texts::Sandbox(sandbox) => sandbox.send(due, intent).await,
            },
        }
    }
}
