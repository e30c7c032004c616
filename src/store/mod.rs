//! Where answers are stored, and the clock that decides which of them may be served.
//!
//! A [`Store`] keeps answers and runs the clock. A store that several processes share also has
//! [`Coordination`], and every store keeps the [`JudgementLog`]. Stores do not embed questions, search, or
//! decide what is worth keeping.
//!
//! # The rules of freshness
//!
//! 1. *Read version first.* A lookup returns a [`ReadVersion`] of the corpus' invalidation clock, and so a
//!    miss has one before anything is retrieved.
//! 2. *Fence.* A fill is stored only if none of the answer's dependencies was invalidated since its read
//!    version.
//! 3. *Check at every read.* An entry is served only if none of its dependencies was invalidated since the
//!    read version with which it was stored.
//! 4. *In force before return.* Once an invalidation has returned, no lookup that starts later, in any process,
//!    is served an answer that it ended.
//! 5. *A lost clock is not trusted again.* A clock that was lost or put back gets a new incarnation, and what
//!    was stored under the old one is dead.
//!
//! Whatever else a store keeps, such as the sets of dependants, only frees memory early: losing it never
//! makes an answer stale.

#[cfg(any(feature = "embedded", feature = "valkey"))]
mod batches;
mod coordination;
#[cfg(feature = "embedded")]
mod embedded;
mod entry_table;
mod finding;
mod invalidation_clock;
mod judgement_log;
mod limits;
mod listing;
mod memory;
mod outcome;
mod server_status;
mod status;
#[cfg(feature = "valkey")]
mod valkey;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

pub use self::coordination::{Claim, ClaimEnd, ClaimToken, Coordination};
#[cfg(feature = "embedded")]
pub use self::embedded::{EmbeddedOptions, EmbeddedStore};
pub use self::finding::{Finding, Severity};
pub use self::judgement_log::JudgementLog;
pub use self::limits::{Eviction, Limits};
pub use self::listing::{Listed, ScopeCursor, ScopePage, StoredEntry};
pub use self::memory::MemoryStore;
pub use self::outcome::{ChangeOutcome, DeadReason, Fetched, Filled, Found, ReadVersion, RefusedReason};
pub use self::server_status::{ReplicaStatus, ServerStatus};
pub use self::status::{ConnectionStatus, CorpusStatus, StoreStatus};
#[cfg(feature = "valkey")]
pub use self::valkey::{Freshness, ValkeyAddress, ValkeyOptions, ValkeyStore};
#[cfg(feature = "valkey")]
pub(crate) use self::valkey::{ValkeyServer, unannounced};
use crate::embedding::Embedding;
use crate::entry::{Change, DocumentVersion, Entry};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{Corpus, EntryId, ScopeId};

/// A place for answers that runs the freshness protocol.
///
/// No method has a default, so a store that wraps another one cannot forget to pass one on.
///
/// Each method gives
/// - its cost in round trips of a store behind a server. A local store has none: it waits for a short lock
///   and reads memory or a file. What it writes to a file waits for one fsync, which concurrent writes share;
/// - what has happened if its future is dropped before it returns: what it was about to write is written
///   completely or not at all;
/// - which [rules of freshness](self#the-rules-of-freshness) it keeps.
#[async_trait]
pub trait Store: JudgementLog + fmt::Debug + Send + Sync {
    /// Finds the entry `id` and checks it against the clock.
    ///
    /// - Cost: one round trip.
    /// - If dropped: nothing has changed.
    /// - Freshness: rules 1, 3 and 5. A tier that answers with no round trip may break rule 4 for as long as
    ///   its settings allow.
    ///
    /// # Errors
    ///
    /// If the store cannot be read. The caller then continues without the cache.
    async fn lookup(&self, corpus: &Corpus, id: EntryId) -> Result<Fetched>;

    /// Stores `entry`, unless one of its dependencies changed since `read_version`.
    ///
    /// Once this returns [`Filled::Stored`], lookups find the entry; an embedded store has it on disk.
    ///
    /// - Cost: one round trip.
    /// - If dropped: the entry may be stored or not.
    /// - Freshness: rules 2 and 5. The check and the write are one step.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an entry that has invalid dependencies or metadata, or that is larger than the
    /// whole store: nothing is stored. Other errors if the store cannot be written: if a reply did not come in
    /// time, the entry may be stored all the same.
    async fn fill(&self, read_version: ReadVersion, entry: Arc<Entry>) -> Result<Filled>;

