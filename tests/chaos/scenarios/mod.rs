//! What can go wrong, each with real servers.

mod cluster;
mod lone;
mod memory;
mod network;
mod replicas;
mod workers;

use crate::crew::{Effort, Outcome};

/// A fault, over and over while the processes work.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) play: fn(Effort) -> Outcome,
}

const fn scenario(name: &'static str, play: fn(Effort) -> Outcome) -> Scenario {
    Scenario { name, play }
}

/// All of them.
pub(crate) static ALL: &[Scenario] = &[
    scenario("none", lone::none),
    scenario("kill -9, an older RDB", lone::rolled_back_to_rdb),
    scenario("kill -9, an older AOF", lone::rolled_back_to_aof),
    scenario("FLUSHALL", lone::flushed),
    scenario("DEL of clocks", lone::clocks_deleted),
    scenario("DEL of reverse sets", lone::sets_deleted),
    scenario("DEL of random keys", lone::keys_deleted),
    scenario("noeviction", memory::noeviction),
    scenario("allkeys-lru", memory::allkeys_lru),
    scenario("allkeys-lfu", memory::allkeys_lfu),
    scenario("allkeys-random", memory::allkeys_random),
    scenario("volatile-lru", memory::volatile_lru),
    scenario("volatile-lfu", memory::volatile_lfu),
    scenario("volatile-random", memory::volatile_random),
    scenario("volatile-ttl", memory::volatile_ttl),
    scenario("server stopped", lone::stopped),
    scenario("200 ms to the server", network::slow),
    scenario("network cut", network::cut),
    scenario("network hangs", network::hangs),
    scenario("sentinels, primary killed", replicas::primary_killed),
    scenario("primary demoted by hand", replicas::demoted_by_hand),
    scenario("cluster failover", cluster::failover),
    scenario("slots migrate", cluster::migration),
    scenario("workers killed", workers::killed),
    scenario("workers and server killed", workers::killed_with_server),
    scenario("cancellations", workers::cancelled),
    scenario("clocks an hour apart", workers::skewed),
];
