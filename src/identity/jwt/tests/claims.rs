//! What a genuine token may say, and what it may not.
//!
//! Its own file, because these tokens are all signed as they should be.

use super::*;

fn read(expected: &Expected, payload: &str) -> Result<Verified, Unresolved> {
    let algorithm = Algorithm::Hs256;
    let token = token_of(algorithm, &header(algorithm), payload);
    verify(&token, algorithm, &keys(algorithm), expected, NOW)
}

fn with(claim: &str) -> Result<Verified, Unresolved> {
    read(&expected(), &format!(r#"{{"exp":{},{claim}}}"#, NOW + 60))
}

#[test]
fn a_token_ends_at_exp_and_the_leeway() {
    for (exp, outcome) in [
        (NOW + 1, Ok(())),
        (NOW, Ok(())),
        (NOW - 29, Ok(())),
        (NOW - 30, Err(Unresolved::Expired)),
        (0, Err(Unresolved::Expired)),
        (-1, Err(Unresolved::Expired)),
        (i64::MIN, Err(Unresolved::Expired)),
        (i64::MAX, Ok(())),
    ] {
        assert_eq!(read(&expected(), &payload(exp)).map(drop), outcome, "{exp}");
    }
    assert_eq!(
        read(&expected(), &payload(i64::MAX)).unwrap().until,
        i64::MAX
    );
}

#[test]
fn a_date_is_a_number_and_may_have_a_fraction() {
    for (exp, outcome) in [
        ("1700000000.9", Ok(())),
        ("1699999970.9", Err(Unresolved::Expired)),
        ("1.7e9", Ok(())),
        ("1e300", Ok(())),
        ("18446744073709551615", Ok(())),
        ("-1e300", Err(Unresolved::Expired)),
        ("-0.0", Err(Unresolved::Expired)),
        ("\"1700000060\"", Err(Unresolved::WrongClaims)),
        ("null", Err(Unresolved::WrongClaims)),
        ("true", Err(Unresolved::WrongClaims)),
        ("[1700000060]", Err(Unresolved::WrongClaims)),
        ("1e999", Err(Unresolved::Malformed)),
        ("01700000060", Err(Unresolved::Malformed)),
        ("NaN", Err(Unresolved::Malformed)),
        ("Infinity", Err(Unresolved::Malformed)),
    ] {
        let told = read(&expected(), &format!(r#"{{"sub":"7","exp":{exp}}}"#));
        assert_eq!(told.map(drop), outcome, "{exp}");
    }
    let huge = "9".repeat(400);
    let told = read(&expected(), &format!(r#"{{"exp":{huge}}}"#));
    assert_eq!(told, Err(Unresolved::Malformed));
}

#[test]
fn a_token_without_end_is_refused() {
    assert_eq!(
        read(&expected(), r#"{"sub":"7"}"#),
        Err(Unresolved::WrongClaims)
    );
}

#[test]
fn a_token_begins_at_nbf_less_the_leeway() {
    for (nbf, outcome) in [
        ("1700000030", Ok(())),
        ("1700000031", Err(Unresolved::NotYetValid)),
        ("9e18", Err(Unresolved::NotYetValid)),
        ("-9223372036854775808", Ok(())),
        ("\"0\"", Err(Unresolved::WrongClaims)),
        ("null", Err(Unresolved::WrongClaims)),
    ] {
        assert_eq!(with(&format!(r#""nbf":{nbf}"#)).map(drop), outcome, "{nbf}");
    }
}

#[test]
fn the_issuer_must_be_the_one_that_is_expected() {
    let ours = Expected {
        issuer: Some("https://id.example.com/".to_owned()),
        ..expected()
    };
    let told = |claim: &str| read(&ours, &format!(r#"{{"exp":{}{claim}}}"#, NOW + 60)).map(drop);
    assert_eq!(told(r#","iss":"https://id.example.com/""#), Ok(()));
    // Another issuer's token is another resolver's to judge.
    for its in ["https://id.example.com", "HTTPS://id.example.com/", ""] {
        let claim = format!(r#","iss":"{its}""#);
        assert_eq!(told(&claim), Err(Unresolved::Unrecognised), "{its}");
    }
    for claim in [
        "",
        r#","iss":null"#,
        r#","iss":["https://id.example.com/"]"#,
    ] {
        assert_eq!(told(claim), Err(Unresolved::WrongClaims), "{claim}");
    }
}

#[test]
fn one_of_our_names_must_be_in_the_audience() {
    let ours = Expected {
        audience: vec!["api".to_owned(), "web".to_owned()],
        ..expected()
    };
    for (aud, outcome) in [
        (r#""api""#, Ok(())),
        (r#"["x","web"]"#, Ok(())),
        (r#"[1,"api"]"#, Ok(())),
        (r#""apis""#, Err(Unresolved::WrongClaims)),
        (r#""api web""#, Err(Unresolved::WrongClaims)),
        (r#"[]"#, Err(Unresolved::WrongClaims)),
        (r#"[["api"]]"#, Err(Unresolved::WrongClaims)),
        (r#"{"api":true}"#, Err(Unresolved::WrongClaims)),
        ("null", Err(Unresolved::WrongClaims)),
    ] {
        let text = format!(r#"{{"exp":{},"aud":{aud}}}"#, NOW + 60);
        assert_eq!(read(&ours, &text).map(drop), outcome, "{aud}");
    }
    let without = format!(r#"{{"exp":{}}}"#, NOW + 60);
    assert_eq!(read(&ours, &without), Err(Unresolved::WrongClaims));
    assert!(with(r#""aud":"anybody""#).is_ok(), "not asked");
}

#[test]
fn an_id_is_text_or_a_whole_number() {
    for (claim, id) in [
        (r#""sub":"auth0|7""#, Some("auth0|7")),
        (r#""sub":7"#, Some("7")),
        (
            r#""sub":18446744073709551615"#,
            Some("18446744073709551615"),
        ),
        (r#""sub":null"#, None),
        (r#""other":1"#, None),
    ] {
        let user = with(claim).unwrap().user;
        assert_eq!(user.as_ref().map(|user| user.id()), id, "{claim}");
    }
}

#[test]
fn who_cannot_stand_in_a_header_is_refused() {
    let long = format!(r#""sub":"{}""#, "a".repeat(256));
    for claim in [
        r#""sub":"""#,
        r#""sub":"a b""#,
        r#""sub":"a\r\nx-user-tier: gold""#,
        r#""sub":"ä""#,
        r#""sub":"a\u0000""#,
        r#""sub":7.5"#,
        r#""sub":true"#,
        r#""sub":["7"]"#,
        r#""sub":"7","tier":"a b""#,
        r#""sub":"7","tier":"""#,
        r#""sub":"7","tier":["pro"]"#,
        r#""tenant":"a b""#,
        r#""tenant":"""#,
        r#""tenant":0"#,
        r#""tenant":-1"#,
        r#""tenant":1.5"#,
        r#""tenant":{"id":1}"#,
        &long,
    ] {
        assert_eq!(with(claim), Err(Unresolved::WrongClaims), "{claim}");
    }
}

#[test]
fn a_claim_twice_is_refused_at_any_depth() {
    for claim in [
        r#""sub":"7","sub":"8""#,
        r#""sub":"7","\u0073ub":"8""#,
        r#""exp":9999999999"#,
        r#""x":{"a":1,"a":1}"#,
    ] {
        assert_eq!(with(claim), Err(Unresolved::Malformed), "{claim}");
    }
}

#[test]
fn a_claim_may_lie_deeper() {
    let expected = Expected {
        tenant: Some("/https:~1~1example.com~1app/tenant".to_owned()),
        user: Some("/user/id".to_owned()),
        tier: Some("https://example.com/tier".to_owned()),
        ..expected()
    };
    let text = format!(
        r#"{{"exp":{},"https://example.com/app":{{"tenant":"Acme"}},"user":{{"id":7}},"https://example.com/tier":"pro","sub":"x","tenant":3}}"#,
        NOW + 60
    );
    let verified = read(&expected, &text).unwrap();
    assert_eq!(verified.tenant, Some(Named::Slug("acme".into())));
    assert_eq!(
        verified.user.as_deref(),
        User::new("7", Some("pro")).as_ref()
    );
    let elsewhere = format!(
        r#"{{"exp":{},"user":"x","https://example.com/app":[]}}"#,
        NOW + 60
    );
    let verified = read(&expected, &elsewhere).unwrap();
    assert_eq!((verified.tenant, verified.user), (None, None));
}

#[test]
fn what_is_not_configured_is_not_read() {
    let nothing = Expected {
        leeway: 30,
        ..Expected::default()
    };
    let verified = read(&nothing, &payload(NOW + 60)).unwrap();
    assert_eq!((verified.tenant, verified.user), (None, None));
}
