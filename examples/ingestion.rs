//! An ingestion hook: finds out which files of a folder were added, changed or removed, and reports them to the cache.
//!
//! ```sh
//! cargo run --example ingestion
//! ```
//!
//! It needs neither a model nor a server: it edits a temporary folder, and shows which answers each edit ends.
//! `wellspring watch` does the same for a real folder, as a command.

#![expect(clippy::print_stdout, reason = "its output is what the example shows")]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use sha2::{Digest, Sha256};
use wellspring::embed::FakeEmbedder;
use wellspring::{BoxError, Cache, Change, CorpusCache, Dependency, MemoryStore};

/// What an answer depends on if a new file could have changed it.
const ALL_FILES: &str = "handbook";

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // Stands in for `OnnxEmbedder::bundled()?`, see the example `rag`.
    let cache = Cache::builder(FakeEmbedder::new(64), MemoryStore::default()).build().await?;
    let cache = cache.corpus("handbook")?;
    let place = tempfile::tempdir()?;
    let mut folder = Folder { path: place.path().into(), versions: BTreeMap::new() };

    fs::write(place.path().join("hours.md"), "Open from 8:00 to 18:00.")?;
    fs::write(place.path().join("parking.md"), "Park behind the house.")?;
    ingest(&cache, &mut folder).await?;
    ask(&cache, "When do you open?", vec![Dependency::document("hours.md")]).await?;
    ask(&cache, "Where do I park?", vec![Dependency::document("parking.md")]).await?;
    ask(&cache, "What is there to read?", vec![Dependency::collection(ALL_FILES)]).await?;

    fs::write(place.path().join("hours.md"), "Open from 9:00 to 20:00.")?;
    ingest(&cache, &mut folder).await?;
    // Nothing changed since.
    ingest(&cache, &mut folder).await?;
    fs::remove_file(place.path().join("parking.md"))?;
    fs::write(place.path().join("menu.md"), "Soup of the day 6.50.")?;
    ingest(&cache, &mut folder).await?;
    Ok(())
}

/// Brings retrieval and the cache up to date with the folder.
async fn ingest(cache: &CorpusCache, folder: &mut Folder) -> Result<(), BoxError> {
    let changes = folder.changes()?;
    // Here the changed files go into the index that answers are retrieved from. If retrieval sees them only later,
    // put `begin_update` before and `end_update` after that, in place of `invalidate`.
    if changes.is_empty() {
        println!("nothing changed");
        return Ok(());
    }
    // An error means that the changes may not be in force: then report them again until it succeeds.
    let done = cache.invalidate(&changes).await?;
    for (change, outcome) in changes.iter().zip(&done.outcomes) {
        let what = match change {
            Change::Document { id, .. } => id,
            Change::Collection(name) => name,
            _ => "another change",
        };
        println!("{what}: answers that are gone: {}", outcome.dropped());
    }
    Ok(())
}

/// Stands in for the pipeline that makes answers.
async fn ask(cache: &CorpusCache, question: &str, sources: Vec<Dependency>) -> Result<(), BoxError> {
    cache.get_or_fill(question, async |_| Ok(("As it is written.", sources))).await?;
    Ok(())
}

/// A folder, with the versions of its files as of the last look.
struct Folder {
    path: PathBuf,
    versions: BTreeMap<String, String>,
}

impl Folder {
    /// What changed since the last look.
    fn changes(&mut self) -> io::Result<Vec<Change>> {
        let mut versions = BTreeMap::new();
        for file in fs::read_dir(&self.path)? {
            let file = file?;
            let version = hex::encode(Sha256::digest(fs::read(file.path())?));
            versions.insert(file.file_name().to_string_lossy().into_owned(), version);
        }
        let before = std::mem::replace(&mut self.versions, versions);
        let now = &self.versions;
        let changed = now.iter().filter(|(id, version)| before.get(*id) != Some(*version));
        let removed = before.keys().filter(|id| !now.contains_key(*id));
        let mut changes: Vec<Change> =
            changed.map(|(id, version)| Change::document_version(id, version.as_str())).collect();
        changes.extend(removed.map(Change::document));
        if !now.keys().eq(before.keys()) {
            changes.push(Change::collection(ALL_FILES));
        }
        Ok(changes)
    }
}
