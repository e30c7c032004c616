//! A primary and its replica, which take turns.

use rand::RngExt;

use crate::crew::{Crew, Effort, Outcome};
use crate::plan::Plan;
use crate::support::servers::{Failover, Sentinels, Server, until};

/// Half of the time, the replica does not have what was written last.
pub(super) fn primary_killed(effort: Effort) -> Outcome {
    let group = Sentinels::start(3);
    let hosts: Vec<String> =
        group.urls().iter().map(|url| url.trim_start_matches("redis://").to_owned()).collect();
    let url = format!("valkey-sentinel://{}/{}", hosts.join(","), Sentinels::SERVICE);
    let mut crew = Crew::start(effort, Plan::at(vec![url]));
    while crew.goes_on() {
        crew.pass(300..800);
        if crew.random.random_bool(0.5) {
            cut(group.primary(), group.replica());
            crew.pass(100..300);
        }
        let killed = group.servers.iter().position(|server| server.port() == group.primary().port()).unwrap();
        group.failover(Failover::KillPrimary);
        crew.fault();
        crew.pass(300..800);
        group.servers[killed].restart();
        group.settle();
    }
    crew.finish()
}

/// A setup where clients find the primary by a name that is redirected: the old primary becomes a replica, and clients
/// that are connected to it stay. Later it is cut off.
pub(super) fn demoted_by_hand(effort: Effort) -> Outcome {
    let mut primary = Server::start();
    let mut replica = Server::builder().replica_of(primary.port()).start();
    primary.wait_for_replicas(1);
    let mut crew = Crew::start(effort, Plan::at(vec![primary.url(), replica.url()]));
    while crew.goes_on() {
        crew.pass(200..500);
        primary.admit_replicas();
        primary.wait_for_replicas(1);
        // In this order there are never two primaries.
        primary.command(&["REPLICAOF", "127.0.0.1", &replica.port().to_string()]);
        replica.command(&["REPLICAOF", "NO", "ONE"]);
        std::mem::swap(&mut primary, &mut replica);
        primary.wait_for_replicas(1);
        crew.fault();
        crew.pass(100..300);
        cut(&primary, &replica);
        crew.pass(200..500);
    }
    crew.finish()
}

fn cut(primary: &Server, replica: &Server) {
    primary.refuse_replicas();
    until("the replica has lost its primary", || {
        replica.info("master_link_status").as_deref() == Some("down")
    });
}
