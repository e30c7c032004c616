//! A primary and its replica, with a network in between that can fail.

use super::{Proxy, Server, ServerBuilder, until};

/// Two servers; the second follows the first through a proxy.
pub struct ReplicaPair {
    pub primary: Server,
    pub replica: Server,
    /// Only replication goes through this link.
    pub link: Proxy,
}

impl ReplicaPair {
    pub fn start() -> Self {
        Self::start_with(|server| server)
    }

    /// A pair whose servers have the settings that `adjust` makes; ready when the replica follows.
    pub fn start_with(adjust: impl Fn(ServerBuilder) -> ServerBuilder) -> Self {
        let primary = adjust(Server::builder()).start();
        let link = Proxy::start(primary.port());
        let replica = adjust(Server::builder()).replica_of(link.port()).start();
        primary.wait_for_replicas(1);
        Self { primary, replica, link }
    }

    /// Waits until the replica has everything that was written to the primary.
    pub fn catch_up(&self) {
        self.primary.wait_for_replicas(1);
    }

    /// From now on, nothing that is written reaches the replica, and the replica notices.
    pub fn cut(&self) {
        self.link.cut();
        until("the replica has lost its primary", || {
            self.replica.info("master_link_status").as_deref() == Some("down")
        });
    }

    /// The replica follows again and has everything.
    pub fn heal(&self) {
        self.link.heal();
        self.catch_up();
    }

    /// The replica becomes a primary with the data that it has. The old primary is not notified.
    pub fn promote(&self) {
        self.replica.command(&["REPLICAOF", "NO", "ONE"]);
        self.replica.command(&["CONFIG", "REWRITE"]);
    }

    /// The old primary follows the promoted replica, and loses the data that the replica does not have.
    pub fn demote(&self) {
        self.primary.command(&["REPLICAOF", "127.0.0.1", &self.replica.port().to_string()]);
        self.primary.command(&["CONFIG", "REWRITE"]);
        self.replica.wait_for_replicas(1);
    }
}
