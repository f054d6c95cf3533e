//! Tokens of the Messages API: the vector of Vonage's library, and tokens that are not what they say.
//!
//! Its own file, because each of them is also held against ten thousand changes of one byte.

use http::Method;
use serde_json::json;

use super::super::tests::{Signed, account};
use super::*;

const SECRET: &str = "qwertyuiopasdfghjklzxcvbnm123456";
const VECTOR: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJPbmxpbmUgSldUIEJ1aWxkZXIiLCJpYXQiOjE2OTc2MzQ2ODAsImV4cCI6MzMyNTQ1NDA4MjgsImF1ZCI6IiIsInN1YiI6IiJ9.88vJc3I2HhuqEDixHXVhc9R30tA6U_HQHZTC29y6CGM";
const NOW: i64 = 1_700_000_000;
const BODY: &str = r#"{"message_uuid":"aaaaaaaa-bbbb-cccc-dddd-0123456789ab","to":"15550000201","from":"Acme","timestamp":"2025-01-01T12:00:00Z","status":"rejected","channel":"sms","client_ref":"x","error":{"type":"https://developer.vonage.com/api-errors/messages#1320","title":1320,"detail":"d","instance":"i"}}"#;

fn token(head: &Value, claims: &Value, secret: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(head), part(claims));
    let mac = <Hmac<Sha256> as Mac>::new_from_slice(secret.as_bytes()).unwrap();
    let mac = mac.chain_update(&signed).finalize().into_bytes();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac))
}

fn claims() -> Value {
    let digest = hex(&Sha256::digest(BODY));
    json!({ "iat": NOW, "jti": "n1", "iss": "Vonage", "payload_hash": digest, "api_key": "abcd1234", "application_id": "a" })
}

fn signed(token: &str) -> Signed {
    Signed {
        method: Method::POST,
        url: "https://hooks.example.test/webhooks/vonage/x".to_owned(),
        headers: vec![
            ("authorization", format!("Bearer {token}")),
            ("content-type", "application/json".to_owned()),
        ],
        body: BODY.to_owned(),
    }
}

fn told(request: &Signed) -> Result<Report, Refused> {
    let mut account = account(Gateway::Vonage, "abcd1234", "s");
    account.signing = Some(Secret::new(SECRET));
    let now = DateTime::from_timestamp(NOW, 0).unwrap();
    request.read(|it| read(it, &account, now))
}

fn with(change: impl FnOnce(&mut Value, &mut Value)) -> Result<Report, Refused> {
    let (mut head, mut claims) = (json!({ "typ": "JWT", "alg": "HS256" }), claims());
    change(&mut head, &mut claims);
    told(&signed(&token(&head, &claims, SECRET)))
}

#[test]
fn the_librarys_vector_is_verified_and_no_change_of_one_byte_is() {
    let secret = Secret::new(SECRET);
    let verified = |received: &Received<'_>| {
        let shown = received.header("authorization").ok_or(Refused::Forged)?;
        let claims = claims_of(
            shown.strip_prefix("Bearer ").ok_or(Refused::Forged)?,
            &secret,
        )?;
        assert_eq!(claims.iat, Some(1_697_634_680));
        Ok(Report::about("x", "sent", Delivery::Sent, &[]))
    };
    signed(VECTOR).assert_no_mutation_passes(&[2], verified, |_| false);
    assert!(claims_of(VECTOR, &Secret::new("asdf")).is_err());
    assert!(claims_of("asdf", &secret).is_err());
}

#[test]
fn a_status_is_read_and_no_change_of_one_byte_is() {
    let report = with(|_, _| {}).unwrap();
    assert_eq!(report.reference, "aaaaaaaa-bbbb-cccc-dddd-0123456789ab");
    assert_eq!(
        (report.delivery, report.code.as_str()),
        (Delivery::Undelivered, "1320")
    );
    let request = signed(&token(&json!({ "alg": "HS256" }), &claims(), SECRET));
    let mut account = account(Gateway::Vonage, "abcd1234", "s");
    account.signing = Some(Secret::new(SECRET));
    let now = DateTime::from_timestamp(NOW, 0).unwrap();
    // The name of a scheme is read in either case.
    let same = |it: &Signed| {
        let (scheme, token) = it.headers[0].1.split_at(7);
        let ours = &request.headers[0].1;
        scheme.eq_ignore_ascii_case("Bearer ") && token == &ours[7..] && it.body == request.body
    };
    request.assert_no_mutation_passes(&[1, 2], |it| read(it, &account, now), same);
}

#[test]
fn the_algorithm_is_hs256_whatever_the_token_says() {
    for algorithm in ["none", "None", "RS256", "HS384", "HS512", "hs256", ""] {
        let told = with(|head, _| head["alg"] = json!(algorithm));
        assert_eq!(told, Err(Refused::Algorithm), "{algorithm}");
    }
    let unsigned = token(&json!({ "alg": "HS256" }), &claims(), SECRET);
    let (front, _) = unsigned.rsplit_once('.').unwrap();
    assert_eq!(told(&signed(&format!("{front}."))), Err(Refused::Forged));
}

#[test]
fn claims_that_are_not_this_requests_are_refused() {
    assert_eq!(
        with(|_, it| it["api_key"] = json!("other")),
        Err(Refused::Forged)
    );
    assert_eq!(
        with(|_, it| it["payload_hash"] = json!("00")),
        Err(Refused::Forged)
    );
    assert_eq!(
        with(|_, it| it["payload_hash"] = Value::Null),
        Err(Refused::Forged)
    );
    for seconds in [-301, 301, -100_000] {
        assert_eq!(
            with(|_, it| it["iat"] = json!(NOW + seconds)),
            Err(Refused::Stale),
            "{seconds}"
        );
    }
    assert_eq!(with(|_, it| it["iat"] = Value::Null), Err(Refused::Stale));
    assert_eq!(
        with(|_, it| it["exp"] = json!(NOW - 1)),
        Err(Refused::Stale)
    );
    let other = token(&json!({ "alg": "HS256" }), &claims(), "another");
    assert_eq!(told(&signed(&other)), Err(Refused::Forged));
}

#[test]
fn what_came_unsigned_is_to_be_signed_and_sent_again() {
    let mut request = signed("x");
    request.headers.remove(0);
    assert_eq!(told(&request), Err(Refused::Unsigned));
}
