//! What was verified is remembered, for this text, these keys and its time.
//!
//! Its own file, because a memory that is wrong once is a way in.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

use super::*;

fn tokens(expected: Expected) -> Tokens {
    let jwt = Jwt {
        algorithm: Algorithm::Hs256,
        key: KeySource::Inline(Secret::new(SECRET)),
        cookie: None,
        expected,
        cache_size: 10,
    };
    // Nothing is fetched, so nothing needs the runtime.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    Tokens::new(&jwt, &Keyrings::default(), runtime.handle()).unwrap()
}

fn ask(tokens: &Tokens, token: &str) -> Result<Verified, Unresolved> {
    let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
    match tokens.ask(&HeaderMap::from_iter([(AUTHORIZATION, value)])) {
        Answer::Known(answer) => answer,
        Answer::Due(_) => panic!("nothing is fetched"),
    }
}

fn token(sub: &str, exp: i64) -> String {
    let payload = format!(r#"{{"sub":"{sub}","exp":{exp}}}"#);
    token_of(Algorithm::Hs256, &header(Algorithm::Hs256), &payload)
}

#[test]
fn a_remembered_token_says_the_same_and_another_text_is_verified_anew() {
    let tokens = tokens(expected());
    let (ann, bob) = (token("ann", unix_now() + 60), token("bob", unix_now() + 60));
    for _ in 0..3 {
        assert_eq!(ask(&tokens, &ann).unwrap().user.unwrap().id(), "ann");
        assert_eq!(ask(&tokens, &bob).unwrap().user.unwrap().id(), "bob");
        let (head, signature) = ann.rsplit_once('.').unwrap();
        let (other, _) = bob.rsplit_once('.').unwrap();
        assert!(ask(&tokens, &format!("{other}.{signature}")).is_err());
        assert!(ask(&tokens, &format!("{head}.{signature}A")).is_err());
        assert!(ask(&tokens, &ann[..ann.len() - 1]).is_err());
    }
}

#[test]
fn what_was_refused_is_not_remembered() {
    let tokens = tokens(expected());
    let late = token("ann", unix_now() - 3600);
    assert_eq!(ask(&tokens, &late), Err(Unresolved::Expired));
    tokens.cache.run_pending_tasks();
    assert_eq!(tokens.cache.entry_count(), 0);
}

#[test]
fn a_remembered_token_ends_with_its_time() {
    let tokens = tokens(Expected {
        leeway: 0,
        ..expected()
    });
    let short = token("ann", unix_now() + 2);
    assert!(ask(&tokens, &short).is_ok());
    // As if its time had come: the entry is there, and is not used.
    let print = key::fingerprint(short.as_bytes());
    let mut verified = tokens.cache.get(&print).unwrap().verified.clone();
    verified.until = unix_now();
    verified.user = None;
    let generation = 0;
    tokens.cache.insert(
        print,
        Arc::new(Remembered {
            verified,
            generation,
        }),
    );
    let again = ask(&tokens, &short);
    assert!(
        !matches!(again, Ok(Verified { user: None, .. })),
        "{again:?}"
    );
}

#[test]
fn what_other_keys_verified_is_verified_anew() {
    let tokens = tokens(expected());
    let ann = token("ann", unix_now() + 60);
    let verified = ask(&tokens, &ann).unwrap();
    let print = key::fingerprint(ann.as_bytes());
    let forged = Verified {
        user: None,
        ..verified
    };
    let remembered = Remembered {
        verified: forged,
        generation: 1,
    };
    tokens.cache.insert(print, Arc::new(remembered));
    assert!(ask(&tokens, &ann).unwrap().user.is_some());
}

#[test]
fn no_more_tokens_are_remembered_than_may_be() {
    let tokens = tokens(expected());
    for n in 0..100 {
        assert!(ask(&tokens, &token(&n.to_string(), unix_now() + 60)).is_ok());
    }
    tokens.cache.run_pending_tasks();
    assert!(tokens.cache.entry_count() <= 10);
}
