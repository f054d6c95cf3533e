//! Messages, their stories and what was done with them, as people read them.
//!
//! Its own file, because a story is more than a row, and none of it asks anybody.

use chrono::{DateTime, Utc};

use super::output::{Output, or_dash, printable};
use crate::control::{HoldWritten, ReleaseWritten, RetryWritten, SettleWritten};
use crate::engine::operations::{
    Attempt, Became, Hold, MessageDetail, MessageRow, Operation, State, UnderWay,
};

pub fn list(output: &Output, messages: &[MessageRow]) -> String {
    let row = |it: &MessageRow| {
        vec![
            it.id.to_string(),
            it.tenant_id.to_string(),
            or_dash(it.campaign_id),
            it.channel.clone(),
            it.recipient.clone(),
            standing(it),
            or_dash(it.attempts),
            or_dash(it.code.as_ref()),
            shown(it.accepted_at),
        ]
    };
    let titles = [
        "ID",
        "TENANT",
        "CAMPAIGN",
        "CHANNEL",
        "RECIPIENT",
        "STATE",
        "ATTEMPTS",
        "CODE",
        "ACCEPTED (UTC)",
    ];
    output.table(&titles, &messages.iter().map(row).collect::<Vec<_>>())
}

pub fn story(output: &Output, detail: &MessageDetail) -> String {
    let it = &detail.message;
    let mut text = String::new();
    for (title, value) in [
        ("message", it.id.to_string()),
        ("tenant", it.tenant_id.to_string()),
        ("campaign", or_dash(it.campaign_id)),
        ("channel", it.channel.clone()),
        ("recipient", it.recipient.clone()),
        ("accepted", format!("{} UTC", shown(it.accepted_at))),
        ("state", standing(it)),
        ("next", next(it)),
    ] {
        text += &format!("{title:<12}{}\n", printable(&value));
    }
    for hold in &detail.holds {
        let since = shown(hold.since);
        let scope = scope(hold);
        text += &format!(
            "held        {scope}, since {since} UTC: {}\n",
            printable(&hold.reason)
        );
    }
    if !detail.attempts_made.is_empty() {
        let titles = [
            "ATTEMPT",
            "THROUGH",
            "EPOCH",
            "BEGUN (UTC)",
            "ENDED (UTC)",
            "END",
            "CODE",
            "REFERENCE",
        ];
        let row = |it: &Attempt| {
            vec![
                it.number.to_string(),
                or_dash(it.connection.as_ref()),
                or_dash(it.epoch),
                or_dash(it.begun_at.map(shown)),
                or_dash(it.ended_at.map(shown)),
                or_dash(it.end.as_ref()),
                or_dash(it.code.as_ref()),
                or_dash(it.reference.as_ref()),
            ]
        };
        let rows: Vec<_> = detail.attempts_made.iter().map(row).collect();
        text += &format!("\n{}", output.table(&titles, &rows));
    }
    if !detail.operations.is_empty() {
        let titles = [
            "AT (UTC)", "DONE", "ATTEMPT", "FROM", "TO", "ACTOR", "SOURCE", "REASON",
        ];
        let row = |it: &Operation| {
            vec![
                shown(it.at),
                it.operation.clone(),
                or_dash(it.number),
                or_dash(it.before.as_ref()),
                or_dash(it.after.as_ref()),
                it.actor.clone(),
                it.source.clone(),
                it.reason.clone(),
            ]
        };
        let rows: Vec<_> = detail.operations.iter().map(row).collect();
        text += &format!("\n{}", output.table(&titles, &rows));
    }
    text
}

pub fn retried(output: &Output, done: &RetryWritten) -> String {
    let word = |it: &Became| match (it, done.dry_run) {
        (Became::Due, false) => "due again",
        (Became::Due, true) => "would be due again",
        (Became::AlreadyDue, _) => "already due",
        (Became::Refused, _) => "refused",
        (Became::Missing, _) => "no such message",
    };
    let rows: Vec<_> = done
        .items
        .iter()
        .map(|it| {
            vec![
                it.id.to_string(),
                or_dash(it.state.map(State::as_str)),
                word(&it.became).to_owned(),
            ]
        })
        .collect();
    output.table(&["ID", "WAS", "IS"], &rows)
}

