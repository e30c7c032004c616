//! The gateway over real sockets: its proxy, its interfaces for pipelines and for operators, and clients by others.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod admin;
mod attacks;
mod clients;
mod documents;
mod proxy;

use wellspring_test_support::{self as support, gateway as running, upstream};
