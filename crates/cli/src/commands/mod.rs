//! The `wellspring` command: one file or folder per subcommand.
//!
//! It uses the library as any program would, through its public API. Results go to the standard output;
//! notes, warnings, errors and progress to the standard error stream. With `--json` both carry JSON.

mod calibrate;
mod clear;
mod completions;
mod config;
mod context;
mod dead_letters;
mod demo;
mod doctor;
mod entry_view;
mod eval;
mod exit;
mod export;
mod feedback;
mod get;
mod impact;
mod import;
mod input;
mod invalidate;
mod judgements;
mod list;
mod listen;
mod logs;
mod match_policy;
mod matching;
mod named;
mod output;
mod pages;
mod put;
mod record;
mod reload;
mod scope;
mod serve;
mod sources;
mod stats;
mod target;
mod token;
mod units;
mod update;
mod watch;
mod whole_file;
mod why;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use self::context::Context;
use self::exit::Exit;
use crate::config::{Config, Sources};

const EXIT_CODES: &str = "\
Exit codes:
  0  success; for `get`, a hit
  1  `get`: a miss; `put`: the answer was not stored; `doctor`: a problem
  2  wrong usage, input or configuration
  3  the store, the model or something else failed

Configuration:
  Flags override environment variables such as WELLSPRING_TTL_DEFAULT. These
  override wellspring.toml in the current folder, which overrides defaults.
  `wellspring config` shows every setting and where its value comes from.

JSON:
  With --json, results are JSON on standard output, and errors are
  {\"error\":{\"kind\":…,\"message\":…}} on standard error.";

/// A semantic cache for RAG answers that knows which documents each answer came from
#[derive(Debug, Parser)]
#[command(name = "wellspring", version, after_help = EXIT_CODES, arg_required_else_help = true)]
struct Cli {
    #[arg(
        long,
        global = true,
        help = "Where answers are stored: embedded:PATH, memory: or valkey://HOST [default: embedded:wellspring.redb]",
        value_name = "URL",
        help_heading = "Global options"
    )]
    store: Option<String>,
    /// Read this configuration file instead of wellspring.toml
    #[arg(long, global = true, value_name = "PATH", help_heading = "Global options")]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true, help_heading = "Global options")]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

// Each subcommand is described with its arguments.
#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::DemoArgs),
    Serve(serve::ServeArgs),
    Token(token::TokenArgs),
    Get(get::GetArgs),
    Put(put::PutArgs),
    Feedback(feedback::FeedbackArgs),
    Judgements(judgements::JudgementsArgs),
    Invalidate(invalidate::InvalidateArgs),
    Clear(clear::ClearArgs),
    BeginUpdate(update::BeginUpdateArgs),
    EndUpdate(update::EndUpdateArgs),
    Listen(listen::ListenArgs),
    Watch(watch::WatchArgs),
    DeadLetters(dead_letters::DeadLettersArgs),
    Why(why::WhyArgs),
    Impact(impact::ImpactArgs),
    Sources(sources::SourcesArgs),
    List(list::ListArgs),
    Stats(stats::StatsArgs),
    Doctor(doctor::DoctorArgs),
    Import(import::ImportArgs),
    Export(export::ExportArgs),
    Eval(eval::EvalArgs),
    Calibrate(calibrate::CalibrateArgs),
    Config(config::ConfigArgs),
    Completions(completions::CompletionsArgs),
}

/// Runs the command that the process was started with; returns its exit code.
#[must_use]
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::usage(&error),
    };
    let json = cli.json;
    match execute(cli) {
        Ok(exit) => exit.into(),
        Err(error) => exit::failed(&error, json),
    }
}

fn execute(cli: Cli) -> anyhow::Result<Exit> {
    if let Command::Completions(args) = &cli.command {
        return completions::run(args);
    }
    let mut sources = Sources::of_this_process();
    if let Some(path) = cli.config {
        sources = sources.file(path);
    }
    if let Some(url) = cli.store {
        sources = sources.flag("--store", "store.url", url);
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Command::Serve(args) = &cli.command {
        sources = args.flags(sources);
    } else {
        runtime.worker_threads(2);
    }
    let context = Context::new(Config::load(&sources)?, sources, cli.json);
    let runtime = runtime.enable_all().build().context("cannot start the async runtime")?;
    runtime.block_on(dispatch(cli.command, &context))
}

async fn dispatch(command: Command, context: &Context) -> anyhow::Result<Exit> {
    match command {
        Command::Demo(args) => {
            let embedder = context.config.open_embedder().await?;
            let verifier = context.config.open_verifier(&embedder).await?;
            demo::run(&args, embedder, verifier, context.json).await?;
            Ok(Exit::Success)
        }
        Command::Serve(args) => serve::run(args, context).await,
        Command::Token(args) => token::run(args, context),
        Command::Get(args) => get::run(args, context).await,
        Command::Put(args) => put::run(args, context).await,
        Command::Feedback(args) => feedback::run(args, context).await,
        Command::Judgements(args) => judgements::run(args, context).await,
        Command::Invalidate(args) => invalidate::run(args, context).await,
        Command::Clear(args) => clear::run(args, context).await,
        Command::BeginUpdate(args) => update::begin(args, context).await,
        Command::EndUpdate(args) => update::end(args, context).await,
        Command::Listen(args) => listen::run(args, context).await,
        Command::DeadLetters(args) => dead_letters::run(args, context).await,
        Command::Watch(args) => watch::run(args, context).await,
        Command::Why(args) => why::run(args, context).await,
        Command::Impact(args) => impact::run(args, context).await,
        Command::Sources(args) => sources::run(args, context).await,
        Command::List(args) => list::run(args, context).await,
        Command::Stats(args) => stats::run(args, context).await,
        Command::Doctor(args) => doctor::run(args, context).await,
        Command::Import(args) => import::run(args, context).await,
        Command::Export(args) => export::run(args, context).await,
        Command::Eval(args) => eval::run(args, context).await,
        Command::Calibrate(args) => calibrate::run(args, context).await,
        Command::Config(args) => config::run(args, context).await,
        Command::Completions(args) => completions::run(&args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
