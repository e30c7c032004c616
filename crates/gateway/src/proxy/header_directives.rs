//! The fields of `wellspring` as headers, for clients that cannot add a field to the body.
//!
//! Each is `Wellspring-` followed by the name of the field with hyphens. Values are UTF-8. They are
//! percent-encoded if they are not plain ASCII or contain separators: commas in lists, `@` and `#` in
//! sources.

use axum::http::HeaderMap;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Number, Value};

use super::json;
use crate::error::Problem;
use crate::header_fields::{HEADERS, Kind};

/// Two fields that exclude each other: if the body has one of them, headers for either are ignored.
const POLICY_FIELDS: [&str; 2] = ["threshold", "max_false_hit_rate"];

/// Adds to `fields` what `headers` say; a field of the body takes precedence over its header.
///
/// # Errors
///
/// 400 for a value that is not of its kind, or for a header that appears twice and is not a list.
pub(super) fn add(fields: &mut Map<String, Value>, headers: &HeaderMap) -> Result<(), Problem> {
    // Most requests have none of these headers, and looking each of them up costs more than one pass.
    if !headers.keys().any(|name| name.as_str().starts_with("wellspring-")) {
        return Ok(());
    }
    // A field that is null says nothing.
    let has =
        |fields: &Map<String, Value>, name: &str| fields.get(name).is_some_and(|value| !value.is_null());
    let has_policy = POLICY_FIELDS.iter().any(|name| has(fields, name));
    for (name, field, kind) in HEADERS {
        let lines: Vec<_> = headers.get_all(name).iter().collect();
        let is_settled = has(fields, field) || has_policy && POLICY_FIELDS.contains(&field);
        if lines.is_empty() || is_settled {
            continue;
        }
        let bad = |why: &str| Problem::invalid(format!("the header {name} {why}"));
        let lines: Result<Vec<&str>, _> =
            lines.into_iter().map(|line| std::str::from_utf8(line.as_bytes())).collect();
        let lines = lines.map_err(|_| bad("is not UTF-8"))?;
        let value = match (kind, &lines[..]) {
            (Kind::List | Kind::Sources, lines) => {
                let items = lines.iter().flat_map(|line| line.split(',')).map(str::trim);
                let items = items.filter(|item| !item.is_empty());
                let read = |item| if matches!(kind, Kind::Sources) { source(item) } else { text(item) };
                items.map(read).collect::<Result<Value, _>>()
            }
            (_, [line]) => single(kind, line.trim()),
            _ => Err("occurs twice"),
        };
        fields.insert(field.to_owned(), value.map_err(bad)?);
    }
    Ok(())
}

fn single(kind: Kind, line: &str) -> Result<Value, &'static str> {
    match kind {
        Kind::Number => {
            let number = line.parse().ok().and_then(Number::from_f64);
            number.map(Value::Number).ok_or("does not hold a number")
        }
        Kind::Switch => line.parse::<bool>().map(Value::Bool).map_err(|_| "is neither true nor false"),
        Kind::Object => {
            let text = percent_decode_str(line).decode_utf8().map_err(|_| "is not UTF-8")?;
            let fields = json::object(text.as_bytes());
            fields.map(Value::Object).ok_or("is not a JSON object, or has a name that occurs twice")
        }
        Kind::Time => line.parse::<u64>().map(Value::from).or_else(|_| text(line)),
        _ => text(line),
    }
}

fn text(encoded: &str) -> Result<Value, &'static str> {
    let text = percent_decode_str(encoded).decode_utf8().map_err(|_| "is not UTF-8")?;
    Ok(Value::String(text.into_owned()))
}

/// `ID`, `ID@VERSION` or `ID#CHUNK`. Ids that contain such a character have it encoded, so that no id is
/// mistaken for another one.
fn source(item: &str) -> Result<Value, &'static str> {
    if item.matches(['@', '#']).count() > 1 {
        return Err(
            "has a source with more than one @ or #: write those that belong to an id as %40 and %23",
        );
    }
    Ok(if let Some((id, version)) = item.split_once('@') {
        serde_json::json!({ "id": text(id)?, "version": text(version)? })
    } else if let Some((id, chunk)) = item.split_once('#') {
        serde_json::json!({ "id": text(id)?, "chunks": [text(chunk)?] })
    } else {
        serde_json::json!({ "id": text(item)? })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(lines: &[(&'static str, &str)]) -> Result<Value, Problem> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, axum::http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let mut fields = Map::from_iter([("exact".to_owned(), json!(false))]);
        add(&mut fields, &headers).map(|()| Value::Object(fields))
    }

    #[test]
    fn each_kind_is_read_and_the_body_wins() {
        let fields = read(&[
            ("wellspring-question", "100% caf%C3%A9 na\u{ef}f?"),
            ("wellspring-sources", "hours.md@7f, a%2Cb , c#1"),
            ("wellspring-sources", "me%40example.com"),
            ("wellspring-tags", "a,b"),
            ("wellspring-ttl", "300"),
            ("wellspring-threshold", "0.5"),
            ("wellspring-negative", "true"),
            ("wellspring-exact", "true"),
        ])
        .unwrap();
        assert_eq!(
            fields,
            json!({
                "question": "100% caf\u{e9} na\u{ef}f?",
                "sources": [{ "id": "hours.md", "version": "7f" }, { "id": "a,b" }, { "id": "c", "chunks": ["1"] },
                            { "id": "me@example.com" }],
                "tags": ["a", "b"], "ttl": 300, "threshold": 0.5, "negative": true, "exact": false,
            })
        );
    }

    #[test]
    fn what_is_not_of_its_kind_is_refused() {
        for lines in [
            [("wellspring-threshold", "high")].as_slice(),
            &[("wellspring-threshold", "nan")],
            &[("wellspring-negative", "yes")],
            &[("wellspring-sources", "a@b@c")],
            &[("wellspring-sources", "a@1#2")],
            &[("wellspring-question", "%ff")],
            &[("wellspring-tenant", "a"), ("wellspring-tenant", "b")],
        ] {
            assert!(read(lines).is_err(), "{lines:?}");
        }
    }
}
