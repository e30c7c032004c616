//! `wellspring dead-letters`: the events that could not be applied.

use clap::{Args, Subcommand};
use owo_colors::OwoColorize as _;
use serde_json::json;
use wellspring::events::{DeadLetter, DeadLetters, DocumentEvents, StreamEvents};

use crate::commands::context::Context;
use crate::commands::exit::Exit;
use crate::commands::output::{Column, table};
use crate::commands::{listen, output, units};

/// List events that could not be applied, and replay or drop them
///
/// Each event stands for a change that was not applied: answers that depend on it may be stale until they expire. After
/// the cause is fixed, `replay` puts the events back into their stream.
#[derive(Debug, Args)]
pub(crate) struct DeadLettersArgs {
    #[command(subcommand)]
    action: Action,
    /// The server that the events came from [default: the store's server]
    #[arg(long, value_name = "URL", global = true)]
    from: Option<String>,
    /// The stream that they came from
    #[arg(long, value_name = "KEY", global = true, default_value = "documents")]
    stream: String,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the events, oldest first
    List {
        /// The most events to show
        #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
        limit: usize,
        /// Show the events after this one
        #[arg(long, value_name = "ID")]
        after: Option<String>,
    },
    /// Put events back into the stream
    Replay(Which),
    /// Remove events permanently
    Drop(Which),
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// The ids of the events
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// All events
    #[arg(long)]
    all: bool,
}

impl Which {
    fn ids(&self) -> Option<&[String]> {
        (!self.all).then_some(&self.ids)
    }
}

pub(crate) async fn run(args: DeadLettersArgs, context: &Context) -> anyhow::Result<Exit> {
    let from = listen::server(args.from, context)?;
    // It does not matter here which consumer reads the stream.
    let events = DocumentEvents::stream(from, &args.stream, "wellspring", "wellspring");
    let letters = listen::with_authority(context, events, StreamEvents::tls_ca)?.dead_letters();
    match args.action {
        Action::List { limit, after } => list(&letters, after.as_deref(), limit, context.json).await?,
        Action::Replay(which) => {
            let replayed = letters.replay(which.ids()).await?;
            print_outcome("replayed", replayed, context.json)?;
        }
        Action::Drop(which) => {
            let dropped = letters.discard(which.ids()).await?;
            print_outcome("dropped", dropped, context.json)?;
        }
    }
    Ok(Exit::Success)
}

async fn list(letters: &DeadLetters, after: Option<&str>, limit: usize, json: bool) -> anyhow::Result<()> {
    let letters = letters.list(after, limit).await?;
    if json {
        return output::json(&letters);
    }
    if letters.is_empty() {
        return output::line("no dead letters");
    }
    let columns =
        [Column::Left("LETTER"), Column::Right("TRIED"), Column::Left("EVENT"), Column::Rest("REASON")];
    let rows = letters.into_iter().map(|letter| {
        let event = event(&letter);
        vec![letter.id, units::count(letter.deliveries), event, letter.reason]
    });
    output::line(table(&columns, rows))
}

/// The event as it was written, on one line.
fn event(letter: &DeadLetter) -> String {
    const MOST: usize = 60;
    let fields: Vec<String> = letter.fields.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let text: String = fields.join(" ").chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn print_outcome(what: &str, count: u64, json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(&json!({ what: count }));
    }
    output::line(format_args!("{} {what}", units::counted(count, "event").bold()))
}
