//! What the store on disk promises beyond the conformance suite: it survives restarts, kills, other
//! openers, damage and a full disk.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../support/mod.rs"]
mod support;

mod crash;
mod damage;
mod disk_full;
mod foreign;
mod reopen;
