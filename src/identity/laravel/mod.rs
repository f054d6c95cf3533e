//! A Laravel session's id, from the encrypted cookie that the browser sends anyway.
//!
//! Its own folder, because this is the one resolver with a key. The cookie's MAC proves that the legacy application
//! issued the id; whether the session is still alive, and whose it is, a store says ([`super::answers`]).

use std::fmt;

use hmac::{Hmac, Mac};
use http::HeaderMap;
use sha1::Sha1;
use subtle::ConstantTimeEq;

use super::Unresolved;
use crate::laravel::Unopened;
use crate::laravel::envelope::{AppKey, OPENED_LIMIT, Opener, write_hex};

pub mod cookie;
pub mod payload;

const ID_LENGTH: usize = 40;
const PREFIX_LENGTH: usize = 41;

/// Whoever knows it is that user: it prints as `***`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId([u8; ID_LENGTH]);

impl SessionId {
    /// Exactly 40 ASCII letters and digits, as `Illuminate\Session\Store::isValidId` has it.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let bytes: [u8; ID_LENGTH] = text.try_into().ok()?;
        bytes
            .iter()
            .all(u8::is_ascii_alphanumeric)
            .then_some(Self(bytes))
    }

    /// The text itself, for the query's parameter.
    pub fn reveal(&self) -> &str {
        // ASCII by construction; the empty text would find no session.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Reads one application's session cookie.
pub struct SessionCookie {
    name: String,
    /// What Laravel puts before the value, so that one cookie's text is nothing in another's place.
    prefix: [u8; PREFIX_LENGTH],
    names: Hmac<Sha1>,
    opener: Opener,
}

impl SessionCookie {
    /// The error is a sentence that names the key of the configuration.
    pub fn new(name: &str, key: &AppKey) -> Result<Self, String> {
        let is_name_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if name.is_empty() || !name.bytes().all(is_name_byte) {
            return Err(format!(
                "cookie {name:?} is no cookie's name: expected letters, digits, '_' and '-', such as \"laravel_session\""
            ));
        }
        let names = <Hmac<Sha1> as Mac>::new(&key.mac_block().into());
        Ok(Self {
            name: name.to_owned(),
            prefix: prefix(name, &names),
            names,
            opener: Opener::new(key)?,
        })
    }

    pub fn session_id(&self, headers: &HeaderMap) -> Result<SessionId, Unresolved> {
        let value = cookie::find(headers, &self.name)
            .filter(|value| !value.is_empty())
            .ok_or(Unresolved::NoProof)?;
        let mut decoded = [0; cookie::VALUE_LIMIT];
        let mut opened = [0; OPENED_LIMIT];
        let text = cookie::decode(value, &mut decoded).ok_or(Unresolved::Malformed)?;
        let text = self.opener.open(text, &mut opened)?;
        SessionId::parse(without(&self.prefix, text)?).ok_or(Unresolved::Malformed)
    }

    /// What the cookie that is called by the session's id holds, where sessions are kept in cookies (`SESSION_DRIVER=cookie`).
    pub fn data(&self, headers: &HeaderMap, id: &SessionId) -> Result<Vec<u8>, Unresolved> {
        let value = cookie::find(headers, id.reveal())
            .filter(|value| !value.is_empty())
            .ok_or(Unresolved::UnknownSession)?;
        let text = cookie::decode_long(value).ok_or(Unresolved::Malformed)?;
        let mut text = self.opener.open_long(&text)?;
        without(&prefix(id.reveal(), &self.names), &text)?;
        text.drain(..PREFIX_LENGTH);
        Ok(text)
    }
}

impl From<Unopened> for Unresolved {
    fn from(fault: Unopened) -> Self {
        match fault {
            Unopened::Malformed => Self::Malformed,
            Unopened::BadMac => Self::BadMac,
        }
    }
}

fn without<'a>(prefix: &[u8; PREFIX_LENGTH], text: &'a [u8]) -> Result<&'a [u8], Unresolved> {
    let (found, value) = text
        .split_at_checked(PREFIX_LENGTH)
        .ok_or(Unresolved::Malformed)?;
    if !bool::from(prefix.ct_eq(found)) {
        return Err(Unresolved::BadMac);
    }
    Ok(value)
}

