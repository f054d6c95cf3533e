//! Plivo's vectors, of both versions.
//!
//! Its own file, because each of them is also held against ten thousand changes of one byte.

use super::super::tests::{Signed, account};
use super::*;

const TOKEN: &str = "my_auth_token";

fn signed(method: Method, url: &str, headers: &[(&'static str, &str)], body: &str) -> Signed {
    let form = ("content-type", "application/x-www-form-urlencoded");
    let headers = headers.iter().chain([&form]);
    Signed {
        method,
        url: url.to_owned(),
        headers: headers
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect(),
        body: body.to_owned(),
    }
}

fn verified(received: &Received<'_>) -> Result<Report, Refused> {
    verify(received, &Secret::new(TOKEN))?;
    Ok(Report::about("x", "sent", Delivery::Sent, &[]))
}

#[test]
fn the_vector_of_the_second_version_is_verified_and_no_change_of_one_byte_is() {
    for name in SECOND {
        let headers = [
            (name, "ehV3IKhLysWBxC1sy8INm0qGoQYdYsHwuoKjsX7FsXc="),
            (SECOND_NONCE, "12345"),
        ];
        let vector = signed(Method::POST, "https://answer.url", &headers, "x=1");
        vector.assert_no_mutation_passes(&[0, 2, 3], verified, |_| false);
    }
}

/// A call's, of which Plivo's library has four vectors.
const CALL: &str = "ALegRequestUUID=3e82ae9d-2c78-4d85-b1a4-6eae7dbafb36&ALegUUID=3e82ae9d-2c78-4d85-b1a4-6eae7dbafb36&BillRate=0.002&CallStatus=in-progress&CallUUID=3e82ae9d-2c78-4d85-b1a4-6eae7dbafb36&Direction=outbound&Event=StartApp&From=19792014278&ParentAuthID=MANWVLYTK4ZWU1YTY4QA&RequestUUID=3e82ae9d-2c78-4d85-b1a4-6eae7dbafb36&SIP-H-To=%3Csip%3APlivoSignature382029104058171078704104%4052.9.11.55%3Btransport%3Dudp%3E%3Btag%3D1&SessionStart=2020-04-08+11%3A34%3A33.238707&To=sip%3APlivoSignature382029104058171078704104%40phone-qa.voice.plivodev.com";
const CALL_URL: &str = "https://plivobin.non-prod.plivops.com/api/v1/validate_signature03.xml";
const CALL_TOKEN: &str = "Y2Q2ZDgxZmY5YWRiOTI5YmQ1Njg0MTAxZWIyOTc4";
const CALL_NONCE: &str = "31627761595286130198";

#[test]
fn the_vectors_of_the_third_version_are_verified_and_no_change_of_one_byte_is() {
    let by_query = |more: &str| (format!("{CALL_URL}{more}{CALL}"), "");
    let by_form = |more: &str| (format!("{CALL_URL}{more}"), CALL);
    let vectors = [
        (
            Method::POST,
            by_form("/?a=b&c=d"),
            "k7Pusd4OxCIjR5IfA9iedDNu/h/gbdYqdzG/MiYtd1c=",
        ),
        (
            Method::GET,
            by_query("/?a=b&c=d&"),
            "UBq8jAtd32wR8EK9VgxbBn4n5rpI/l1H9iN4WfSEHFQ=",
        ),
        (
            Method::POST,
            by_form(""),
            "iAjE5QqI37mbkYe4w3jTMudqEzbDufdqi7sYwTu64e0=",
        ),
        (
            Method::GET,
            by_query("?"),
            "i/MQsaQSAd6fiKhOh2qeeeLHZ9faldADSb3/7+Akfbc=",
        ),
    ];
    let verified = |received: &Received<'_>| {
        verify(received, &Secret::new(CALL_TOKEN))?;
        Ok(Report::about("x", "sent", Delivery::Sent, &[]))
    };
    for (method, (url, body), signature) in vectors {
        let headers = [(THIRD[0], signature), (THIRD_NONCE, CALL_NONCE)];
        let vector = signed(method.clone(), &url, &headers, body);
        let parts: &[usize] = if body.is_empty() {
            &[0, 2, 3]
        } else {
            &[0, 1, 2, 3]
        };
        // Escapes have several spellings, and the order of fields is not signed.
        let text = |it: &Signed| {
            let text = third_text(&method, &it.url, &parse(&it.body), &it.headers[1].1);
            (text, it.headers[0].1.clone())
        };
        let ours = text(&vector);
        vector.assert_no_mutation_passes(parts, verified, |it| text(it) == ours);
        // Several signatures stand in one header.
        let several = format!("AAAA, {signature}");
        let headers = [(THIRD[0], several.as_str()), (THIRD_NONCE, CALL_NONCE)];
        assert!(
            signed(method.clone(), &url, &headers, body)
                .read(verified)
                .is_ok()
        );
    }
}

#[test]
fn of_a_post_the_third_version_signs_query_and_form() {
    let texts = [
        ("https://a.url/x", "", "https://a.url/x.n"),
        ("https://a.url/x", "b=2&a=1", "https://a.url/x?a1b2.n"),
        (
            "https://a.url/x?d=4&c=3",
            "b=2&a=1",
            "https://a.url/x?c=3&d=4.a1b2.n",
        ),
        ("https://a.url/x?d=4&c=3", "", "https://a.url/x?c=3&d=4.n"),
    ];
    for (url, form, expected) in texts {
        let text = third_text(&Method::POST, url, &parse(form), "n");
        assert_eq!(text, expected);
    }
}

#[test]
fn a_report_is_read_and_what_is_signed_for_another_is_not() {
    let url = "https://hooks.example.test/webhooks/plivo/m.mac";
    let signature = mac(&Secret::new(TOKEN), &format!("{url}n1"));
    let headers = [(SECOND[0], signature.as_str()), (SECOND_NONCE, "n1")];
    let body = "MessageUUID=u2&ParentMessageUUID=u1&PartInfo=2+of+2&From=15550001111&To=15550000201&Status=undelivered&ErrorCode=200&Units=2";
    let account = account(Gateway::Plivo, "MA1", TOKEN);
    let request = signed(Method::POST, url, &headers, body);
    let report = request.read(|it| read(it, &account)).unwrap();
    assert_eq!(
        (
            report.reference.as_str(),
            report.part.as_str(),
            report.code.as_str(),
            report.cause
        ),
        ("u1", "u2", "200", Cause::OptedOut)
    );
    let other = super::super::tests::account(Gateway::Plivo, "MA1", "another");
    assert_eq!(request.read(|it| read(it, &other)), Err(Refused::Forged));
    let mut elsewhere = request.clone();
    elsewhere.url = url.replace("m.mac", "other.mac");
    assert_eq!(
        elsewhere.read(|it| read(it, &account)),
        Err(Refused::Forged)
    );
    let mut without = request.clone();
    without.headers.remove(1);
    assert_eq!(
        without.read(|it| read(it, &account)),
        Err(Refused::Forged),
        "no nonce"
    );
    // The same nonce makes the same report, whatever else it says.
    let mut said = request;
    said.body = body
        .replace("undelivered", "delivered")
        .replace("ErrorCode=200", "ErrorCode=000");
    let again = said.read(|it| read(it, &account)).unwrap();
    assert_eq!((again.digest, again.code.as_str()), (report.digest, ""));
}