    /// Whether [`fill`](Self::fill) would take `entry` with `read_version` now, given its dependencies. It
    /// decides whether an answer may be given to callers while it is still being made. `false` if the store
    /// cannot know.
    ///
    /// - Cost: one round trip.
    /// - If dropped: nothing has changed.
    /// - Freshness: rules 2 and 5, at this moment. A later fill is checked again.
    ///
    /// # Errors
    ///
    /// As for [`lookup`](Self::lookup), and `InvalidInput` for names that are not valid.
    async fn would_take(&self, read_version: ReadVersion, entry: &Entry) -> Result<bool>;

    /// The registered version of each of `documents`, in their order, by the clock that decides about `id`.
    /// None for a document for which no version was ever reported, or which has since changed without a
    /// version.
    ///
    /// - Cost: one round trip.
    /// - If dropped: nothing has changed.
    /// - Freshness: no rule by itself. A fill that relies on it needs a read version from before this call.
    ///
    /// # Errors
    ///
    /// As for [`lookup`](Self::lookup).
    async fn versions(
        &self,
        corpus: &Corpus,
        id: EntryId,
        documents: &[&str],
    ) -> Result<Vec<Option<DocumentVersion>>>;

    /// Ends every answer that depends on one of `changes`, and refuses fills of such answers that are on
    /// their way. The outcomes are in the order of the changes.
    ///
    /// - Cost: one round trip to each part of the corpus that has a clock of its own, all at once, and one
    ///   more where replicas must confirm; for many changes, as often as there are batches. It does not
    ///   depend on how many answers end.
    /// - If dropped: each change may be in force, not in force, or in force in a part of the store only.
    ///   Invalidate again.
    /// - Freshness: rule 4.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a name that is not valid: nothing was changed. Other errors if the clock could not
    /// be advanced durably: the invalidation must be tried again, which is always safe.
    async fn invalidate(&self, corpus: &Corpus, changes: &[Change]) -> Result<Vec<ChangeOutcome>>;

    /// Holds `document`: until [`end_update`](Self::end_update), nothing that depends on it is served or
    /// stored. Holding a document that is already held changes nothing.
    ///
    /// - Cost: as for [`invalidate`](Self::invalidate).
    /// - If dropped: the document may be held, or held in a part of the store only. Begin again, or end the
    ///   update.
    /// - Freshness: rule 4, for as long as the document is held. If the clock is lost, so is the hold.
    ///
    /// # Errors
    ///
    /// As for [`invalidate`](Self::invalidate).
    async fn begin_update(&self, corpus: &Corpus, document: &str) -> Result<()>;

    /// Ends the hold on `document` and invalidates it, whether or not it was held.
    ///
    /// - Cost: as for [`invalidate`](Self::invalidate).
    /// - If dropped: as for [`invalidate`](Self::invalidate). End the update again.
    /// - Freshness: rule 4. No one can look between the end of the hold and the invalidation.
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
    /// - Cost: round trips in proportion to the entries found, and at least one for each clock of the corpus.
    /// - If dropped: nothing has changed.
    /// - Freshness: rule 3 for each entry, when it is read. The list may lack entries that end all the same.
    ///
    /// # Errors
    ///
    /// As for [`lookup`](Self::lookup).
    async fn dependants(&self, corpus: &Corpus, change: &Change) -> Result<Vec<StoredEntry>>;

    /// Up to `limit` live entries from all corpora whose ids follow `after`, ordered by id.
    ///
    /// - Cost: round trips in proportion to `limit`. The first page lists the ids of all entries.
    /// - If dropped: nothing has changed.
    /// - Freshness: rule 3 for each entry, when it is read.
    ///
    /// # Errors
    ///
    /// As for [`lookup`](Self::lookup).
    async fn scan(&self, after: Option<EntryId>, limit: usize) -> Result<Vec<StoredEntry>>;

