//! Reads `[telemetry.traces]`: which requests are recorded, and where their spans go.
//!
//! Its own file, because it is read in one place and concerns nothing else that the process tells of itself.

use std::time::Duration;

use super::section::Section;
use super::{address, value};
use crate::ids::TenantRef;
use crate::telemetry::traces::export::read_headers;
use crate::telemetry::traces::{Config, Protocol};

const TENTH: Duration = Duration::from_millis(100);
const MINUTE: Duration = Duration::from_secs(60);

pub fn read(mut section: Section<'_, '_>) -> Option<Config> {
    let endpoint = section.optional("endpoint", address::collector_url);
    let protocol = section.word(
        "protocol",
        &[("grpc", Protocol::Grpc), ("http", Protocol::Http)],
    );
    let headers = section.secret("headers", false, |text| read_headers(text).map(drop));
    let sample = section.text("sample", value::share);
    let tenants = section.list("tenants", |text| {
        text.parse::<TenantRef>()
            .map_err(|_| "expected a tenant's id or slug".to_owned())
    });
    let service_name = section.text("service_name", service_name);
    let timeout = section.duration("timeout", TENTH..=MINUTE);
    let queue = section.count("queue", 1..=1_000_000);
    if let (Some(Some(endpoint)), Some(Protocol::Grpc)) = (&endpoint, protocol)
        && endpoint
            .parse::<http::Uri>()
            .is_ok_and(|uri| uri.path().len() > 1)
    {
        section.fault(
            "endpoint",
            "has a path, which gRPC does not: leave it out, or set protocol = \"http\"",
        );
    }
    section.finish();
    Some(Config {
        endpoint: endpoint?,
        protocol: protocol?,
        headers: headers?,
        sample: sample?,
        tenants: tenants?,
        service_name: service_name?,
        timeout: timeout?,
        queue: usize::try_from(queue?).ok()?,
    })
}

fn service_name(text: &str) -> Result<String, String> {
    let fits = |c: char| !c.is_control();
    if (1..=128).contains(&text.len()) && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("expected a name of 1 to 128 bytes".to_owned())
    }
}
