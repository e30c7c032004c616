//! JSON as it is on the wire: read without ambiguity, and changed only where a change is intended.
//!
//! Numbers keep their text. A double can hold neither `12345678901234567890123` nor `1.50`. So a number that
//! would be written differently from its original text is read as an object with the single field [`NUMBER`],
//! and written with that text.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Error as _, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::error::Problem;

/// The name of the field that stands for a number. Any other name that begins with this character gets one
/// more of it.
const NUMBER: char = '\0';
/// [`NUMBER`] as it is written in JSON.
const ESCAPED: &str = "\\u0000";

/// The object in `body`. None if it holds something else, or if a name appears twice in an object, because
/// two readers could then see different values.
pub(super) fn object(body: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_str(&guarded(std::str::from_utf8(body).ok()?)) {
        Ok(Unambiguous(value)) => fields(value),
        Err(_) => None,
    }
}

/// The value in `body`, with ordinary numbers. None if a name appears twice in an object, or a number is out of
/// range.
pub(super) fn unambiguous(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(body).ok().map(|Unambiguous(value)| value)
}

/// The value in `text`, in which numbers keep their text.
pub(crate) fn read(text: &str) -> Option<Value> {
    serde_json::from_str(&guarded(text)).ok()
}

/// Writes a value that was [read](read), with its numbers as they stood.
pub(super) fn write(value: &Value) -> String {
    // Can only fail for a value that was not read: in one that was, every text that stands for a number is a
    // number.
    serde_json::to_string(&Written(value)).unwrap_or_default()
}

/// A value that was [read](read), with ordinary numbers; none if one of them is out of range.
pub(crate) fn plain(value: &Value) -> Option<Value> {
    serde_json::from_str(&write(value)).ok()
}

/// 400: a number is larger than the gateway can read.
pub(crate) fn out_of_range() -> Problem {
    Problem::invalid("the body, or a header for it, holds a number that is out of range")
}

/// The same, if every number keeps its value, however it is written: `1.50` may become `1.5`.
///
/// # Errors
///
/// The first number whose value would change.
pub(crate) fn unchanged(value: &Value) -> Result<Value, String> {
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(fields) => match number(fields) {
                Some(text) if !is_kept(text) => return Err(text.to_owned()),
                Some(_) => {}
                None => open.extend(fields.values()),
            },
            _ => {}
        }
    }
    plain(value).ok_or_else(String::new)
}

/// Whether the number `token` keeps its value when it is read and written.
fn is_kept(token: &str) -> bool {
    serde_json::from_str::<Value>(token).is_ok_and(|value| decimal(&value.to_string()) == decimal(token))
}

/// The sign, the digits without leading and trailing zeros, and the power of ten to multiply them by.
fn decimal(token: &str) -> (bool, String, i64) {
    let (mantissa, exponent) = token.split_once(['e', 'E']).unwrap_or((token, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{}{fraction}", whole.trim_start_matches('-'));
    let digits = digits.trim_start_matches('0');
    let kept = digits.trim_end_matches('0');
    let power = exponent.parse().unwrap_or(i64::MAX);
    let power = power.saturating_add_unsigned((digits.len() - kept.len()) as u64);
    let power = power.saturating_sub_unsigned(fraction.len() as u64);
    (token.starts_with('-'), kept.to_owned(), if kept.is_empty() { 0 } else { power })
}

struct Written<'a>(&'a Value);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Array(items) => serializer.collect_seq(items.iter().map(Written)),
            Value::Object(fields) => match number(fields) {
                Some(text) => {
                    RawValue::from_string(text.to_owned()).map_err(S::Error::custom)?.serialize(serializer)
                }
                None => serializer.collect_map(
                    fields
                        .iter()
                        .map(|(name, value)| (name.strip_prefix(NUMBER).unwrap_or(name), Written(value))),
                ),
            },
            value => value.serialize(serializer),
        }
    }
}

/// The fields of a value that was [read](read); none if it is no object.
pub(crate) fn fields(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(fields) if number(&fields).is_none() => Some(fields),
        _ => None,
    }
}

/// Whether a value that was [read](read) is an object, and not one that stands for a number.
pub(super) fn is_object(value: &Value) -> bool {
    value.as_object().is_some_and(|fields| number(fields).is_none())
}

/// The text of the number that an object stands for.
fn number(fields: &Map<String, Value>) -> Option<&str> {
    let (name, text) = fields.iter().next()?;
    if name.chars().eq([NUMBER]) { text.as_str().filter(|text| is_number(text)) } else { None }
}

