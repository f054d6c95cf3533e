//! Legacy's address of callbacks with the proxy in front: legacy gets what legacy has sent, and the engine what it has.
//!
//! Its own file, because here the whole way is walked, from the vendor's signature over a public URL to two applications behind it.

use super::Bed;
use super::reporting::FORM;
use crate::support::process::{Setup, client, named_upstream};
use crate::support::sms::{SECRET, TWILIO_ID, sign};

#[tokio::test]
async fn a_report_goes_to_whoever_sent_the_message() {
    let bed = Bed::start().await;
    let (id, taken) = bed.accepted("+15550000501", "twilio").await;
    let (legacy, engine) = (named_upstream("legacy").await, bed.engine.service.address());
    let config = format!(
        "[upstream.legacy]\nurl = \"http://{legacy}\"\n[upstream.modern]\nurl = \"http://{engine}\"\n\
         [[route]]\npath = \"/api/webhooks/{{*rest}}\"\nside = \"modern\"\non_miss = \"legacy\"\n"
    );
    let database = crate::support::Database::new().await;
    let ficus = Setup::new(database.url(), &config).start().await;
    let url = ficus.url("/api/webhooks/twilio/status");
    let report = async |id: &str, token: &str| {
        let fields = [
            ("MessageSid", id),
            ("MessageStatus", "delivered"),
            ("AccountSid", TWILIO_ID),
        ];
        let request = client().post(&url).body(sign::form(&fields));
        let signature = sign::twilio(token, &url, &fields);
        let request = request
            .header(FORM.0, FORM.1)
            .header("x-twilio-signature", signature);
        let answer = request.send().await.expect("an answer");
        let by = answer.headers()["x-ficus-served-by"]
            .to_str()
            .expect("text")
            .to_owned();
        (
            answer.status().as_u16(),
            by,
            answer.text().await.expect("a body"),
        )
    };
    let (status, by, body) = report("SMdemo-2", SECRET).await;
    assert_eq!(
        (status, by.as_str(), body.as_str()),
        (200, "legacy", "legacy")
    );
    let (status, by, _) = report(&taken.reference, "another").await;
    assert_eq!((status, by.as_str()), (403, "modern"));
    let (status, by, body) = report(&taken.reference, SECRET).await;
    assert_eq!((status, by.as_str()), (200, "modern"));
    assert!(body.ends_with("<Response/>"), "{body}");
    assert_eq!(
        bed.engine.status(&id).await["delivery"]["status"],
        "delivered"
    );
}
