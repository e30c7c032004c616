//! How the program ends: exit codes, and errors as people and programs read them.

use std::io;
use std::process::ExitCode;

use owo_colors::OwoColorize as _;
use serde_json::json;
use wellspring::error::{Error, ErrorKind};

use crate::commands::output;

/// The exit codes; `--help` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Success = 0,
    /// A miss, an answer that was not stored, or a store with problems: an outcome, not an error.
    Miss = 1,
    /// Wrong usage, input or configuration.
    Invalid = 2,
    /// The store, the model or something else failed.
    Failed = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Reports what is wrong with the arguments, or shows the help if it was asked for.
pub(super) fn usage(error: &clap::Error) -> ExitCode {
    let asked = error.use_stderr();
    if asked && std::env::args_os().any(|argument| argument == "--json") {
        let text = error.to_string();
        let message = text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim);
        let message = message.collect::<Vec<_>>().join(" ");
        print_json("usage", message.trim_start_matches("error: "));
    } else {
        // If the pipe is closed, there is nothing more to say.
        let _ = error.print();
    }
    if asked { Exit::Invalid.into() } else { Exit::Success.into() }
}

/// Reports `error`.
pub(super) fn failed(error: &anyhow::Error, json: bool) -> ExitCode {
    if is_closed_pipe(error) {
        // The reader of the output has seen enough.
        return Exit::Success.into();
    }
    let kind = error.chain().find_map(|cause| cause.downcast_ref::<Error>()).map(Error::kind);
    let message = message(error);
    if json {
        print_json(kind.map_or("error", ErrorKind::name), &message);
    } else {
        output::note(format_args!("{} {message}", "error:".red().bold()));
    }
    match kind {
        Some(ErrorKind::InvalidInput | ErrorKind::Config) => Exit::Invalid.into(),
        _ => Exit::Failed.into(),
    }
}

/// The whole chain of causes on one line.
pub(super) fn message(error: &anyhow::Error) -> String {
    let mut message = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        // Some errors repeat their cause in their own words.
        if !message.contains(&cause) {
            message = if message.is_empty() { cause } else { format!("{message}: {cause}") };
        }
    }
    message
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>());
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn print_json(kind: &str, message: &str) {
    output::note(json!({ "error": { "kind": kind, "message": message } }));
}
