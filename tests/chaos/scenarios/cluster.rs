//! A cluster whose nodes take over from each other.

use rand::RngExt;
use wellspring::Corpus;

use crate::crew::{Crew, Effort, Outcome};
use crate::plan::Plan;
use crate::support::servers::{Cluster, Failover};
use crate::support::valkey::cluster_url;

const BUCKETS: u16 = 16;

/// Half of the time, the replica does not have what was written last; sometimes the nodes agree on it.
pub(super) fn failover(effort: Effort) -> Outcome {
    let cluster = Cluster::start();
    let mut crew = Crew::start(effort, Plan::at(vec![cluster_url(&cluster)]));
    while crew.goes_on() {
        crew.pass(300..800);
        let primary = any_primary(&cluster, &mut crew);
        if crew.random.random_bool(0.25) {
            cluster.failover(primary, Failover::Manual);
        } else {
            if crew.random.random_bool(0.5) {
                cluster.cut_replica(primary);
                crew.pass(100..300);
            }
            cluster.failover(primary, Failover::KillPrimary);
            crew.pass(100..500);
            cluster.nodes()[primary].restart();
        }
        crew.fault();
        cluster.settle();
    }
    crew.finish()
}

pub(super) fn migration(effort: Effort) -> Outcome {
    let cluster = Cluster::start();
    let mut crew = Crew::start(effort, Plan::at(vec![cluster_url(&cluster)]));
    while crew.goes_on() {
        crew.pass(20..200);
        let bucket = crew.random.random_range(0..BUCKETS);
        let slot = cluster.slot(&format!("wellspring:c:{{{}:{bucket}}}", Corpus::default().as_str()));
        let from = cluster.owner(slot);
        let to = any_primary(&cluster, &mut crew);
        if from == to {
            continue;
        }
        let migration = cluster.migrate(slot, to);
        crew.pass(0..50);
        while crew.random.random_bool(0.9) && migration.move_keys(2) > 0 {
            crew.pass(0..20);
        }
        migration.finish();
        crew.fault();
    }
    crew.finish()
}

fn any_primary(cluster: &Cluster, crew: &mut Crew) -> usize {
    let slot = crew.random.random_range(0..16_384);
    cluster.owner(slot)
}
