//! The indexes by their public interface: every kind does the same, and what is saved is what is loaded.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod conformance;
mod snapshot;
