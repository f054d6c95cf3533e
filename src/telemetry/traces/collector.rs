//! How the collector is spoken to: as `[telemetry.traces]` says, whatever the environment does.
//!
//! Its own file, because OTLP's own client takes `OTEL_EXPORTER_OTLP_*` from the environment behind its caller's back: headers
//! from there replace ours, and a protocol from there ends the start (adr 0170).

use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::tonic_types::metadata::MetadataMap;
use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{
    Protocol as OtlpProtocol, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
};

use super::export::read_headers;
use super::{Config, Protocol};

/// Prepared; it connects when there is something to send.
pub fn open(config: &Config, endpoint: &str) -> anyhow::Result<SpanExporter> {
    let headers = read_headers(config.headers.reveal());
    let headers =
        headers.map_err(|problem| anyhow::anyhow!("telemetry.traces.headers: {problem}"))?;
    let collector = match config.protocol {
        Protocol::Grpc => {
            let collector = SpanExporter::builder()
                .with_tonic()
                .with_endpoint(endpoint)
                .with_protocol(OtlpProtocol::Grpc)
                .with_timeout(config.timeout)
                .with_interceptor(OurHeaders(MetadataMap::from_headers(headers)));
            match endpoint.starts_with("https:") {
                true => collector.with_tls_config(ClientTlsConfig::new().with_enabled_roots()),
                false => collector,
            }
            .build()
        }
        Protocol::Http => SpanExporter::builder()
            .with_http()
            .with_endpoint(traces_url(endpoint))
            .with_protocol(OtlpProtocol::HttpBinary)
            .with_timeout(config.timeout)
            .with_http_client(OurClient::new(headers, config.timeout)?)
            .build(),
    };
    collector.context("telemetry.traces: preparing the exporter")
}

/// Those of `names` that speak to OpenTelemetry's libraries, in order. None of them means anything here.
pub fn ignored(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.filter(|name| name.starts_with("OTEL_")).collect();
    names.sort();
    names
}

/// In place of all headers that the exporter has put together.
#[derive(Clone)]
struct OurHeaders(MetadataMap);

impl tonic::service::Interceptor for OurHeaders {
    fn call(
        &mut self,
        mut request: tonic::Request<()>,
    ) -> Result<tonic::Request<()>, tonic::Status> {
        request.metadata_mut().clone_from(&self.0);
        Ok(request)
    }
}

/// The same over HTTP.
#[derive(Debug)]
struct OurClient {
    client: reqwest::Client,
    headers: HeaderMap,
}

impl OurClient {
    fn new(headers: HeaderMap, timeout: Duration) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().timeout(timeout).build();
        Ok(Self {
            client: client.context("telemetry.traces: preparing the client")?,
            headers,
        })
    }
}

#[async_trait]
impl HttpClient for OurClient {
    async fn send_bytes(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let kind = request.headers_mut().remove(CONTENT_TYPE);
        request.headers_mut().clone_from(&self.headers);
        if let Some(kind) = kind {
            request.headers_mut().insert(CONTENT_TYPE, kind);
        }
        self.client.send_bytes(request).await
    }
}

/// OTLP over HTTP has a path of its own, which nobody should have to remember.
fn traces_url(endpoint: &str) -> String {
    let path = endpoint.parse::<http::Uri>();
    match path.is_ok_and(|uri| uri.path().len() > 1) {
        true => endpoint.to_owned(),
        false => format!("{}/v1/traces", endpoint.trim_end_matches('/')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_a_path_gets_the_one_of_otlp() {
        for (given, expected) in [
            ("http://a:4318", "http://a:4318/v1/traces"),
            ("http://a:4318/", "http://a:4318/v1/traces"),
            ("https://a/otlp/v1/traces", "https://a/otlp/v1/traces"),
        ] {
            assert_eq!(traces_url(given), expected);
        }
    }

    #[test]
    fn what_speaks_to_opentelemetrys_libraries_is_named() {
        let names = [
            "PATH",
            "OTEL_SERVICE_NAME",
            "OTEL_EXPORTER_OTLP_HEADERS",
            "HOTEL_X",
        ];
        let found = ignored(names.into_iter().map(str::to_owned));
        assert_eq!(found, ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_SERVICE_NAME"]);
    }
}
