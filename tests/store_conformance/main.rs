//! What every `Store` promises, run over each of them.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../support/mod.rs"]
mod support;

/// Runs each test on each kind of store, with a bench of its own.
macro_rules! on_every_store {
    ($($test:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(crate::support::Bench::new(crate::support::Kind::Memory)).await;
            })+
        }
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(crate::support::Bench::new(crate::support::Kind::Embedded)).await;
            })+
        }
    };
}

mod changes;
mod concurrency;
mod fence;
mod holds;
mod limits;
mod reports;
