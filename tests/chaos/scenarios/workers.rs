//! What happens to the processes that use the cache.

use std::time::Duration;

use rand::RngExt;

use crate::crew::{Crew, Effort, Outcome};
use crate::plan::Plan;
use crate::support::servers::Server;

/// Processes that die leave their claims behind; no one may wait for them longer than this.
const CLAIM_LIFE: Duration = Duration::from_millis(500);

fn plan(server: &Server) -> Plan {
    Plan { claim_life: CLAIM_LIFE, ..Plan::at(vec![server.url()]) }
}

pub(super) fn killed(effort: Effort) -> Outcome {
    let server = Server::start();
    let mut crew = Crew::start(effort, plan(&server));
    while crew.goes_on() {
        crew.pass(100..600);
        crew.kill_one();
    }
    crew.finish()
}

/// Killed processes have invalidations in their outboxes that could not be completed.
pub(super) fn killed_with_server(effort: Effort) -> Outcome {
    let server = Server::start();
    let mut crew = Crew::start(effort, plan(&server));
    let mut saved = server.save_files();
    while crew.goes_on() {
        crew.pass(200..700);
        if crew.random.random_bool(0.5) {
            saved = server.save_files();
            crew.pass(50..300);
        }
        server.kill();
        // Long enough for invalidations to be given up.
        let longest = if crew.random.random_bool(0.3) { 3_000 } else { 300 };
        crew.pass(0..longest);
        crew.kill_one();
        server.restore_files(&saved);
        server.restart();
    }
    crew.finish()
}

pub(super) fn cancelled(effort: Effort) -> Outcome {
    let server = Server::start();
    let mut crew = Crew::start(effort, Plan { gives_up: 0.5, ..plan(&server) });
    while crew.goes_on() {
        crew.pass(10..20);
    }
    crew.finish()
}

pub(super) fn skewed(effort: Effort) -> Outcome {
    let server = Server::start();
    let mut crew = Crew::start(effort, Plan { skews: true, ..plan(&server) });
    while crew.goes_on() {
        crew.pass(10..20);
    }
    crew.finish()
}
