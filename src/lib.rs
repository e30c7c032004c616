//! Wellspring: cached answers that know their sources.

pub mod cache;
pub mod clock;
pub mod embed;
pub mod embedding;
pub mod entry;
pub mod error;
mod flight;
pub mod index;
pub mod invalidate;
pub mod key;
pub mod metrics;
pub mod policy;
pub mod store;
pub mod verify;

pub use cache::{
    BypassReason, Cache, CacheBuilder, FillOutcome, FillPermit, Hit, Lookup, Miss, Origin, Query, Refresh,
    Served, Tier,
};
pub use embed::Embedder;
pub use embedding::Embedding;
pub use entry::{Answer, Change, ContentType, Dependency, DocumentVersion, Entry, Usage};
pub use error::{Error, ErrorKind, Result};
pub use flight::SharedError;
pub use invalidate::Invalidation;
pub use key::{Corpus, EntryId, Namespace, Scope};
pub use metrics::Metrics;
pub use policy::{Admission, EarlyRefresh, Ttls};
#[cfg(feature = "embedded")]
pub use store::EmbeddedStore;
pub use store::{Limits, MemoryStore, Store};
pub use verify::{Guards, Threshold, Verifier};
