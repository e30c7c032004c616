//! Wellspring is a semantic cache for answers of retrieval-augmented generation. A question is matched
//! by exact hash, then by meaning; each answer is tied to the documents that it came from, and when one
//! of them changes, every answer derived from it is gone.
//!
//! ```text
//! question -> key -> exact tier -> embed -> index -> threshold -> store (fetch and freshness) -> verify -> Lookup
//! answer   -> FillPermit::fill(answer, dependencies) -> store and dependency links -> index
//! events   -> change
//! change   -> invalidate -> clock -> dependants detached -> removed in the background
//! ```
//!
//! Begin at [`Cache`]: [`Cache::get_or_fill`] wraps an LLM call, [`Cache::invalidate`] reports changes.
//!
//! # Modules
//!
//! Each level uses the levels listed before it. Data and composition use each other within their level; parts
//! never do. `docs/architecture.md` has the picture, the way of a question and of a change through the files,
//! and where each invariant is kept and tested.
//!
//! 1. data: [`error`], [`clock`], [`match_policy`], [`key`], [`tokens`], [`entry`], [`judgement`],
//!    [`promises`] in `checksummed` files; beside them [`backoff`], and `onnx`, which loads local models
//! 2. parts: [`embed`], [`verify`], [`judge`], [`store`], `flight`, [`policy`], [`metrics`]
//! 3. composition, where the parts meet: [`journal`], [`cache`] with [`invalidate`], and on top of them `events`
//!
//! Below all of them is the crate `wellspring-index`, which knows nothing of this one: the vector [`index`] and
//! the [`embedding`] are from there.
//!
//! Surfaces are separate crates, which use only the public interface: `wellspring-gateway` and
//! `wellspring-eval`, which measures how well questions are distinguished, and on top of them
//! `wellspring-cli`, the command with its configuration.
//!
//! # Invariants
//!
//! 1. An id becomes findable last: entry and dependency links in the store, then index. The permit is
//!    released after the write.
//! 2. A fill is fenced: nothing is stored if a dependency changed since the permit's read version, and
//!    nothing is served unless the entry is live when it is read.
//! 3. Removing entries early and notifying other processes only free memory; freshness never depends on them.
//! 4. Search never crosses a scope.
//! 5. No lock of the standard library is held across an await. Embedding and building indexes stay off the
//!    async threads.
//! 6. Every queue, batch, retry, timeout and cache has a limit and a documented default.
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `embedded` | yes | [`store::EmbeddedStore`], on disk |
//! | `valkey` | yes | [`store::ValkeyStore`], on Valkey, Redis or a cluster, shared by processes; [`events`] |
//! | `onnx` | yes | local models through an ONNX Runtime library found at run time |
//! | `onnx-download` | | local models through an ONNX Runtime that is downloaded when the crate is built |
//! | `hub` | | any model that fastembed knows, by name |
//! | `remote` | | embeddings from an OpenAI-compatible endpoint, and a judge behind one |

/// Runs the example of the README as a doctest.
#[cfg(all(doctest, feature = "embedded", feature = "onnx"))]
#[doc = include_str!("../README.md")]
struct Readme;

/// Runs the examples of the guide to invalidation as doctests.
#[cfg(all(doctest, feature = "valkey"))]
#[doc = include_str!("../docs/invalidation.md")]
struct InvalidationGuide;

pub mod backoff;
pub mod cache;
mod checksummed;
pub mod clock;
pub mod embed;
pub mod entry;
pub mod error;
#[cfg(feature = "valkey")]
pub mod events;
mod flight;
pub mod invalidate;
pub mod journal;
pub mod judge;
pub mod judgement;
pub mod key;
pub mod match_policy;
pub mod metrics;
#[cfg(feature = "_local")]
mod onnx;
pub mod policy;
pub mod promises;
pub mod store;
pub mod tokens;
pub mod verify;

pub use cache::{
    BypassReason, Cache, CacheBuilder, CorpusCache, FeedbackSource, FillOutcome, FillPermit, FollowUps, Hit,
    Lookup, Miss, Origin, PendingFill, Principal, Query, Refresh, Served, Since, Tier, Visibility,
};
pub use embed::Embedder;
pub use entry::{Answer, Change, ContentType, Dependency, DocumentVersion, Entry, Selection, Usage};
pub use error::{BoxError, Error, ErrorKind, Result, ServerFault};
pub use flight::SharedError;
pub use invalidate::Invalidation;
pub use judge::{JudgeStatus, Shadow};
pub use judgement::{EntryRecord, Feedback, Judgement, Revocation};
pub use key::{Corpus, EntryId, Namespace, Scope};
pub use match_policy::MatchPolicy;
pub use metrics::Metrics;
pub use policy::{Admission, EarlyRefresh, Ttls};
#[cfg(feature = "embedded")]
pub use store::EmbeddedStore;
#[cfg(feature = "valkey")]
pub use store::ValkeyStore;
pub use store::{Limits, MemoryStore, Store};
pub use verify::{Guards, Pipeline, Threshold, Verifier};
pub use wellspring_index::{self as index, Embedding, embedding};
