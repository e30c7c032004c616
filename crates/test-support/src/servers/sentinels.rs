//! A primary and its replica, watched by sentinels.

use std::collections::HashMap;

use super::{Failover, Server, ServerBuilder, until};

/// Sentinels do these things every few seconds; here they do them several times a second, so that a failover
/// takes seconds, not half a minute. All values are in milliseconds; a restarted sentinel forgets them. What
/// sentinels publish is less urgent: a sentinel that has heard nothing of a failover for four such periods
/// undoes it.
const HASTE: &str = "ping-period 200 info-period 200 ask-period 200 publish-period 1000 slave-reconf-timeout 1000 \
                     min-link-reconnect-period 500 election-timeout 1000 tilt-period 1000";

/// Two servers, one of which is the primary, and the sentinels that decide which one.
pub struct Sentinels {
    pub servers: [Server; 2],
    pub sentinels: Vec<Server>,
}

impl Sentinels {
    /// What the sentinels call the primary.
    pub const SERVICE: &str = "wellspring";

    /// Starts this many sentinels; a majority of them must agree that the primary is down.
    pub fn start(count: usize) -> Self {
        Self::start_with(count, |server| server)
    }

    /// The same, with servers that have the settings that `adjust` makes; ready when all know each other.
    pub fn start_with(count: usize, adjust: impl Fn(ServerBuilder) -> ServerBuilder) -> Self {
        let primary = adjust(Server::builder()).start();
        let replica = adjust(Server::builder()).replica_of(primary.port()).start();
        primary.wait_for_replicas(1);

        let watched = format!("{} 127.0.0.1 {} {}", Self::SERVICE, primary.port(), count / 2 + 1);
        let sentinel = || {
            let sentinel = Server::builder()
                .sentinel()
                .config("sentinel monitor", &watched)
                .config("sentinel down-after-milliseconds", &format!("{} 1000", Self::SERVICE))
                .config("sentinel failover-timeout", &format!("{} 2000", Self::SERVICE))
                .start();
            let haste: Vec<_> = ["SENTINEL", "DEBUG"].into_iter().chain(HASTE.split(' ')).collect();
            sentinel.command(&haste);
            sentinel
        };
        let group = Self { servers: [primary, replica], sentinels: (0..count).map(|_| sentinel()).collect() };
        group.settle();
        group
    }

    /// The sentinels' addresses.
    pub fn urls(&self) -> Vec<String> {
        self.sentinels.iter().map(Server::url).collect()
    }

    /// The primary according to the sentinels.
    pub fn primary(&self) -> &Server {
        &self.servers[self.primary_index()]
    }

    /// The other server.
    pub fn replica(&self) -> &Server {
        &self.servers[1 - self.primary_index()]
    }

    /// Makes the replica the new primary; returns when every sentinel says so.
    pub fn failover(&self, how: Failover) {
        let replica = self.replica();
        match how {
            Failover::Manual => {
                self.sentinels[0].command(&["SENTINEL", "FAILOVER", Self::SERVICE]);
            }
            Failover::KillPrimary => self.primary().kill(),
        }
        until("the sentinels have made the replica the primary", || {
            replica.info("role").as_deref() == Some("master")
                && self.sentinels.iter().all(|sentinel| primary_port(sentinel) == replica.port())
        });
    }

    /// Waits until every sentinel sees one live primary, its live replica and all other sentinels.
    pub fn settle(&self) {
        let others = (self.sentinels.len() - 1).to_string();
        until("the sentinels see every server", || {
            self.sentinels.iter().all(|sentinel| {
                let primary = described(sentinel, "MASTER");
                let replica = described(sentinel, "REPLICAS");
                primary.get("flags").is_some_and(|flags| flags == "master")
                    && primary["num-other-sentinels"] == others
                    && replica.get("flags").is_some_and(|flags| flags == "slave")
                    && replica["master-link-status"] == "ok"
            })
        });
    }

    fn primary_index(&self) -> usize {
        let port = primary_port(&self.sentinels[0]);
        self.servers.iter().position(|server| server.port() == port).expect("sentinels know these servers")
    }
}

fn primary_port(sentinel: &Server) -> u16 {
    let reply = sentinel.command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Sentinels::SERVICE]);
    let (_, port): (String, u16) = redis::from_redis_value(reply).expect("an address");
    port
}

/// What the sentinel says about the primary or about its replica; empty while it knows of none.
fn described(sentinel: &Server, what: &str) -> HashMap<String, String> {
    let reply = sentinel.command(&["SENTINEL", what, Sentinels::SERVICE]);
    let reply = match reply {
        redis::Value::Array(mut list) if what == "REPLICAS" => list.pop(),
        reply => Some(reply),
    };
    reply.map(|reply| redis::from_redis_value(reply).expect("pairs")).unwrap_or_default()
}
