//! The user whom a session's data says is logged in.
//!
//! Its own file, because each driver wraps the same data differently: `Illuminate\Session\Store` writes
//! `serialize($attributes)`, `EncryptedStore` seals that, and the handlers put base64, JSON or another `serialize` around it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sha1::{Digest, Sha1};

use crate::identity::key::UserKey;
use crate::laravel::envelope::{AppKey, Opener};
use crate::laravel::php::{self, Unreadable, Value};

/// Of one session's data, however it is wrapped: more than a session has any use for, and little to keep for a moment.
pub const DATA_LIMIT: usize = 1024 * 1024;

/// Reads one application's sessions.
pub struct Payload {
    /// `login_web_…`: what `SessionGuard::getName` gives.
    login: Vec<u8>,
    /// `session.encrypt`.
    opener: Option<Opener>,
}

/// What `CookieSessionHandler` writes.
#[derive(Deserialize)]
struct InCookie {
    data: String,
    /// Seconds since 1970.
    expires: i64,
}

impl Payload {
    /// `key` where sessions are encrypted.
    pub fn new(guard: &str, key: Option<&AppKey>) -> Result<Self, String> {
        let class = Sha1::digest(br"Illuminate\Auth\SessionGuard");
        let class: String = class.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self {
            login: format!("login_{guard}_{class}").into_bytes(),
            opener: key.map(Opener::new).transpose()?,
        })
    }

    /// As the file's driver has it. `None`: a guest's. Empty data is a session that has ended.
    pub fn user(&self, data: &[u8]) -> Result<Option<UserKey>, Unreadable> {
        if data.is_empty() {
            return Ok(None);
        }
        if data.len() > DATA_LIMIT {
            return Err(Unreadable);
        }
        let Some(opener) = &self.opener else {
            return self.user_in(data);
        };
        // `encrypt()` serializes what it seals, which is a string already.
        let opened = opener.open_long(data).map_err(|_| Unreadable)?;
        self.user_in(php::text(&opened)?)
    }

    /// As the column `payload` has it: `DatabaseSessionHandler` puts base64 around the data.
    pub fn user_in_row(&self, payload: &str) -> Result<Option<UserKey>, Unreadable> {
        if payload.len() > DATA_LIMIT {
            return Err(Unreadable);
        }
        self.user(&STANDARD.decode(payload).map_err(|_| Unreadable)?)
    }

    /// As Redis has it: the cache's store serializes the data once more.
    pub fn user_in_cache(&self, value: &[u8]) -> Result<Option<UserKey>, Unreadable> {
        self.user(php::text(value)?)
    }

    /// As the second cookie has it, at `now` in seconds since 1970.
    pub fn user_in_cookie(&self, json: &[u8], now: i64) -> Result<Option<UserKey>, Unreadable> {
        let cookie: InCookie = serde_json::from_slice(json).map_err(|_| Unreadable)?;
        if now > cookie.expires {
            return Ok(None);
        }
        self.user(cookie.data.as_bytes())
    }

    fn user_in(&self, array: &[u8]) -> Result<Option<UserKey>, Unreadable> {
        match php::find(array, &self.login)? {
            Some(Value::Int(id)) => Ok(UserKey::parse(id.to_string().as_bytes())),
            Some(Value::Text(id)) => UserKey::parse(id).map(Some).ok_or(Unreadable),
            Some(Value::Other) | None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::laravel::envelope::tests::{key, seal};

    const LOGIN: &str = "login_web_59ba36addc2b2f9401580f014c7f58ea4e30989d";

    fn session(user: &str) -> String {
        format!("a:2:{{s:6:\"_token\";s:2:\"ab\";s:50:\"{LOGIN}\";{user}}}")
    }

    fn plain() -> Payload {
        Payload::new("web", None).unwrap()
    }

    fn sealed() -> Payload {
        Payload::new("web", Some(&key())).unwrap()
    }

    fn serialize(text: &str) -> String {
        format!("s:{}:\"{text}\";", text.len())
    }

    fn id(found: Result<Option<UserKey>, Unreadable>) -> Result<Option<String>, Unreadable> {
        found.map(|user| user.map(|user| user.reveal().to_owned()))
    }

    #[test]
    fn a_number_and_the_same_number_as_text_are_one_user() {
        for user in ["i:42;", "s:2:\"42\";"] {
            let found = id(plain().user(session(user).as_bytes()));
            assert_eq!(found, Ok(Some("42".to_owned())));
        }
    }

    #[test]
    fn another_guards_user_is_not_this_ones() {
        let admin = Payload::new("admin", None).unwrap();
        assert_eq!(id(admin.user(session("i:42;").as_bytes())), Ok(None));
    }

    #[test]
    fn nobody_is_logged_in_where_the_entry_is_no_id() {
        assert_eq!(id(plain().user(session("N;").as_bytes())), Ok(None));
        assert_eq!(id(plain().user(b"")), Ok(None));
        assert_eq!(
            id(plain().user(session("s:3:\"a b\";").as_bytes())),
            Err(Unreadable)
        );
    }

    #[test]
    fn each_driver_unwraps_its_own() {
        let data = session("i:7;");
        let user = Ok(Some("7".to_owned()));
        assert_eq!(id(plain().user_in_row(&STANDARD.encode(&data))), user);
        assert_eq!(id(plain().user_in_cache(serialize(&data).as_bytes())), user);
        let cookie = serde_json::json!({ "data": data, "expires": 100 }).to_string();
        assert_eq!(id(plain().user_in_cookie(cookie.as_bytes(), 100)), user);
        assert_eq!(id(plain().user_in_cookie(cookie.as_bytes(), 101)), Ok(None));
        // One wrapping taken for another names nobody.
        assert_eq!(id(plain().user_in_row(&data)), Err(Unreadable));
        assert_eq!(id(plain().user_in_cache(data.as_bytes())), Err(Unreadable));
        assert_eq!(id(plain().user(cookie.as_bytes())), Err(Unreadable));
    }

    #[test]
    fn encrypted_data_is_opened_and_plain_data_is_then_refused() {
        let data = session("i:7;");
        let encrypted = seal(serialize(&data).as_bytes());
        assert_eq!(
            id(sealed().user(encrypted.as_bytes())),
            Ok(Some("7".to_owned()))
        );
        assert_eq!(id(sealed().user(data.as_bytes())), Err(Unreadable));
        assert_eq!(id(plain().user(encrypted.as_bytes())), Err(Unreadable));
    }

    #[test]
    fn data_beyond_the_limit_is_not_looked_at() {
        let mut data = session("i:7;");
        data.push_str(&" ".repeat(DATA_LIMIT));
        assert_eq!(id(plain().user(data.as_bytes())), Err(Unreadable));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), text in ".{0,80}") {
            let _ = (plain().user(&bytes), plain().user_in_cache(&bytes), plain().user_in_cookie(&bytes, 0));
            let _ = (plain().user_in_row(&text), sealed().user(&bytes));
        }
    }
}
