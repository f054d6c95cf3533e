//! What PHP has printed, read; and what it never prints, refused.
//!
//! Its own file, because the vectors are long.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;

/// A session of Laravel 8 after a log in.
const LOGGED_IN: &[u8] = br#"a:4:{s:6:"_token";s:40:"qG8Yp3mN1rTzX0cVbLkJhGfDsAqWeRtYuIoPzXcV";s:9:"_previous";a:1:{s:3:"url";s:21:"http://127.0.0.1/home";}s:6:"_flash";a:2:{s:3:"old";a:0:{}s:3:"new";a:0:{}}s:50:"login_web_59ba36addc2b2f9401580f014c7f58ea4e30989d";i:42;}"#;
const KEY: &[u8] = b"login_web_59ba36addc2b2f9401580f014c7f58ea4e30989d";

/// Printed by PHP 8.2, in base64: an array with a private property, a repeated object, one that serializes itself
/// (`Serializable`), PHP's own containers and dates, an enumeration, a reference, INF, NAN, the least integer, and
/// bytes that are no UTF-8; the user is `u-42`.
const EVERYTHING: &str = "YToxNzp7czo2OiJfdG9rZW4iO3M6NDA6Inh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHgiO3M6MToiZiI7ZDotMS41RSsyNTtzOjM6ImluZiI7ZDpJTkY7czozOiJuYW4iO2Q6TkFOO3M6NDoiaGFsZiI7ZDowLjE7czozOiJuZWciO2k6LTkyMjMzNzIwMzY4NTQ3NzU4MDg7czoxOiJvIjtPOjE6IlAiOjM6e3M6NDoiAFAAcCI7YToxOntpOjA7Tjt9czoxOiJ4IjtpOjE7czo0OiIAKgBxIjtzOjI6IsOpIjt9czo1OiJhZ2FpbiI7cjo4O3M6MToiYyI7QzozOiJPbGQiOjU6e307Int9fXM6MjoiYW8iO086MTE6IkFycmF5T2JqZWN0Ijo0OntpOjA7aTowO2k6MTthOjI6e2k6MDtpOjE7aToxO2E6MTp7aTowO2k6Mjt9fWk6MjthOjA6e31pOjM7Tjt9czozOiJzcGwiO086MTY6IlNwbE9iamVjdFN0b3JhZ2UiOjI6e2k6MDthOjA6e31pOjE7YTowOnt9fXM6NDoiZGF0ZSI7Tzo4OiJEYXRlVGltZSI6Mzp7czo0OiJkYXRlIjtzOjI2OiIyMDIxLTAxLTAxIDAwOjAwOjAwLjAwMDAwMCI7czoxMzoidGltZXpvbmVfdHlwZSI7aTozO3M6ODoidGltZXpvbmUiO3M6MzoiVVRDIjt9czoxOiJlIjtFOjExOiJTdWl0OkhlYXJ0cyI7czozOiJiaW4iO3M6Mzoi//4AIjtpOjU7czo0OiJmaXZlIjtzOjUwOiJsb2dpbl93ZWJfNTliYTM2YWRkYzJiMmY5NDAxNTgwZjAxNGM3ZjU4ZWE0ZTMwOTg5ZCI7czo0OiJ1LTQyIjtzOjM6InJlZiI7Ujo2O30=";

fn array(entries: &[&str]) -> Vec<u8> {
    format!("a:{}:{{{}}}", entries.len(), entries.concat()).into_bytes()
}

#[test]
fn the_logged_in_user_of_laravels_own_session_is_found() {
    assert_eq!(find(LOGGED_IN, KEY), Ok(Some(Value::Int(42))));
}

#[test]
fn the_user_is_found_among_everything_that_php_writes() {
    let printed = STANDARD.decode(EVERYTHING).unwrap();
    assert_eq!(find(&printed, KEY), Ok(Some(Value::Text(b"u-42"))));
    assert_eq!(find(&printed, b"ref"), Ok(Some(Value::Other)));
    assert_eq!(find(&printed, b"neg"), Ok(Some(Value::Int(i64::MIN))));
    assert_eq!(find(&printed, b"bin"), Ok(Some(Value::Text(b"\xff\xfe\0"))));
}

#[test]
fn a_guests_session_has_no_user() {
    assert_eq!(find(LOGGED_IN, b"login_admin_59ba"), Ok(None));
    assert_eq!(find(b"a:0:{}", KEY), Ok(None));
}

#[test]
fn only_the_top_of_the_array_counts() {
    let inner = array(&["s:4:\"user\";i:1;"]);
    let inner = String::from_utf8(inner).unwrap();
    let nested = array(&[
        &format!("s:3:\"old\";{inner}"),
        "s:5:\"other\";s:18:\"s:4:\"user\";i:2;xxx\";",
    ]);
    assert_eq!(find(&nested, b"user"), Ok(None));
}

