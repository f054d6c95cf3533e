//! The statements by which the engine reads and writes legacy's tables: a map that an operator may replace one by one.
//!
//! Its own file, because this is all that the engine knows of the legacy application. The defaults are in config/default.toml, for the
//! schema of a Laravel campaign sender. Each statement's parameters and columns are a contract, in their order. Times are UTC without a zone.

use super::texts::TextStatements;

/// `[engine.legacy]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statements {
    /// Tenant, campaign → its channel. No row: there is none.
    pub campaign: String,
    /// Tenant, template → subject, HTML, where a click leads.
    pub template: String,
    /// Tenant → address, name, where replies go.
    pub sender: String,
    /// Tenant → host, port, user, password as `encrypt()` wrote it, encryption ("tls", "ssl" or null). A host of null is the platform's relay.
    pub server: String,
    /// Tenant, campaign, the last place, how many → place, contact, address, name, whether to leave it out. In the order of the places.
    pub recipients: String,
    /// Tenants, how many each wants → tenant, how many it gets: never more than there are. A tenant that is missing gets none.
    pub take_quota: String,
    /// Tenants, how many each gives back.
    pub give_quota: String,
    /// Tenants → tenant, how many of its plan's e-mails are neither sent nor left. A tenant that is missing is not compared.
    pub quota_drift: String,
    /// Messages of campaigns that were accepted: ids, tenants, campaigns, addresses, links, times.
    pub queued: String,
    /// Messages that a server took: ids, times. What is counted is counted by the row that it changes: once.
    pub sent: String,
    /// Messages that were not sent and never will be: ids, times. Their quota goes back, once.
    pub failed: String,
    /// Messages that legacy sends in our place: ids, times. Their quota goes back, once.
    pub returned: String,
    /// A tenant's messages of no campaign that a server took: tenant, times.
    pub sent_alone: String,
    /// Tenant, campaign, sent, failed, skipped, time: its log, once for a time, and its status.
    pub finished: String,
    /// Tenant, campaign, template, when it is due, time → the schedule's id, of a row that legacy's own cron does not take. No row: one of the two is gone.
    pub store_schedule: String,
    /// Tenant, schedule, its status ("sent", "failed", "queued" where it waits again, or "pending" where legacy's cron is to take it), when it was or is due, time.
    /// May be repeated.
    pub schedule_ended: String,
    /// Nothing → ids for a campaign and for a schedule that nobody else gets.
    pub return_place: String,
    /// Tenant, campaign, the first of these ids, contacts, addresses, time: a campaign as that one, of that id, with these recipients, that nobody
    /// sends yet. A contact of null is found by its address. May be repeated.
    pub return_recipients: String,
    /// Tenant, both ids, template, time: that campaign is sent by legacy's own cron, at once. May be repeated.
    pub return_begin: String,
    /// `[engine.legacy.sms]`.
    pub sms: TextStatements,
}

impl Statements {
    /// Each statement as `text` gives it for its name. `None`: one was at fault.
    pub fn read(
        mut text: impl FnMut(&'static str) -> Option<String>,
        sms: Option<TextStatements>,
    ) -> Option<Self> {
        // All of them first, so that each fault is told.
        let campaign = text("campaign");
        let template = text("template");
        let sender = text("sender");
        let server = text("server");
        let recipients = text("recipients");
        let take_quota = text("take_quota");
        let give_quota = text("give_quota");
        let quota_drift = text("quota_drift");
        let queued = text("queued");
        let sent = text("sent");
        let failed = text("failed");
        let returned = text("returned");
        let sent_alone = text("sent_alone");
        let finished = text("finished");
        let store_schedule = text("store_schedule");
        let schedule_ended = text("schedule_ended");
        let return_place = text("return_place");
        let return_recipients = text("return_recipients");
        let return_begin = text("return_begin");
        Some(Self {
            campaign: campaign?,
            template: template?,
            sender: sender?,
            server: server?,
            recipients: recipients?,
            take_quota: take_quota?,
            give_quota: give_quota?,
            quota_drift: quota_drift?,
            queued: queued?,
            sent: sent?,
            failed: failed?,
            returned: returned?,
            sent_alone: sent_alone?,
            finished: finished?,
            store_schedule: store_schedule?,
            schedule_ended: schedule_ended?,
            return_place: return_place?,
            return_recipients: return_recipients?,
            return_begin: return_begin?,
            sms: sms?,
        })
    }
}
