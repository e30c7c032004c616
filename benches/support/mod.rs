//! What the benchmarks share.

#![allow(dead_code, unused_imports, reason = "each benchmark uses a part")]

#[path = "../../crates/index/benches/support/mod.rs"]
mod embeddings;

pub(crate) use embeddings::{DIMENSIONS, setting, vectors};

/// The memory of this process that is resident, as Linux counts it; 0 elsewhere.
pub(crate) fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<usize>().ok());
    kib.unwrap_or(0) * 1024
}
