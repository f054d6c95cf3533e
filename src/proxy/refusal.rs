//! What ficus answers itself: a small problem document (RFC 9457) or a small page, by what the client accepts.
//!
//! Its own file, so that every refusal looks the same and carries the request's id.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use pingora::ErrorSource;
use pingora::http::ResponseHeader;
use pingora::prelude::*;
use pingora::proxy::Session;

use super::upstream::journey::{BREAKER_OPEN, NO_UPSTREAM, UPSTREAM_BUSY};

/// Why ficus answers in an upstream's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    BadHost,
    UriTooLong,
    HeadTooLarge,
    BodyTooLarge,
    /// A page of this origin may not ask here.
    OriginNotAllowed,
    /// The route asks for a proof, and none is shown.
    Unauthenticated,
    /// A proof is shown, and does not hold.
    InvalidToken,
    TierNotAllowed,
    /// Authenticated for one tenant, and asks for another.
    OtherTenant,
    /// A proof is shown that cannot be judged now.
    Unjudged,
    RateLimited,
    BadRequest,
    Misdirected,
    RequestTimeout,
    NotReady,
    NoUpstream,
    BreakerOpen,
    UpstreamBusy,
    TenantBusy,
    Overloaded,
    Unreachable,
    BadAnswer,
    UpstreamTimeout,
    Internal,
    MethodRefused,
    CodingRefused,
    VersionRefused,
    Crowded,
    /// A write, and writing is frozen.
    Frozen,
}

impl Refusal {
    /// In the order of their declaration: `ALL[r as usize]` is `r`.
    pub const ALL: [Self; 29] = [
        Self::BadHost,
        Self::UriTooLong,
        Self::HeadTooLarge,
        Self::BodyTooLarge,
        Self::OriginNotAllowed,
        Self::Unauthenticated,
        Self::InvalidToken,
        Self::TierNotAllowed,
        Self::OtherTenant,
        Self::Unjudged,
        Self::RateLimited,
        Self::BadRequest,
        Self::Misdirected,
        Self::RequestTimeout,
        Self::NotReady,
        Self::NoUpstream,
        Self::BreakerOpen,
        Self::UpstreamBusy,
        Self::TenantBusy,
        Self::Overloaded,
        Self::Unreachable,
        Self::BadAnswer,
        Self::UpstreamTimeout,
        Self::Internal,
        Self::MethodRefused,
        Self::CodingRefused,
        Self::VersionRefused,
        Self::Crowded,
        Self::Frozen,
    ];

    /// Causes to answers, in one place. `None`: the client is gone, nobody is there to be told.
    pub fn of(e: &Error) -> Option<Self> {
        let refusal = match (e.esource(), e.etype()) {
            (_, HTTPStatus(413)) => Self::BodyTooLarge,
            (_, CustomCode(NO_UPSTREAM, _)) => Self::NoUpstream,
            (_, CustomCode(BREAKER_OPEN, _)) => Self::BreakerOpen,
            (_, CustomCode(UPSTREAM_BUSY, _)) => Self::UpstreamBusy,
            (
                ErrorSource::Upstream,
                ConnectTimedout | TLSHandshakeTimedout | ReadTimedout | WriteTimedout,
            ) => Self::UpstreamTimeout,
            (ErrorSource::Upstream, InvalidHTTPHeader | InvalidH2 | H1Error | H2Error) => {
                Self::BadAnswer
            }
            (ErrorSource::Upstream, _) | (_, ConnectNoRoute) => Self::Unreachable,
            (ErrorSource::Downstream, ReadTimedout) => Self::RequestTimeout,
            (
                ErrorSource::Downstream,
                ReadError | WriteError | WriteTimedout | ConnectionClosed,
            ) => return None,
            (ErrorSource::Downstream, _) => Self::BadRequest,
            (ErrorSource::Internal | ErrorSource::Unset, _) => Self::Internal,
        };
        Some(refusal)
    }

    pub const fn status(self) -> u16 {
        match self {
            Self::BadHost | Self::BadRequest => 400,
            Self::Unauthenticated | Self::InvalidToken => 401,
            Self::OriginNotAllowed | Self::TierNotAllowed | Self::OtherTenant => 403,
            Self::MethodRefused => 405,
            Self::RequestTimeout => 408,
            Self::BodyTooLarge => 413,
            Self::UriTooLong => 414,
            Self::Misdirected => 421,
            Self::RateLimited => 429,
            Self::HeadTooLarge => 431,
            Self::Internal => 500,
            Self::Unreachable | Self::BadAnswer => 502,
            Self::CodingRefused => 501,
            Self::NotReady
            | Self::Unjudged
            | Self::Crowded
            | Self::Frozen
            | Self::NoUpstream
            | Self::BreakerOpen
            | Self::UpstreamBusy
            | Self::TenantBusy
            | Self::Overloaded => 503,
            Self::UpstreamTimeout => 504,
            Self::VersionRefused => 505,
        }
    }

