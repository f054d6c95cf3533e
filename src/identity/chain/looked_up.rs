//! The proofs that a store has to be asked about: sessions, tokens, keys.
//!
//! Its own file, because they differ in what is read out of the head and agree in everything after it.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::runtime::Handle;

use super::step::{Answer, Due};
use super::weigh::Claim;
use crate::identity::answers::{self, Answers, Lookup, Owner, Recall, Terms};
use crate::identity::laravel::SessionCookie;
use crate::identity::laravel::payload::Payload;
use crate::identity::token::{Presented, api_key, api_token, sanctum};
use crate::identity::{Driver, Facts, Key, LaravelSession, Named, Resolver, Unresolved};
use crate::laravel::envelope::AppKey;

pub struct LookedUp {
    reader: Reader,
    answers: Answers,
}

/// Where in the head the proof is.
enum Reader {
    Session(SessionCookie),
    /// The session is in the cookies as a whole: what is looked up is its user.
    SessionInCookies(SessionCookie, Box<Payload>),
    Sanctum,
    ApiToken {
        input_key: String,
        is_hashed: bool,
    },
    ApiKey {
        header: http::HeaderName,
        is_own: bool,
    },
}

impl LookedUp {
    /// The error is a sentence that names the key of the configuration.
    pub fn new(
        resolver: &Resolver,
        runtime: &Handle,
        lookup: &mut impl FnMut(&Resolver) -> anyhow::Result<Lookup>,
    ) -> Result<Self, String> {
        let (reader, memory, unknown) = match resolver {
            Resolver::LaravelSession(session) => (
                read_session(session)?,
                session.memory,
                Unresolved::UnknownSession,
            ),
            Resolver::Sanctum(it) => (Reader::Sanctum, it.memory, Unresolved::UnknownToken),
            Resolver::ApiToken(it) => {
                let reader = Reader::ApiToken {
                    input_key: it.input_key.clone(),
                    is_hashed: it.is_hashed,
                };
                (reader, it.memory, Unresolved::UnknownToken)
            }
            Resolver::ApiKey(it) => {
                let reader = Reader::ApiKey {
                    header: it.header.clone(),
                    is_own: it.query.is_empty(),
                };
                (reader, it.memory, Unresolved::UnknownToken)
            }
            _ => return Err("there is nothing to look up".to_owned()),
        };
        let terms = Terms {
            ttl: memory.ttl,
            lifetime: memory.lifetime,
            size: memory.size,
            unknown,
        };
        let lookup = lookup(resolver).map_err(|error| format!("{error:#}"))?;
        Ok(Self {
            reader,
            answers: Answers::new(lookup, terms, runtime.clone()),
        })
    }

    /// As `[[tenant]]` calls it.
    pub fn source(&self) -> &'static str {
        match self.reader {
            Reader::Session(_) | Reader::SessionInCookies(..) => "laravel_session",
            Reader::Sanctum => "sanctum",
            Reader::ApiToken { .. } => "api_token",
            Reader::ApiKey { .. } => "api_key",
        }
    }

    /// Only a browser sends its proof unasked.
    pub fn is_ambient(&self) -> bool {
        self.source() == "laravel_session"
    }

    /// What is remembered; else what has to be awaited.
    pub fn ask<'a>(&self, facts: &Facts<'a>) -> Answer<'a> {
        let presented = match self.read(facts) {
            Ok(presented) => presented,
            Err(refused) => return Answer::Now(Err(refused)),
        };
        match self
            .answers
            .recall(presented.key, presented.text.as_deref())
        {
            Recall::Known(answer) => Answer::Now(answer.map(claim)),
            Recall::Due(due) => Answer::Due(Due::LookedUp(due)),
        }
    }

    pub async fn wait<'a>(&self, due: answers::Due) -> Result<Claim<'a>, Unresolved> {
        self.answers.wait(due).await.map(claim)
    }

    fn read<'a>(&self, facts: &Facts<'a>) -> Result<Presented<'a>, Unresolved> {
        Ok(match &self.reader {
            Reader::Session(cookie) => Key::Session(cookie.session_id(facts.headers)?).into(),
            Reader::SessionInCookies(cookie, payload) => {
                let id = cookie.session_id(facts.headers)?;
                let data = cookie.data(facts.headers, &id)?;
                let user = payload.user_in_cookie(&data, unix_now());
                let user = user.map_err(|_| Unresolved::Malformed)?;
                Key::User(user.ok_or(Unresolved::UnknownSession)?).into()
            }
            Reader::Sanctum => sanctum::read(facts.headers)?.into(),
            Reader::ApiToken {
                input_key,
                is_hashed,
            } => api_token::read(facts.headers, facts.target, input_key, *is_hashed)?,
            Reader::ApiKey { header, is_own } => {
                api_key::read(facts.headers, header, *is_own)?.into()
            }
        })
    }
}

fn read_session(session: &LaravelSession) -> Result<Reader, String> {
    let key = AppKey::parse(&session.app_key, session.cipher)?;
    let cookie = SessionCookie::new(&session.cookie, &key)?;
    Ok(match session.driver {
        Driver::Cookie => {
            let payload = Payload::new(&session.guard, session.encrypt.then_some(&key))?;
            Reader::SessionInCookies(cookie, Box::new(payload))
        }
        _ => Reader::Session(cookie),
    })
}

fn claim<'a>(owner: Owner) -> Claim<'a> {
    Claim {
        tenant: owner.tenant.map(Named::Id),
        user: owner.user,
    }
}

/// A clock before 1970 ends every session that is in a cookie.
fn unix_now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(i64::MAX, |now| now.as_secs() as i64)
}
