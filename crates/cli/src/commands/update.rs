//! `wellspring begin-update` and `wellspring end-update`: hold a document while it changes.

use std::time::Instant;

use clap::Args;
use owo_colors::OwoColorize as _;
use serde_json::json;
use wellspring::entry::{Change, DocumentVersion};
use wellspring::key::Corpus;

use crate::commands::context::Context;
use crate::commands::exit::Exit;
use crate::commands::{invalidate, output};
use crate::config::Opening;

/// Hold a document: what depends on it is not served or stored until end-update
///
/// Use it when the new version of a document takes time to become visible to retrieval. `wellspring stats` lists the
/// documents that are held.
#[derive(Debug, Args)]
pub(crate) struct BeginUpdateArgs {
    /// The document's id
    #[arg(value_name = "DOC")]
    document: String,
    /// The corpus: the body of documents
    #[arg(long, value_name = "NAME", default_value_t)]
    corpus: Corpus,
}

/// End the hold on a document and invalidate it
#[derive(Debug, Args)]
pub(crate) struct EndUpdateArgs {
    /// The document's id
    #[arg(value_name = "DOC")]
    document: String,
    /// Its new version
    #[arg(long, value_name = "VERSION")]
    doc_version: Option<String>,
    /// The corpus: the body of documents
    #[arg(long, value_name = "NAME", default_value_t)]
    corpus: Corpus,
}

pub(crate) async fn begin(args: BeginUpdateArgs, context: &Context) -> anyhow::Result<Exit> {
    // A hold must exist before the first answer is stored.
    let store = context.config.open_store(Opening::Create).await?;
    store.begin_update(&args.corpus, &args.document).await?;
    store.close().await?;
    if context.json {
        output::json(&json!({ "corpus": args.corpus, "held": args.document }))?;
    } else {
        output::line(format_args!("{} {} until end-update", "held".green().bold(), args.document))?;
    }
    Ok(Exit::Success)
}

pub(crate) async fn end(args: EndUpdateArgs, context: &Context) -> anyhow::Result<Exit> {
    let version = args.doc_version.map(DocumentVersion::new);
    let store = context.store().await?;
    let started = Instant::now();
    let outcome = store.end_update(&args.corpus, &args.document, version.clone()).await?;
    let elapsed = started.elapsed();
    store.close().await?;
    let change = Change::Document { id: args.document, version };
    invalidate::report(&args.corpus, &[change], &[outcome], elapsed, context.json)?;
    Ok(Exit::Success)
}
