//! The `wellspring` command as a person or a script meets it: the real binary with the bundled model.

#![expect(clippy::unwrap_used, reason = "a failed assumption of a test is a failed test")]

mod answers;
#[cfg(target_os = "linux")]
mod bounds;
mod clearing;
mod configuration;
mod evaluation;
mod export_import;
mod input;
mod judgements;
mod sandbox;
#[cfg(unix)]
mod serve;
#[cfg(unix)]
mod serve_away;
mod stores;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/upstream/mod.rs"]
mod upstream;
mod valkey;

const CAPITAL: &str = "What is the capital of France?";
