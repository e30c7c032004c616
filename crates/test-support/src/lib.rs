//! What the test suites share: entries, stores to run on, an embedder without a model and real servers; with
//! the feature `gateway`, also fake upstreams and a gateway in front of them; with the feature `fuzz`, inputs at
//! random for parsers. The examples in the documentation share their set-up.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![expect(
    missing_docs,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    reason = "their names say it to readers of the tests"
)]

pub mod embedder;
pub mod example;
pub mod faulty;
#[cfg(feature = "fuzz")]
pub mod fuzz;
#[cfg(feature = "gateway")]
pub mod gateway;
pub mod intercepted;
#[cfg(unix)]
pub mod servers;
#[cfg(feature = "gateway")]
pub mod upstream;
pub mod valkey;
pub mod watched;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use wellspring::clock::{ManualClock, Timestamp};
use wellspring::key::{CacheKey, ScopeId};
use wellspring::store::{EmbeddedStore, Fetched, Found, Limits, MemoryStore, ReadVersion, Store};
use wellspring::{Answer, Corpus, Dependency, Entry, EntryId};

/// The folder of the repository.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Long after the epoch, so that subtracting does not end at zero.
pub const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);
pub const HOUR: Duration = Duration::from_hours(1);
pub const SCOPE: ScopeId = ScopeId::from_bytes([7; 16]);

/// The entry that answers `question` in `corpus`, is derived from `dependencies` and lives for an hour.
pub fn entry_in(corpus: &Corpus, question: &str, dependencies: Vec<Dependency>) -> Entry {
    let key = CacheKey::new(corpus.clone(), SCOPE, question).unwrap();
    Entry {
        id: key.exact,
        corpus: key.corpus,
        scope: key.scope,
        tenant: None,
        question: key.text,
        embedding: None,
        answer: Answer::new(format!("answer to {question}")),
        dependencies,
        created_at: START,
        expires_at: START.saturating_add(HOUR),
        recompute: Duration::from_millis(500),
    }
}

/// The same in the default corpus.
pub fn entry(question: &str, dependencies: Vec<Dependency>) -> Entry {
    entry_in(&Corpus::default(), question, dependencies)
}

/// An entry that depends on one whole document.
pub fn about(question: &str, document: &str) -> Entry {
    entry(question, vec![Dependency::document(document)])
}

/// Which store a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Memory,
    Embedded,
    /// On a server of this flavour that the tests of a process share.
    Valkey(servers::Flavour),
    /// On a cluster that the tests of a process share.
    Cluster,
}

impl Kind {
    /// Whether one process owns the store, with limits of its own.
    pub fn is_local(self) -> bool {
        matches!(self, Self::Memory | Self::Embedded)
    }
}

/// A place for stores, with the clock that they use.
pub struct Bench {
    pub kind: Kind,
    pub clock: Arc<ManualClock>,
    pub folder: TempDir,
}

impl Bench {
    pub fn new(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { kind, clock: Arc::new(ManualClock::new(START)), folder }
    }

    /// Opens the store; an embedded store has the contents of the previous one.
    pub fn open(&self, limits: Limits) -> Arc<dyn Store> {
        match self.kind {
            Kind::Memory => Arc::new(MemoryStore::with_clock(limits, Arc::clone(&self.clock) as _)),
            Kind::Embedded => Arc::new(self.embedded(limits)),
            Kind::Valkey(flavour) => self.remote(&valkey::shared_server(flavour).url()),
            Kind::Cluster => self.remote(&valkey::shared_cluster_url()),
        }
    }

    pub fn embedded(&self, limits: Limits) -> EmbeddedStore {
        let options = EmbeddedStore::options().limits(limits).clock(Arc::clone(&self.clock) as _);
        options.open(self.path()).unwrap()
    }

    /// A store on a server, with keys of its own. It has one bucket, so that one read version is valid for
    /// every entry.
    fn remote(&self, url: &str) -> Arc<dyn Store> {
        let prefix = self.folder.path().file_name().unwrap().to_string_lossy().into_owned() + ":";
        let options = valkey::patient().prefix(prefix).buckets(1).clock(Arc::clone(&self.clock) as _);
        Arc::new(valkey::connect(options, url))
    }

    pub fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("store.redb")
    }
}

/// The current clock of the default corpus.
pub async fn read_version(store: &dyn Store) -> ReadVersion {
    fetch(store, EntryId::from_bytes([0; 16])).await.read_version
}

pub async fn fetch(store: &dyn Store, id: EntryId) -> Fetched {
    store.lookup(&Corpus::default(), id).await.unwrap()
}

pub async fn found(store: &dyn Store, entry: &Entry) -> Found {
    store.lookup(&entry.corpus, entry.id).await.unwrap().found
}

/// Whether the store serves exactly `entry`.
pub async fn serves(store: &dyn Store, entry: &Entry) -> bool {
    match found(store, entry).await {
        Found::Live(served) => {
            assert_eq!(*served, *entry, "another entry is served");
            true
        }
        _ => false,
    }
}

/// Stores each entry with its own read version; the store must accept every one.
pub async fn fill_all(store: &dyn Store, entries: &[Entry]) {
    for entry in entries {
        let read_version = store.lookup(&entry.corpus, entry.id).await.unwrap().read_version;
        let filled = store.fill(read_version, Arc::new(entry.clone())).await.unwrap();
        assert_eq!(filled, wellspring::store::Filled::Stored, "{}", entry.question);
    }
}

/// Returns the indices of those `entries` that are served.
pub async fn served(store: &dyn Store, entries: &[Entry]) -> Vec<usize> {
    let mut served = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        if serves(store, entry).await {
            served.push(place);
        }
    }
    served
}

/// The longest time to wait for anything: far longer than it takes, even on a machine that has ten times more
/// work than it has cores for.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// Waits until `reached`; panics if that takes longer than [`PATIENCE`]. Use it for the effects of background
/// work, not for timing.
pub async fn eventually(what: &str, mut reached: impl AsyncFnMut() -> bool) {
    // By the machine's own clock: the runtime's clock may stand still.
    let deadline = std::time::Instant::now() + PATIENCE;
    while !reached().await {
        assert!(std::time::Instant::now() < deadline, "not reached within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
