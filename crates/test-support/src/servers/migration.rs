//! Moves a slot between the nodes of a cluster, step by step.

use redis::ToRedisArgs;

use super::cluster::{Cluster, id};
use super::{Server, until};

/// A slot that is being moved: the new node serves keys that have moved, to clients that were redirected to
/// it; the old node still serves the others. This does not work for nodes with a password, which would have
/// to be given when keys are moved.
#[must_use]
pub struct Migration<'a> {
    cluster: &'a Cluster,
    slot: u16,
    from: usize,
    to: usize,
}

impl<'a> Migration<'a> {
    /// Announces the move to both nodes; no key moves yet.
    pub(super) fn begin(cluster: &'a Cluster, slot: u16, to: usize) -> Self {
        let from = cluster.owner(slot);
        assert_ne!(from, to, "the node has the slot");
        let migration = Self { cluster, slot, from, to };
        let (source, target) = (migration.source(), migration.target());
        target.command(&["CLUSTER", "SETSLOT", &slot.to_string(), "IMPORTING", &id(source)]);
        source.command(&["CLUSTER", "SETSLOT", &slot.to_string(), "MIGRATING", &id(target)]);
        migration
    }

    /// Moves at most this many keys; returns how many it moved.
    pub fn move_keys(&self, at_most: usize) -> usize {
        let (slot, count) = (self.slot.to_string(), at_most.to_string());
        let reply = self.source().command(&["CLUSTER", "GETKEYSINSLOT", &slot, &count]);
        let keys: Vec<Vec<u8>> = redis::from_redis_value(reply).expect("keys");
        for key in &keys {
            self.move_key(key);
        }
        keys.len()
    }

    /// Moves one key.
    pub fn move_key(&self, key: impl ToRedisArgs) {
        let port = self.target().port().to_string();
        let mut words: Vec<Vec<u8>> =
            ["MIGRATE", "127.0.0.1", &port].map(|word| word.as_bytes().to_vec()).into();
        words.extend(key.to_redis_args());
        // Database 0, and a timeout in milliseconds.
        words.extend(["0", "5000"].map(|word| word.as_bytes().to_vec()));
        self.source().command(&words);
    }

    /// Moves the remaining keys and makes the new node the owner; returns when all nodes know this.
    pub fn finish(self) {
        while self.move_keys(100) > 0 {}
        let owner = id(self.target());
        // The new owner first: as soon as the old owner knows, it sends clients to the new one.
        let (target, source) = (self.target(), self.source());
        let others =
            self.cluster.running().filter(|node| ![target.port(), source.port()].contains(&node.port()));
        let primaries = others.filter(|node| node.info("role").as_deref() == Some("master"));
        for node in [target, source].into_iter().chain(primaries) {
            node.command(&["CLUSTER", "SETSLOT", &self.slot.to_string(), "NODE", &owner]);
        }
        until("the slot has moved", || self.cluster.owner(self.slot) == self.to);
        self.cluster.settle();
    }

    fn source(&self) -> &'a Server {
        &self.cluster.nodes()[self.from]
    }

    fn target(&self) -> &'a Server {
        &self.cluster.nodes()[self.to]
    }
}
