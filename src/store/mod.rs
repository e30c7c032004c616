//! Where answers are stored, and the clock that decides which of them may be served.
//!
//! Every [`Store`] runs the same protocol. A miss returns a [`Snapshot`] of the corpus' invalidation clock,
//! taken before anything is retrieved. A fill is stored only if none of the answer's dependencies was
//! invalidated since that snapshot. A hit is served only if none was invalidated since the entry's snapshot;
//! this is checked at every read. Whatever else a store keeps, such as the sets of dependants, only frees
//! memory early: losing it never makes an answer stale.
//!
//! Stores do not embed questions, search, or decide what is worth keeping.

#[cfg(any(feature = "embedded", feature = "valkey"))]
mod batches;
mod connection_status;
#[cfg(feature = "embedded")]
mod embedded;
mod finding;
mod invalidation_clock;
mod ledger;
mod memory;
mod server_status;
#[cfg(feature = "valkey")]
mod valkey;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

pub use self::connection_status::ConnectionStatus;
#[cfg(feature = "embedded")]
pub use self::embedded::{EmbeddedOptions, EmbeddedStore};
pub use self::finding::{Finding, Severity};
pub use self::memory::MemoryStore;
pub use self::server_status::{ReplicaStatus, ServerStatus};
#[cfg(feature = "valkey")]
pub use self::valkey::{Freshness, ValkeyAddress, ValkeyOptions, ValkeyStore};
#[cfg(feature = "valkey")]
pub(crate) use self::valkey::{ValkeyServer, unannounced};
use crate::embedding::Embedding;
use crate::entry::{Change, DocumentVersion, Entry};
use crate::error::{Error, ErrorKind, Result};
use crate::judgement::{JudgementCursor, Logged};
use crate::key::{Corpus, EntryId, ScopeId};

/// How much a local store may hold, and what it evicts first when it is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The maximum number of entries, 1,000,000 by default.
    pub max_entries: u64,
    /// The maximum size of all entries together in bytes, 1 GiB by default.
    pub max_bytes: u64,
    /// What is evicted first, the least recently used entry by default.
    pub eviction: Eviction,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_entries: 1_000_000, max_bytes: 1 << 30, eviction: Eviction::LeastRecentlyUsed }
    }
}

impl Limits {
    /// Sets the maximum number of entries.
    #[must_use]
    pub fn max_entries(mut self, max_entries: u64) -> Self {
        self.max_entries = max_entries;
        self
    }

    /// Sets the maximum size of all entries together, in bytes.
    #[must_use]
    pub fn max_bytes(mut self, max_bytes: u64) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// Sets what is evicted first.
    #[must_use]
    pub fn eviction(mut self, eviction: Eviction) -> Self {
        self.eviction = eviction;
        self
    }
}

/// What is evicted first when a store is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Eviction {
    /// The entry that was not hit for the longest time.
    #[default]
    LeastRecentlyUsed,
    /// The entry that is hit least often (W-TinyLFU, Einziger et al., <https://arxiv.org/abs/1512.00727>). A
    /// new entry is not kept if it is asked for less often than those it would displace.
    LeastFrequentlyUsed,
}

/// The state of a corpus' invalidation clock at one moment.
///
/// Which documents an answer needs is known only after they were read, and a snapshot taken then could miss a
/// change that came in between. So it is taken at the miss, before retrieval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// Identifies the clock; a new clock trusts nothing that was stored under another one.
    pub incarnation: u128,
    /// How many invalidations the clock had counted.
    pub sequence: u64,
}

/// What a lookup by id found.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The clock at the time of the lookup. A fill that starts now must carry it.
    pub snapshot: Snapshot,
    /// The entry, or why there is none to serve.
    pub found: Found,
}

/// An entry, or why there is none to serve.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Found {
    /// The entry may be served.
    Live(Arc<Entry>),
    /// Nothing is stored under this id.
    Absent,
    /// Something is stored, but it must not be served.
    Dead(DeadReason),
}

/// Why a stored entry must not be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeadReason {
    /// Its time to live is over.
    Expired,
    /// Something that it depends on was invalidated after its snapshot.
    Invalidated,
    /// Something that it depends on is being updated.
    Held,
    /// The clock that it was stored under is gone.
    ClockLost,
}

impl fmt::Display for DeadReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "expired",
            Self::Invalidated => "a dependency was invalidated after its snapshot",
            Self::Held => "a dependency is being updated",
            Self::ClockLost => "its clock is gone",
        })
    }
}

/// The outcome of a fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Filled {
    /// The entry is stored.
    Stored,
    /// The entry is not stored: it may be older than one of its documents.
    Refused(RefusedReason),
}

