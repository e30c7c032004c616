//! `wellspring listen`: applies changes that other systems report of their documents.

use clap::Args;
use owo_colors::OwoColorize as _;
use wellspring::events::{ChannelEvents, DocumentEvents, OnGap, Report, StreamEvents};
use wellspring::key::Corpus;

use crate::commands::context::Context;
use crate::commands::exit::Exit;
use crate::commands::input::invalid;
use crate::commands::{output, units};
use crate::config::{Opening, StoreUrl};

/// Apply document events from a stream or a channel until interrupted
///
/// A stream is read as a member of a consumer group: each event is applied at least once, even if processes die. Events
/// that can never be applied become dead letters. A channel does not keep events for later readers. If events may have
/// been missed, as at the first start, everything is invalidated. docs/invalidation.md describes the format of events.
#[derive(Debug, Args)]
pub(crate) struct ListenArgs {
    /// The server that events come from [default: the store's server]
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    /// The stream to read
    #[arg(long, value_name = "KEY", default_value = "documents")]
    stream: String,
    /// Listen to this channel instead
    #[arg(long, value_name = "NAME", conflicts_with_all = ["stream", "group", "consumer", "max_attempts"])]
    channel: Option<String>,
    /// The consumer group; its members share the events
    #[arg(long, value_name = "NAME", default_value = "wellspring")]
    group: String,
    /// This member's name; keep it across restarts [default: the host's name]
    #[arg(long, value_name = "NAME")]
    consumer: Option<String>,
    /// How many times an event may fail before it becomes a dead letter
    #[arg(long, value_name = "N", default_value_t = 8)]
    max_attempts: u32,
    /// What to do when events may have been missed
    #[arg(long, value_name = "WHAT", value_enum, default_value_t)]
    on_gap: Gap,
    /// The corpus of events that name none
    #[arg(long, value_name = "NAME", default_value_t)]
    corpus: Corpus,
}

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum Gap {
    /// Invalidate everything
    #[default]
    Invalidate,
    /// Only report it: answers whose change was missed are served until they expire
    Report,
}

impl From<Gap> for OnGap {
    fn from(gap: Gap) -> Self {
        match gap {
            Gap::Invalidate => Self::InvalidateEverything,
            Gap::Report => Self::Report,
        }
    }
}

pub(crate) async fn run(args: ListenArgs, context: &Context) -> anyhow::Result<Exit> {
    let from = server(args.from, context)?;
    // A gap must also end answers that are stored later, so a store has to exist.
    let store = context.config.open_store(Opening::Create).await?;
    let json = context.json;
    let print_outcome = move |report: &Report| {
        // The work goes on even if the pipe is closed.
        let _ = if json { output::json_line(report) } else { output::line(text(report)) };
    };
    let stopped = shutdown()?;
    if let Some(channel) = args.channel {
        let events = DocumentEvents::channel(from, channel).corpus(args.corpus).on_gap(args.on_gap.into());
        with_authority(context, events, ChannelEvents::tls_ca)?
            .observe(print_outcome)
            .run_on_store(&*store, stopped)
            .await?;
    } else {
        let consumer = args.consumer.unwrap_or_else(host);
        let events = DocumentEvents::stream(from, args.stream, args.group, consumer)
            .corpus(args.corpus)
            .on_gap(args.on_gap.into())
            .max_attempts(args.max_attempts);
        with_authority(context, events, StreamEvents::tls_ca)?
            .observe(print_outcome)
            .run_on_store(&*store, stopped)
            .await?;
    }
    store.close().await?;
    Ok(Exit::Success)
}

/// The server that events come from: the named one, or the store's.
pub(crate) fn server(named: Option<String>, context: &Context) -> anyhow::Result<String> {
    match (named, &context.config.store.url) {
        (Some(named), _) => Ok(named),
        (None, StoreUrl::Valkey(url)) => Ok(url.secret().to_owned()),
        (None, _) => {
            Err(invalid("the store is not on a server: name the server of the events with --from").into())
        }
    }
}

/// Sets the certificate authority that the store's settings name.
pub(crate) fn with_authority<T>(
    context: &Context,
    events: T,
    set: impl FnOnce(T, Vec<u8>) -> T,
) -> wellspring::Result<T> {
    Ok(match context.config.store.authority()? {
        Some(pem) => set(events, pem),
        None => events,
    })
}

fn host() -> String {
    gethostname::gethostname().to_string_lossy().into_owned()
}

/// Completes at an interrupt or, on Unix, a request to terminate.
pub(crate) fn shutdown() -> std::io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    Ok(async move {
        #[cfg(unix)]
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    })
}

fn text(report: &Report) -> String {
    match report {
        Report::Connected { server } => format!("{} {server}", "connected".green().bold()),
        Report::Disconnected { server, why } => {
            format!("{} {server}: {why}; trying again", "no connection".yellow().bold())
        }
        Report::Applied { id, dropped } => {
            let id = id.as_deref().unwrap_or("message");
            format!("{} {id}: {} dropped", "applied".green().bold(), units::counted(*dropped, "answer"))
        }
        Report::DeadLettered { id, reason } => {
            format!("{} {id}: {reason}; see wellspring dead-letters", "dead-lettered".red().bold())
        }
        Report::Ignored { reason } => format!("{} a message: {reason}", "ignored".red().bold()),
        Report::Waiting { why } => format!("{} {why}", "waiting".yellow().bold()),
        Report::Gap { reason, dropped } => {
            let dropped = units::counted(*dropped, "answer");
            format!("{} {reason}: {dropped} dropped", "gap".yellow().bold())
        }
        _ => "something else happened".to_owned(),
    }
}
