//! Free ports.

use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The ports that are given out. The ports of their cluster buses are above them, at the distance that
/// servers expect. All are below the ranges that systems use for outgoing connections, so a server that is
/// down for a moment finds its port free when it returns.
const FIRST: u16 = 12_000;
const COUNT: u16 = 10_000;
const BUS: u16 = 10_000;

/// A port that no one listens on, and whose cluster bus port is free, too. No other call in this process
/// returns it, but another process may be quicker to take it.
pub(super) fn free_port() -> u16 {
    static NEXT: OnceLock<AtomicU64> = OnceLock::new();
    // Test processes that run side by side start at different ports.
    let next = NEXT.get_or_init(|| AtomicU64::new(RandomState::new().hash_one(()) >> 1));
    for _ in 0..COUNT {
        let step = next.fetch_add(1, Ordering::Relaxed) % u64::from(COUNT);
        let port = FIRST + u16::try_from(step).expect("less than COUNT");
        if is_free(port) && is_free(port + BUS) {
            return port;
        }
    }
    panic!("no free port from {FIRST} on");
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}