/// Why a fill was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefusedReason {
    /// A dependency was invalidated while the answer was being made.
    DependencyChanged,
    /// A dependency is being updated.
    Held,
    /// The answer was derived from a version of a document that is not the registered one.
    VersionMismatch,
    /// No version of a document was reported, so the answer's version could not be compared with one.
    VersionUnknown,
    /// The clock that the snapshot was taken from is gone.
    ClockLost,
}

impl RefusedReason {
    /// The reason in the form that programs read.
    pub fn name(self) -> &'static str {
        match self {
            Self::DependencyChanged => "dependency_changed",
            Self::Held => "held",
            Self::VersionMismatch => "version_mismatch",
            Self::VersionUnknown => "version_unknown",
            Self::ClockLost => "clock_lost",
        }
    }
}

impl fmt::Display for RefusedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DependencyChanged => "a dependency changed while the answer was made",
            Self::Held => "a dependency is being updated",
            Self::VersionMismatch => "a document was read in a version other than the registered one",
            Self::VersionUnknown => {
                "no version of a document is registered: report its version, or look the question up before retrieval"
            }
            Self::ClockLost => "the clock of the snapshot is gone",
        })
    }
}

/// The effect of a [`Change`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChangeOutcome {
    /// This many entries that were stored are no longer served.
    Dropped(u64),
    /// The document already had this version, so nothing was done.
    Unchanged,
}

impl ChangeOutcome {
    /// How many entries are no longer served.
    pub fn dropped(self) -> u64 {
        match self {
            Self::Dropped(entries) => entries,
            Self::Unchanged => 0,
        }
    }
}

/// What a store holds, and how much it may hold.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct StoreStatus {
    /// The store's kind and location, such as `embedded:wellspring.redb`.
    pub location: String,
    /// Entries stored.
    pub entries: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Entries removed for lack of room since the store was opened.
    pub evictions: u64,
    /// Entries removed since the store was opened because their time was over.
    pub expirations: u64,
    /// The maximum number of entries.
    pub max_entries: u64,
    /// The maximum size in bytes.
    pub max_bytes: u64,
    /// Invalidations that this process could not complete yet and keeps trying.
    pub pending_invalidations: u64,
    /// Why nothing can be written at present, such as a full disk, while stored entries are still served.
    /// None if all is well, and for a store without a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unwritable: Option<String>,
    /// Each corpus that was ever used, by name.
    pub corpora: Vec<CorpusStatus>,
    /// The servers that hold a shared store: one, or each primary of a cluster. They may also hold other
    /// data.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<ServerStatus>,
}

/// What a store knows about one corpus.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct CorpusStatus {
    /// The corpus.
    pub corpus: Corpus,
    /// Entries stored.
    pub entries: u64,
    /// Invalidations that the clock has counted.
    pub sequence: u64,
    /// Names that the clock remembers as invalidated.
    pub marks: u64,
    /// Documents held by [`Store::begin_update`].
    pub held: Vec<String>,
    /// Changes in the stream for other processes; none if there is no such stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<u64>,
}

/// An entry with how often it was served.
#[derive(Debug, Clone)]
pub struct StoredEntry {
    /// The entry.
    pub entry: Arc<Entry>,
    /// How often it was served since it was stored.
    pub hits: u64,
}

/// Receives changes to what a store holds, so that indexes can follow. These are only hints: some may be
/// missing.
///
/// The store calls it while holding a lock: implementations must be quick and must not call the store.
pub trait ChangeListener: Send + Sync {
    /// These entries, each with its scope, are no longer stored.
    fn removed(&self, entries: &[(EntryId, ScopeId)]);

    /// Another process stored this entry.
    fn stored(&self, _corpus: &Corpus, _scope: ScopeId, _id: EntryId, _embedding: &Embedding) {}

    /// Changes by other processes may have been missed: compare what is known of the corpus with the store.
    fn fell_behind(&self, _corpus: &Corpus) {}
}

/// Identifies a claim; 128 random bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimToken(u128);

#[cfg(feature = "valkey")]
impl ClaimToken {
    fn random() -> Self {
        Self(rand::random())
    }

    fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

/// Who makes an answer that several processes may want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Claim {
    /// Any caller: there is no one to wait for.
    Free,
    /// The caller, until it [ends](Store::end_claim) the claim or lets it run out.
    Granted(ClaimToken),
    /// Another process, which is making it now.
    Taken,
}

/// How a claim ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClaimEnd {
    /// The answer is stored, or anyone else may make it.
    Released,
    /// There is an answer, but it must not be shared: those who wait should each make their own, without
    /// waiting in turn.
    Unshared,
}

/// Some of the entries of a scope.
#[derive(Debug, Clone, Default)]
pub struct ScopePage {
    /// An entry may come twice. One that is stored or removed meanwhile may or may not come.
    pub entries: Vec<Listed>,
    /// Where to continue; none at the end.
    pub next: Option<ScopeCursor>,
}

