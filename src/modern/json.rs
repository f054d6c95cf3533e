//! JSON byte by byte as the legacy application writes it: PHP's `json_encode` with its defaults, Eloquent's dates.
//!
//! Its own file, because clients and the comparison of answers see bytes, and this is where the bytes come from.

use std::io;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::NaiveDateTime;
use serde::{Serialize, Serializer};
use serde_json::ser::Formatter;

use crate::modern::problem::Problem;

/// A body with the status and headers that Laravel gives to `response()->json()`.
pub struct LegacyJson<T>(pub StatusCode, pub T);

impl<T: Serialize> IntoResponse for LegacyJson<T> {
    fn into_response(self) -> Response {
        match encode(&self.1) {
            Ok(body) => {
                let headers = [
                    (
                        header::CONTENT_TYPE,
                        HeaderValue::from_static("application/json"),
                    ),
                    (
                        header::CACHE_CONTROL,
                        HeaderValue::from_static("no-cache, private"),
                    ),
                ];
                (self.0, headers, body).into_response()
            }
            Err(error) => {
                tracing::error!(%error, "an answer could not be written as JSON");
                Problem::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the answer could not be written as JSON",
                )
                .into_response()
            }
        }
    }
}

/// A list as legacy wraps it.
#[derive(Serialize)]
pub struct List<T> {
    data: Vec<T>,
    total: usize,
}

impl<T> From<Vec<T>> for List<T> {
    fn from(data: Vec<T>) -> Self {
        Self {
            total: data.len(),
            data,
        }
    }
}

/// One thing as legacy wraps it.
#[derive(Serialize)]
pub struct One<T> {
    pub data: T,
}

/// For `#[serde(serialize_with)]`: UTC with six digits and a `Z`, Carbon's `toJSON`; null stays null.
pub fn carbon<S: Serializer>(
    time: &Option<NaiveDateTime>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.collect_str(&time.format("%Y-%m-%dT%H:%M:%S%.6fZ")),
        None => serializer.serialize_none(),
    }
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = Vec::with_capacity(512);
    value.serialize(&mut serde_json::Serializer::with_formatter(
        &mut bytes, AsPhp,
    ))?;
    Ok(bytes)
}

/// PHP escapes the slash and everything outside ASCII, in UTF-16 units with lower-case digits.
struct AsPhp;

impl Formatter for AsPhp {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for char in fragment.chars() {
            match char {
                '/' => writer.write_all(br"\/")?,
                c if c.is_ascii() => writer.write_all(&[c as u8])?,
                c => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        write!(writer, r"\u{unit:04x}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_as_php_does() {
        // php -r 'echo json_encode("a/b \"Zoë\" <&> \u{1F600}\n\u{1}\\\u{7f}");'
        let expected = "\"a\\/b \\\"Zo\\u00eb\\\" <&> \\ud83d\\ude00\\n\\u0001\\\\\u{7f}\"";
        assert_eq!(
            encode(&"a/b \"Zoë\" <&> \u{1F600}\n\u{1}\\\u{7f}").unwrap(),
            expected.as_bytes()
        );
    }

    #[test]
    fn a_time_has_six_digits_and_a_z() {
        #[derive(Serialize)]
        struct Row(#[serde(serialize_with = "carbon")] Option<NaiveDateTime>);
        let time = "2024-03-06T10:00:00".parse().unwrap();
        assert_eq!(
            encode(&Row(Some(time))).unwrap(),
            br#""2024-03-06T10:00:00.000000Z""#
        );
        assert_eq!(encode(&Row(None)).unwrap(), b"null");
    }
}
