//! `wellspring doctor`: examines the store and what is accepted from other wordings, and says what to change
//! and why.

use std::fmt::Write as _;
use std::path::Path;

use clap::Args;
use owo_colors::OwoColorize as _;
use serde::Serialize;
use wellspring::embed::OnnxEmbedder;
use wellspring::error::{Error, ErrorKind};
use wellspring::judge::DEFAULT_BATCH;
use wellspring::store::{EmbeddedStore, Finding, Severity, Store as _, StoreStatus};

use crate::commands::context::Context;
use crate::commands::exit::Exit;
use crate::commands::matching::Matching;
use crate::commands::{output, units};
use crate::config::{Opening, Outbox, StoreUrl, ValkeyUrl};

/// Check the store and the rules for hits; report problems and how to fix them
///
/// On Valkey or Redis, the doctor logs in as the configured user, tries every command that the store needs, and checks
/// the servers' settings as far as that user's permissions allow. It leaves nothing behind. It also checks, from the
/// settings alone, whether the calibration can show the accepted share of false hits; no model is loaded, only the
/// library that runs models. The exit code is 1 if there is a problem, and 3 if the store cannot be reached.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {}

#[derive(Serialize)]
struct Report<'a> {
    store: String,
    /// The worst of all findings.
    verdict: Severity,
    findings: &'a [Finding],
}

pub(crate) async fn run(_: DoctorArgs, context: &Context) -> anyhow::Result<Exit> {
    let url = &context.config.store.url;
    let mut findings = match url {
        StoreUrl::Valkey(address) => on_valkey(address, context).await?,
        StoreUrl::Embedded(path) => embedded(path, context).await?,
        StoreUrl::Memory => {
            vec![Finding::new(
                "store",
                Severity::Ok,
                "in memory: its contents are lost when the process ends, so after every command",
            )]
        }
    };
    findings.extend(runtime(context));
    findings.extend(matching(context).await);
    findings.extend(judge(context));
    let verdict = findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Ok);
    if context.json {
        output::json(&Report { store: url.to_string(), verdict, findings: &findings })?;
    } else {
        output::line(text(&url.to_string(), &findings))?;
    }
    Ok(if verdict == Severity::Problem { Exit::Miss } else { Exit::Success })
}

/// Whether the library is found that models run in; none if an endpoint embeds.
fn runtime(context: &Context) -> Option<Finding> {
    if context.config.embedding.url.is_some() {
        return None;
    }
    Some(match OnnxEmbedder::library() {
        Ok(Some(path)) => Finding::new("runtime", Severity::Ok, path.display().to_string()),
        Ok(None) => Finding::new("runtime", Severity::Ok, "part of this program"),
        Err(error) => Finding::new("runtime", Severity::Problem, error.to_string()),
    })
}

/// Which models decide and which answers to other wordings are accepted; a problem if this cannot be
/// determined.
async fn matching(context: &Context) -> Vec<Finding> {
    match Matching::of(&context.config).await {
        Ok(matching) => vec![matching.models_finding(), matching.finding()],
        Err(error) => vec![Finding::new("matching", Severity::Problem, error.to_string())],
    }
}

/// What the judge may cost; none if there is no judge.
fn judge(context: &Context) -> Option<Finding> {
    let judge = &context.config.judge;
    match context.config.open_judge() {
        Err(error) => Some(Finding::new("judge", Severity::Problem, error.to_string())),
        Ok(None) => None,
        Ok(Some(_)) => {
            let key = match std::env::var(&judge.api_key_env) {
                Ok(key) if !key.is_empty() => String::new(),
                _ => format!(", without a key, because {} is not set", judge.api_key_env),
            };
            let reason = format!(
                "{}, at most {} an hour, each with up to {}; approves at a confidence of at least {}{key}",
                judge.model.as_deref().unwrap_or_default(),
                units::counted(judge.calls_per_hour.into(), "call"),
                units::counted(DEFAULT_BATCH as u64, "case"),
                judge.min_confidence,
            );
            Some(Finding::new("judge", Severity::Ok, reason))
        }
    }
}

