//! `wellspring export`: all answers as JSON lines.

use std::collections::HashMap;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use wellspring::key::{Corpus, Scope, ScopeId};
use wellspring::store::{Found, Store};

use crate::commands::context::Context;
use crate::commands::exit::Exit;
use crate::commands::output::{self, Unit};
use crate::commands::pages::Pages;
use crate::commands::record::Record;
use crate::commands::units;
use crate::commands::whole_file::WholeFile;

/// Write all answers as JSON lines
///
/// Embeddings are left out; an import computes them again. The scope that everyone shares is written as null, so that
/// it can be imported under another model. Other scopes are written as their ids, which depend on the model.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The file to write; - is standard output, as without it. It appears only when it is complete
    file: Option<PathBuf>,
    /// Only the answers of this corpus
    #[arg(long, value_name = "NAME")]
    corpus: Option<Corpus>,
}

pub(crate) async fn run(args: ExportArgs, context: &Context) -> anyhow::Result<Exit> {
    let store = context.store().await?;
    let mut scopes = DefaultScopes::new(context).await;
    let Some(path) = args.file.as_ref().filter(|path| path.as_os_str() != "-") else {
        write_all(&*store, &mut scopes, args.corpus.as_ref(), &mut BufWriter::new(io::stdout().lock()))
            .await?;
        store.close().await?;
        return Ok(Exit::Success);
    };
    let cannot = || format!("cannot write {}", path.display());
    let mut file = WholeFile::create(path)?;
    let exported =
        write_all(&*store, &mut scopes, args.corpus.as_ref(), &mut file).await.with_context(cannot)?;
    file.finish()?;
    store.close().await?;
    if context.json {
        output::json(&json!({ "exported": exported, "file": path }))?;
    } else {
        output::line(format_args!("{} written to {}", units::counted(exported, "answer"), path.display()))?;
    }
    Ok(Exit::Success)
}

async fn write_all(
    store: &dyn Store,
    scopes: &mut DefaultScopes,
    corpus: Option<&Corpus>,
    target: &mut dyn Write,
) -> anyhow::Result<u64> {
    let bar = output::progress("exporting", Some(store.status().await?.entries), Unit::Items);
    let mut exported = 0;
    let mut pages = Pages::of(store);
    while let Some(page) = pages.next().await? {
        for stored in page {
            bar.inc(1);
            let entry = &stored.entry;
            if corpus.is_some_and(|corpus| *corpus != entry.corpus) {
                continue;
            }
            // The entry is looked up again, for the state of the clock under which it is live.
            let fetched = store.lookup(&entry.corpus, entry.id).await?;
            if !matches!(fetched.found, Found::Live(_)) {
                continue;
            }
            let scope = (!scopes.is_default(&entry.corpus, entry.scope)?).then_some(entry.scope);
            serde_json::to_writer(&mut *target, &Record::new(&stored, scope, fetched.read_version))
                .map_err(io::Error::from)?;
            target.write_all(b"\n")?;
            exported += 1;
        }
    }
    target.flush()?;
    bar.finish_and_clear();
    Ok(exported)
}

/// Knows for each corpus the scope that everyone shares.
struct DefaultScopes {
    /// None if the model cannot be loaded.
    fingerprint: Option<String>,
    ids: HashMap<Corpus, ScopeId>,
}

impl DefaultScopes {
    /// Without a model, the answers are exported all the same: a user may need the export just then.
    async fn new(context: &Context) -> Self {
        let fingerprint = match context.config.open_embedder().await {
            Ok(embedder) => Some(embedder.model().fingerprint()),
            Err(error) => {
                output::note(format_args!("warning: every scope is written as its id, because {error}"));
                None
            }
        };
        Self { fingerprint, ids: HashMap::new() }
    }

    fn is_default(&mut self, corpus: &Corpus, scope: ScopeId) -> wellspring::Result<bool> {
        let Some(fingerprint) = &self.fingerprint else { return Ok(false) };
        if let Some(id) = self.ids.get(corpus) {
            return Ok(*id == scope);
        }
        let id = Scope::new().id(corpus, fingerprint)?;
        self.ids.insert(corpus.clone(), id);
        Ok(id == scope)
    }
}
