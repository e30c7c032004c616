//! A cluster of six nodes.

use std::ops::RangeInclusive;

use super::{Migration, Server, ServerBuilder, until};

const SLOTS: u16 = 16_384;
const PRIMARIES: usize = 3;
/// How long a node may not answer before it is suspected to have failed. Short, so that a failover takes
/// seconds; long enough that a busy machine does not cause one.
const NODE_TIMEOUT_MS: &str = "1500";

/// How another node becomes the primary.
///
/// To lose the last acknowledged writes, first cut off the replica ([`Cluster::cut_replica`],
/// [`Server::refuse_replicas`]), then write, and then kill the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failover {
    /// By agreement: the replica has everything before it takes over.
    Manual,
    /// By death: the replica takes over with what it has.
    KillPrimary,
}

/// Three primaries, each with a replica: node `i + 3` replicates node `i` at first.
pub struct Cluster {
    nodes: Vec<Server>,
}

/// A node as seen by another node.
struct Seen {
    id: String,
    port: u16,
    flags: String,
    primary: String,
    slots: Vec<RangeInclusive<u16>>,
}

impl Cluster {
    pub fn start() -> Self {
        Self::start_with(|server| server)
    }

    /// A cluster whose nodes all have the settings that `adjust` makes; ready when all agree and the replicas
    /// follow.
    pub fn start_with(adjust: impl Fn(ServerBuilder) -> ServerBuilder) -> Self {
        let node = || {
            let server = Server::builder()
                .cluster()
                .config("cluster-node-timeout", NODE_TIMEOUT_MS)
                // A replica may take over however long it was cut off: tests want to see what is lost then.
                .config("cluster-replica-validity-factor", "0")
                .config("cluster-allow-replica-migration", "no");
            adjust(server).start()
        };
        let cluster = Self { nodes: (0..2 * PRIMARIES).map(|_| node()).collect() };
        for (index, node) in cluster.nodes.iter().enumerate() {
            // Without epochs of their own, the nodes would first have to settle conflicts.
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]);
            for other in &cluster.nodes[..index] {
                node.command(&["CLUSTER", "MEET", "127.0.0.1", &other.port().to_string()]);
            }
        }
        for (index, node) in cluster.nodes[..PRIMARIES].iter().enumerate() {
            let bound = |index| index * usize::from(SLOTS) / PRIMARIES;
            let (first, last) = (bound(index), bound(index + 1) - 1);
            node.command(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]);
        }
        until("the nodes have met", || {
            let ids: Vec<_> = cluster.nodes.iter().map(id).collect();
            let knows_all = |node: &Server| {
                let seen = seen_by(node);
                ids.iter()
                    .all(|id| seen.iter().any(|node| node.id == *id && !node.flags.contains("handshake")))
            };
            cluster.nodes.iter().all(knows_all)
        });
        for (index, replica) in cluster.nodes[PRIMARIES..].iter().enumerate() {
            replica.command(&["CLUSTER", "REPLICATE", &id(&cluster.nodes[index])]);
        }
        cluster.settle();
        cluster
    }

    /// All nodes, including dead ones. A node keeps its index when roles change.
    pub fn nodes(&self) -> &[Server] {
        &self.nodes
    }

    /// The addresses of all nodes.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Server::url).collect()
    }

    /// The slot of a key.
    pub fn slot(&self, key: &str) -> u16 {
        let reply = self.any().command(&["CLUSTER", "KEYSLOT", key]);
        redis::from_redis_value(reply).expect("a slot is a number")
    }

    /// The node that serves a slot.
    pub fn owner(&self, slot: u16) -> usize {
        let seen = seen_by(self.any());
        let owner = seen.iter().find(|node| node.slots.iter().any(|range| range.contains(&slot)));
        self.index_of(owner.unwrap_or_else(|| panic!("no node serves slot {slot}")).port)
    }

    /// The node that replicates this one.
    pub fn replica_of(&self, primary: usize) -> usize {
        let (port, seen) = (self.nodes[primary].port(), seen_by(self.any()));
        let primary = seen.iter().find(|node| node.port == port).expect("the nodes know each other");
        let replica = seen.iter().find(|node| node.primary == primary.id);
        self.index_of(replica.unwrap_or_else(|| panic!("no node replicates port {port}")).port)
    }

    /// From now on, nothing that is written to this primary reaches its replica; the rest of the cluster does
    /// not notice. [`Server::admit_replicas`] or a restart of the primary undoes this.
    pub fn cut_replica(&self, primary: usize) {
        self.nodes[primary].refuse_replicas();
        let replica = &self.nodes[self.replica_of(primary)];
        until("the replica has lost its primary", || {
            replica.info("master_link_status").as_deref() == Some("down")
        });
    }

    /// Makes the replica of a primary the new primary; returns its index when all running nodes agree. A
    /// killed primary can be restarted then, and becomes the replica.
    pub fn failover(&self, primary: usize, how: Failover) -> usize {
        let replica = self.replica_of(primary);
        match how {
            Failover::Manual => {
                self.nodes[replica].command(&["CLUSTER", "FAILOVER"]);
            }
            Failover::KillPrimary => self.nodes[primary].kill(),
        }
        let port = self.nodes[replica].port();
        until("the replica has taken over", || {
            self.running().all(|node| {
                let takes_over = |node: &Seen| {
                    node.port == port && node.flags.contains("master") && !node.slots.is_empty()
                };
                seen_by(node).iter().any(takes_over) && is_ok(node)
            })
        });
        replica
    }

    /// Begins to move a slot to another primary.
    pub fn migrate(&self, slot: u16, to: usize) -> Migration<'_> {
        Migration::begin(self, slot, to)
    }

    /// Waits until all running nodes agree about each other, none of them is considered dead, and the
    /// replicas follow.
    pub fn settle(&self) {
        let ports: Vec<_> = self.running().map(Server::port).collect();
        let sees_all = |node: &Server| {
            let seen = seen_by(node);
            let well =
                |port: &u16| seen.iter().any(|node| node.port == *port && !node.flags.contains("fail"));
            ports.iter().all(well) && is_ok(node)
        };
        let view = |node: &Server| {
            let mut view: Vec<_> =
                seen_by(node).into_iter().map(|node| (node.port, node.primary, node.slots)).collect();
            view.sort_by_key(|(port, ..)| *port);
            view
        };
        let follows = |node: &Server| node.info("master_link_status").is_none_or(|status| status == "up");
        until("the cluster is settled", || {
            let first = view(self.any());
            self.running().all(|node| sees_all(node) && follows(node) && view(node) == first)
        });
        for primary in self.running().filter(|node| node.info("role").as_deref() == Some("master")) {
            let replicas = primary.info("connected_slaves").and_then(|count| count.parse().ok());
            primary.wait_for_replicas(replicas.unwrap_or(0));
        }
    }

    pub(super) fn running(&self) -> impl Iterator<Item = &Server> {
        self.nodes.iter().filter(|node| node.is_running())
    }

    fn any(&self) -> &Server {
        self.running().next().expect("a node runs")
    }

    fn index_of(&self, port: u16) -> usize {
        self.nodes.iter().position(|node| node.port() == port).expect("nodes know only each other")
    }
}

/// The id that a node gives itself.
pub(super) fn id(node: &Server) -> String {
    node.text(&["CLUSTER", "MYID"])
}

/// Whether a node serves.
fn is_ok(node: &Server) -> bool {
    node.text(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
}

/// All nodes as seen by this one.
fn seen_by(node: &Server) -> Vec<Seen> {
    // id address:port@bus flags primary ping pong epoch link slot…
    let parse = |line: &str| {
        let fields: Vec<_> = line.split(' ').collect();
        let address = fields[1].split(['@', ',']).next()?;
        // Slots that are moving from or to another node are in brackets.
        let slots = fields[8..].iter().filter(|slots| !slots.starts_with('[')).filter_map(|slots| {
            let (first, last) = slots.split_once('-').unwrap_or((slots, slots));
            Some(first.parse().ok()?..=last.parse().ok()?)
        });
        Some(Seen {
            id: fields[0].to_owned(),
            port: address.rsplit(':').next()?.parse().ok()?,
            flags: fields[2].to_owned(),
            primary: fields[3].to_owned(),
            slots: slots.collect(),
        })
    };
    node.text(&["CLUSTER", "NODES"]).lines().filter_map(parse).collect()
}
