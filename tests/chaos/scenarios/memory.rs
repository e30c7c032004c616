//! A server with room for half of the data.

use crate::crew::{Crew, Effort, Outcome};
use crate::plan::Plan;
use crate::support::servers::Server;

pub(super) fn noeviction(effort: Effort) -> Outcome {
    crowded(effort, "noeviction")
}

pub(super) fn allkeys_lru(effort: Effort) -> Outcome {
    crowded(effort, "allkeys-lru")
}

pub(super) fn allkeys_lfu(effort: Effort) -> Outcome {
    crowded(effort, "allkeys-lfu")
}

pub(super) fn allkeys_random(effort: Effort) -> Outcome {
    crowded(effort, "allkeys-random")
}

pub(super) fn volatile_lru(effort: Effort) -> Outcome {
    crowded(effort, "volatile-lru")
}

pub(super) fn volatile_lfu(effort: Effort) -> Outcome {
    crowded(effort, "volatile-lfu")
}

pub(super) fn volatile_random(effort: Effort) -> Outcome {
    crowded(effort, "volatile-random")
}

pub(super) fn volatile_ttl(effort: Effort) -> Outcome {
    crowded(effort, "volatile-ttl")
}

/// Once there is some data, the server is given room for half of it; later for all, and so on.
fn crowded(effort: Effort, policy: &str) -> Outcome {
    let server = Server::builder().config("maxmemory-policy", policy).start();
    let used = || server.info("used_memory").unwrap().parse::<u64>().unwrap();
    // Large, so that the data outweigh what connections take.
    let plan = Plan { padding: (10_000, 40_000), ..Plan::at(vec![server.url()]) };
    let empty = used();
    let mut crew = Crew::start(effort, plan);
    while crew.counts().stored < 100 && crew.goes_on() {
        crew.pass(10..20);
    }
    while crew.goes_on() {
        let full = used();
        let half = empty + full.saturating_sub(empty) / 2;
        server.command(&["CONFIG", "SET", "maxmemory", &half.to_string()]);
        crew.fault();
        crew.pass(500..1_500);
        server.command(&["CONFIG", "SET", "maxmemory", "0"]);
        crew.pass(100..300);
    }
    crew.finish()
}
