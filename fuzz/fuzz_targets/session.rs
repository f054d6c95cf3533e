//! Whatever a cookie holds, opening it never panics, and only what the key has sealed is opened.
#![no_main]

use ficus::identity::laravel::SessionCookie;
use ficus::identity::laravel::payload::Payload;
use ficus::laravel::envelope::{AppKey, Cipher};
use ficus::secret::Secret;
use http::{HeaderMap, HeaderValue, header};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|cookie: &[u8]| {
    let key = Secret::new("base64:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    let key = AppKey::parse(&key, Cipher::Aes256Cbc).expect("a key");
    let reader = SessionCookie::new("laravel_session", &key).expect("a cookie's name");
    // The same bytes as a session's data, whatever wraps them.
    let payload = Payload::new("web", None).expect("a guard");
    let _ = (
        payload.user(cookie),
        payload.user_in_cache(cookie),
        payload.user_in_cookie(cookie, 0),
    );
    let Ok(value) = HeaderValue::from_bytes(cookie) else {
        return;
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::COOKIE, value);
    if let Ok(id) = reader.session_id(&headers) {
        assert_eq!(id.reveal().len(), 40);
    }
});
