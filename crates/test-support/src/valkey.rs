//! Stores on real servers.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use wellspring::clock::ManualClock;
use wellspring::store::{ValkeyOptions, ValkeyStore};

use super::servers::{Cluster, Flavour, Server};

/// A server of `flavour` for tests that only need their own keys.
pub fn shared_server(flavour: Flavour) -> &'static Server {
    static VALKEY: LazyLock<Server> = LazyLock::new(|| Server::builder().flavour(Flavour::Valkey).start());
    static REDIS: LazyLock<Server> = LazyLock::new(|| Server::builder().flavour(Flavour::Redis).start());
    match flavour {
        Flavour::Valkey => &VALKEY,
        Flavour::Redis => &REDIS,
    }
}

/// A cluster for such tests.
pub fn shared_cluster() -> &'static Cluster {
    static CLUSTER: LazyLock<Cluster> = LazyLock::new(Cluster::start);
    &CLUSTER
}

pub fn shared_cluster_url() -> String {
    cluster_url(shared_cluster())
}

pub fn cluster_url(cluster: &Cluster) -> String {
    let hosts: Vec<String> =
        cluster.urls().iter().map(|url| url.trim_start_matches("redis://").to_owned()).collect();
    format!("valkey-cluster://{}", hosts.join(","))
}

/// Settings for tests of what is served, not of how soon, because the machine may be busy. The clock stands
/// still at the time when the entries of tests begin.
pub fn patient() -> ValkeyOptions {
    patient_now().clock(Arc::new(ManualClock::new(super::START)))
}

/// The same with the system's clock, which caches use.
pub fn patient_now() -> ValkeyOptions {
    ValkeyStore::options()
        .connect_timeout(Duration::from_secs(10))
        .command_timeout(Duration::from_secs(5))
        .invalidate_timeout(Duration::from_secs(10))
        .replica_timeout(Duration::from_secs(5))
}

/// Connects from within a multi-threaded runtime, without `await`.
pub fn connect(options: ValkeyOptions, url: &str) -> ValkeyStore {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(options.connect(url))).unwrap()
}
