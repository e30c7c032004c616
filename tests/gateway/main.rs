//! The gateway over real sockets: its proxy, its interfaces for pipelines and for those who run it, and clients that
//! others made.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod admin;
mod attacks;
mod clients;
#[cfg(all(feature = "embedded", feature = "valkey"))]
mod documents;
mod proxy;
#[path = "../support/gateway.rs"]
mod running;
#[cfg(feature = "cli")]
#[allow(dead_code, reason = "made for the suite of the command")]
#[path = "../cli/sandbox.rs"]
mod sandbox;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/upstream/mod.rs"]
mod upstream;
