//! How often a token may ask: a bucket each, on this process.
//!
//! Its own file, because it knows nothing of what is asked.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use moka::sync::Cache;

/// Evaluations a second of one token on one process, and as many at once.
const RATE: f64 = 1000.0;
/// Tokens whose rate is kept.
const MAX_TOKENS: u64 = 10_000;

/// How much each token has left.
#[derive(Clone)]
pub(in crate::control) struct Rates(Cache<String, Arc<Mutex<Bucket>>>);

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Default for Rates {
    fn default() -> Self {
        Self(
            Cache::builder()
                .max_capacity(MAX_TOKENS)
                .time_to_idle(Duration::from_secs(60))
                .build(),
        )
    }
}

impl Rates {
    /// `None`: go on. Otherwise 429 and when to come again.
    pub(super) fn refuse(&self, token: &str, now: Instant) -> Option<Response> {
        let bucket = self.0.get_with_by_ref(token, || {
            Arc::new(Mutex::new(Bucket {
                left: RATE,
                at: now,
            }))
        });
        let wait = bucket
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(now)?;
        let mut answer = StatusCode::TOO_MANY_REQUESTS.into_response();
        answer
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
        Some(answer)
    }
}

impl Bucket {
    /// `None`: one was taken. Otherwise how long there is none.
    fn take(&mut self, now: Instant) -> Option<Duration> {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        (self.left, self.at) = ((self.left + since * RATE).min(RATE), now);
        if self.left >= 1.0 {
            self.left -= 1.0;
            return None;
        }
        Some(Duration::from_secs_f64((1.0 - self.left) / RATE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_asks_too_often_is_told_when_to_come_again() {
        let (rates, start) = (Rates::default(), Instant::now());
        let refused = (0..1001).filter_map(|_| rates.refuse("app", start)).count();
        assert_eq!(refused, 1);
        assert_eq!(
            rates.refuse("app", start).unwrap().headers()[RETRY_AFTER],
            "1"
        );
        assert!(
            rates.refuse("other", start).is_none(),
            "each token has a rate of its own"
        );
        assert!(
            rates
                .refuse("app", start + Duration::from_millis(2))
                .is_none()
        );
    }
}