#[test]
fn every_kind_of_value_that_php_writes_is_skipped() {
    // `C:` and `E:` among them; the last entry is a reference to the first.
    let everything = array(&[
        "s:1:\"a\";N;",
        "i:7;b:1;",
        "i:-7;d:-1.5E+25;",
        "i:8;d:INF;",
        "i:9;d:NAN;",
        "s:1:\"o\";O:8:\"stdClass\":2:{s:1:\"x\";i:1;s:4:\"\0A\0p\";a:1:{i:0;N;}}",
        "s:1:\"c\";C:11:\"ArrayObject\":5:{};\"{}}",
        "s:1:\"e\";E:11:\"Suit:Hearts\";",
        "s:1:\"r\";R:2;",
        "s:1:\"q\";r:6;",
        "s:4:\"user\";s:4:\"u-42\";",
    ]);
    assert_eq!(find(&everything, b"user"), Ok(Some(Value::Text(b"u-42"))));
}

#[test]
fn what_serialize_never_writes_is_refused() {
    for text in [
        "",
        "a",
        "N;",
        "i:1;",
        "a:0:{}x",
        "a:0:{",
        "a:1:{}",
        "a:0:{i:1;i:1;}",
        "a:-1:{}",
        "a:+1:{i:0;N;}",
        "a:01:{i:0;N;}",
        "a:99999999999999999999:{}",
        "a:4294967296:{}",
        "a:1:{N;N;}",
        "a:1:{a:0:{}N;}",
        "a:1:{i:0;}",
        "a:1:{i:+1;N;}",
        "a:1:{i:007;N;}",
        "a:1:{i:;N;}",
        "a:1:{i:9223372036854775808;N;}",
        "a:1:{i:0;b:2;}",
        "a:1:{i:0;d:;}",
        "a:1:{i:0;d:0x1;}",
        "a:1:{i:0;s:2:\"a\";}",
        "a:1:{i:0;s:1:\"aa\";}",
        "a:1:{i:0;s:1:'a';}",
        "a:1:{i:0;S:1:\"a\";}",
        "a:1:{i:0;x:1;}",
        "a:1:{i:0;C:1:\"A\":3:{}}",
        "a:1:{s:1:\"u\"i:1;}",
        "A:0:{}",
    ] {
        assert_eq!(find(text.as_bytes(), b"u"), Err(Unreadable), "{text}");
    }
}

#[test]
fn a_key_that_is_there_twice_is_refused() {
    let twice = array(&["s:1:\"u\";i:1;", "s:1:\"u\";i:2;"]);
    assert_eq!(find(&twice, b"u"), Err(Unreadable));
}

#[test]
fn depth_and_count_are_bounded() {
    let nested = |depth: usize| {
        let (open, close) = ("a:1:{i:0;".repeat(depth), "}".repeat(depth));
        format!("{open}N;{close}").into_bytes()
    };
    assert_eq!(find(&nested(DEPTH_LIMIT), b"u"), Ok(None));
    assert_eq!(find(&nested(DEPTH_LIMIT + 1), b"u"), Err(Unreadable));
    assert_eq!(find(&nested(1_000_000), b"u"), Err(Unreadable));
    let flat = |count: usize| format!("a:{count}:{{{}}}", "i:0;N;".repeat(count)).into_bytes();
    assert_eq!(find(&flat(VALUE_LIMIT / 2), b"u"), Ok(None));
    assert_eq!(find(&flat(VALUE_LIMIT / 2 + 1), b"u"), Err(Unreadable));
}

#[test]
fn a_string_serialized_once_more_is_that_string() {
    assert_eq!(text(b"s:6:\"a:0:{}\";"), Ok(&b"a:0:{}"[..]));
    for other in [&b"a:0:{}"[..], b"s:1:\"aa\";", b"s:1:\"a\";;", b"i:1;", b""] {
        assert_eq!(text(other), Err(Unreadable));
    }
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("N;".to_owned()),
        any::<i64>().prop_map(|n| format!("i:{n};")),
        any::<bool>().prop_map(|b| format!("b:{};", u8::from(b))),
        "[ -~é]{0,12}".prop_map(|s| format!("s:{}:\"{s}\";", s.len())),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|all| {
                let entries: String = all
                    .iter()
                    .enumerate()
                    .map(|(at, v)| format!("i:{at};{v}"))
                    .collect();
                format!("a:{}:{{{entries}}}", all.len())
            }),
            inner.prop_map(|v| format!("O:3:\"App\":1:{{s:1:\"p\";{v}}}")),
        ]
    })
}

proptest! {
    #[test]
    fn the_entry_is_found_among_any_others(before in prop::collection::vec(value(), 0..6), after in prop::collection::vec(value(), 0..6), id: i64) {
        let other = |(at, v): (usize, &String)| format!("i:{at};{v}");
        let mut entries: Vec<String> = before.iter().enumerate().map(other).collect();
        entries.push(format!("s:4:\"user\";i:{id};"));
        entries.extend(after.iter().enumerate().map(other));
        let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
        let array = array(&entries);
        prop_assert_eq!(find(&array, b"user"), Ok(Some(Value::Int(id))));
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = (find(&bytes, b"u"), text(&bytes));
    }

    #[test]
    fn one_changed_byte_never_panics(at: prop::sample::Index, byte: u8) {
        let mut bytes = LOGGED_IN.to_vec();
        bytes[at.index(LOGGED_IN.len())] = byte;
        let _ = find(&bytes, KEY);
    }

    #[test]
    fn a_cut_array_is_refused(at: prop::sample::Index) {
        prop_assert_eq!(find(&LOGGED_IN[..at.index(LOGGED_IN.len())], KEY), Err(Unreadable));
    }
}
