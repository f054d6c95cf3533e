//! Twilio's vectors, those of its libraries and one in the shape of a status callback.
//!
//! Its own file, because each of them is also held against ten thousand changes of one byte.

use http::Method;

use super::super::tests::{Signed, account};
use super::*;

const URL: &str = "https://mycompany.com/myapp.php?foo=1&bar=2";
const CALL: &str = "CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212";
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
const STATUS_URL: &str = "https://hooks.example.test/w/twilio/t42/9f3c";

fn signed(url: &str, signature: &str, kind: &str, body: &str) -> Signed {
    Signed {
        method: Method::POST,
        url: url.to_owned(),
        headers: vec![
            (SIGNATURE, signature.to_owned()),
            ("content-type", kind.to_owned()),
        ],
        body: body.to_owned(),
    }
}

fn status() -> Signed {
    let (zeros, ones) = ("0".repeat(32), "1".repeat(32));
    let body = format!(
        "AccountSid=AC{zeros}&ApiVersion=2010-04-01&ErrorCode=30003&From=%2B15550001111&MessageSid=SM{ones}&MessageStatus=undelivered&SmsSid=SM{ones}&SmsStatus=undelivered&To=%2B15550002222"
    );
    signed(STATUS_URL, "ELispuosMBXGEHuH9u2GlhUA8xY=", FORM, &body)
}

/// Verification alone: the vectors of the libraries are calls, and no messages.
fn verified(algorithm: Algorithm) -> impl Fn(&Received<'_>) -> Result<Report, Refused> {
    move |received| {
        let secret = Secret::new("12345");
        verify(received, &received.form(), algorithm, &secret)?;
        Ok(Report::about("SM1", "sent", Delivery::Sent, &[]))
    }
}

/// Escapes have several spellings, and the order of a form's fields is not signed.
fn says_the_same(one: &Signed) -> impl Fn(&Signed) -> bool + use<> {
    let sorted = |body: &str| {
        let mut fields = parse(body);
        fields.sort();
        fields.dedup();
        fields
    };
    let (url, headers, fields) = (one.url.clone(), one.headers.clone(), sorted(&one.body));
    move |other| {
        let headers = headers[0] == other.headers[0];
        other.url == url && headers && sorted(&other.body) == fields
    }
}

#[test]
fn every_vector_is_verified_and_no_change_of_one_byte_is() {
    let twice = "Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234";
    let http = URL.replace("https", "http");
    let vectors = [
        (
            URL.to_owned(),
            CALL,
            "RSOYDt4T1cUTdK1PDd93/VVr8B8=",
            Algorithm::Sha1,
        ),
        (
            URL.to_owned(),
            CALL,
            "033hgUJA9M/hXIZsYjwkerEP/DBm35nEri5FhCYjA5s=",
            Algorithm::Sha256,
        ),
        (
            URL.to_owned(),
            twice,
            "IK+Dwps556ElfBT0I3Rgjkr1wJU=",
            Algorithm::Sha1,
        ),
        // Signed with the port, asked for without.
        (
            URL.to_owned(),
            CALL,
            "kvajT1Ptam85bY51eRf/AJRuM3w=",
            Algorithm::Sha1,
        ),
        (
            http.clone(),
            CALL,
            "0ZXoZLH/DfblKGATFgpif+LLRf4=",
            Algorithm::Sha1,
        ),
        (
            http.replace(".com", ".com:1234"),
            CALL,
            "Zmvh+3yNM1Phv2jhDCwEM3q5ebU=",
            Algorithm::Sha1,
        ),
    ];
    for (url, body, signature, algorithm) in vectors {
        let vector = signed(&url, signature, FORM, body);
        vector.assert_no_mutation_passes(&[0, 1, 2], verified(algorithm), says_the_same(&vector));
    }
}

#[test]
fn a_body_that_is_no_form_is_verified_by_its_digest() {
    let digest = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620";
    let body = r#"{"property": "value", "boolean": true}"#;
    let url = format!("{URL}&bodySHA256={digest}");
    let vector = signed(
        &url,
        "a9nBmqA0ju/hNViExpshrM61xv4=",
        "application/json",
        body,
    );
    vector.assert_no_mutation_passes(&[0, 1, 2], verified(Algorithm::Sha1), |_| false);
    // Without a digest a body that is no form would be anything.
    let bare = signed(URL, "x", "application/json", body);
    assert_eq!(bare.read(verified(Algorithm::Sha1)), Err(Refused::Forged));
}

#[test]
fn a_status_callback_is_read_and_no_change_of_one_byte_is() {
    let account = account(
        Gateway::Twilio,
        &format!("AC{}", "0".repeat(32)),
        "tok_test_0001",
    );
    let vector = status();
    let report = vector.read(|it| read(it, &account)).unwrap();
    assert_eq!(report.reference, format!("SM{}", "1".repeat(32)));
    assert_eq!(
        (report.delivery, report.code.as_str(), report.cause),
        (Delivery::Undelivered, "30003", Cause::Transient)
    );
    vector.assert_no_mutation_passes(&[0, 1, 2], |it| read(it, &account), says_the_same(&vector));
}

#[test]
fn the_algorithm_is_the_accounts_and_never_the_headers() {
    let key = format!("AC{}", "0".repeat(32));
    let by_token = account(Gateway::Twilio, &key, "tok_test_0001");
    let mut shared = account(Gateway::Twilio, &key, "tok_test_0001");
    shared.signing = Some(Secret::new("another"));
    let mut vector = status();
    assert!(vector.read(|it| read(it, &by_token)).is_ok());
    assert_eq!(vector.read(|it| read(it, &shared)), Err(Refused::Algorithm));
    for settings in [
        "key=SharedKey,algorithm=HMAC_SHA256",
        "key=AuthToken,algorithm=HMAC_SHA1",
        "algorithm=none",
        "key=x",
        "",
        "algorithm=HMAC_SHA256,algorithm=none",
    ] {
        vector.headers.truncate(2);
        vector.headers.push((SETTINGS, settings.to_owned()));
        assert_eq!(
            vector.read(|it| read(it, &by_token)),
            Err(Refused::Algorithm),
            "{settings}"
        );
    }
    let form = parse(&vector.body);
    let signature = sign(
        Algorithm::Sha256,
        &Secret::new("another"),
        STATUS_URL,
        &form,
    );
    vector.headers[0].1 = signature;
    vector.headers[2].1 = "key=SharedKey,algorithm=HMAC_SHA256".to_owned();
    assert!(vector.read(|it| read(it, &shared)).is_ok());
}

#[test]
fn another_tenants_token_another_account_and_no_signature_are_refused() {
    let key = format!("AC{}", "0".repeat(32));
    let other = account(Gateway::Twilio, &key, "tok_test_0002");
    assert_eq!(status().read(|it| read(it, &other)), Err(Refused::Forged));
    let elsewhere = account(Gateway::Twilio, "AC1", "tok_test_0001");
    assert_eq!(
        status().read(|it| read(it, &elsewhere)),
        Err(Refused::Misaddressed)
    );
    let mut bare = status();
    bare.headers.remove(0);
    let right = account(Gateway::Twilio, &key, "tok_test_0001");
    assert_eq!(bare.read(|it| read(it, &right)), Err(Refused::Forged));
}
