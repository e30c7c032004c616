//! Vector indexes, alone and as caches keep them.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use wellspring_test_support as support;

mod conformance;
mod local;
#[cfg(feature = "valkey")]
mod shared;
mod snapshot;
