//! `wellspring watch`: reports to the cache which files of a folder changed.

mod files;
mod notice;
mod report;
mod state;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use owo_colors::OwoColorize as _;
use serde::{Deserialize, Serialize};
use serde_json::json;
use wellspring::key::Corpus;
use wellspring_gateway::rules::Rules;

use self::files::Files;
use self::notice::{Noticed, Notices};
use self::report::Reporter;
use self::state::{Change, State};
use crate::commands::context::Context;
use crate::commands::exit::Exit;
use crate::commands::input::invalid;
use crate::commands::{listen, output, units};
use crate::config::{RuleConfig, rules};

/// Report changed documents of a folder to the cache until interrupted
///
/// A document's version is the SHA-256 of its file. At the start, files are compared with the state file, and changes
/// that happened since the last run are reported. Hidden files are skipped, and symbolic links are not followed. If a
/// gateway uses the store, name it with --gateway.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// The folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The corpus: the body of documents
    #[arg(long, value_name = "NAME", default_value_t)]
    corpus: Corpus,
    /// A TOML file with [[rules]] that map paths to documents [default: the path in the folder is the id]
    #[arg(long, value_name = "PATH")]
    rules: Option<PathBuf>,
    /// Report the changes since the last run, then exit
    #[arg(long)]
    once: bool,
    /// The state file, which records what was reported
    #[arg(long, value_name = "PATH", default_value = "wellspring-watch.json")]
    state: PathBuf,
    /// Report to the gateway at this administration address instead of to the store
    #[arg(long, value_name = "URL")]
    gateway: Option<String>,
    /// The environment variable that holds the gateway's token
    #[arg(long, value_name = "NAME", default_value = "WELLSPRING_TOKEN", requires = "gateway")]
    token_env: String,
    /// How long files must stay unchanged before they are read
    #[arg(long, value_name = "DURATION", default_value = "300ms", value_parser = humantime::parse_duration)]
    debounce: Duration,
    /// How often all files are read again, in case the system lost a notification; 0s for never
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = humantime::parse_duration)]
    rescan: Duration,
}

/// The file of `--rules`.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RulesFile {
    rules: Vec<RuleConfig>,
}

pub(crate) async fn run(args: WatchArgs, context: &Context) -> anyhow::Result<Exit> {
    let rules = args.rules.as_deref().map(read_rules).transpose()?.unwrap_or_default();
    let folder = args.folder.canonicalize().map_err(|error| {
        invalid(format!("the folder {} cannot be read", args.folder.display())).with_source(error)
    })?;
    // Before the files are read, so that nothing is lost in between.
    let mut notices = if args.once { None } else { Some(Notices::of(&folder, args.debounce, args.rescan)?) };
    let mut state = State::load(&args.state, &folder, &args.corpus)?;
    let mut files = Files::new(folder, &args.state);
    let reporter = Reporter::open(context, args.gateway.as_deref(), &args.token_env, args.corpus).await?;
    let mut stopped = std::pin::pin!(listen::shutdown()?);
    let mut noticed = Noticed::Everything;
    loop {
        let read = tokio::task::spawn_blocking(move || {
            let reported = files.read(&noticed);
            (files, reported)
        });
        let reported;
        (files, reported) = read.await?;
        for trouble in reported {
            output::note(format_args!("{} {trouble}", "warning:".yellow().bold()));
        }
        let changes = state.changes(files.known(), &rules);
        let reporting = async {
            for batch in changes.chunks(report::BATCH) {
                reporter.report(batch, args.once).await?;
                state.reported(batch, files.known(), &rules);
                state.save(&args.state)?;
                report(batch, context.json)?;
            }
            anyhow::Ok(())
        };
        tokio::select! {
            reported = reporting => reported?,
            () = &mut stopped => break,
        }
        let Some(notices) = &mut notices else { break };
        tokio::select! {
            next = notices.next() => noticed = next,
            () = &mut stopped => break,
        }
    }
    reporter.close().await?;
    if args.once && !context.json {
        output::note(format_args!("{} known", units::counted(files.known().len() as u64, "file")));
    }
    Ok(Exit::Success)
}

fn report(batch: &[Change], is_json: bool) -> anyhow::Result<()> {
    for change in batch {
        if is_json {
            output::json_line(&json!(change))?;
            continue;
        }
        match change {
            Change::Document { id, version: Some(version) } => {
                let version = version.get(..12).unwrap_or(version);
                output::line(format_args!("{} {id}@{version}", "reported".green().bold()))?;
            }
            Change::Document { id, version: None } => {
                output::line(format_args!("{} {id}", "reported, gone".green().bold()))?;
            }
            Change::Collection { name } => {
                output::line(format_args!("{} collection {name}", "reported".green().bold()))?;
            }
        }
    }
    Ok(())
}

fn read_rules(path: &std::path::Path) -> wellspring::Result<Rules> {
    let cannot = || invalid(format!("the rules {} cannot be used", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| cannot().with_source(error))?;
    let file: RulesFile = toml::from_str(&text).map_err(|error| cannot().with_source(error))?;
    rules(&file.rules)
}