    /// Some of the live entries of `scope`, from which its index is loaded: those after `cursor`, or the
    /// first ones.
    ///
    /// - Cost: one round trip.
    /// - If dropped: nothing has changed.
    /// - Freshness: no rule. A store behind a server also lists entries that ended and are not removed yet.
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

    /// The embedding of each of these entries; none for an entry that is gone or has no embedding. For
    /// entries that [`scope_page`](Self::scope_page) listed. It does not count as a use of them.
    ///
    /// - Cost: one command for each entry, all in one round trip.
    /// - If dropped: nothing has changed.
    /// - Freshness: no rule. What a search finds is looked up before it is served.
    ///
    /// # Errors
    ///
    /// As for [`lookup`](Self::lookup).
    async fn embeddings(&self, corpus: &Corpus, ids: &[EntryId]) -> Result<Vec<Option<Embedding>>>;

    /// Whether anything is stored in `scope`; `true` if it takes a round trip to know. If nothing is, what is
    /// kept of the scope's index is dropped.
    fn holds(&self, scope: ScopeId) -> bool;

    /// How many fills the store has taken, including those of earlier processes. An index that is kept
    /// between runs is compared with the store by this number. None for a store that does not outlive its
    /// process or does not count. Never waits.
    fn fills(&self) -> Option<u64>;

    /// Counts a hit on `id`, for eviction and reports. Never waits, and cannot fail: hits are written later,
    /// and may be lost.
    fn record_hit(&self, corpus: &Corpus, id: EntryId);

    /// Sets the listener that is notified of changes from now on, in place of any other. Never waits.
    fn listen(&self, listener: Arc<dyn ChangeListener>);

    /// What the store holds. Waits until what was invalidated is removed, as far as that is possible.
    ///
    /// - Cost: several round trips for each corpus and for each of its clocks.
    /// - If dropped: nothing has changed.
    /// - Freshness: no rule.
    ///
    /// # Errors
    ///
    /// As for [`lookup`](Self::lookup).
    async fn status(&self) -> Result<StoreStatus>;

    /// Makes sure that lookups reach the store now.
    ///
    /// - Cost: one round trip to each server.
    /// - If dropped: nothing has changed.
    /// - Freshness: no rule.
    ///
    /// # Errors
    ///
    /// If they do not: the error of [`lookup`](Self::lookup).
    async fn ready(&self) -> Result<()>;

    /// The state of the connection to a server; none if there is no connection. Never waits.
    fn connection(&self) -> Option<ConnectionStatus>;

    /// What processes that share the store do together; none if only this process reads and writes it. Always
    /// the same for one store, and without a cost.
    ///
    /// If there is coordination, a lookup is a round trip, claims matter, and other processes add and remove
    /// entries.
    fn coordination(&self) -> Option<&dyn Coordination>;

    /// A secret of this store: the one that it keeps; if there is none yet, it keeps and returns `offered`.
    ///
    /// - Cost: two round trips.
    /// - If dropped: `offered` may be kept or not.
    /// - Freshness: no rule.
    ///
    /// # Errors
    ///
    /// If the secret can be neither read nor written.
    async fn secret(&self, offered: [u8; 32]) -> Result<[u8; 32]>;

    /// Writes out what is pending and ends background work. Later calls fail, except that closing again does
    /// nothing.
    ///
    /// - Cost: the round trips of what is pending.
    /// - If dropped: some of it may not be written. Close again.
    /// - Freshness: no rule. An invalidation that is not complete stays in the outbox, if there is one.
    ///
    /// # Errors
    ///
    /// If something could not be written.
    async fn close(&self) -> Result<()>;
}

/// Receives changes to what a store holds, so that indexes can follow. These are only hints: some may be
/// missing.
///
/// The store calls it while holding a lock: implementations must be quick and must not call the store.
pub trait ChangeListener: Send + Sync {
    /// These entries, each with its scope, are no longer stored.
    fn removed(&self, entries: &[(EntryId, ScopeId)]);

    /// Another process stored this entry, in a corpus that is [followed](Coordination::follow).
    fn stored(&self, _corpus: &Corpus, _scope: ScopeId, _id: EntryId, _embedding: &Embedding) {}

    /// Changes by other processes may have been missed: compare what is known of the corpus with the store.
    fn lagged(&self, _corpus: &Corpus) {}
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the store is closed")
}
