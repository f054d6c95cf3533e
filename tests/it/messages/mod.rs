//! `ficus message` and its routes, from the command line to the queue.
//!
//! Its own file, because what operators see stands on the real tables; the races are in `queue/operations.rs`.

mod policies;
mod returns;
mod runs;
mod servers;
mod writes;

use axum::http::{Method, StatusCode};
use ficus::engine::message::{End, MessageId};
use ficus::engine::queue::{PostgresQueue, Queue};
use ficus::ids::TenantId;
use ficus::rollout::Role;
use serde_json::{Value, json};

use crate::control_stage::{Answer, Ran, Stage};
use crate::queue::{accept, begin, ended, engine, message, submitter};

const ROUTE: &str = "/api/v1/messages";
const ACME: TenantId = TenantId(1);

/// An engine, and an operator of the API in front of the same tables.
struct Messages {
    stage: Stage,
    operator: String,
    queue: PostgresQueue,
    epoch: i64,
}

impl Messages {
    async fn new() -> Self {
        let stage = Stage::new().await;
        let operator = stage.token(Role::Operator).await;
        let (queue, epoch) = engine(stage.pool(), "one").await;
        Self {
            stage,
            operator,
            queue,
            epoch,
        }
    }

    /// One of acme's that ended so.
    async fn ended(&self, end: End) -> MessageId {
        let id = accept(self.stage.pool(), ACME, 1).await[0];
        let loaded = self.queue.load(ACME, None, 100).await.unwrap();
        let due = loaded.iter().find(|it| it.id == id).unwrap();
        self.queue.begin(&[begin(due, self.epoch)]).await.unwrap();
        let mut end = ended(due, self.epoch, end);
        end.reference = Some("queued as 4711".to_owned());
        self.queue.end(&[end]).await.unwrap();
        id
    }

    async fn get(&self, path: &str) -> Answer {
        let token = Some(self.operator.as_str());
        self.stage.ask(Method::GET, path, token, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        let token = Some(self.operator.as_str());
        self.stage.ask(Method::POST, path, token, Some(body)).await
    }

    async fn ficus(&self, args: &[&str]) -> Ran {
        self.stage.ficus(&self.operator, args).await
    }

    /// The command's table.
    async fn table(&self, args: &[&str]) -> Ran {
        self.ficus(&[args, &["--output", "table"]].concat()).await
    }
}

fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap().iter();
    items
        .map(|it| it["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn messages_are_listed_newest_first_by_tenant_campaign_and_state_and_page_by_page() {
    let it = Messages::new().await;
    let (dead, accepted) = (it.ended(End::Dead).await, it.ended(End::Accepted).await);
    let due = accept(it.stage.pool(), ACME, 1).await[0];
    let mut other = message(TenantId(2), "campaign");
    other.campaign = Some(21);
    let other_id = other.id;
    submitter(it.stage.pool())
        .submit(vec![other])
        .await
        .unwrap();

    for (query, expected) in [
        ("", vec![other_id, due, accepted, dead]),
        ("?tenant=acme", vec![due, accepted, dead]),
        ("?tenant=2", vec![other_id]),
        ("?campaign=21", vec![other_id]),
        ("?tenant=acme&campaign=21", vec![]),
        ("?state=due", vec![other_id, due]),
        ("?state=due&tenant=acme", vec![due]),
        ("?state=dead", vec![dead]),
        ("?state=accepted&tenant=acme", vec![accepted]),
        ("?state=failed", vec![]),
        ("?state=failed&tenant=acme", vec![]),
        ("?state=uncertain&tenant=acme", vec![]),
    ] {
        let page = it.get(&format!("{ROUTE}{query}")).await;
        assert_eq!(page.status, StatusCode::OK, "{query}: {}", page.body);
        let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
        assert_eq!(ids(&page.body), expected, "{query}");
    }
    let (mut seen, mut query) = (Vec::new(), "?limit=3".to_owned());
    loop {
        let page = it.get(&format!("{ROUTE}{query}")).await.body;
        seen.extend(ids(&page));
        match page["next"].as_str() {
            Some(next) => query = format!("?limit=3&before={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 4);
    seen.dedup();
    assert_eq!(seen.len(), 4, "each once");
    for (query, status, code) in [
        ("?state=blue", 400, "bad-query"),
        ("?before=1", 400, "bad-query"),
        ("?tenant=nobody", 404, "unknown-tenant"),
    ] {
        let answer = it.get(&format!("{ROUTE}{query}")).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["code"]),
            (status, &json!(code))
        );
    }
}

#[tokio::test]
async fn a_list_has_the_recipient_masked_show_has_it_whole_and_neither_has_the_body() {
    let it = Messages::new().await;
    let mut secret = message(ACME, "secret");
    secret.body = "the words of the message".to_owned();
    let id = secret.id;
    submitter(it.stage.pool())
        .submit(vec![secret])
        .await
        .unwrap();

    let list = it.get(ROUTE).await.body;
    let show = it.get(&format!("{ROUTE}/{id}")).await.body;

    assert_eq!(list["items"][0]["recipient"], "r***@example.test");
    assert_eq!(show["recipient"], "reader@example.test");
    for text in [list.to_string(), show.to_string()] {
        assert!(!text.contains("the words"), "{text}");
    }
    let unknown = it.get(&format!("{ROUTE}/{}", MessageId::new())).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert_eq!(unknown.body["code"], "unknown-message");
}

#[tokio::test]
async fn show_tells_the_whole_story_of_a_message() {
    let it = Messages::new().await;
    let id = it.ended(End::Dead).await.to_string();
    let fresh = it.table(&["message", "show", &id]).await;
    for line in [
        "state       dead",
        "sandbox",
        "queued as 4711",
        "reader@example.test",
    ] {
        assert!(fresh.stdout.contains(line), "{line}: {}", fresh.stdout);
    }
    it.ficus(&["message", "retry", &id, "--reason", "their server is back"])
        .await;
    it.ficus(&["message", "hold", "acme", "--reason", "INC-42"])
        .await;

    let told = it.table(&["message", "show", &id]).await;

    for line in [
        "state       due (held)",
        "next        now: retried",
        "held        tenant 1, since",
        "their server is back",
        "operator",
    ] {
        assert!(told.stdout.contains(line), "{line}: {}", told.stdout);
    }
    let story = it.ficus(&["message", "show", &id]).await.json();
    assert_eq!(story["attempts_made"][0]["number"], 1);
    assert_eq!(story["attempts_made"][0]["end"], "dead");
    assert_eq!(story["operations"][0]["source"], "cli");
    assert_eq!(story["holds"][0]["reason"], "INC-42");
}
