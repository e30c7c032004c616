//! The stores, each on what it really runs on: a disk, Valkey, Redis, a cluster.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod conformance;
#[cfg(feature = "valkey")]
mod document_events;
mod embedded;
#[cfg(feature = "valkey")]
mod invalidation_strategies;
#[cfg(unix)]
mod servers;
#[path = "../support/mod.rs"]
mod support;
#[cfg(all(unix, feature = "valkey"))]
mod valkey_connections;