    /// The label in metrics and in the access log, and the end of the problem's type.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadHost => "bad-host",
            Self::UriTooLong => "uri-too-long",
            Self::HeadTooLarge => "head-too-large",
            Self::BodyTooLarge => "body-too-large",
            Self::OriginNotAllowed => "origin-not-allowed",
            Self::Unauthenticated => "unauthenticated",
            Self::InvalidToken => "invalid-token",
            Self::TierNotAllowed => "tier-not-allowed",
            Self::OtherTenant => "other-tenant",
            Self::Unjudged => "identity-unavailable",
            Self::RateLimited => "rate-limited",
            Self::BadRequest => "bad-request",
            Self::Misdirected => "misdirected",
            Self::RequestTimeout => "request-timeout",
            Self::NotReady => "not-ready",
            Self::NoUpstream => "no-upstream",
            Self::BreakerOpen => "breaker-open",
            Self::UpstreamBusy => "upstream-busy",
            Self::TenantBusy => "tenant-busy",
            Self::Overloaded => "overloaded",
            Self::Unreachable => "unreachable",
            Self::BadAnswer => "bad-answer",
            Self::UpstreamTimeout => "upstream-timeout",
            Self::Internal => "internal",
            Self::MethodRefused => "method-refused",
            Self::CodingRefused => "transfer-coding-unknown",
            Self::VersionRefused => "version-refused",
            Self::Crowded => "too-many-connections",
            Self::Frozen => "frozen",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::BadHost => "The request names no valid host",
            Self::UriTooLong => "The address is too long",
            Self::HeadTooLarge => "The request's header fields are too many or too large",
            Self::BodyTooLarge => "The request's body is too large",
            Self::OriginNotAllowed => "Pages of this origin may not ask here",
            Self::Unauthenticated => "Authentication is required",
            Self::InvalidToken => "The credentials do not hold",
            Self::TierNotAllowed => "The user's tier does not include this",
            Self::OtherTenant => "The credentials are another tenant's",
            Self::Unjudged => "The credentials cannot be judged now",
            Self::RateLimited => "Too many requests",
            Self::BadRequest => "The request cannot be understood",
            Self::Misdirected => "The request is for another host than its connection",
            Self::RequestTimeout => "The request took too long to arrive",
            Self::NotReady => "The service is starting",
            Self::NoUpstream => "Nothing is configured to answer this request",
            Self::BreakerOpen => "The application has trouble and is left to recover",
            Self::UpstreamBusy => "The application has all the requests that it can take",
            Self::TenantBusy => "Your account has too many requests under way",
            Self::Overloaded => "There are too many requests under way",
            Self::Unreachable => "The application cannot be reached",
            Self::BadAnswer => "The application's answer cannot be understood",
            Self::UpstreamTimeout => "The application took too long to answer",
            Self::Internal => "Something went wrong here",
            Self::MethodRefused => "The request's method is not allowed here",
            Self::CodingRefused => "The request's transfer coding is not spoken here",
            Self::VersionRefused => "This version of HTTP is not spoken here",
            Self::Crowded => "There are too many connections at the moment",
            Self::Frozen => "Nothing can be changed for the moment",
        }
    }

    /// Whether the client did nothing wrong with its connection, and may go on with it where no body is left to be read.
    const fn keeps_connection(self) -> bool {
        matches!(
            self,
            Self::OriginNotAllowed
                | Self::Unauthenticated
                | Self::InvalidToken
                | Self::TierNotAllowed
                | Self::OtherTenant
                | Self::Unjudged
                | Self::RateLimited
                | Self::Frozen
        )
    }

    /// How to authenticate (RFC 6750, 3): the error is told only to who has tried.
    const fn challenge(self) -> Option<&'static str> {
        match self {
            Self::Unauthenticated => Some("Bearer"),
            Self::InvalidToken => Some(r#"Bearer error="invalid_token""#),
            _ => None,
        }
    }

    /// Seconds after which it is worth trying again; `known` is what somebody knows better.
    fn retry_after(self, known: Option<Duration>) -> Option<u64> {
        match self {
            Self::NotReady | Self::Unjudged => Some(2),
            Self::NoUpstream => Some(30),
            Self::BreakerOpen | Self::Frozen => {
                Some(known.unwrap_or_default().as_millis().div_ceil(1000).max(1) as u64)
            }
            Self::UpstreamBusy | Self::TenantBusy | Self::Overloaded => Some(1),
            _ => None,
        }
    }
}

