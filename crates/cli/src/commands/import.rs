//! `wellspring import`: stores answers from JSON lines.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use futures::StreamExt as _;
use serde::Serialize;
use wellspring::embed::{Embedded, Embedder};
use wellspring::entry::Entry;
use wellspring::error::{Error, ErrorKind, Result};
use wellspring::key::Scope;
use wellspring::store::{Filled, Found, RefusedReason, Store};

use crate::commands::context::Context;
use crate::commands::exit::Exit;
use crate::commands::input::{BYTE_ORDER_MARK, invalid};
use crate::commands::output::{self, Unit};
use crate::commands::record::Record;
use crate::commands::units;
use crate::config::{Config, Opening};

/// How many lines are embedded at a time.
const BATCH: usize = 256;
/// How many entries are sent to the store at a time; the store gathers them into one transaction.
const CONCURRENT_FILLS: usize = 64;
/// The longest line, in bytes.
const MAX_LINE_BYTES: u64 = 16 * 1024 * 1024;
/// The most bad lines that a report lists; all of them count.
const MAX_LISTED: usize = 100;

/// Store answers from JSON lines
///
/// A line needs a "question" and an "answer"; `wellspring export` shows the other fields. Questions are embedded again,
/// except where the export says "exact": those are only matched exactly, as before. Expired answers are skipped, and so
/// are answers that are already stored or are older than the stored ones. An answer that this store exported is refused
/// if one of its documents has changed since. The changes of another store are not known here, so export after the last
/// of them.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The file; - reads standard input
    file: String,
    /// Continue after a bad line
    #[arg(long)]
    keep_going: bool,
}

/// What happened to the lines.
#[derive(Debug, Default, Serialize)]
struct Report {
    imported: u64,
    /// Stored already, or older than what is stored.
    kept: u64,
    expired: u64,
    /// By reason.
    refused: BTreeMap<String, u64>,
    bad: u64,
    bad_lines: Vec<BadLine>,
    /// Whether reading ended at a bad line.
    stopped: bool,
}

#[derive(Debug, Serialize)]
struct BadLine {
    line: u64,
    message: String,
}

/// A line that can be stored.
struct Ready {
    line: u64,
    record: Record,
    entry: Entry,
}

pub(crate) async fn run(args: ImportArgs, context: &Context) -> anyhow::Result<Exit> {
    let (mut lines, length) = open(&args.file)?;
    let store = context.config.open_store(Opening::Create).await?;
    let embedder = context.config.open_embedder().await?;
    let mut import =
        Import { config: &context.config, store: &*store, embedder: &*embedder, report: Report::default() };
    let bar = output::progress("importing", length, Unit::Bytes);
    let result = import.all(&mut *lines, args.keep_going, &bar).await;
    bar.finish_and_clear();
    let report = import.report;
    // The report is printed even if something failed along the way.
    let closed = store.close().await;
    if context.json {
        output::json(&report)?;
    } else {
        print_outcome(&report)?;
    }
    result?;
    closed?;
    Ok(if report.bad > 0 { Exit::Invalid } else { Exit::Success })
}

type Lines = (Box<dyn BufRead>, Option<u64>);

fn open(file: &str) -> Result<Lines> {
    if file == "-" {
        return Ok((Box::new(BufReader::new(io::stdin())), None));
    }
    let opened =
        File::open(Path::new(file)).map_err(|e| invalid(format!("cannot open {file}")).with_source(e))?;
    let length = opened.metadata().map(|metadata| metadata.len()).ok();
    Ok((Box::new(BufReader::new(opened)), length))
}

struct Import<'a> {
    config: &'a Config,
    store: &'a dyn Store,
    embedder: &'a dyn Embedder,
    report: Report,
}

