//! What a batch of events says, sorted by whom it is told to.
//!
//! Its own file, and pure: which of a message's transitions legacy hears of, and how its campaign counts them, is decided here.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use uuid::Uuid;

use crate::engine::legacy::{Queued, QueuedText, Reported};
use crate::engine::message::{Channel, MessageId};
use crate::engine::provider::sms::OPTED_OUT;
use crate::ids::TenantId;

/// As the log has it. Without what is the message's: it is gone, and nobody can be told of it.
#[derive(Debug, FromRow)]
pub struct Row {
    pub xid: String,
    pub seq: i64,
    id: Uuid,
    tenant_id: Option<i64>,
    state: String,
    at: DateTime<Utc>,
    code: String,
    channel: Option<String>,
    campaign_id: Option<i64>,
    recipient: Option<String>,
    content_id: Option<Uuid>,
}

impl Row {
    pub fn event(self) -> Option<Event> {
        Some(Event {
            id: self.id,
            tenant_id: self.tenant_id?,
            state: self.state,
            at: self.at,
            code: self.code,
            channel: self.channel?,
            campaign_id: self.campaign_id,
            recipient: self.recipient?,
            content_id: self.content_id,
        })
    }
}

#[derive(Debug)]
pub struct Event {
    pub id: Uuid,
    pub tenant_id: i64,
    pub state: String,
    pub at: DateTime<Utc>,
    pub code: String,
    pub channel: String,
    pub campaign_id: Option<i64>,
    pub recipient: String,
    pub content_id: Option<Uuid>,
}

/// What a batch of events says.
#[derive(Default)]
pub struct Told {
    pub queued: Vec<Queued>,
    pub queued_texts: Vec<QueuedText>,
    pub email: Ends,
    pub sms: Ends,
    /// What gateways said of texts.
    pub reported: Vec<Reported>,
    /// Texts of which it is not known whether a gateway took them, and to whom no more texts are to go.
    pub uncertain: Vec<Uuid>,
    pub opted_out: Vec<(Uuid, i64)>,
    /// Of campaigns, by content: accepted, sent, failed.
    pub counts: HashMap<Uuid, [i32; 3]>,
}

/// Of one channel.
#[derive(Default)]
pub struct Ends {
    pub sent: Vec<(MessageId, DateTime<Utc>)>,
    pub failed: Vec<(MessageId, DateTime<Utc>)>,
    /// Given back: legacy sends in their place.
    pub returned: Vec<(MessageId, DateTime<Utc>)>,
    /// Of no campaign: how many were sent and how many failed, by tenant.
    pub alone: BTreeMap<TenantId, (Vec<DateTime<Utc>>, u32)>,
}

pub fn sort(events: Vec<Event>, links: &HashMap<Uuid, String>) -> Told {
    let mut told = Told::default();
    for event in events {
        let id = MessageId(event.id);
        let tenant = TenantId(event.tenant_id);
        let is_sms = event.channel == Channel::Sms.as_str();
        let place = match event.state.as_str() {
            "queued" => 0,
            "accepted" => 1,
            "failed" | "dead" | "unknown" | "cancelled" => 2,
            // Legacy's row says "failed" until it is known better, and its quota has gone back.
            "retried" => {
                if let Some(content) = event.content_id {
                    told.counts.entry(content).or_default()[2] -= 1;
                }
                continue;
            }
            "delivered" | "undelivered" | "read" => {
                told.reported.push(Reported {
                    id,
                    status: event.state,
                    code: event.code,
                    at: event.at,
                });
                continue;
            }
            "uncertain" if is_sms => {
                told.uncertain.push(event.id);
                continue;
            }
            // Tried again, or to be settled: legacy's row says "sending" until it is known.
            _ => continue,
        };
        if let Some(content) = event.content_id {
            told.counts.entry(content).or_default()[place] += 1;
        }
        if place == 2 && is_sms && event.code.starts_with(OPTED_OUT) {
            told.opted_out.push((event.id, event.tenant_id));
        }
        let ends = match is_sms {
            true => &mut told.sms,
            false => &mut told.email,
        };
        let shared = event.content_id.and_then(|it| links.get(&it).cloned());
        match (place, event.campaign_id) {
            (0, Some(campaign)) if is_sms => told.queued_texts.push(QueuedText {
                id,
                tenant,
                campaign,
                gateway: shared,
                number: event.recipient,
                at: event.at,
            }),
            (0, Some(campaign)) => told.queued.push(Queued {
                id,
                tenant,
                campaign,
                email: event.recipient,
                link: shared,
                at: event.at,
            }),
            (1, Some(_)) => ends.sent.push((id, event.at)),
            (2, Some(_)) if event.code == "returned" => ends.returned.push((id, event.at)),
            (2, Some(_)) => ends.failed.push((id, event.at)),
            (1, None) => ends.alone.entry(tenant).or_default().0.push(event.at),
            (2, None) => ends.alone.entry(tenant).or_default().1 += 1,
            _ => {}
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tried_again_is_not_told_and_every_end_is_told_once() {
        let content = Uuid::now_v7();
        let event = |state: &str, campaign_id| Event {
            id: Uuid::now_v7(),
            tenant_id: 7,
            state: state.to_owned(),
            at: Utc::now(),
            code: String::new(),
            channel: "email".to_owned(),
            campaign_id,
            recipient: "ann@example.com".to_owned(),
            content_id: Some(content),
        };
        let states = [
            "queued",
            "deferred",
            "uncertain",
            "accepted",
            "failed",
            "dead",
            "unknown",
            "cancelled",
            "retried",
        ];
        let told = sort(states.map(|it| event(it, Some(3))).into(), &HashMap::new());
        assert_eq!(
            (
                told.queued.len(),
                told.email.sent.len(),
                told.email.failed.len()
            ),
            (1, 1, 4)
        );
        assert_eq!(told.counts[&content], [1, 1, 3]);
        let alone = sort(states.map(|it| event(it, None)).into(), &HashMap::new())
            .email
            .alone;
        let (sent, failed) = &alone[&TenantId(7)];
        assert_eq!((sent.len(), *failed), (1, 4));
    }

    #[test]
    fn a_text_is_told_as_a_text_with_what_its_gateway_reported() {
        let content = Uuid::now_v7();
        let event = |state: &str, code: &str| Event {
            id: Uuid::now_v7(),
            tenant_id: 7,
            state: state.to_owned(),
            at: Utc::now(),
            code: code.to_owned(),
            channel: "sms".to_owned(),
            campaign_id: Some(3),
            recipient: "+15550000201".to_owned(),
            content_id: Some(content),
        };
        let events = vec![
            event("queued", ""),
            event("accepted", "201"),
            event("uncertain", "no-answer"),
            event("delivered", ""),
            event("undelivered", "30003"),
            event("failed", "opted-out 21610"),
            event("failed", "twilio 21211"),
        ];
        let links = [(content, "twilio".to_owned())].into();
        let told = sort(events, &links);
        assert_eq!((told.queued.len(), told.queued_texts.len()), (0, 1));
        assert_eq!(told.queued_texts[0].gateway.as_deref(), Some("twilio"));
        assert_eq!((told.sms.sent.len(), told.sms.failed.len()), (1, 2));
        assert_eq!((told.email.sent.len(), told.email.failed.len()), (0, 0));
        assert_eq!((told.reported.len(), told.uncertain.len()), (2, 1));
        assert_eq!(told.opted_out.len(), 1);
        assert_eq!(told.counts[&content], [1, 1, 2], "reports are no ends");
    }
}
