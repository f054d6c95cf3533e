//! A trace collector: takes OTLP over gRPC and over HTTP, as real ones do, and tells what it was sent.
//!
//! Its own file, because it reads the wire with OTLP's own types and servers, and none of ours.

use std::net::SocketAddr;

use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span as Sent;
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::process::PATIENCE;

/// More than any test sends.
const BATCHES: usize = 1024;

pub struct Collector {
    pub address: SocketAddr,
    batches: mpsc::Receiver<Batch>,
    seen: Vec<Span>,
    /// Of the latest batch.
    pub headers: HeaderMap,
    /// `service.name` of the latest batch.
    pub service: Option<String>,
}

struct Batch {
    headers: HeaderMap,
    request: ExportTraceServiceRequest,
}

/// A span, and what its attributes say.
#[derive(Clone, Debug)]
pub struct Span(pub Sent);

impl Span {
    /// The attribute as text; numbers and truths too.
    pub fn get(&self, key: &str) -> Option<String> {
        value(&self.0.attributes, key)
    }

    pub fn keys(&self) -> Vec<&str> {
        self.0.attributes.iter().map(|it| &*it.key).collect()
    }

    pub fn trace(&self) -> String {
        hex(&self.0.trace_id)
    }

    pub fn id(&self) -> String {
        hex(&self.0.span_id)
    }

    /// Empty for one that has none.
    pub fn parent(&self) -> String {
        hex(&self.0.parent_span_id).replace("0000000000000000", "")
    }

    pub fn is_error(&self) -> bool {
        self.0
            .status
            .as_ref()
            .is_some_and(|status| status.code == 2)
    }
}

impl Collector {
    pub async fn http() -> Self {
        let (told, batches) = mpsc::channel(BATCHES);
        let take = move |headers: HeaderMap, body: Bytes| {
            let told = told.clone();
            async move {
                assert_eq!(headers["content-type"], "application/x-protobuf");
                let batch = Batch {
                    headers,
                    request: ExportTraceServiceRequest::decode(body).expect("OTLP"),
                };
                told.send(batch).await.expect("the test listens");
                StatusCode::OK
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let router = Router::new().route("/v1/traces", post(take));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self::at(address, batches)
    }

    pub async fn grpc() -> Self {
        let (told, batches) = mpsc::channel(BATCHES);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let server = Server::builder().add_service(TraceServiceServer::new(Grpc(told)));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        Self::at(address, batches)
    }

    fn at(address: SocketAddr, batches: mpsc::Receiver<Batch>) -> Self {
        Self {
            address,
            batches,
            seen: Vec::new(),
            headers: HeaderMap::new(),
            service: None,
        }
    }

    /// All spans so far, when `enough` of them are there.
    pub async fn until(&mut self, enough: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        while !enough(&self.seen) {
            let batch = timeout(PATIENCE, self.batches.recv()).await;
            let batch = batch.unwrap_or_else(|_| panic!("not enough spans: {:#?}", self.seen));
            let batch = batch.expect("the collector runs");
            self.headers = batch.headers;
            for of_resource in batch.request.resource_spans {
                let resource = of_resource.resource.unwrap_or_default();
                self.service = value(&resource.attributes, "service.name");
                let scopes = of_resource.scope_spans.into_iter();
                self.seen
                    .extend(scopes.flat_map(|scope| scope.spans).map(Span));
            }
        }
        self.seen.clone()
    }

    /// All spans so far, when those of `count` requests are there.
    pub async fn requests(&mut self, count: usize) -> Vec<Span> {
        self.until(|spans| spans.iter().filter(|span| span.0.kind == 2).count() >= count)
            .await
    }
}

struct Grpc(mpsc::Sender<Batch>);

#[async_trait]
impl TraceService for Grpc {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let batch = Batch {
            headers: request.metadata().clone().into_headers(),
            request: request.into_inner(),
        };
        self.0.send(batch).await.expect("the test listens");
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn value(attributes: &[KeyValue], key: &str) -> Option<String> {
    let mut found = attributes.iter().filter(|it| it.key == key);
    let value = found.next()?.value.as_ref()?.value.as_ref()?;
    assert!(found.next().is_none(), "{key} is there twice");
    Some(match value {
        any_value::Value::StringValue(text) => text.clone(),
        any_value::Value::IntValue(number) => number.to_string(),
        any_value::Value::BoolValue(truth) => truth.to_string(),
        other => format!("{other:?}"),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
