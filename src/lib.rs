//! Wellspring: cached answers that know their sources.

pub mod clock;
pub mod embed;
pub mod embedding;
pub mod entry;
pub mod error;
pub mod index;
pub mod key;
pub mod store;
pub mod verify;

pub use embed::Embedder;
pub use embedding::Embedding;
pub use entry::{Answer, Change, ContentType, Dependency, DocumentVersion, Entry, Usage};
pub use error::{Error, ErrorKind, Result};
pub use key::{Corpus, EntryId, Namespace, Scope};
#[cfg(feature = "embedded")]
pub use store::EmbeddedStore;
pub use store::{Limits, MemoryStore, Store};
pub use verify::{Guards, Threshold, Verifier};
