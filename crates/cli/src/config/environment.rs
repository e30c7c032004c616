//! The environment: variables named after settings.

use std::ffi::OsString;

use wellspring::error::Result;

use super::config_error;
use super::origin::{Layers, Origin};
use super::settings::{OTHER_VARIABLES, SETTINGS, Setting, nearest};
use super::value::from_text;

const PREFIX: &str = "WELLSPRING_";

/// Reads the settings from the environment; returns the names that look like settings but are not.
pub(super) fn read_environment(
    environment: &[(OsString, OsString)],
    layers: &mut Layers,
) -> Result<Vec<String>> {
    let mut unknown = Vec::new();
    for (name, text) in environment {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        let Some(setting) = SETTINGS.iter().find(|setting| setting.variable() == name) else {
            if !OTHER_VARIABLES.contains(&name) {
                unknown.push(name.to_owned());
            }
            continue;
        };
        let text = text.to_str().ok_or_else(|| config_error(format!("{name} is not valid UTF-8")))?;
        if !text.is_empty() {
            let origin = Origin::Environment(name.to_owned());
            layers.insert(setting.key, (from_text(setting, text, &origin)?, origin));
        }
    }
    Ok(unknown)
}

/// The warning about a variable that looks like a setting but is not one.
pub(super) fn unknown_variable(name: &str) -> String {
    let settings: Vec<String> = SETTINGS.iter().map(Setting::variable).collect();
    let known = settings.iter().map(String::as_str).chain(OTHER_VARIABLES);
    match nearest(name, known) {
        Some(nearest) => format!("unknown environment variable {name}, did you mean {nearest}?"),
        None => format!("unknown environment variable {name}"),
    }
}
