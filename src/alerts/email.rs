//! E-mail, by whatever SMTP server is configured.
//!
//! Its own file: one a vendor.

use std::time::Duration;

use anyhow::Context;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, MessageBuilder};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use super::outcome::Outcome;
use super::store::Delivery;
use super::{Config, Email};

/// For a whole conversation with the server.
const DEADLINE: Duration = Duration::from_secs(20);

pub type Transport = AsyncSmtpTransport<Tokio1Executor>;

/// Connects when there is something to send.
pub fn transport(config: &Email) -> anyhow::Result<Transport> {
    let transport = Transport::from_url(config.url.reveal())
        .map_err(|e| anyhow::anyhow!("alerts.email.url: {e}"))?;
    Ok(transport.timeout(Some(DEADLINE)).build())
}

/// One mail of everything that is told at once.
pub async fn send(transport: &Transport, config: &Config, told: &[Delivery]) -> Outcome {
    let message = match message(config, told) {
        Ok(message) => message,
        Err(e) => return Outcome::failed(format!("{e:#}")),
    };
    match transport.send(message).await {
        Ok(_) => Outcome::Delivered,
        Err(e) => Outcome::failed(e),
    }
}

fn message(config: &Config, told: &[Delivery]) -> anyhow::Result<Message> {
    let first = told.first().context("nothing to tell")?;
    let mailbox = |text: &str| text.parse::<Mailbox>().with_context(|| format!("{text:?}"));
    let mut builder: MessageBuilder = Message::builder().from(mailbox(&config.email.from)?);
    for to in &config.email.to {
        builder = builder.to(mailbox(to)?);
    }
    let subject = match told.len() {
        1 => format!("[ficus {}] {}", first.severity, one_line(&first.title)),
        n => format!("[ficus {}] {n} messages", first.severity),
    };
    let domain = config.email.from.rsplit('@').next().unwrap_or("ficus");
    let domain = domain.trim_end_matches('>');
    // Sent twice, it is one message to readers that look.
    let id = format!("<{}.{}@{domain}>", first.alert_id, told.len());
    let message = builder.subject(subject).message_id(Some(id));
    let message = message
        .header(ContentType::TEXT_PLAIN)
        .body(text(config, told));
    message.context("writing the mail")
}

fn text(config: &Config, told: &[Delivery]) -> String {
    let entry = |it: &Delivery| {
        let at = it.raised_at.format("%F %T UTC");
        format!("{at}  {}\n{}\n\n", it.title, it.body)
    };
    let mut text: String = told.iter().map(entry).collect();
    if let Some(link) = &config.link {
        text += link;
        text.push('\n');
    }
    text
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
