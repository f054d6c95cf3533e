//! Links that we did not make: each gets the same 404, and changes nothing.
//!
//! Its own file, because these are attacks.

use ficus::engine::tracking::{LinkKeys, Purpose};
use ficus::ids::TenantId;
use ficus::secret::Secret;
use sqlx::types::Uuid;

use super::{Stage, TENANT, message, path, send};

const PURPOSES: [Purpose; 3] = [Purpose::Click(0), Purpose::Open, Purpose::Unsubscribe];

/// What GET and POST of a path answered: the status, and what would lead on.
async fn asked(stage: &Stage, path: &str) -> Vec<u16> {
    let mut statuses = Vec::new();
    for response in [stage.get(path).await, stage.post(path).await] {
        assert!(response.headers().get("location").is_none(), "{path}");
        statuses.push(response.status().as_u16());
    }
    statuses
}

async fn assert_nothing_changed(stage: &Stage) {
    assert_eq!(stage.reactions(stage.message).await, (0, 0));
    assert_eq!(stage.number("select count(*) from ficus.reaction").await, 0);
    assert!(stage.suppressed().await.is_empty());
    assert_eq!(stage.number("select count(*) from ficus.untold").await, 0);
}

#[tokio::test]
async fn a_link_of_which_one_byte_is_another_leads_nowhere() {
    let stage = Stage::new().await;
    for purpose in PURPOSES {
        let good = stage.path(purpose);
        for at in 1..good.len() {
            let mut bytes = good.clone().into_bytes();
            for other in *b"Az0._-~" {
                if bytes[at] == other {
                    continue;
                }
                let before = std::mem::replace(&mut bytes[at], other);
                let forged = String::from_utf8(bytes.clone()).unwrap();
                for status in asked(&stage, &forged).await {
                    assert!(matches!(status, 404 | 405), "{status} for {forged}");
                }
                bytes[at] = before;
            }
        }
    }
    assert_nothing_changed(&stage).await;
}

#[tokio::test]
async fn a_link_that_was_cut_or_has_something_behind_it_leads_nowhere() {
    let stage = Stage::new().await;
    for purpose in PURPOSES {
        let good = stage.path(purpose);
        for end in "/c/x".len()..good.len() {
            assert_eq!(asked(&stage, &good[..end]).await[0], 404, "{end}");
        }
        for more in ["=", "A", ".", "%00", "%2F", "/x", "%20"] {
            assert_eq!(
                asked(&stage, &format!("{good}{more}")).await[0],
                404,
                "{more}"
            );
        }
    }
    assert_nothing_changed(&stage).await;
}

#[tokio::test]
async fn a_link_of_another_tenant_key_message_or_purpose_leads_nowhere() {
    let stage = Stage::new().await;
    let foreign = LinkKeys::new(&Secret::new("f".repeat(32)), &[]).unwrap();
    let other = message(stage.ficus.pool(), TenantId(8), None).await;
    for purpose in PURPOSES {
        for forged in [
            path(TenantId(8), stage.message, purpose),
            path(TENANT, other, purpose),
            path(TENANT, Uuid::now_v7(), purpose),
            foreign.path(TENANT, stage.message, purpose),
        ] {
            assert_eq!(asked(&stage, &forged).await[0], 404, "{forged}");
        }
    }
    let open = stage.path(Purpose::Open).replacen("/o/", "/u/", 1);
    let unsubscribe = stage.path(Purpose::Unsubscribe).replacen("/u/", "/o/", 1);
    for forged in [open, unsubscribe] {
        assert_eq!(asked(&stage, &forged).await[0], 404);
    }
    assert_nothing_changed(&stage).await;
}

#[tokio::test]
async fn no_click_leads_to_what_the_request_says() {
    let stage = Stage::new().await;
    let click = stage.path(Purpose::Click(0));
    let evil = "https://evil.test/";
    for more in ["?url=", "?l=", "?next=", "?redirect=", "#"] {
        let response = send(
            stage
                .served
                .client
                .get(stage.served.at(&format!("{click}{more}{evil}")))
                .header("host", "evil.test")
                .header("x-forwarded-host", "evil.test"),
        );
        let response = response.await;
        assert_eq!(response.headers()["location"], "https://shop.test/?a=1&b=2");
    }
    for path in [
        "/c/https://evil.test/",
        "/c/https%3A%2F%2Fevil.test",
        "//evil.test/c/",
        "/c//evil.test",
    ] {
        let response = stage.get(path).await;
        let location = response.headers().get("location");
        let location = location.map_or("", |it| it.to_str().unwrap());
        // One slash: a path of our own, such as the same without its last slash.
        let is_ours = location.starts_with('/') && !location.starts_with("//");
        assert!(location.is_empty() || is_ours, "{path} leads to {location}");
    }
}

#[tokio::test]
async fn a_link_number_without_a_target_leads_nowhere() {
    let stage = Stage::new().await;
    for link in [2, 999, u16::MAX] {
        let response = stage.get(&stage.path(Purpose::Click(link))).await;
        assert_eq!(response.status(), 404);
    }
    assert_nothing_changed(&stage).await;
}
