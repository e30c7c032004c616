//! `wellspring config`: the configuration in force and where it comes from.

use anyhow::Context as _;
use clap::Args;
use owo_colors::OwoColorize as _;
use serde_json::{Map, Value, json};

use crate::commands::context::Context;
use crate::commands::exit::Exit;
use crate::commands::matching::Matching;
use crate::commands::output;

/// Show the configuration in force and where each value comes from
///
/// The output is a valid wellspring.toml. A warning is printed if only exact matches are served.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {}

/// How wide a setting may be before its list is wrapped.
const COLUMNS: usize = 80;

enum Line {
    Empty,
    Heading(String),
    /// What is set, and where it comes from.
    Setting {
        text: String,
        comment: String,
    },
    /// More of the list above.
    More(String),
}

pub(crate) async fn run(_: ConfigArgs, context: &Context) -> anyhow::Result<Exit> {
    warn(context).await;
    let values = serde_json::to_value(&context.config).context("cannot show the configuration")?;
    let value = |key: &str| values.pointer(&format!("/{}", key.replace('.', "/"))).filter(|v| !v.is_null());
    if context.json {
        let settings = context
            .origins
            .iter()
            .map(|(key, origin)| ((*key).to_owned(), json!({ "value": value(key), "origin": origin })));
        output::json(&settings.collect::<Map<_, _>>())?;
        return Ok(Exit::Success);
    }
    let mut lines = Vec::new();
    let mut section = "";
    for (key, origin) in &context.origins {
        let Some((of, name)) = key.rsplit_once('.') else { continue };
        if of != section {
            if !section.is_empty() {
                lines.push(Line::Empty);
            }
            lines.push(Line::Heading(format!("[{of}]")));
            section = of;
        }
        match value(key) {
            Some(value) => setting(name, value, origin.to_string(), &mut lines),
            None => lines.push(Line::Setting { text: format!("# {name}"), comment: "not set".into() }),
        }
    }
    let width = |line: &Line| if let Line::Setting { text, .. } = line { text.len() } else { 0 };
    let width = lines.iter().map(width).filter(|&width| width <= COLUMNS).max().unwrap_or(0);
    for line in lines {
        match line {
            Line::Empty => output::line("")?,
            Line::Heading(text) => output::line(text.bold())?,
            Line::Setting { text, comment } => {
                output::line(format_args!("{text:width$}  {}", format!("# {comment}").dimmed()))?;
            }
            Line::More(text) => output::line(text)?,
        }
    }
    Ok(Exit::Success)
}

/// Adds a setting, over several lines if it is a list that is too long for one.
fn setting(name: &str, value: &Value, comment: String, lines: &mut Vec<Line>) {
    let text = format!("{name} = {}", toml(value));
    let Value::Array(items) = value else { return lines.push(Line::Setting { text, comment }) };
    if text.len() <= COLUMNS {
        return lines.push(Line::Setting { text, comment });
    }
    lines.push(Line::Setting { text: format!("{name} = ["), comment });
    let mut row = String::from("   ");
    for item in items {
        let item = format!(" {},", toml(item));
        if !row.trim().is_empty() && row.len() + item.len() > COLUMNS {
            lines.push(Line::More(std::mem::replace(&mut row, "   ".into())));
        }
        row.push_str(&item);
    }
    lines.extend([Line::More(row), Line::More("]".into())]);
}

/// Warns if what is accepted cannot be shown or cannot be read.
async fn warn(context: &Context) {
    let warning = match Matching::of(&context.config).await {
        Ok(matching) => matching.warning().map(str::to_owned),
        Err(error) => Some(error.to_string()),
    };
    if let Some(warning) = warning {
        output::note(format_args!("{} {warning}", "warning:".yellow().bold()));
    }
}

/// A value as TOML writes it on one line.
fn toml(value: &Value) -> String {
    match value {
        Value::String(text) => toml::Value::from(text.as_str()).to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            // A setting without a value cannot be written in TOML.
            let set = fields.iter().filter(|(_, value)| !value.is_null());
            let set = set.map(|(name, value)| format!("{name} = {}", toml(value)));
            format!("{{ {} }}", set.collect::<Vec<_>>().join(", "))
        }
        value => value.to_string(),
    }
}
