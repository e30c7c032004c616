//! `wellspring config`: the configuration in force and where it comes from.

use anyhow::Context as _;
use clap::Args;
use owo_colors::OwoColorize as _;
use serde_json::{Map, Value, json};

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::matching::Matching;
use crate::cli::output;

/// Show the configuration in force and where each value comes from
///
/// What is printed is a valid wellspring.toml. Beside it, a warning tells if only exact matches are served.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {}

/// A line: what is set, and the comment beside it.
struct Line {
    text: String,
    comment: String,
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
                lines.push(Line { text: String::new(), comment: String::new() });
            }
            lines.push(Line { text: format!("[{of}]"), comment: String::new() });
            section = of;
        }
        lines.push(match value(key) {
            Some(value) => Line { text: format!("{name} = {}", toml(value)), comment: origin.to_string() },
            None => Line { text: format!("# {name}"), comment: "not set".into() },
        });
    }
    let width = lines.iter().map(|line| line.text.len()).max().unwrap_or(0);
    for Line { text, comment } in lines {
        if text.is_empty() {
            output::line("")?;
        } else if comment.is_empty() {
            output::line(text.bold())?;
        } else {
            output::line(format_args!("{text:width$}  {}", format!("# {comment}").dimmed()))?;
        }
    }
    Ok(Exit::Success)
}

/// Tells of what is accepted and cannot be shown, or cannot be read.
async fn warn(context: &Context) {
    let warning = match Matching::of(&context.config).await {
        Ok(matching) => matching.warning().map(str::to_owned),
        Err(error) => Some(error.to_string()),
    };
    if let Some(warning) = warning {
        output::note(format_args!("{} {warning}", "warning:".yellow().bold()));
    }
}

/// A scalar as TOML writes it. Its strings are nearly those of JSON; the rest is the same.
fn toml(value: &Value) -> String {
    match value {
        Value::String(text) => toml::Value::from(text.as_str()).to_string(),
        value => value.to_string(),
    }
}
