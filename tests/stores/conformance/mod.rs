//! The promises of every `Store`, tested on each kind.

macro_rules! on_kind {
    ($module:ident, $kind:expr; $($test:ident),+) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                use crate::support::{Bench, Kind};
                super::$test(Bench::new($kind)).await;
            })+
        }
    };
}

/// Runs each test on each kind of store, with a bench of its own.
macro_rules! on_every_store {
    ($($test:ident),+ $(,)?) => {
        on_kind!(memory, Kind::Memory; $($test),+);
        on_kind!(embedded, Kind::Embedded; $($test),+);
        #[cfg(feature = "valkey")]
        on_kind!(valkey, Kind::Valkey(crate::support::servers::Flavour::Valkey); $($test),+);
        #[cfg(feature = "valkey")]
        on_kind!(redis, Kind::Valkey(crate::support::servers::Flavour::Redis); $($test),+);
        #[cfg(feature = "valkey")]
        on_kind!(cluster, Kind::Cluster; $($test),+);
    };
}

/// The same for promises of stores that one process owns: limits and exact counts.
macro_rules! on_every_local_store {
    ($($test:ident),+ $(,)?) => {
        mod local {
            $(use super::$test;)+
            on_kind!(memory, Kind::Memory; $($test),+);
            on_kind!(embedded, Kind::Embedded; $($test),+);
        }
    };
}

mod changes;
mod concurrency;
mod fence;
mod holds;
mod judgements;
mod limits;
mod many;
mod reports;
mod secret;
