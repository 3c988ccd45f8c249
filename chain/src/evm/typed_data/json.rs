//! JSON without the parts that readers disagree about.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::Refusal;

/// The greatest integer that every reader of JSON takes for itself: 2^53 − 1.
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// A JSON value without `null`, fractions and duplicate names.
pub(super) enum Json {
    Bool(bool),
    /// An integer within ±(2^53 − 1), as decimal digits.
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(Object),
}

/// Names and values.
pub(super) type Object = BTreeMap<String, Json>;

/// Reads one JSON value and nothing behind it. The parser stops at a nesting of 128.
pub(super) fn parse(bytes: &[u8]) -> Result<Json, Refusal> {
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

/// Somebody else's text, short enough for an error.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object, a list, text, a boolean or an integer up to 2^53 - 1 (put greater ones in quotes)")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json, E> {
        if value > MAX_SAFE_INTEGER {
            return Err(E::invalid_value(serde::de::Unexpected::Unsigned(value), &self));
        }
        Ok(Json::Number(value.to_string()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json, E> {
        if value.unsigned_abs() > MAX_SAFE_INTEGER {
            return Err(E::invalid_value(serde::de::Unexpected::Signed(value), &self));
        }
        Ok(Json::Number(value.to_string()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut object = Object::new();
        while let Some((name, value)) = entries.next_entry::<String, Json>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom(format!("{:?} stands twice in one object", cut(&name))));
            }
            object.insert(name, value);
        }
        Ok(Json::Object(object))
    }
}
