//! One server, and what can happen to it and its data.

use std::ops::Range;

use rand::RngExt;

use crate::crew::{Crew, Effort, Outcome};
use crate::plan::Plan;
use crate::support::servers::Server;

fn plan(server: &Server) -> Plan {
    Plan::at(vec![server.url()])
}

pub(super) fn none(effort: Effort) -> Outcome {
    let server = Server::start();
    let mut crew = Crew::start(effort, Plan { holds_last: true, is_patient: true, ..plan(&server) });
    while crew.goes_on() {
        crew.pass(10..20);
    }
    crew.finish()
}

pub(super) fn rolled_back_to_rdb(effort: Effort) -> Outcome {
    rolled_back(effort, &Server::start())
}

pub(super) fn rolled_back_to_aof(effort: Effort) -> Outcome {
    let server = Server::builder().config("appendonly", "yes").config("appendfsync", "everysec");
    rolled_back(effort, &server.start())
}

fn rolled_back(effort: Effort, server: &Server) -> Outcome {
    let mut crew = Crew::start(effort, plan(server));
    let mut saved = server.save_files();
    while crew.goes_on() {
        crew.pass(200..700);
        if crew.random.random_bool(0.5) {
            saved = server.save_files();
            crew.pass(50..300);
        }
        server.kill();
        if crew.random.random_bool(0.8) {
            server.restore_files(&saved);
        }
        crew.pass(0..100);
        server.restart();
        crew.fault();
    }
    crew.finish()
}

pub(super) fn flushed(effort: Effort) -> Outcome {
    let server = Server::start();
    let mut crew = Crew::start(effort, plan(&server));
    while crew.goes_on() {
        crew.pass(20..200);
        server.command(&["FLUSHALL"]);
        crew.fault();
    }
    crew.finish()
}

pub(super) fn clocks_deleted(effort: Effort) -> Outcome {
    deleted(effort, "wellspring:c:*", 10..100)
}

pub(super) fn sets_deleted(effort: Effort) -> Outcome {
    deleted(effort, "wellspring:r:*", 10..100)
}

pub(super) fn keys_deleted(effort: Effort) -> Outcome {
    deleted(effort, "*", 10..100)
}

/// Deletes half of the keys that match a pattern, again and again.
fn deleted(effort: Effort, pattern: &str, pauses: Range<u64>) -> Outcome {
    let server = Server::start();
    let mut crew = Crew::start(effort, plan(&server));
    while crew.goes_on() {
        crew.pass(pauses.clone());
        let keys: Vec<Vec<u8>> = redis::from_redis_value(server.command(&["KEYS", pattern])).unwrap();
        let mut command = vec![b"UNLINK".to_vec()];
        command.extend(keys.into_iter().filter(|_| crew.random.random_bool(0.5)));
        if command.len() > 1 {
            server.command(&command);
            crew.fault();
        }
    }
    crew.finish()
}

pub(super) fn stopped(effort: Effort) -> Outcome {
    let server = Server::start();
    let mut crew = Crew::start(effort, plan(&server).impatient());
    while crew.goes_on() {
        crew.pass(200..800);
        server.stop();
        crew.pass(10..800);
        server.cont();
        crew.fault();
    }
    crew.finish()
}
