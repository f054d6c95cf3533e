//! JSON in which no object has a key twice.
//!
//! Pure, and its own file, because RFC 8259 leaves open which of two values counts: a token that two readers take
//! differently is a way to be somebody else at one of them.

use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The object that `text` is, and nothing behind it. `None`: no object, or some object in it has a key twice. Depth is
/// bounded by serde_json (128), size by the caller.
pub fn object(text: &[u8]) -> Option<Map<String, Value>> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Strict.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    match value {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

/// Builds a `Value` as serde_json does, and refuses a key that is there already.
struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without a key twice")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("a number without end"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Strict)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(Strict)?;
            if object.insert(key, value).is_some() {
                return Err(A::Error::custom("a key twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_twice_is_refused_at_any_depth() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":{"a":1,"a":2}}"#,
            r#"{"x":[{"a":1},{"b":1,"b":2}]}"#,
        ] {
            assert_eq!(object(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_object_alone_is_refused() {
        for text in [
            "",
            "1",
            "[]",
            "null",
            "{",
            "{}x",
            "{}{}",
            r#"{"a":1,}"#,
            r#"{"a":1e999}"#,
            r#"{"a":NaN}"#,
            "\u{feff}{}",
            &"[".repeat(10_000),
        ] {
            assert_eq!(object(text.as_bytes()), None, "{text:.20}");
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}"), None);
        assert_eq!(object(br#"{"a":"\ud800"}"#), None);
    }

    proptest! {
        #[test]
        fn what_has_no_key_twice_is_as_serde_json_reads_it(
            keys in prop::collection::btree_set("[a-z]{1,3}", 0..5),
            number: i64, float in -1e300..1e300_f64, text in "\\PC{0,8}", flag: bool,
        ) {
            let values = [Value::from(number), Value::from(float), Value::from(text), Value::from(flag), Value::Null];
            let inner: Map<String, Value> = keys.into_iter().zip(values).collect();
            let outer = Map::from_iter([("list".to_owned(), Value::Array(vec![Value::Object(inner)]))]);
            let written = serde_json::to_vec(&outer).unwrap();
            prop_assert_eq!(object(&written), serde_json::from_slice(&written).ok());
        }

        #[test]
        fn no_text_panics(text in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = object(&text);
        }
    }
}