async fn on_valkey(address: &ValkeyUrl, context: &Context) -> anyhow::Result<Vec<Finding>> {
    let (store, outbox) = context.config.connect_beside(address).await?;
    store.ping().await.map_err(crate::config::with_advice)?;
    let mut findings = store.diagnose().await?;
    store.close().await?;
    if let Some(finding) =
        findings.iter_mut().find(|found| outbox == Outbox::InUse && found.check == "outbox")
    {
        *finding =
            Finding::new("outbox", Severity::Ok, "the one in store.state_dir is open in another process");
    }
    Ok(findings)
}

async fn embedded(path: &Path, context: &Context) -> anyhow::Result<Vec<Finding>> {
    let store = match context.config.open_store(Opening::Existing).await {
        Ok(store) => store,
        Err(error) => return Ok(vec![unopened(path, &error).ok_or(error)?]),
    };
    let status = store.status().await?;
    store.close().await?;
    drop(store);
    let size = std::fs::metadata(path).map_or(0, |file| file.len());
    let size = format!("{}, {} on disk", path.display(), units::bytes(size));
    Ok(vec![Finding::new("file", Severity::Ok, size), writing(path), room(&status)])
}

/// Whether the file can be written.
fn writing(path: &Path) -> Finding {
    match EmbeddedStore::open(path).and_then(|store| store.check_writable()) {
        Ok(()) => Finding::new("writing", Severity::Ok, "another MiB can be written"),
        Err(error) => Finding::new("writing", Severity::Problem, error.to_string()).remedy(
            "free space on its disk; meanwhile a gateway serves what is stored, and it resumes writing by itself",
        ),
    }
}

/// What it means that the store cannot be opened; none if the cause is not in the store.
fn unopened(path: &Path, error: &Error) -> Option<Finding> {
    let problem = Finding::new("file", Severity::Problem, error.to_string());
    match error.kind() {
        ErrorKind::Locked => Some(
            problem.remedy("stop the other process, or use a store on Valkey, which processes can share"),
        ),
        ErrorKind::Corrupt => {
            Some(problem.remedy(format!("move {} away; answers are then made again", path.display())))
        }
        ErrorKind::Store if !path.exists() => {
            Some(Finding::new("file", Severity::Warning, error.to_string()))
        }
        _ => None,
    }
}

fn room(status: &StoreStatus) -> Finding {
    let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
    let full = share(status.entries, status.max_entries).max(share(status.bytes, status.max_bytes));
    let reason = format!("{} of {} answers", units::count(status.entries), units::count(status.max_entries));
    if full > 0.95 {
        return Finding::new("room", Severity::Warning, format!("{reason}: new answers displace old ones"))
            .remedy("raise store.max_entries and store.max_bytes");
    }
    Finding::new("room", Severity::Ok, reason)
}

fn text(store: &str, findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
    let mut text = format!("{}\n", store.bold());
    for finding in findings {
        let mark = match finding.severity {
            Severity::Ok => "✓".green().to_string(),
            Severity::Warning => "!".yellow().bold().to_string(),
            Severity::Problem => "✗".red().bold().to_string(),
            _ => "?".dimmed().to_string(),
        };
        let servers = match &finding.servers[..] {
            [] => String::new(),
            servers => format!("  ({})", servers.join(", ")).dimmed().to_string(),
        };
        let _ = writeln!(text, "{mark} {:width$}  {}{servers}", finding.check, finding.reason);
        if let Some(remedy) = &finding.remedy {
            let _ = writeln!(text, "  {:width$}  {} {}", "", "→".dimmed(), remedy.cyan());
        }
    }
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count() as u64;
    let (problems, warnings) = (count(Severity::Problem), count(Severity::Warning));
    let verdict = match (problems, warnings) {
        (0, 0) => "nothing to change".green().bold().to_string(),
        (0, warnings) => units::counted(warnings, "warning").yellow().bold().to_string(),
        (problems, 0) => units::counted(problems, "problem").red().bold().to_string(),
        (problems, warnings) => {
            let both =
                format!("{}, {}", units::counted(problems, "problem"), units::counted(warnings, "warning"));
            both.red().bold().to_string()
        }
    };
    let _ = write!(text, "\n{verdict}");
    text
}
