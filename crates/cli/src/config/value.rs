//! Single values: read from text, checked, shown.

use serde::Deserialize as _;
use toml::{Table, Value};
use wellspring::error::Result;

use super::origin::Origin;
use super::settings::Setting;
use super::url::without_password;
use super::{Config, config_error};

/// A value that was written without the quotes that TOML would need.
pub(super) fn from_text(setting: &Setting, text: &str, origin: &Origin) -> Result<Value> {
    let string = Value::String(text.to_owned());
    let scalar = text.parse::<i64>().map(Value::Integer).ok();
    let scalar = scalar.or_else(|| text.parse().map(Value::Boolean).ok());
    let scalar = scalar.or_else(|| text.parse().map(Value::Float).ok());
    match scalar {
        Some(scalar) if check(setting, &scalar, origin).is_ok() => Ok(scalar),
        _ => check(setting, &string, origin).map(|()| string),
    }
}

/// Checks one value by reading a configuration that contains nothing else.
pub(super) fn check(setting: &Setting, value: &Value, origin: &Origin) -> Result<()> {
    let mut table = Table::new();
    insert(&mut table, setting.key, value.clone());
    match Config::deserialize(table) {
        Ok(_) => Ok(()),
        Err(error) => {
            let Setting { key, expected, .. } = setting;
            // It would be hard to see which table in an array is wrong.
            let why = match value {
                Value::Array(items) if items.iter().any(Value::is_table) => format!(": {}", error.message()),
                _ => String::new(),
            };
            Err(config_error(format!("{origin}: {key} is {}, expected {expected}{why}", shown(value))))
        }
    }
}

/// A value as an error shows it.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Table(_) => "a table".into(),
        Value::Array(_) => "an array".into(),
        // Whatever the setting is, its value may be an address with a password.
        Value::String(text) => Value::from(without_password(text)).to_string(),
        value => value.to_string(),
    }
}

/// Sets the value of a dotted key.
pub(super) fn insert(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => drop(table.insert(key.into(), value)),
        Some((section, rest)) => {
            let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}
