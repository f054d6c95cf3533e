//! The four vendors of texts as they answer: who logs in well and asks for something that can be sent is told yes in the vendor's own form, and
//! what a test has scripted for a number goes wrong as it goes wrong there.
//!
//! Its own folder, because none of them can be reached from here, and a test of texts is worth as much as the vendors that it is held against.

mod answer;
pub mod sign;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use tokio::net::TcpListener;

pub use sign::{APP_KEY, seal};

/// What all accounts log in with.
pub const SECRET: &str = "the-secret";
pub const TWILIO_ID: &str = "AC00000000000000000000000000000000";
pub const VONAGE_KEY: &str = "abcd1234";
pub const PLIVO_ID: &str = "MAXXXXXXXXXXXXXXXXXX";
pub const INFOBIP_KEY: &str = "0123456789abcdef-01234567";

/// What a vendor does with a message to a number in place of taking it.
#[derive(Clone, Debug)]
pub enum Trouble {
    /// Refuses it with this status and body.
    Say(u16, String),
    /// 429, with the seconds of Retry-After.
    Throttled(u64),
    /// Takes it, and answers this.
    TakenAnd(u16, String),
    /// Takes it, and half of the answer arrives.
    TakenAndHalf,
    /// Takes it, and never answers.
    TakenAndSilent,
    /// Takes it, and answers after a while.
    TakenLate(Duration),
}

/// A message that a vendor has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub vendor: &'static str,
    pub to: String,
    pub from: String,
    pub text: String,
    /// Where its reports are to go.
    pub callback: Option<String>,
    /// Ours, where the vendor is told one.
    pub ours: Option<String>,
    /// What the vendor calls it: of its first part.
    pub reference: String,
}

#[derive(Clone, Default)]
pub struct SmsVendors(Arc<Mutex<Seen>>);

#[derive(Default)]
pub struct Seen {
    pub taken: Vec<Taken>,
    /// Requests, taken or not.
    pub asked: usize,
    pub connections: BTreeSet<SocketAddr>,
    /// By the last digits of a number.
    trouble: BTreeMap<String, VecDeque<Trouble>>,
    /// Nobody's login is good.
    pub refuses_logins: bool,
}

impl SmsVendors {
    pub async fn start() -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        (Self::serve(listener), address)
    }

    pub async fn listen(address: SocketAddr) -> Self {
        Self::serve(TcpListener::bind(address).await.expect("the port"))
    }

    fn serve(listener: TcpListener) -> Self {
        let vendors = Self::default();
        let router = Router::new().fallback(take).with_state(vendors.clone());
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        vendors
    }

    /// What happens, in turn, to messages whose number ends with this.
    pub fn will(&self, number: &str, trouble: impl IntoIterator<Item = Trouble>) {
        let mut seen = self.seen();
        let queue = seen.trouble.entry(number.to_owned()).or_default();
        queue.extend(trouble);
    }

    pub fn refuse_logins(&self, refuse: bool) {
        self.seen().refuses_logins = refuse;
    }

    pub fn taken(&self) -> Vec<Taken> {
        self.seen().taken.clone()
    }

    /// The one message that went to a number that ends with this.
    pub fn taken_by(&self, number: &str) -> Taken {
        let taken = self.taken();
        let found: Vec<_> = taken.iter().filter(|it| it.to.ends_with(number)).collect();
        assert_eq!(found.len(), 1, "{number}: {taken:?}");
        found[0].clone()
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().expect("nobody panics under it")
    }

    fn next(&self, to: &str) -> Option<Trouble> {
        let mut seen = self.seen();
        let mut found = seen
            .trouble
            .iter_mut()
            .filter(|(end, _)| to.ends_with(*end));
        found.find_map(|(_, queue)| queue.pop_front())
    }

    fn take(&self, message: Taken) {
        self.seen().taken.push(message);
    }
}

async fn take(
    State(vendors): State<SmsVendors>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let refuses = {
        let mut seen = vendors.seen();
        seen.asked += 1;
        seen.connections.insert(peer);
        seen.refuses_logins
    };
    let (message, yes) = match answer::read(uri.path(), &headers, &body, refuses) {
        Ok(read) => read,
        Err((status, said)) => return say(status, said),
    };
    match vendors.next(&message.to) {
        None => {
            vendors.take(message);
            say(yes.0, yes.1)
        }
        Some(Trouble::Say(status, said)) => say(status, said),
        Some(Trouble::Throttled(seconds)) => {
            let wait = [("retry-after", seconds.to_string())];
            (status(429), wait, "{}").into_response()
        }
        Some(Trouble::TakenAnd(status, said)) => {
            vendors.take(message);
            say(status, said)
        }
        Some(Trouble::TakenAndHalf) => {
            vendors.take(message);
            let half = yes.1[..yes.1.len() / 2].to_owned();
            let half = stream::once(async { Ok(half) });
            // The half is written before the end is known.
            let end = stream::once(async {
                tokio::task::yield_now().await;
                Err(std::io::Error::other("cut"))
            });
            let body = Body::from_stream(half.chain(end));
            (status(yes.0), body).into_response()
        }
        Some(Trouble::TakenAndSilent) => {
            vendors.take(message);
            std::future::pending().await
        }
        Some(Trouble::TakenLate(after)) => {
            vendors.take(message);
            tokio::time::sleep(after).await;
            say(yes.0, yes.1)
        }
    }
}

fn status(code: u16) -> axum::http::StatusCode {
    axum::http::StatusCode::from_u16(code).expect("a status")
}

fn say(code: u16, said: String) -> Response {
    (status(code), [("content-type", "application/json")], said).into_response()
}
