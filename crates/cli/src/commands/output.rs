//! Writing to the terminal. Colours are always written, and stripped if the stream is not a terminal or
//! `NO_COLOR` is set. A closed pipe is an error that ends the program quietly.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, CellAlignment, ColumnConstraint, ContentArrangement, Row, Table};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::commands::input::invalid;

/// Prints a result and ends the line.
pub(crate) fn line(text: impl Display) -> anyhow::Result<()> {
    writeln!(anstream::stdout().lock(), "{text}")?;
    Ok(())
}

/// Prints a result as JSON.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(serde_json::to_string_pretty(value)?)
}

/// Prints one of many results as JSON on a line of its own.
pub(crate) fn json_line(value: &impl Serialize) -> anyhow::Result<()> {
    line(serde_json::to_string(value)?)
}

/// Prints something in addition to the result. It is fine if no one reads it.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Asks on the terminal for permission to do what `flag` says. Without a terminal no one can answer, so --yes
/// is needed.
pub(crate) fn confirm(flag: &str, question: &str) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(invalid(format!("{flag} asks for confirmation; add --yes if no one can answer")).into());
    }
    write!(anstream::stderr(), "{question} [y/N] ")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// How a column is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    /// As wide as its content.
    Left(&'static str),
    /// As wide as its content, for numbers.
    Right(&'static str),
    /// As wide as the rest of the line; longer content is cut.
    Rest(&'static str),
}

/// A table that fits the terminal; without a terminal, every cell is printed in full.
pub(crate) fn table(columns: &[Column], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_truncation_indicator("…");
    table.set_header(columns.iter().map(|column| {
        let (Column::Left(title) | Column::Right(title) | Column::Rest(title)) = column;
        Cell::new(title).add_attribute(Attribute::Dim)
    }));
    for row in rows {
        let mut row = Row::from(row);
        row.max_height(1);
        table.add_row(row);
    }
    for (layout, column) in columns.iter().zip(table.column_iter_mut()) {
        column.set_padding((0, if Some(layout) == columns.last() { 0 } else { 2 }));
        if matches!(layout, Column::Right(_)) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        if !matches!(layout, Column::Rest(_)) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table.trim_fmt()
}

/// Lines of names and values, with the values aligned. Empty values are left out.
pub(crate) fn fields<V: AsRef<str>>(fields: &[(&str, V)]) -> String {
    use owo_colors::OwoColorize as _;
    let fields = || fields.iter().filter(|(_, value)| !value.as_ref().is_empty());
    let width = fields().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines: Vec<String> = fields()
        .map(|(name, value)| format!("{}  {}", format!("{name:width$}").dimmed(), value.as_ref()))
        .collect();
    lines.join("\n")
}

/// A bar on the standard error stream, drawn only if it is a terminal; without a `length`, it counts up.
pub(crate) fn progress(message: &'static str, length: Option<u64>, unit: Unit) -> ProgressBar {
    let (position, total) = match unit {
        Unit::Items => ("{human_pos}", "{human_len}"),
        Unit::Bytes => ("{bytes}", "{total_bytes}"),
    };
    let template = match length {
        Some(_) => format!("{{msg}}  {{bar:30}}  {position} of {total}  {{eta}} left"),
        None => format!("{{msg}}  {{spinner}}  {position}"),
    };
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = length.map_or_else(ProgressBar::no_length, ProgressBar::new);
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    bar.with_style(style).with_message(message)
}

/// What a progress bar counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Items,
    Bytes,
}
