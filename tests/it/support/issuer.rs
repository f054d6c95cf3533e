//! An issuer of tokens: its keys, and a server of keys that can be told to misbehave.
//!
//! Its own file, because every test of tokens needs one.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents};

use super::process::upstream;

pub const RSA_PEM: &str = include_str!("../../fixtures/jwt/rsa.pem");
pub const OTHER_PEM: &str = include_str!("../../fixtures/jwt/rsa-other.pem");

/// Which of the two keys.
#[derive(Clone, Copy)]
pub enum Signer {
    Rsa,
    Other,
}

impl Signer {
    fn pair(self) -> RsaKeyPair {
        let bytes: &[u8] = match self {
            Self::Rsa => include_bytes!("../../fixtures/jwt/rsa.pkcs8"),
            Self::Other => include_bytes!("../../fixtures/jwt/rsa-other.pkcs8"),
        };
        RsaKeyPair::from_pkcs8(bytes).expect("a key")
    }

    /// A token with these claims and an `exp` in an hour.
    pub fn token(self, kid: Option<&str>, claims: &str) -> String {
        self.token_until(kid, claims, now() + 3600)
    }

    pub fn token_until(self, kid: Option<&str>, claims: &str, exp: u64) -> String {
        let kid = kid.map_or(String::new(), |kid| format!(r#","kid":"{kid}""#));
        let header = format!(r#"{{"alg":"RS256","typ":"JWT"{kid}}}"#);
        let payload = format!(r#"{{{claims},"exp":{exp}}}"#);
        let encode = |text: &[u8]| URL_SAFE_NO_PAD.encode(text);
        let signed = format!(
            "{}.{}",
            encode(header.as_bytes()),
            encode(payload.as_bytes())
        );
        let pair = self.pair();
        let mut signature = vec![0; pair.public().modulus_len()];
        let random = SystemRandom::new();
        pair.sign(
            &RSA_PKCS1_SHA256,
            &random,
            signed.as_bytes(),
            &mut signature,
        )
        .expect("signed");
        format!("{signed}.{}", encode(&signature))
    }

    pub fn jwk(self, kid: &str) -> String {
        let parts = RsaPublicKeyComponents::<Vec<u8>>::from(self.pair().public());
        let (n, e) = (
            URL_SAFE_NO_PAD.encode(&parts.n),
            URL_SAFE_NO_PAD.encode(&parts.e),
        );
        format!(r#"{{"kty":"RSA","kid":"{kid}","use":"sig","n":"{n}","e":"{e}"}}"#)
    }
}

pub fn jwks(keys: &[String]) -> String {
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}

pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs()
}

/// What the server of keys does next.
#[derive(Clone)]
pub enum Mood {
    Serve(String),
    Fail,
    Hang,
    /// Sends for ever.
    Flood,
    Redirect(String),
}

/// A server of keys.
#[derive(Clone)]
pub struct KeyServer {
    pub address: SocketAddr,
    mood: Arc<Mutex<Mood>>,
    asked: Arc<AtomicU64>,
}

impl KeyServer {
    pub async fn start(mood: Mood) -> Self {
        let mood = Arc::new(Mutex::new(mood));
        let asked = Arc::new(AtomicU64::new(0));
        let (its, count) = (Arc::clone(&mood), Arc::clone(&asked));
        let address = upstream(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            let mood = its.lock().expect("the mood").clone();
            async move { answer(mood).await }
        })
        .await;
        Self {
            address,
            mood,
            asked,
        }
    }

    pub fn set(&self, mood: Mood) {
        *self.mood.lock().expect("the mood") = mood;
    }

    /// Times that it was asked.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    pub fn url(&self) -> String {
        format!("http://{}/api/auth/public-key", self.address)
    }

    /// A `[[tenant]]` entry that asks it.
    pub fn entry(&self, more: &str) -> String {
        format!(
            "\n[[tenant]]\nresolver = \"jwt\"\nalgorithm = \"RS256\"\nkey_url = \"{}\"\n{more}\n",
            self.url()
        )
    }
}

async fn answer(mood: Mood) -> Response {
    match mood {
        Mood::Serve(document) => document.into_response(),
        Mood::Fail => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Mood::Hang => std::future::pending().await,
        Mood::Flood => {
            let chunk =
                || Ok::<_, std::convert::Infallible>(axum::body::Bytes::from(vec![b' '; 65_536]));
            let forever = futures_util::stream::repeat_with(chunk);
            axum::body::Body::from_stream(forever).into_response()
        }
        Mood::Redirect(to) => Redirect::temporary(&to).into_response(),
    }
}
