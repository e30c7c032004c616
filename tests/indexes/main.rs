//! Vector indexes, alone and as caches keep them.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod conformance;
mod local;
#[cfg(feature = "valkey")]
mod shared;
mod snapshot;
#[path = "../support/mod.rs"]
mod support;
