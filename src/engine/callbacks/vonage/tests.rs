//! Vonage's vectors for signed fields, by each method.
//!
//! Its own file, because each of them is also held against ten thousand changes of one byte.

use http::Method;

use super::super::received::parse;
use super::super::tests::{Signed, account};
use super::*;

const OUTBOUND: &str = "api_key=fake_api_key&from=AcmeInc&text=Test+From+Nexmo&timestamp=1540924779&to=14155550100&type=text";
const OUTBOUND_SECRET: &str = "71efab63122f1d179f51c46bac838fb5";
const INBOUND: &str = "message-timestamp=2013-11-21+15%3A27%3A30&messageId=020000001B0FE827&msisdn=14843472194&text=Test+again&timestamp=1385047698&to=13239877404&type=text";
const INBOUND_SECRET: &str = "my_secret_key_for_testing";

fn signed(fields: &str, sig: &str) -> Signed {
    Signed {
        method: Method::POST,
        url: "https://hooks.example.test/webhooks/vonage/x".to_owned(),
        headers: vec![(
            "content-type",
            "application/x-www-form-urlencoded".to_owned(),
        )],
        body: format!("{fields}&sig={sig}"),
    }
}

/// Verification alone: the vectors are messages, and no receipts.
fn verified<'a>(
    signature: Signature,
    secret: &'a str,
    now: DateTime<Utc>,
) -> impl Fn(&Received<'_>) -> Result<Report, Refused> + 'a {
    move |received| {
        let fields = received.fields().ok_or(Refused::Unreadable)?;
        verify(&fields, signature, &Secret::new(secret), now)?;
        Ok(Report::about("x", "sent", Delivery::Sent, &[]))
    }
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

/// What is signed has one text for several requests: escapes have several spellings, and `&` and `=` in a value are `_`.
fn signs_the_same(one: &Signed) -> impl Fn(&Signed) -> bool + use<> {
    let text = |body: &str| {
        let fields = parse(body);
        let sig = field(&fields, "sig").map(str::to_owned);
        (canonical(&fields, false), sig)
    };
    let expected = text(&one.body);
    move |other| text(&other.body) == expected
}

#[test]
fn every_vector_is_verified_and_no_change_of_one_byte_is() {
    let vectors = [
        (
            OUTBOUND,
            OUTBOUND_SECRET,
            1_540_924_779,
            Signature::HmacMd5,
            "51CDAFEBB4BBCE9525B195C1617CB8D2",
        ),
        (
            OUTBOUND,
            OUTBOUND_SECRET,
            1_540_924_779,
            Signature::HmacSha1,
            "0162AEC64BC183B2E1256545951FE5639DC98020",
        ),
        (
            OUTBOUND,
            OUTBOUND_SECRET,
            1_540_924_779,
            Signature::HmacSha256,
            "9FEC5EF6D0F2B3D2BB7558B6E4042569823CAB9EA0DD30503472B7B304601975",
        ),
        (
            INBOUND,
            INBOUND_SECRET,
            1_385_047_698,
            Signature::Md5Hash,
            "d2e7b1dc968737c5998ad624e02f90b7",
        ),
        (
            INBOUND,
            INBOUND_SECRET,
            1_385_047_698,
            Signature::HmacSha256,
            "ddb8397c2b90aac7f3882d306475c9a5058c92322eef43c92b298b6e0fc0d330",
        ),
    ];
    for (fields, secret, time, signature, sig) in vectors {
        for sig in [sig.to_ascii_lowercase(), sig.to_ascii_uppercase()] {
            let vector = signed(fields, &sig);
            let read = verified(signature, secret, at(time));
            vector.assert_no_mutation_passes(&[1], read, signs_the_same(&vector));
        }
    }
}

#[test]
fn a_receipt_is_read_from_a_query_a_form_or_json() {
    let mut account = account(Gateway::Vonage, "abcd1234", "s");
    account.signing = Some(Secret::new(INBOUND_SECRET));
    let fields = "msisdn=15550000201&to=AcmeInc&network-code=310090&messageId=0A0000000123ABCD1&price=0.03330000&status=failed&scts=1101181426&err-code=9&api-key=abcd1234&message-timestamp=2020-01-01+12%3A00%3A00&client-ref=x&timestamp=1385047698&nonce=n1";
    let sig = sign(
        &canonical(&parse(fields), true),
        Signature::HmacSha512,
        &Secret::new(INBOUND_SECRET),
    );
    let form = signed(fields, &sig);
    let mut query = form.clone();
    query.url = format!("{}?{}", form.url, form.body);
    query.method = Method::GET;
    (query.headers, query.body) = (Vec::new(), String::new());
    let mut json = form.clone();
    let object: serde_json::Map<_, _> = parse(&form.body)
        .into_iter()
        .map(|(name, value)| (name, serde_json::Value::from(value)))
        .collect();
    json.headers[0].1 = "application/json".to_owned();
    json.body = serde_json::Value::from(object).to_string();
    for request in [&form, &query, &json] {
        let report = request
            .read(|it| read(it, &account, Signature::HmacSha512, at(1_385_047_698)))
            .unwrap();
        assert_eq!(
            (report.part.as_str(), report.delivery, report.cause),
            ("0A0000000123ABCD1", Delivery::Undelivered, Cause::OptedOut)
        );
        let other = |method| request.read(|it| read(it, &account, method, at(1_385_047_698)));
        for method in [
            Signature::Md5Hash,
            Signature::HmacMd5,
            Signature::HmacSha1,
            Signature::HmacSha256,
        ] {
            assert_eq!(
                other(method),
                Err(Refused::Forged),
                "the method is the account's"
            );
        }
        account_of_another(request);
    }
}

fn account_of_another(request: &Signed) {
    let mut other = account(Gateway::Vonage, "abcd1234", "s");
    other.signing = Some(Secret::new("another"));
    let now = at(1_385_047_698);
    let told = request.read(|it| read(it, &other, Signature::HmacSha512, now));
    assert_eq!(told, Err(Refused::Forged));
    other.signing = Some(Secret::new(INBOUND_SECRET));
    other.key = Secret::new("another");
    let told = request.read(|it| read(it, &other, Signature::HmacSha512, now));
    assert_eq!(told, Err(Refused::Misaddressed));
}

#[test]
fn what_was_signed_more_than_five_minutes_away_is_stale() {
    let vector = signed(
        INBOUND,
        "ddb8397c2b90aac7f3882d306475c9a5058c92322eef43c92b298b6e0fc0d330",
    );
    for (seconds, fresh) in [
        (0, true),
        (300, true),
        (-300, true),
        (301, false),
        (-301, false),
    ] {
        let now = at(1_385_047_698 + seconds);
        let told = vector.read(verified(Signature::HmacSha256, INBOUND_SECRET, now));
        assert_eq!(
            told.map(drop).err(),
            (!fresh).then_some(Refused::Stale),
            "{seconds}"
        );
    }
}

#[test]
fn fields_without_a_value_may_be_signed_or_left_out() {
    let secret = Secret::new("s");
    let fields = "a=1&b=&timestamp=1385047698";
    for with_blanks in [true, false] {
        let text = canonical(&parse(fields), with_blanks);
        let sig = sign(&text, Signature::HmacSha256, &secret);
        let told =
            signed(fields, &sig).read(verified(Signature::HmacSha256, "s", at(1_385_047_698)));
        assert!(told.is_ok(), "{with_blanks}");
    }
}
