//! Reports overtake each other and come twice: whatever the order, what is true of the text at the end is the same.
//!
//! Its own file, because it is one rule, asked in every order that there is.

use super::Bed;
use crate::support::sms::{SECRET, TWILIO_ID};

/// Every order of these.
fn orders(words: &[&'static str]) -> Vec<Vec<&'static str>> {
    if words.len() < 2 {
        return vec![words.to_vec()];
    }
    let mut all = Vec::new();
    for (place, word) in words.iter().enumerate() {
        let mut rest = words.to_vec();
        rest.remove(place);
        for mut order in orders(&rest) {
            order.insert(0, word);
            all.push(order);
        }
    }
    all
}

#[tokio::test]
async fn every_order_of_the_same_reports_comes_to_one_truth() {
    let bed = Bed::start().await;
    let cases: [(&[&'static str], &str, u64); 3] = [
        (
            &["queued", "sent", "undelivered", "delivered"],
            "delivered",
            24,
        ),
        (&["accepted", "sent", "failed"], "undelivered", 6),
        (&["sent", "delivered", "read"], "read", 6),
    ];
    let mut number = 600;
    for (words, expected, count) in cases {
        let orders = orders(words);
        assert_eq!(orders.len() as u64, count);
        for order in orders {
            number += 1;
            let (id, taken) = bed.accepted(&format!("+15550000{number}"), "twilio").await;
            let url = taken.callback.expect("a callback");
            for word in &order {
                let fields = [
                    ("MessageSid", taken.reference.as_str()),
                    ("MessageStatus", word),
                    ("AccountSid", TWILIO_ID),
                ];
                assert_eq!(bed.twilio(&url, SECRET, &fields).await, 200);
            }
            let shown = bed.engine.status(&id).await;
            assert_eq!(shown["delivery"]["status"], expected, "{order:?}: {shown}");
        }
    }
    // Each transition is told once: nobody is told twice that it was delivered.
    let twice = "select count(*) from (select from ficus.event as v, unnest(v.ids) as i (id) where v.state in ('delivered', 'undelivered', 'read') group by i.id, v.state having count(*) > 1) as t";
    assert_eq!(bed.engine.tables.ficus(twice).await, 0);
}

#[tokio::test]
async fn a_text_of_several_parts_is_as_well_off_as_its_worst_part() {
    let bed = Bed::start().await;
    for (place, order) in [["A", "B"], ["B", "A"]].into_iter().enumerate() {
        let (id, taken) = bed.accepted(&format!("+1555000070{place}"), "vonage").await;
        let url = taken.callback.expect("a callback");
        for part in order {
            let word = if part == "A" { "delivered" } else { "expired" };
            let body = format!("messageId={part}&status={word}&err-code=0");
            let answer = bed.post(&url, &[super::reporting::FORM], body).await;
            assert_eq!(answer.status(), 200);
        }
        let shown = bed.engine.status(&id).await;
        assert_eq!(shown["delivery"]["status"], "undelivered", "{shown}");
        let body = "messageId=B&status=delivered&err-code=0&again=1".to_owned();
        bed.post(&url, &[super::reporting::FORM], body).await;
        let shown = bed.engine.status(&id).await;
        assert_eq!(shown["delivery"]["status"], "delivered", "{shown}");
    }
}

#[tokio::test]
async fn reports_that_come_at_once_are_one_after_the_other() {
    let bed = Bed::start().await;
    let (id, taken) = bed.accepted("+15550000601", "twilio").await;
    let url = taken.callback.expect("a callback");
    let words = [
        "queued",
        "sending",
        "sent",
        "undelivered",
        "delivered",
        "delivered",
    ];
    let calls = words.map(|word| {
        let fields = [
            ("MessageSid", taken.reference.as_str()),
            ("MessageStatus", word),
        ];
        let (bed, url) = (&bed, &url);
        async move { bed.twilio(url, SECRET, &fields).await }
    });
    let mut answers = futures_util::future::join_all(calls).await;
    answers.sort_unstable();
    assert_eq!(answers, [200, 200, 200, 200, 200, 403]);
    assert_eq!(
        bed.engine.status(&id).await["delivery"]["status"],
        "delivered"
    );
}
