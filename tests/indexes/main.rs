//! Vector indexes as caches keep them.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use wellspring_test_support as support;

mod local;
#[cfg(feature = "valkey")]
mod shared;