/// The status of the answer that the client has got the beginning of, in which no other can follow. A 1xx begins none.
pub fn answered(session: &Session) -> Option<u16> {
    let status = session.response_written()?.status;
    (status == StatusCode::SWITCHING_PROTOCOLS || !status.is_informational())
        .then_some(status.as_u16())
}

/// Writes the refusal; the connection is closed after it where what is left of the request may never come. `dress` puts
/// in what the route promises.
pub async fn refuse(
    session: &mut Session,
    refusal: Refusal,
    request_id: &str,
    retry_after: Option<Duration>,
    dress: impl FnOnce(&mut ResponseHeader, &HeaderMap) -> Result<()>,
) -> Result<()> {
    let as_page = session
        .get_header(header::ACCEPT)
        .and_then(|v| v.to_str().ok())
        .is_some_and(wants_page);
    let body = if as_page {
        page(refusal, request_id)
    } else {
        problem(refusal, request_id)
    };
    let status = refusal.status();
    let mut head = ResponseHeader::build(status, Some(6))?;
    head.insert_header(
        header::CONTENT_TYPE,
        if as_page {
            "text/html; charset=utf-8"
        } else {
            "application/problem+json"
        },
    )?;
    head.insert_header(header::CONTENT_LENGTH, body.len())?;
    head.insert_header(header::CACHE_CONTROL, "no-store")?;
    head.insert_header("x-request-id", request_id)?;
    if let Some(seconds) = refusal.retry_after(retry_after) {
        head.insert_header(header::RETRY_AFTER, seconds)?;
    }
    if let Some(challenge) = refusal.challenge() {
        head.insert_header(header::WWW_AUTHENTICATE, challenge)?;
    }
    dress(&mut head, &session.req_header().headers)?;
    if !refusal.keeps_connection() || !session.is_body_empty() {
        session.set_keepalive(None);
    }
    let body = if session.req_header().method == http::Method::HEAD {
        Bytes::new()
    } else {
        Bytes::from(body)
    };
    session
        .write_response_header(Box::new(head), body.is_empty())
        .await?;
    if !body.is_empty() {
        session.write_response_body(Some(body), true).await?;
    }
    Ok(())
}

/// A browser names text/html before anything else; a program that takes anything gets JSON.
fn wants_page(accept: &str) -> bool {
    let html = accept.find("text/html");
    let json = accept.find("json");
    html.is_some_and(|html| json.is_none_or(|json| html < json))
}

pub(super) fn problem(refusal: Refusal, request_id: &str) -> String {
    // Every part is ours or checked, so nothing needs escaping.
    let (code, title, status) = (refusal.as_str(), refusal.title(), refusal.status());
    format!(
        "{{\"type\":\"urn:ficus:problem:{code}\",\"title\":\"{title}\",\"status\":{status},\"code\":\"{code}\",\"request_id\":\"{request_id}\"}}\n"
    )
}

fn page(refusal: Refusal, request_id: &str) -> String {
    let (status, title) = (refusal.status(), refusal.title());
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>{status} {title}</title>\
         <style>body{{font:1rem/1.5 system-ui,sans-serif;margin:20vh auto;max-width:32rem;padding:0 1rem;color:#222;background:#fff}}\
         code{{color:#666}}@media(prefers-color-scheme:dark){{body{{color:#ddd;background:#111}}}}</style>\
         <h1>{title}</h1><p>If it stays so, tell support this number: <code>{request_id}</code></p></html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_get_a_page_and_programs_a_document() {
        assert!(wants_page(
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
        ));
        for accept in [
            "*/*",
            "application/json",
            "application/json, text/html",
            "application/problem+json",
        ] {
            assert!(!wants_page(accept), "{accept}");
        }
    }

    #[test]
    fn the_refusals_are_numbered_as_they_are_listed() {
        for (place, refusal) in Refusal::ALL.iter().enumerate() {
            assert_eq!(*refusal as usize, place);
        }
    }

    #[test]
    fn a_problem_document_is_json() {
        let text = problem(Refusal::Unreachable, "abc12345");
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(
            (value["status"].as_u64(), value["request_id"].as_str()),
            (Some(502), Some("abc12345"))
        );
    }
}