pub fn settled(done: &SettleWritten) -> String {
    let it = &done.settled;
    let verdict = it.settled_as.as_deref().unwrap_or_default();
    let state = it.state.as_str();
    match (it.changed, done.dry_run) {
        (true, false) => format!("settled as {verdict}: it is {state}\n"),
        (true, true) => format!("dry run: it would be {state}, nothing was changed\n"),
        (false, _) => format!(
            "no change: {} settled it as {verdict} at {}, and it is {state}\n",
            printable(&or_dash(it.settled_by.as_ref())),
            or_dash(it.settled_at.map(shown))
        ),
    }
}

pub fn held(done: &HoldWritten) -> String {
    let scope = scope(&done.hold);
    let since = shown(done.hold.since);
    let head = match (done.changed, done.dry_run) {
        (true, false) => format!("held: {scope}\n"),
        (true, true) => format!("dry run: {scope} would be held, nothing was changed\n"),
        (false, _) => format!(
            "no change: {scope} is held since {since} UTC: {}\n",
            printable(&done.hold.reason)
        ),
    };
    head + &under_way(done.under_way)
}

pub fn under_way(seen: Option<UnderWay>) -> String {
    let Some(UnderWay { attempts, whole }) = seen else {
        return "how many attempts are under way could not be counted\n".to_owned();
    };
    let most = if whole { "" } else { "at least " };
    match attempts {
        0 if whole => "no attempt is under way\n".to_owned(),
        1 => format!("{most}1 attempt is under way\n"),
        n => format!("{most}{n} attempts are under way\n"),
    }
}

pub fn released(output: &Output, done: &ReleaseWritten) -> String {
    let head = match (done.changed, done.dry_run) {
        (true, false) => "released\n",
        (true, true) => "dry run: it would be released, nothing was changed\n",
        (false, _) => "no change: it was not held\n",
    };
    match done.still.is_empty() {
        true => head.to_owned(),
        false => format!(
            "{head}\nof this tenant is held still:\n{}",
            holds(output, &done.still)
        ),
    }
}

pub fn holds(output: &Output, holds: &[Hold]) -> String {
    let row = |it: &Hold| {
        vec![
            it.tenant_id.to_string(),
            it.campaign_id.map_or("all".to_owned(), |it| it.to_string()),
            shown(it.since),
            it.reason.clone(),
        ]
    };
    let titles = ["TENANT", "CAMPAIGN", "SINCE (UTC)", "REASON"];
    output.table(&titles, &holds.iter().map(row).collect::<Vec<_>>())
}

fn scope(hold: &Hold) -> String {
    match hold.campaign_id {
        Some(campaign) => format!("campaign {campaign} of tenant {}", hold.tenant_id),
        None => format!("tenant {}", hold.tenant_id),
    }
}

fn standing(message: &MessageRow) -> String {
    let held = match message.held && is_queued(message.state) {
        true => " (held)",
        false => "",
    };
    format!("{}{held}", message.state.as_str())
}

fn is_queued(state: State) -> bool {
    matches!(state, State::Due | State::Waiting | State::Sending)
}

/// What comes next, and why.
fn next(message: &MessageRow) -> String {
    let why = or_dash(message.why.as_ref());
    match (message.state, message.due_at) {
        (State::Waiting, Some(at)) => format!("{} UTC: {why}", shown(at)),
        (State::Due, Some(_)) => format!("now: {why}"),
        (State::Due, None) => "now: nobody has tried it".to_owned(),
        (State::Sending, _) => "its attempt ends, or is found in doubt".to_owned(),
        (State::Uncertain, _) => {
            format!("ficus message settle {} sent|failed|resend", message.id)
        }
        _ => "-".to_owned(),
    }
}

pub fn shown(at: DateTime<Utc>) -> String {
    at.format("%F %T").to_string()
}
