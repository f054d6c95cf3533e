//! `ficus check`: the faults of a configuration, and what it names that does not answer.
//!
//! Its own file, because a deployment stops at what it says.

use serde_json::json;

use crate::control_stage::{Stage, run};
use crate::support::issuer::{KeyServer, Mood, RSA_PEM, Signer, jwks};

#[tokio::test]
async fn check_tells_every_fault_with_its_key() {
    let stage = Stage::new().await;
    let file = stage.file(
        "ficus.toml",
        "[proxy]\nlisten = [\"nowhere\"]\nno_such_key = 1\n",
    );
    let ran = run(&[], &["check", "--config", &file, "--output", "table"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    for key in [
        "proxy.listen",
        "proxy.no_such_key",
        "upstream.legacy",
        "database.url",
    ] {
        assert!(ran.stdout.contains(key), "{key}: {}", ran.stdout);
    }
    let url = stage.listen().await;
    let good = stage.file(
        "good.toml",
        &format!("[upstream.legacy]\nurl = \"{url}\"\n"),
    );
    let database = [("FICUS__DATABASE__URL", stage.db.url())];
    let ran = run(&database, &["check", "--config", &good]).await;
    assert_eq!((ran.code, &ran.json()["ok"]), (0, &json!(true)), "{ran:?}");
    let dead = stage.file(
        "dead.toml",
        "[upstream.legacy]\nurl = \"http://127.0.0.1:1\"\n",
    );
    let ran = run(&database, &["check", "--config", &dead]).await;
    assert_eq!(
        (ran.code, &ran.json()["faults"][0]["key"]),
        (1, &json!("upstream.legacy")),
        "{ran:?}"
    );
}

#[tokio::test]
async fn check_fetches_the_keys_of_tokens_and_tells_each_fault_with_its_key() {
    let stage = Stage::new().await;
    let legacy = stage.listen().await;
    let [good, plain, failing, page, other, elsewhere] = [
        Mood::Serve(jwks(&[Signer::Rsa.jwk("a")])),
        Mood::Serve(RSA_PEM.to_owned()),
        Mood::Fail,
        Mood::Serve("<html>log in</html>".to_owned()),
        // Keys, but none for RS256.
        Mood::Serve(r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#.to_owned()),
        Mood::Redirect("https://identity.test/keys".to_owned()),
    ]
    .map(KeyServer::start);
    let upstream = format!("[upstream.legacy]\nurl = \"{legacy}\"\n");
    let (good, plain) = (good.await, plain.await);
    let file = stage.file(
        "keys.toml",
        &format!("{upstream}{}{}", good.entry(""), plain.entry("")),
    );
    let database = [("FICUS__DATABASE__URL", stage.db.url())];
    let ran = run(&database, &["check", "--config", &file]).await;
    assert_eq!((ran.code, &ran.json()["ok"]), (0, &json!(true)), "{ran:?}");
    assert_eq!((good.asked(), plain.asked()), (1, 1));

    let mut entries = good.entry("");
    for server in [failing, page, other, elsewhere] {
        entries += &server.await.entry("");
    }
    entries += "[[tenant]]\nresolver = \"jwt\"\nalgorithm = \"RS256\"\nkey_url = \"http://127.0.0.1:1/keys\"\n";
    let file = stage.file("no-keys.toml", &format!("{upstream}{entries}"));
    let ran = run(&database, &["check", "--config", &file]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let told = ran.json();
    let told = told["faults"].as_array().expect("faults");
    for ((index, expected), fault) in [
        (1, "the answer's status is 500"),
        (2, "the answer is neither a JWK Set nor PEM"),
        (3, "the answer has no key for RS256"),
        (4, "the answer's status is 307"),
        (5, "http://127.0.0.1:1/keys gives no key"),
    ]
    .into_iter()
    .zip(told)
    {
        assert_eq!(fault["key"], format!("tenant[{index}].key_url"));
        let problem = fault["problem"].as_str().expect("text");
        assert!(problem.contains(expected), "{problem}");
    }
    assert_eq!(told.len(), 5, "{told:?}");
}
