//! Labelled pairs as JSON lines: `{"a": "…", "b": "…", "label": 1}`.
//!
//! `a` is the question that was answered, `b` the one asked later, and `label` whether the answer to the
//! first answers the second: 1 or 0, `true` or `false`. For calibrating, `weight` is the number of pairs that
//! it stands for (default 1). With `measure: false` it is used only for learning, and no threshold is chosen
//! on it, as is right for made-up pairs. For measuring, `domain` is any string that names its subject:
//! reports have figures for each. Other fields are ignored, and blank lines are skipped.

use serde_json::{Map, Value};
use wellspring::error::{Error, ErrorKind, Result};
use wellspring::key::normalise;

/// Two questions and whether they ask the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// The question that was answered, normalised.
    pub a: String,
    /// The question asked later, normalised.
    pub b: String,
    /// Whether the answer to the first answers the second.
    pub is_same: bool,
    /// How many pairs it stands for in a fit.
    pub weight: f32,
    /// Whether thresholds may be chosen on it.
    pub is_measured: bool,
    /// Its subject, if the file names one.
    pub domain: Option<String>,
}

/// Reads pairs from JSON lines.
///
/// # Errors
///
/// `InvalidInput` that names the line, counted from 1, and the field at fault; never its content.
pub fn parse(text: &str) -> Result<Vec<Pair>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| pair(line).map_err(|fault| at_line(number, fault)))
        .collect()
}

fn at_line(number: usize, fault: Fault) -> Error {
    let error = Error::new(ErrorKind::InvalidInput, format!("line {number}: {}", fault.message));
    match fault.source {
        Some(source) => error.with_source(source),
        None => error,
    }
}

struct Fault {
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl From<String> for Fault {
    fn from(message: String) -> Self {
        Self { message, source: None }
    }
}

fn pair(line: &str) -> Result<Pair, Fault> {
    let fields: Map<String, Value> = serde_json::from_str(line).map_err(|e| {
        let message = format!("not a JSON object (column {})", e.column());
        Fault { message, source: Some(e.into()) }
    })?;
    Ok(Pair {
        a: question(&fields, "a")?,
        b: question(&fields, "b")?,
        is_same: label(&fields)?,
        weight: weight(&fields)?,
        is_measured: fields.get("measure").and_then(Value::as_bool).unwrap_or(true),
        domain: domain(&fields)?,
    })
}

#[expect(clippy::cast_possible_truncation, reason = "a weight needs few digits")]
fn weight(fields: &Map<String, Value>) -> Result<f32, Fault> {
    match fields.get("weight").map(|weight| (weight, weight.as_f64())) {
        None => Ok(1.0),
        Some((_, Some(weight))) if (0.0..=1e6).contains(&weight) => Ok(weight as f32),
        Some(_) => Err("field `weight` is not a number from 0 to 1000000".to_owned().into()),
    }
}

fn domain(fields: &Map<String, Value>) -> Result<Option<String>, Fault> {
    match fields.get("domain") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(domain)) => Ok(Some(domain.clone())),
        Some(other) => Err(format!("field `domain` is {}, expected a string", kind(other)).into()),
    }
}

fn question(fields: &Map<String, Value>, name: &str) -> Result<String, Fault> {
    match fields.get(name) {
        Some(Value::String(text)) => normalise(text).map_err(|e| format!("field `{name}`: {e}").into()),
        Some(other) => Err(format!("field `{name}` is {}, expected a string", kind(other)).into()),
        None => Err(format!("field `{name}` is missing").into()),
    }
}

fn label(fields: &Map<String, Value>) -> Result<bool, Fault> {
    match fields.get("label") {
        Some(Value::Bool(label)) => Ok(*label),
        Some(Value::Number(label)) if label.as_f64() == Some(0.0) => Ok(false),
        Some(Value::Number(label)) if label.as_f64() == Some(1.0) => Ok(true),
        Some(other) => Err(format!("field `label` is {}, expected 0, 1, true or false", kind(other)).into()),
        None => Err("field `label` is missing".to_owned().into()),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "another number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_four_spellings_and_other_fields_are_ignored() {
        let text = "\u{feff}{\"a\":\" x  y\",\"b\":\"z\",\"label\":1,\"id\":[7]}\n\n\
                    {\"a\":\"x\",\"b\":\"z\",\"label\":0}\r\n\
                    {\"a\":\"x\",\"b\":\"z\",\"label\":true}\n{\"a\":\"x\",\"b\":\"z\",\"label\":false}";
        let pairs = parse(text).unwrap();
        assert_eq!(pairs.iter().map(|pair| pair.is_same).collect::<Vec<_>>(), [true, false, true, false]);
        assert_eq!((&*pairs[0].a, &*pairs[0].b), ("x y", "z"));
    }

    #[test]
    fn a_domain_is_any_string_or_none() {
        let of = |domain: &str| {
            let text = format!("{{\"a\":\"x\",\"b\":\"y\",\"label\":1{domain}}}");
            parse(&text).map(|pairs| pairs[0].domain.clone())
        };
        assert_eq!(of("").unwrap(), None);
        assert_eq!(of(",\"domain\":null").unwrap(), None);
        assert_eq!(of(",\"domain\":\"law, EU\"").unwrap().as_deref(), Some("law, EU"));
        let error = of(",\"domain\":7").unwrap_err();
        assert_eq!(error.to_string(), "line 1: field `domain` is another number, expected a string");
    }

    #[test]
    fn faults_name_their_line_and_field() {
        let good = r#"{"a":"x","b":"y","label":1}"#;
        for (line, message) in [
            (r#"{"b":"y","label":1}"#, "line 3: field `a` is missing"),
            (r#"{"a":"x","b":4,"label":1}"#, "line 3: field `b` is another number, expected a string"),
            (r#"{"a":"x","b":" ","label":1}"#, "line 3: field `b`: question is empty"),
            (r#"{"a":"x","b":"y"}"#, "line 3: field `label` is missing"),
            (
                r#"{"a":"x","b":"y","label":"1"}"#,
                "line 3: field `label` is a string, expected 0, 1, true or false",
            ),
            (
                r#"{"a":"x","b":"y","label":2}"#,
                "line 3: field `label` is another number, expected 0, 1, true or false",
            ),
            (
                r#"{"a":"x","b":"y","label":1,"weight":-1}"#,
                "line 3: field `weight` is not a number from 0 to 1000000",
            ),
            (r#"["a"]"#, "line 3: not a JSON object (column 0)"),
            (r#"{"a":"x""#, "line 3: not a JSON object (column 8)"),
        ] {
            let error = parse(&format!("{good}\n\n{line}\n{good}")).unwrap_err();
            assert_eq!(error.to_string(), message);
            assert!(error.is_invalid_input());
        }
    }
}
