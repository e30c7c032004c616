//! The ways to the servers: every kind of address, encryption, users and what they may do, and what errors say.

#![cfg(all(unix, feature = "valkey"))]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../support/mod.rs"]
mod support;

mod addresses;
mod least_privilege;
mod recommended_settings;
mod sentinels;
mod tls;
