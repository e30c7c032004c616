//! The `wellspring` command as a person or a script meets it: the real binary with the bundled model.

#![expect(clippy::unwrap_used, reason = "a failed assumption of a test is a failed test")]

mod answers;
#[cfg(target_os = "linux")]
mod bounds;
mod clearing;
mod configuration;
#[cfg(unix)]
mod dist;
mod evaluation;
mod export_import;
#[cfg(unix)]
mod few_files;
mod input;
mod judgements;
mod sandbox;
#[cfg(unix)]
mod serve;
#[cfg(unix)]
mod serve_away;
mod stores;
mod valkey;
mod watching;

use wellspring_test_support::{self as support, gateway as running, upstream};

const CAPITAL: &str = "What is the capital of France?";
