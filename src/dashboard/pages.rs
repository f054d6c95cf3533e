//! The dashboard's pages: the same figures as the JSON, for people.
//!
//! Its own file, because markup and queries change for different reasons.

use std::fmt::Write;

use axum::response::Html;

use super::campaigns::{Campaign, Detail};
use super::stats::{Channel, Stats};
use crate::ids::TenantId;
use crate::modern::page::{Escaped, frame};

pub fn index(
    tenant: TenantId,
    account: Option<&str>,
    stats: &Stats,
    campaigns: &[Campaign],
) -> Html<String> {
    let row = |name: &str, channel: &Channel| {
        format!(
            "<tr><th>{name}</th><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            channel.sent_today, channel.sent, channel.left
        )
    };
    let body = format!(
        "<table>\n<tr><th></th><th>Sent today</th><th>Sent in all</th><th>Left</th></tr>\n{}{}</table>\n<p>{} opens, {} clicks, {} bounces. Plan: {}.</p>\n{}",
        row("E-mail", &stats.email),
        row("SMS", &stats.sms),
        stats.engagement.opens,
        stats.engagement.clicks,
        stats.engagement.bounces,
        Escaped(stats.plan.as_ref().map_or("none", |plan| &plan.name)),
        table(campaigns),
    );
    frame(tenant, account, "Dashboard", &body)
}

pub fn list(tenant: TenantId, account: Option<&str>, campaigns: &[Campaign]) -> Html<String> {
    frame(tenant, account, "Campaigns", &table(campaigns))
}

pub fn detail(tenant: TenantId, account: Option<&str>, detail: &Detail) -> Html<String> {
    let campaign = &detail.campaign;
    let mut body = format!(
        "<p>{}, {}, {} recipients</p>\n<h2>Send</h2>\n",
        Escaped(&campaign.r#type),
        Escaped(&campaign.status),
        campaign.recipients_count
    );
    for template in &detail.templates {
        let path = if campaign.r#type == "sms" {
            format!(
                "/campaign/send-sms/campaign-{}/{}/twilio",
                campaign.id, template.id
            )
        } else {
            format!(
                "/campaign/send-email/campaign-{}/template-{}",
                campaign.id, template.id
            )
        };
        add(
            &mut body,
            format_args!(
                "<p>{}: <a href=\"{path}\">send now</a></p>\n",
                Escaped(&template.name)
            ),
        );
    }
    body.push_str("<h2>Recipients</h2>\n<table>\n");
    for recipient in &detail.recipients {
        let note = if recipient.is_unsubscribed {
            "unsubscribed"
        } else {
            ""
        };
        add(
            &mut body,
            format_args!(
                "<tr><td>{}</td><td>{}</td><td>{note}</td></tr>\n",
                Escaped(&recipient.name),
                Escaped(&recipient.email)
            ),
        );
    }
    body.push_str("</table>\n<h2>Runs</h2>\n<table>\n<tr><th>At</th><th>Sent</th><th>Failed</th><th>Skipped</th></tr>\n");
    for run in &detail.logs {
        let at = run.created_at.map(|at| at.to_string()).unwrap_or_default();
        add(
            &mut body,
            format_args!(
                "<tr><td>{at}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                run.sent, run.failed, run.skipped
            ),
        );
    }
    body.push_str("</table>\n");
    frame(tenant, account, &campaign.name, &body)
}

fn table(campaigns: &[Campaign]) -> String {
    let mut html = String::from(
        "<table>\n<tr><th>Campaign</th><th>Channel</th><th>Recipients</th><th>Status</th></tr>\n",
    );
    for c in campaigns {
        add(
            &mut html,
            format_args!(
                "<tr><td><a href=\"/dashboard/campaigns/{}\">{}</a></td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                c.id,
                Escaped(&c.name),
                Escaped(&c.r#type),
                c.recipients_count,
                Escaped(&c.status)
            ),
        );
    }
    html.push_str("</table>\n");
    html
}

/// Writing to a string cannot fail, which its type does not say.
fn add(html: &mut String, piece: std::fmt::Arguments<'_>) {
    let _ = html.write_fmt(piece);
}