/// `text`, with an object in place of each number that would not be written as it stands.
fn guarded(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let (mut guarded, mut copied, mut at) = (String::new(), 0, 0);
    while let Some(&byte) = bytes.get(at) {
        let start = at;
        match byte {
            b'"' => {
                at = end_of_string(bytes, at);
                let is_name = text[at..].trim_ascii_start().starts_with(':');
                if is_name && text[start + 1..].starts_with(ESCAPED) {
                    guarded.extend([&text[copied..=start], ESCAPED]);
                    copied = start + 1;
                }
            }
            b'-' | b'0'..=b'9' => {
                let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                at += bytes[at..].iter().take_while(|byte| is_part(byte)).count();
                let token = &text[start..at];
                if is_number(token) && !is_written_so(token) {
                    guarded.extend([&text[copied..start], "{\"", ESCAPED, "\":\"", token, "\"}"]);
                    copied = at;
                }
            }
            _ => at += 1,
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    guarded.push_str(&text[copied..]);
    Cow::Owned(guarded)
}

/// The position after the string that begins at `start`.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    loop {
        match bytes.get(at) {
            Some(b'"') => return at + 1,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
            None => return bytes.len(),
        }
    }
}

/// Whether `token` is a number by the grammar of JSON (RFC 8259, 6). Any other token is left for the parser
/// to refuse.
fn is_number(token: &str) -> bool {
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = match token.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (token, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let whole = whole.strip_prefix('-').unwrap_or(whole);
    is_digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(is_digits)
        && exponent.is_none_or(|exponent| is_digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)))
}

fn is_written_so(token: &str) -> bool {
    serde_json::from_str::<Value>(token)
        .and_then(|value| serde_json::to_string(&value))
        .is_ok_and(|text| text == token)
}

/// Whether `body` holds an object with the field `name`, even if the object is one that no one should trust.
pub(super) fn has(body: &[u8], name: &str) -> bool {
    serde_json::from_slice::<Fields>(body)
        .is_ok_and(|Fields(fields)| fields.iter().any(|(field, _)| field == name))
}

/// Whether `body` holds the string `name`, however its characters are written, be it JSON or not.
pub(super) fn names(body: &[u8], name: &str) -> bool {
    let mut at = 0;
    while let Some(start) = body.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'"')) {
        let start = at + start;
        at = end_of_string(body, start);
        // Each character takes up to twelve bytes.
        let string = &body[start..at];
        if string.len() <= 12 * name.len() + 2
            && serde_json::from_slice::<Cow<'_, str>>(string).is_ok_and(|string| string == name)
        {
            return true;
        }
    }
    false
}

/// The object in `body` without the field `name`; all other fields stay as they are.
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

/// A value in which no name appears twice in one object.
struct Unambiguous(Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Once;

        impl<'de> Visitor<'de> for Once {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON without a name that occurs twice")
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
                        return Err(A::Error::custom("a name occurs twice"));
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
    fn numbers_keep_their_text() {
        for number in [
            "0",
            "-0",
            "-0.0",
            "0.0",
            "1",
            "1.0",
            "1.00",
            "1.50",
            "1e5",
            "1E5",
            "1e+21",
            "1e-7",
            "0.1",
            "9007199254740993",
            "18446744073709551616",
            "1500000000000000000000",
            "0.1000000000000000055511151231257827",
            "0.12345678901234567",
            "1e400",
            "-1e-400",
            "123456789012345678901234567890.5",
        ] {
            let text = format!("{{\"a\":[{number},\"{number}\"],\"b\":{{\"c\":{number}}}}}");
            assert_eq!(write(&read(&text).unwrap()), text);
            assert_eq!(write(&Value::Object(object(text.as_bytes()).unwrap())), text);
        }
        assert_eq!(plain(&read("[1.50,7]").unwrap()), Some(serde_json::json!([1.5, 7])));
        assert_eq!(plain(&read("[1e400]").unwrap()), None);
    }

    #[test]
    fn a_number_that_would_become_another_one_is_reported() {
        for kept in [
            "0",
            "-0.0",
            "1.0",
            "1.50",
            "1E5",
            "1e+16",
            "0.1",
            "-12.5e-3",
            "12345678901234567890",
            "0e999999",
        ] {
            assert!(unchanged(&read(&format!("[{{\"a\":{kept}}}]")).unwrap()).is_ok(), "{kept}");
        }
        for other in [
            "1e400",
            "1e-400",
            "18446744073709551617",
            "9007199254740993.0",
            "0.1000000000000000055511151231257827",
        ] {
            let read = read(&format!("{{\"a\":[1.50,{other}]}}")).unwrap();
            assert_eq!(unchanged(&read), Err(other.to_owned()));
        }
    }

    #[test]
    fn nothing_else_becomes_a_number_or_valid() {
        let own = r#"{"\u0000":"1.50","\u0000\u0000":[{"\u0000a":"\u0000"}],"s":"\\\"1.50"}"#;
        assert_eq!(write(&read(own).unwrap()), own);
        assert_ne!(read(r#"{"\u0000":"1.50"}"#), read("1.50"));
        for bad in ["01", "1.", ".5", "+1", "1e", "--1", "1.50.", "[1.50 2]", "{1.50:1}", "\"1.50", "1.50x"] {
            assert_eq!(read(bad), None, "{bad}");
        }
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
        // A number that is kept as an object used to be taken for one.
        for other in ["[1]", "7", "1.50", "1e400"] {
            assert!(object(other.as_bytes()).is_none(), "{other}");
        }
    }
}
