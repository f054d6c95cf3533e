//! Spans from acceptance to outcome: in the trace of the request that handed a message in, where that was recorded.
//!
//! Its own file, because the span begins in one request and ends behind a queue, at a collector that is real.

use ficus::config::Config;
use ficus::telemetry::Metrics;
use ficus::telemetry::traces::Tracer;
use reqwest::Method;

use super::bed::{Engine, TENANT, Tables, message};
use crate::support::collector::Collector;
use crate::support::smtp::{MailServer, Script};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn parent(flags: &str) -> String {
    format!("00-{TRACE}-b7ad6b7169203331-{flags}")
}

impl Engine {
    async fn hand_in_traced(&self, to: &str, flags: &str) {
        let headers = [
            ("x-ficus-tenant", TENANT.to_string()),
            ("content-type", "application/json".to_owned()),
            ("traceparent", parent(flags)),
        ];
        let body = message(to).to_string();
        let answer = self
            .service
            .send_body(Method::POST, "/api/v1/messages", &headers, body)
            .await;
        assert_eq!(answer.status(), 202);
    }
}

#[tokio::test]
async fn a_recorded_message_and_a_recorded_campaign_are_spans_of_their_requests_trace() {
    let mut collector = Collector::http().await;
    let text = format!(
        "[telemetry.traces]\nendpoint = \"http://{}\"\nprotocol = \"http\"",
        collector.address
    );
    let config = Config::parse(&text, std::iter::empty()).expect("a configuration");
    let opened = Tracer::open(&config.telemetry.traces, &Metrics::new()).expect("a tracer");
    let (tracer, exporter) = opened.expect("traces are on");
    let stop = tokio_util::sync::CancellationToken::new();
    tokio::spawn(exporter.run(stop.clone()));
    let mail = MailServer::start(Script::default()).await;
    let engine = Engine::traced(Tables::new().await, mail, "", Some(tracer)).await;

    engine.hand_in_traced("unrecorded@example.com", "00").await;
    engine.hand_in_traced("recorded@example.com", "01").await;
    let headers = [
        ("x-ficus-tenant", TENANT.to_string()),
        ("traceparent", parent("01")),
    ];
    let path = "/campaign/send-email/campaign-22/template-21";
    let sent = engine.service.send(Method::GET, path, &headers).await;
    assert_eq!(sent.status(), 202);

    let spans = collector
        .until(|spans| {
            ["message", "campaign"]
                .iter()
                .all(|name| spans.iter().any(|it| it.0.name == *name))
        })
        .await;
    assert_eq!(spans.len(), 2, "{spans:#?}");
    for span in &spans {
        assert_eq!((span.trace().as_str(), span.is_error()), (TRACE, false));
        assert_eq!(span.parent(), "b7ad6b7169203331");
        assert!(span.0.start_time_unix_nano <= span.0.end_time_unix_nano);
        assert_eq!(span.get("ficus.tenant").as_deref(), Some("2"));
        assert!(
            !format!("{span:?}").contains("example"),
            "nobody's address: {span:?}"
        );
    }
    let of = |name: &str| spans.iter().find(|it| it.0.name == name).expect("a span");
    assert_eq!(of("message").get("ficus.end").as_deref(), Some("accepted"));
    assert_eq!(of("campaign").get("ficus.sent").as_deref(), Some("10"));
    stop.cancel();
}
