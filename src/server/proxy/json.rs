//! JSON as it is on the wire: read without a doubt, and changed without touching what is not meant.

use std::fmt;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The object that `body` holds. None if it holds something else, or if a name stands twice in an object: two
/// readers of it could each see another one.
pub(super) fn object(body: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(body) {
        Ok(Unambiguous(Value::Object(fields))) => Some(fields),
        _ => None,
    }
}

/// Whether `body` holds an object with the field `name`, though it may be one that nobody should trust.
pub(super) fn has(body: &[u8], name: &str) -> bool {
    serde_json::from_slice::<Fields>(body)
        .is_ok_and(|Fields(fields)| fields.iter().any(|(field, _)| field == name))
}

/// The object in `body` without the field `name`; all others as they stand.
pub(super) fn without(body: &[u8], name: &str) -> Option<Bytes> {
    let Fields(fields) = serde_json::from_slice(body).ok()?;
    let mut text = String::with_capacity(body.len());
    for (field, value) in fields.iter().filter(|(field, _)| field != name) {
        text.push(if text.is_empty() { '{' } else { ',' });
        text.push_str(&Value::from(field.as_str()).to_string());
        text.push(':');
        text.push_str(value.get());
    }
    if text.is_empty() {
        text.push('{');
    }
    text.push('}');
    Some(text.into())
}

/// The fields of an object in their order.
struct Fields(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

/// A value without a name that stands twice in one object.
struct Unambiguous(Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Once;

        impl<'de> Visitor<'de> for Once {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON without a name that stands twice")
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_str<E>(self, value: &str) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_string<E>(self, value: String) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
                let mut list = Vec::new();
                while let Some(Unambiguous(item)) = items.next_element()? {
                    list.push(item);
                }
                Ok(list.into())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
                let mut fields = Map::new();
                while let Some((name, Unambiguous(value))) = entries.next_entry::<String, _>()? {
                    if fields.insert(name, value).is_some() {
                        return Err(A::Error::custom("a name stands twice"));
                    }
                }
                Ok(fields.into())
            }
        }

        deserializer.deserialize_any(Once).map(Unambiguous)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_field_that_is_meant_is_cut_out() {
        let body = br#" {"a" : 1.50, "wellspring":{"question":"q"},"b":[ "\u00e9" , 1e400],"":{} }"#;
        let cut = without(body, "wellspring").unwrap();
        assert_eq!(cut, &br#"{"a":1.50,"b":[ "\u00e9" , 1e400],"":{}}"#[..]);
        assert_eq!(without(br#"{"wellspring":1}"#, "wellspring").unwrap(), &b"{}"[..]);
    }

    #[test]
    fn a_field_is_seen_in_what_cannot_be_trusted() {
        for body in [r#"{"a":1,"a":2,"w":0}"#, r#"{"\u0077":1e400}"#, r#"{"b":"\ud800","w":{}}"#] {
            assert!(has(body.as_bytes(), "w"), "{body}");
            assert!(!has(&without(body.as_bytes(), "w").unwrap(), "w"), "{body}");
        }
        assert!(!has(br#"{"a":{"w":1}}"#, "w") && !has(b"w", "w"));
    }

    #[test]
    fn a_name_that_stands_twice_is_no_object() {
        assert!(object(br#"{"a":{"b":1,"c":[null,true,-1,2.5,"x"]}}"#).is_some());
        assert!(object(br#"{"a":[{"b":1,"b":1}]}"#).is_none());
        assert!(object(b"[1]").is_none());
    }
}