impl Import<'_> {
    async fn all(
        &mut self,
        lines: &mut dyn BufRead,
        keep_going: bool,
        bar: &indicatif::ProgressBar,
    ) -> Result<()> {
        let mut batch = Vec::with_capacity(BATCH);
        let mut number = 0;
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = io::Read::take(&mut *lines, MAX_LINE_BYTES)
                .read_until(b'\n', &mut line)
                .map_err(|e| invalid("cannot read the lines to import").with_source(e))?;
            number += 1;
            // Not only in the first line: the lines may be several files, one after the other.
            if line.starts_with(BYTE_ORDER_MARK) {
                line.drain(..BYTE_ORDER_MARK.len());
            }
            if read > 0 && !line.trim_ascii().is_empty() {
                match self.ready(number, &line) {
                    Ok(Some(ready)) => batch.push(ready),
                    Ok(None) => self.report.expired += 1,
                    Err(error) => {
                        self.report.add_bad(number, &error);
                        // The rest of a line that is too long is not a line of its own.
                        self.report.stopped = !keep_going || is_too_long(&line);
                    }
                }
            }
            bar.inc(read as u64);
            let ends = read == 0 || self.report.stopped;
            if batch.len() == BATCH || ends {
                self.store_all(std::mem::take(&mut batch)).await?;
            }
            if ends {
                return Ok(());
            }
        }
    }

    /// A line's entry without its embedding; none if it has expired.
    fn ready(&self, line: u64, text: &[u8]) -> Result<Option<Ready>> {
        if is_too_long(text) {
            return Err(invalid(format!("the line has more than {MAX_LINE_BYTES} bytes")));
        }
        let record: Record = serde_json::from_slice(text).map_err(|e| invalid(without_line(&e)))?;
        let limit = self.config.admission().max_answer_bytes;
        if record.answer.len() > limit {
            return Err(invalid(format!("the answer has more than {limit} bytes")));
        }
        let scope = match record.scope {
            Some(scope) => scope,
            None => Scope::new().id(&record.corpus, &self.embedder.model().fingerprint())?,
        };
        let key = record.key(scope)?;
        let now = Context::now();
        let entry = record.entry(&key, &self.config.ttls(), now)?;
        Ok((entry.expires_at > now).then_some(Ready { line, record, entry }))
    }

    async fn store_all(&mut self, batch: Vec<Ready>) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let matched = batch.iter().filter(|ready| ready.record.is_matched_by_meaning());
        let questions: Vec<String> = matched.map(|ready| ready.entry.question.to_string()).collect();
        let embedded =
            if questions.is_empty() { Vec::new() } else { self.embedder.embed(&questions).await? };
        if embedded.len() != questions.len() {
            return Err(Error::new(
                ErrorKind::Embedding,
                "the embedder returned the wrong number of vectors",
            ));
        }
        let mut embedded = embedded.into_iter();
        let batch: Vec<Ready> = batch
            .into_iter()
            .map(|mut ready| {
                if ready.record.is_matched_by_meaning()
                    && let Some(Embedded::Vector(embedding)) = embedded.next()
                {
                    ready.entry.embedding = Some(embedding);
                }
                ready
            })
            .collect();
        let store = self.store;
        let mut outcomes = futures::stream::iter(batch)
            .map(|ready| async move { (ready.line, fill(store, ready).await) })
            .buffered(CONCURRENT_FILLS);
        while let Some((line, outcome)) = outcomes.next().await {
            match outcome {
                Ok(Some(Filled::Stored)) => self.report.imported += 1,
                Ok(Some(Filled::Refused(reason))) => {
                    *self.report.refused.entry(name(reason)).or_default() += 1;
                }
                Ok(Some(_)) => *self.report.refused.entry("other".to_owned()).or_default() += 1,
                Ok(None) => self.report.kept += 1,
                Err(error) if error.is_invalid_input() => self.report.add_bad(line, &error),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Stores an entry; none if a newer entry or the same one is already stored.
async fn fill(store: &dyn Store, ready: Ready) -> Result<Option<Filled>> {
    let Ready { record, entry, .. } = ready;
    let fetched = store.lookup(&entry.corpus, entry.id).await?;
    if let Found::Live(stored) = fetched.found
        && stored.created_at >= entry.created_at
    {
        return Ok(None);
    }
    store.fill(record.read_version(fetched.read_version), Arc::new(entry)).await.map(Some)
}

/// The reason as it is written in JSON.
fn name(reason: RefusedReason) -> String {
    match serde_json::to_value(reason) {
        Ok(serde_json::Value::String(name)) => name,
        _ => reason.to_string(),
    }
}

/// Whether reading stopped before the line ended.
fn is_too_long(line: &[u8]) -> bool {
    line.len() as u64 == MAX_LINE_BYTES && !line.ends_with(b"\n")
}

/// The parser's message without its position, which is relative to this one line.
fn without_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let message = text.rsplit_once(" at line ").map_or(&*text, |(message, _)| message);
    format!("{message} (column {})", error.column())
}

impl Report {
    fn add_bad(&mut self, line: u64, error: &Error) {
        self.bad += 1;
        if self.bad_lines.len() < MAX_LISTED {
            self.bad_lines.push(BadLine { line, message: error.to_string() });
        }
    }
}

fn print_outcome(report: &Report) -> anyhow::Result<()> {
    for bad in &report.bad_lines {
        output::note(format_args!("line {}: {}", bad.line, bad.message));
    }
    if report.bad > report.bad_lines.len() as u64 {
        output::note(format_args!("and {} more", report.bad - report.bad_lines.len() as u64));
    }
    let optional = |count: u64| if count == 0 { String::new() } else { units::count(count) };
    let refused: Vec<String> = report
        .refused
        .iter()
        .map(|(reason, n)| format!("{} ({})", units::count(*n), reason.replace('_', " ")))
        .collect();
    let stopped = if report.stopped { "; stopped there, see --keep-going" } else { "" };
    output::line(output::fields(&[
        ("imported", units::count(report.imported)),
        ("already stored", optional(report.kept)),
        ("expired", optional(report.expired)),
        ("refused", refused.join(", ")),
        ("bad lines", optional(report.bad) + stopped),
    ]))
}
