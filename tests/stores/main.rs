//! The stores, each on the system that it really uses: a disk, Valkey, Redis, a cluster.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use wellspring_test_support as support;

/// Runs each test on a server of each flavour.
#[cfg(feature = "valkey")]
macro_rules! on_every_server {
    ($($test:ident),+ $(,)?) => {
        on_every_server!(@ on_valkey, Valkey; $($test),+);
        on_every_server!(@ on_redis, Redis; $($test),+);
    };
    (@ $module:ident, $flavour:ident; $($test:ident),+) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(crate::support::servers::Flavour::$flavour).await;
            })+
        }
    };
}

mod conformance;
#[cfg(feature = "valkey")]
mod document_events;
mod embedded;
#[cfg(feature = "valkey")]
mod invalidation_strategies;
#[cfg(all(unix, feature = "valkey"))]
mod invented_corpora;
#[cfg(all(unix, feature = "valkey"))]
mod many_changes;
#[cfg(unix)]
mod servers;
#[cfg(all(unix, feature = "valkey"))]
mod valkey_connections;