/// A position in the entries of a scope. The meaning of the number is the store's own business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScopeCursor(pub u128);

/// What a store knows about an entry without reading the entry itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// The entry.
    pub id: EntryId,
    /// The number of the fill that stored it, which is less than [`Store::fills`] was after that fill; 0 if
    /// fills are not counted.
    pub fill: u64,
}

/// A place for answers that runs the freshness protocol.
///
/// The future of every method may be dropped at any await point: what it was about to write is then written
/// completely or not at all.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync {
    /// Finds the entry `id` and checks it against the clock.
    ///
    /// # Errors
    ///
    /// If the store cannot be read. The caller then continues without the cache.
    async fn lookup(&self, corpus: &Corpus, id: EntryId) -> Result<Fetched>;

    /// Stores `entry`, unless one of its dependencies changed since `snapshot`.
    ///
    /// Once this returns [`Filled::Stored`], lookups find the entry; an embedded store has it on disk.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an entry that has invalid dependencies or metadata, or that is larger than the
    /// whole store; other errors if the store cannot be written. Nothing is stored then.
    async fn fill(&self, snapshot: Snapshot, entry: Arc<Entry>) -> Result<Filled>;

    /// Whether [`fill`](Self::fill) would take `entry` with `snapshot` now, given its dependencies. It
    /// decides whether an answer may be given to callers while it is still being made. `false`, the default,
    /// if the store cannot know.
    ///
    /// # Errors
    ///
    /// As for [`lookup`](Self::lookup), and `InvalidInput` for names that are not valid.
    async fn would_take(&self, _snapshot: Snapshot, _entry: &Entry) -> Result<bool> {
        Ok(false)
    }

    /// The registered version of each of `documents`, in their order, by the clock that decides about `id`.
    /// None for a document for which no version was ever reported, or which has since changed without a
    /// version. The default registers none.
    ///
    /// # Errors
    ///
    /// As for [`lookup`](Self::lookup).
    async fn versions(
        &self,
        _corpus: &Corpus,
        _id: EntryId,
        documents: &[&str],
    ) -> Result<Vec<Option<DocumentVersion>>> {
        Ok(vec![None; documents.len()])
    }

    /// Ends every answer that depends on one of `changes`, and refuses fills of such answers that are on
    /// their way.
    ///
    /// Once this returns, no lookup that starts later is served such an answer. After an error it is safe to
    /// try again. The outcomes are in the order of the changes.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a name that is not valid: nothing was changed. Other errors if the clock could not
    /// be advanced durably: the invalidation must be tried again.
    async fn invalidate(&self, corpus: &Corpus, changes: &[Change]) -> Result<Vec<ChangeOutcome>>;

    /// Holds `document`: until [`end_update`](Self::end_update), nothing that depends on it is served or
    /// stored. Holding a document that is already held changes nothing.
    ///
    /// # Errors
    ///
    /// As for [`invalidate`](Self::invalidate).
    async fn begin_update(&self, corpus: &Corpus, document: &str) -> Result<()>;

    /// Ends the hold on `document` and invalidates it, whether or not it was held.
    ///
    /// # Errors
    ///
    /// As for [`invalidate`](Self::invalidate).
    async fn end_update(
        &self,
        corpus: &Corpus,
        document: &str,
        version: Option<DocumentVersion>,
    ) -> Result<ChangeOutcome>;

    /// The live entries that `change` would end; none if it changes a document to the version that it has.
    ///
    /// # Errors
    ///
    /// As for [`lookup`](Self::lookup).
    async fn dependants(&self, corpus: &Corpus, change: &Change) -> Result<Vec<StoredEntry>>;

    /// Up to `limit` live entries from all corpora whose ids follow `after`, ordered by id.
    ///
    /// # Errors
    ///
    /// As for [`lookup`](Self::lookup).
    async fn scan(&self, after: Option<EntryId>, limit: usize) -> Result<Vec<StoredEntry>>;

    /// Some of the live entries of `scope`, from which its index is loaded: those after `cursor`, or the
    /// first ones.
    ///
    /// # Errors
    ///
    /// As for [`lookup`](Self::lookup).
    async fn scope_page(
        &self,
        corpus: &Corpus,
        scope: ScopeId,
        cursor: Option<ScopeCursor>,
    ) -> Result<ScopePage>;

    /// Whether anything is stored in `scope`, as far as is known. If nothing is, what is kept of the scope's
    /// index is dropped.
    fn holds(&self, _scope: ScopeId) -> bool {
        true
    }

    /// How many fills the store has taken, including those of earlier processes. An index that is kept
    /// between runs is compared with the store by this number. None, the default, for a store that does not
    /// outlive its process or does not count.
    fn fills(&self) -> Option<u64> {
        None
    }

    /// Counts a hit on `id`, for eviction and reports. Best effort; never waits.
    fn record_hit(&self, corpus: &Corpus, id: EntryId);

    /// Sets the listener that hears of changes from now on.
    fn listen(&self, listener: Arc<dyn ChangeListener>);

    /// What the store holds.
    ///
    /// # Errors
    ///
    /// As for [`lookup`](Self::lookup).
    async fn status(&self) -> Result<StoreStatus>;

    /// Makes sure that lookups reach the store now.
    ///
    /// # Errors
    ///
    /// If they do not: the error of [`lookup`](Self::lookup).
    async fn ready(&self) -> Result<()> {
        self.status().await.map(drop)
    }

    /// The state of the connection to a shared store. None, the default, if there is no connection.
    fn connection(&self) -> Option<ConnectionStatus> {
        None
    }

    /// Whether other processes may read and write the same answers. If so, a lookup is a round trip, and
    /// claims matter.
    fn is_shared(&self) -> bool {
        false
    }

    /// Like [`lookup`](Self::lookup); if no live entry is found, it also claims the right to make the answer.
    ///
    /// # Errors
    ///
    /// As for [`lookup`](Self::lookup).
    async fn lookup_or_claim(&self, corpus: &Corpus, id: EntryId) -> Result<(Fetched, Claim)> {
        Ok((self.lookup(corpus, id).await?, Claim::Free))
    }

    /// Claims the right to make an answer, whether or not there already is one.
    ///
    /// # Errors
    ///
    /// As for [`lookup`](Self::lookup).
    async fn claim(&self, _corpus: &Corpus, _id: EntryId) -> Result<Claim> {
        Ok(Claim::Free)
    }

    /// Extends a claim by another [`claim_life`](Self::claim_life), and returns whether it still was the
    /// caller's.
    ///
    /// # Errors
    ///
    /// As for [`lookup`](Self::lookup).
    async fn renew_claim(&self, _corpus: &Corpus, _id: EntryId, _token: ClaimToken) -> Result<bool> {
        Ok(true)
    }

    /// Ends a claim. Best effort; never waits.
    fn end_claim(&self, _corpus: &Corpus, _id: EntryId, _token: ClaimToken, _end: ClaimEnd) {}

    /// How long a claim lasts if it is not renewed.
    fn claim_life(&self) -> Duration {
        Duration::from_secs(10)
    }

    /// Starts to notify the [listener](Self::listen) of what other processes store in `corpus`, if that
    /// corpus was not followed before. Everything that they store after this returns is reported.
    ///
    /// # Errors
    ///
    /// As for [`lookup`](Self::lookup).
    async fn follow(&self, _corpus: &Corpus) -> Result<()> {
        Ok(())
    }

    /// The embedding of each of these entries; none for an entry that is gone or has no embedding. For
    /// entries that [`scope_page`](Self::scope_page) listed.
    ///
    /// # Errors
    ///
    /// As for [`lookup`](Self::lookup).
    async fn embeddings(&self, corpus: &Corpus, ids: &[EntryId]) -> Result<Vec<Option<Embedding>>> {
        let mut embeddings = Vec::with_capacity(ids.len());
        for id in ids {
            embeddings.push(match self.lookup(corpus, *id).await?.found {
                Found::Live(entry) => entry.embedding.clone(),
                Found::Absent | Found::Dead(_) => None,
            });
        }
        Ok(embeddings)
    }

    /// Appends to the log of judgements, which keeps about the newest
    /// [`MAX_JUDGEMENTS`](crate::judgement::MAX_JUDGEMENTS) records. A store without a log, the default,
    /// discards them.
    ///
    /// # Errors
    ///
    /// If the log cannot be written.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the record may still be written.
    async fn record_judgement(&self, _logged: &Logged) -> Result<()> {
        Ok(())
    }

    /// Up to `limit` records of the log after `after`, oldest first; none at its end.
    ///
    /// # Errors
    ///
    /// If the log cannot be read.
    async fn judgements(
        &self,
        _after: Option<JudgementCursor>,
        _limit: usize,
    ) -> Result<Vec<(JudgementCursor, Logged)>> {
        Ok(Vec::new())
    }

    /// A secret of this store: the one that it keeps; if there is none yet, it keeps and returns `offered`. A
    /// store that keeps no secret, the default, always returns `offered`.
    ///
    /// # Errors
    ///
    /// If the secret can be neither read nor written.
    async fn secret(&self, offered: [u8; 32]) -> Result<[u8; 32]> {
        Ok(offered)
    }

    /// Writes out what is pending and ends background work. Later calls fail, except that closing again does
    /// nothing.
    ///
    /// # Errors
    ///
    /// If something could not be written.
    async fn close(&self) -> Result<()>;
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the store is closed")
}
