//! A door before the modern dashboard that can be made to fail: for one tenant, for everybody, or by being gone.
//!
//! Its own file, because what is broken on purpose must be mended as surely.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::runtime::{Builder, Runtime};

use crate::support::process::{client, free_ports};

/// Beyond the guard's limit of half a second, below the proxy's patience.
const SLOW: Duration = Duration::from_secs(3);

#[derive(Clone, PartialEq)]
pub enum Mood {
    Well,
    /// 500 to this tenant.
    FailsFor(&'static str),
    Slow,
}

struct Shared {
    mood: Mutex<Mood>,
    behind: OnceLock<SocketAddr>,
    client: reqwest::Client,
}

pub struct Front {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    /// Its connections live and die with it, as a process's would. `None`: it is dead.
    runtime: Option<Runtime>,
}

impl Front {
    pub fn start() -> Self {
        let [address] = free_ports();
        let mut front = Self {
            address,
            shared: Arc::new(Shared {
                mood: Mutex::new(Mood::Well),
                behind: OnceLock::new(),
                client: client(),
            }),
            runtime: None,
        };
        front.revive();
        front
    }

    /// Says whom it stands before.
    pub fn leads_to(&self, behind: SocketAddr) {
        self.shared.behind.set(behind).expect("said once");
    }

    pub fn be(&self, mood: Mood) {
        *self.shared.mood.lock().expect("nobody panics with it") = mood;
    }

    /// Every connection breaks, and none can be made.
    pub fn die(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    pub fn revive(&mut self) {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = std::net::TcpListener::bind(self.address).expect("its port");
        listener.set_nonblocking(true).expect("a socket");
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&self.shared));
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
            axum::serve(listener, router).await.expect("serves");
        });
        self.runtime = Some(runtime);
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.die();
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let mood = shared.mood.lock().expect("nobody panics with it").clone();
    match mood {
        Mood::FailsFor(tenant) => {
            let asks = request.headers().get("x-ficus-tenant");
            if asks.is_some_and(|it| it.as_bytes() == tenant.as_bytes()) {
                return StatusCode::INTERNAL_SERVER_ERROR.into_response();
            }
        }
        Mood::Slow => tokio::time::sleep(SLOW).await,
        Mood::Well => {}
    }
    let behind = shared.behind.get().expect("it is said before anybody asks");
    let (head, _) = request.into_parts();
    let target = head.uri.path_and_query().map_or("/", |it| it.as_str());
    let asked = shared
        .client
        .request(head.method, format!("http://{behind}{target}"));
    let answer = asked
        .headers(head.headers)
        .send()
        .await
        .expect("the dashboard answers");
    let (status, headers) = (answer.status(), answer.headers().clone());
    let body = answer.bytes().await.expect("a body");
    (status, headers, body).into_response()
}
