//! The configuration file: its values, with the lines that they are on.

use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};
use wellspring::error::{Error, Result};

use super::config_error;
use super::origin::{Layers, Origin};
use super::settings::{SETTINGS, Setting, nearest};
use super::value::{check, shown};

/// The longest configuration file that is read.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Reads the file at `path` into `layers` and checks each value.
pub(super) fn read_file(path: &Path, layers: &mut Layers) -> Result<()> {
    let cannot = |why: &str| config_error(format!("cannot read the configuration {}{why}", path.display()));
    let length = std::fs::metadata(path).map_err(|e| cannot("").with_source(e))?.len();
    if length > MAX_FILE_BYTES {
        return Err(cannot(&format!(": it has more than {MAX_FILE_BYTES} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|e| cannot("").with_source(e))?;
    let at = |span: Range<usize>| Origin::File(path.to_owned(), line_of(&text, span.start));
    let syntax = |e: &toml::de::Error| {
        config_error(format!("{}: {}", at(e.span().unwrap_or_default()), e.message().replace('\n', ", ")))
    };
    let spans = DeTable::parse(&text).map_err(|e| syntax(&e))?;
    let values = text.parse::<Table>().map_err(|e| syntax(&e))?;
    walk("", spans.get_ref(), &Value::Table(values), &mut |key, value, span| {
        let origin = at(span);
        if is_section(key) {
            return Err(config_error(format!("{origin}: {key} is {}, expected a table", shown(value))));
        }
        let Some(setting) = Setting::find(key) else { return Err(unknown_field(key, &origin)) };
        check(setting, value, &origin)?;
        layers.insert(setting.key, (value.clone(), origin));
        Ok(())
    })
}

/// Takes a dotted key, its value and the position of the key in the file.
type Visit<'a> = dyn FnMut(&str, &Value, Range<usize>) -> Result<()> + 'a;

/// Calls `visit` with the dotted key of each value that is not a table of settings.
fn walk(prefix: &str, spans: &DeTable<'_>, values: &Value, visit: &mut Visit<'_>) -> Result<()> {
    for (name, spanned) in spans {
        let key = if prefix.is_empty() {
            name.get_ref().to_string()
        } else {
            format!("{prefix}.{name}", name = name.get_ref())
        };
        let Some(value) = values.get(name.get_ref().as_ref()) else { continue };
        match spanned.get_ref() {
            DeValue::Table(inner) if is_section(&key) => walk(&key, inner, value, visit)?,
            _ => visit(&key, value, name.span())?,
        }
    }
    Ok(())
}

fn is_section(key: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')))
}

fn line_of(text: &str, position: usize) -> usize {
    text.bytes().take(position).filter(|&byte| byte == b'\n').count() + 1
}

fn unknown_field(key: &str, origin: &Origin) -> Error {
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    let what = if section.is_empty() { "section".into() } else { format!("field in [{section}]") };
    let advice = match known_names(section) {
        known if known.is_empty() => String::new(),
        known => nearest(name, known.iter().copied()).map_or_else(
            || format!(", known are {}", known.join(", ")),
            |nearest| format!(", did you mean `{nearest}`?"),
        ),
    };
    config_error(format!("{origin}: unknown {what} `{name}`{advice}"))
}

/// The fields and sections directly in `section`.
fn known_names(section: &str) -> Vec<&'static str> {
    let inside = |setting: &'static Setting| match section {
        "" => Some(setting.key),
        _ => setting.key.strip_prefix(section)?.strip_prefix('.'),
    };
    let mut names: Vec<_> =
        SETTINGS.iter().filter_map(inside).filter_map(|key| key.split('.').next()).collect();
    names.dedup();
    names
}