/// `Illuminate\Cookie\CookieValuePrefix`: hexadecimal HMAC-SHA1 of the name and `v2`, and a bar.
fn prefix(name: &str, names: &Hmac<Sha1>) -> [u8; PREFIX_LENGTH] {
    let digest = names
        .clone()
        .chain_update(name)
        .chain_update("v2")
        .finalize()
        .into_bytes();
    let mut prefix = [b'|'; PREFIX_LENGTH];
    write_hex(&digest, &mut prefix[..PREFIX_LENGTH - 1]);
    prefix
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use http::HeaderValue;
    use http::header::COOKIE;
    use proptest::prelude::*;

    use super::*;
    use crate::laravel::envelope::tests::{key, seal};

    const PREFIX: &str = "7198b0a1a7564e003b468667d6241918ce65aafa|";

    fn reader() -> SessionCookie {
        SessionCookie::new("laravel_session", &key()).unwrap()
    }

    fn prefix_of(name: &str) -> [u8; PREFIX_LENGTH] {
        prefix(name, &reader().names)
    }

    fn read(value: &str) -> Result<SessionId, Unresolved> {
        let mut headers = HeaderMap::new();
        headers.append(
            COOKIE,
            HeaderValue::from_str(&format!("theme=dark; laravel_session={value}; x=y")).unwrap(),
        );
        reader().session_id(&headers)
    }

    #[test]
    fn the_prefix_is_the_vectors() {
        assert_eq!(prefix_of("laravel_session"), PREFIX.as_bytes());
    }

    #[test]
    fn the_vectors_session_is_read() {
        let id = "A".repeat(40);
        let cookie = seal(format!("{PREFIX}{id}").as_bytes());
        let json = String::from_utf8(STANDARD.decode(&cookie).unwrap()).unwrap();
        assert!(
            json.contains("bfa6d5618af460512c793de31defc784efef4c58cd14fe6b95bbb6d2aad38091"),
            "{json}"
        );
        assert_eq!(read(&cookie).unwrap().reveal(), id);
    }

    #[test]
    fn a_percent_encoded_cookie_is_the_same_cookie() {
        let cookie = seal(format!("{PREFIX}{}", "a1".repeat(20)).as_bytes());
        let encoded: String = cookie.bytes().map(|b| format!("%{b:02x}")).collect();
        // Beyond the limit when every byte is encoded, so only the last ten are.
        let encoded = format!(
            "{}{}",
            &cookie[..cookie.len() - 10],
            &encoded[encoded.len() - 30..]
        );
        assert_eq!(read(&encoded).unwrap().reveal(), "a1".repeat(20));
    }

    #[test]
    fn a_value_sealed_for_another_cookie_is_refused() {
        let other = String::from_utf8(prefix_of("XSRF-TOKEN").to_vec()).unwrap();
        assert_eq!(
            read(&seal(format!("{other}{}", "A".repeat(40)).as_bytes())),
            Err(Unresolved::BadMac)
        );
    }

    #[test]
    fn what_is_no_session_id_is_refused() {
        for id in [
            "",
            "A",
            &"A".repeat(39),
            &"A".repeat(41),
            &"-".repeat(40),
            &"é".repeat(20),
        ] {
            assert_eq!(
                read(&seal(format!("{PREFIX}{id}").as_bytes())),
                Err(Unresolved::Malformed),
                "{id}"
            );
        }
        assert_eq!(read(&seal(b"short")), Err(Unresolved::Malformed));
    }

    #[test]
    fn the_data_is_in_the_cookie_that_is_called_by_the_id() {
        let id = SessionId::parse(&[b'A'; 40]).unwrap();
        let sealed_for = |name: &str| {
            let prefix = String::from_utf8(prefix_of(name).to_vec()).unwrap();
            seal(format!("{prefix}{}", "x".repeat(2000)).as_bytes())
        };
        let data = |value: &str| {
            let cookies = format!("laravel_session=x; {}={value}", id.reveal());
            let headers =
                HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(&cookies).unwrap())]);
            reader().data(&headers, &id)
        };
        let own = sealed_for(id.reveal());
        assert_eq!(data(&own), Ok(vec![b'x'; 2000]));
        assert_eq!(data(&own.replace('=', "%3D")), Ok(vec![b'x'; 2000]));
        assert_eq!(data(&sealed_for(&"B".repeat(40))), Err(Unresolved::BadMac));
        assert_eq!(data(""), Err(Unresolved::UnknownSession));
        assert_eq!(data(&"A".repeat(9000)), Err(Unresolved::Malformed));
    }

    #[test]
    fn no_cookie_or_an_emptied_one_is_no_proof() {
        assert_eq!(read(""), Err(Unresolved::NoProof));
        assert_eq!(
            reader().session_id(&HeaderMap::new()),
            Err(Unresolved::NoProof)
        );
    }

    #[test]
    fn a_session_id_does_not_print() {
        assert_eq!(format!("{:?}", SessionId::parse(&[b'A'; 40])), "Some(***)");
    }

    proptest! {
        #[test]
        fn every_session_id_is_read(id in "[A-Za-z0-9]{40}") {
            let read = read(&seal(format!("{PREFIX}{id}").as_bytes())).unwrap();
            prop_assert_eq!(read.reveal(), id);
        }

        #[test]
        fn any_changed_byte_of_the_cookie_is_refused(id in "[A-Za-z0-9]{40}", at: prop::sample::Index, byte in 0x21_u8..0x7f) {
            let mut cookie = seal(format!("{PREFIX}{id}").as_bytes()).into_bytes();
            let at = at.index(cookie.len());
            prop_assume!(cookie[at] != byte);
            cookie[at] = byte;
            prop_assert!(read(std::str::from_utf8(&cookie).unwrap()).is_err());
        }
    }
}
