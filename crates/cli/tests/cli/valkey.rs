//! The `wellspring` command on a store that is shared.

use std::io::{BufRead as _, BufReader};

use serde_json::json;
use wellspring::ValkeyStore;

use crate::CAPITAL;
use crate::sandbox::{Run, Sandbox};
use crate::support::servers::{Flavour, Server};

/// A server, and what runs commands on it.
struct Shared {
    sandbox: Sandbox,
    server: Server,
}

impl Shared {
    fn new(flavour: Flavour) -> Self {
        Self {
            sandbox: Sandbox::new(),
            server: Server::builder().flavour(flavour).password("s3cret").start(),
        }
    }

    fn url(&self) -> String {
        format!("valkey://:s3cret@127.0.0.1:{}", self.server.port())
    }

    fn run(&self, args: &[&str]) -> Run {
        let run = self.sandbox.run(&[args, &["--store", &self.url()]].concat());
        assert!(
            !run.stdout.contains("s3cret") && !run.stderr.contains("s3cret"),
            "{}{}",
            run.stdout,
            run.stderr
        );
        run
    }

    fn json(&self, args: &[&str], code: i32) -> serde_json::Value {
        serde_json::from_str(&self.run(&[args, &["--json"]].concat()).code(code).stdout).unwrap()
    }
}

#[test]
fn every_command_works_on_every_flavour() {
    for flavour in Flavour::available() {
        let shared = Shared::new(flavour);
        shared.run(&["get", CAPITAL]).code(1);
        shared.run(&["put", CAPITAL, "Paris.", "--doc", "geo@v1"]).code(0);
        // Another process, so the index is loaded for this question alone.
        let hit = shared.json(&["get", "what is the capital city of france?", "--threshold", "0.8"], 0);
        assert_eq!(hit["answer"], "Paris.");
        assert!(shared.run(&["why", "the capital of France?"]).code(0).stdout.contains(CAPITAL));
        let listed = shared.json(&["list"], 0);
        assert_eq!((&listed["total"], &listed["entries"][0]["hits"]), (&json!(1), &json!(1)));
        let id = listed["entries"][0]["entry"].as_str().unwrap();
        shared.run(&["sources", &id[..8]]).code(0);
        shared.run(&["impact", "--doc", "geo"]).code(0);

        let stats = shared.json(&["stats"], 0);
        let server = &stats["store"]["servers"][0];
        assert_eq!(server["name"], format!("{flavour:?}").to_lowercase());
        assert_eq!((&server["role"], &server["replicas"]), (&json!("master"), &json!([])));
        assert!(server["used_memory"].as_u64().unwrap() > 0);
        assert_eq!(stats["store"]["corpora"][0]["events"], 1);
        let connection = &stats["connection"];
        assert_eq!(connection["up"], true);
        assert!(connection["round_trip_us"].as_u64() > Some(0), "{connection}");
        assert!(connection["command_timeout_us"].as_u64() >= Some(1_000_000), "{connection}");
        let text = shared.run(&["stats"]).code(0).stdout;
        assert!(text.contains("valkey://:***@") && text.contains("no limit, noeviction"), "{text}");
        assert!(text.contains("replies take") && text.contains("lookups wait up to"), "{text}");

        shared.run(&["begin-update", "geo"]).code(0);
        shared.run(&["get", CAPITAL]).code(1);
        assert_eq!(shared.json(&["stats"], 0)["store"]["corpora"][0]["held"], json!(["geo"]));
        assert_eq!(shared.json(&["end-update", "geo"], 0)["dropped"], 1);
        shared.run(&["put", CAPITAL, "Paris.", "--doc", "geo@v2"]).code(0);
        shared.run(&["export", "all.jsonl"]).code(0);
        assert_eq!(shared.json(&["invalidate", "--doc", "geo"], 0)["dropped"], 1);
        shared.run(&["get", CAPITAL]).code(1);
        shared.run(&["put", CAPITAL, "Paris.", "--tenant", "acme"]).code(0);
        assert_eq!(shared.json(&["clear", "--tenant", "acme", "--yes"], 0)["removed"], 1);
        shared.run(&["get", CAPITAL, "--tenant", "acme"]).code(1);
        // With the same clock, an answer that was invalidated since is refused.
        assert_eq!(shared.json(&["import", "all.jsonl"], 0)["imported"], 0);
    }
}

#[test]
fn doctor_says_what_to_change_and_exits_by_it() {
    let shared = Shared::new(Flavour::preferred());
    let report = shared.json(&["doctor"], 0);
    assert_eq!(report["verdict"], "warning");
    let text = shared.run(&["doctor"]).code(0).stdout;
    assert!(text.contains("→ CONFIG SET maxmemory 1gb maxmemory-policy volatile-lfu"), "{text}");
    assert!(text.contains("lookups wait up to") && text.contains("this process ran"), "{text}");

    shared.server.command(&["ACL", "SETUSER", "poor", "on", ">s3cret", "~*", "&*", "+@all", "-hscan"]);
    let poor = format!("valkey://poor:s3cret@127.0.0.1:{}", shared.server.port());
    let text = shared.sandbox.run(&["doctor", "--store", &poor]).code(1).stdout;
    assert!(text.contains("poor may not use HSCAN") && text.contains("→ ACL SETUSER poor +hscan"), "{text}");
}

#[test]
fn a_server_that_is_away_fails_each_command_with_what_to_do() {
    let shared = Shared::new(Flavour::preferred());
    shared.server.kill();
    let commands: [&[&str]; 9] = [
        &["get", CAPITAL],
        &["put", CAPITAL, "Paris."],
        &["invalidate", "--doc", "a"],
        &["begin-update", "a"],
        &["clear", "--tenant", "a", "--yes"],
        &["list"],
        &["stats"],
        &["export"],
        &["doctor"],
    ];
    for args in commands {
        let run = shared.run(args).code(3);
        assert!(run.stderr.contains("cannot reach valkey://:***@127.0.0.1:"), "{args:?}: {}", run.stderr);
        assert!(run.stderr.contains("check that the server runs"), "{args:?}: {}", run.stderr);
    }
}

/// With an outbox, a change that cannot reach the server is kept for the next command.
#[test]
fn a_change_is_kept_in_the_outbox_while_the_server_is_away() {
    let shared = Shared::new(Flavour::preferred());
    shared
        .sandbox
        .write("wellspring.toml", b"store.state_dir = \"state\"\nstore.invalidate_timeout = \"100ms\"\n");
    shared.run(&["put", CAPITAL, "Paris.", "--doc", "geo"]).code(0);
    shared.server.kill();
    let error = shared.run(&["invalidate", "--doc", "geo", "--json"]).code(3).stderr;
    assert!(error.contains("\"incomplete\"") && error.contains("it is kept"), "{error}");
    shared.server.restart();
    assert!(shared.json(&["stats"], 0)["store"]["pending_invalidations"].is_u64());
}

/// A gateway keeps its outbox to itself, and not the server.
#[test]
fn commands_run_beside_the_process_that_has_the_outbox() {
    let shared = Shared::new(Flavour::preferred());
    shared.sandbox.write("wellspring.toml", b"store.state_dir = \"state\"\n");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let options = ValkeyStore::options().outbox(shared.sandbox.path("state/outbox"));
    let held = runtime.block_on(options.connect(&shared.url())).unwrap();
    shared.run(&["put", CAPITAL, "Paris.", "--doc", "geo"]).code(0);
    assert_eq!(shared.json(&["invalidate", "--doc", "geo"], 0)["dropped"], 1);
    let outbox = |report: &serde_json::Value| {
        let findings = report["findings"].as_array().unwrap().iter();
        findings.into_iter().find(|finding| finding["check"] == "outbox").unwrap()["reason"].clone()
    };
    let reason = outbox(&shared.json(&["doctor"], 0));
    assert_eq!(reason, "the one in store.state_dir is open in another process");
    drop(runtime.enter());
    drop(held);
    drop(runtime);
    assert!(outbox(&shared.json(&["doctor"], 0)).as_str().unwrap().starts_with("empty, at state"));
}

/// What is wrong decides what is advised.
#[test]
fn a_server_that_refuses_is_named_with_what_to_do() {
    let (sandbox, plain) = (Sandbox::new(), Server::builder().password("s3cret").start());
    plain.command(&["ACL", "SETUSER", "blind", "on", ">s3cret", "~*", "&*", "+@all", "-info"]);
    let primary = Server::start();
    let replica = Server::builder().replica_of(primary.port()).start();
    primary.wait_for_replicas(1);
    // Its certificate is for the first address only.
    let tls = Server::builder().tls().config("bind", "127.0.0.1 127.0.0.2").start();
    sandbox.write("ca.pem", tls.tls().ca.as_bytes());
    for (url, authority, code, advice) in [
        (
            format!("valkey://:wrong@127.0.0.1:{}", plain.port()),
            "",
            2,
            "; check user and password in the address",
        ),
        (format!("valkey://127.0.0.1:{}", plain.port()), "", 2, "; check user and password in the address"),
        (format!("valkey://blind:s3cret@127.0.0.1:{}", plain.port()), "", 2, "; `wellspring doctor` lists"),
        (format!("valkeys://127.0.0.1:{}", tls.port()), "", 2, "; set store.tls_ca"),
        (
            format!("valkeys://127.0.0.2:{}", tls.port()),
            "ca.pem",
            3,
            "; check that the server's certificate is valid",
        ),
        (replica.url(), "", 3, "; name the primary, or its sentinels"),
    ] {
        sandbox.write("wellspring.toml", format!("store.url = \"{url}\"\n").as_bytes());
        let mut command = sandbox.command();
        let output =
            command.args(["get", CAPITAL]).env("WELLSPRING_STORE_TLS_CA", authority).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(code) && stderr.contains(advice), "{url}: {stderr}");
    }
}

/// The change in an event takes effect, an event that cannot be applied is dead-lettered, and both are
/// reported.
#[test]
fn events_are_applied_and_dead_lettered() {
    let shared = Shared::new(Flavour::preferred());
    let mut listener =
        shared.sandbox.spawn(&["listen", "--on-gap", "report", "--json", "--store", &shared.url()]);
    let mut reports = BufReader::new(listener.stdout.take().unwrap()).lines();
    let mut next =
        || -> serde_json::Value { serde_json::from_str(&reports.next().unwrap().unwrap()).unwrap() };
    assert_eq!((&next()["report"], &next()["reason"]), (&json!("connected"), &json!("new_group")));
    shared.run(&["put", CAPITAL, "Paris.", "--doc", "geo"]).code(0);
    shared.server.command(&["XADD", "documents", "*", "id", "geo"]);
    let applied = next();
    assert_eq!((&applied["report"], &applied["dropped"]), (&json!("applied"), &json!(1)));
    shared.run(&["get", CAPITAL]).code(1);

    shared.server.command(&["XADD", "documents", "*", "type", "renamed", "id", "geo"]);
    assert_eq!(next()["report"], "dead_lettered");
    let text = shared.run(&["dead-letters", "list"]).code(0).stdout;
    assert!(text.contains("type renamed id geo") && text.contains("its type is not known"), "{text}");
    assert_eq!(shared.json(&["dead-letters", "replay", "--all"], 0)["replayed"], 1);
    assert_eq!(next()["report"], "dead_lettered");
    let letters = shared.json(&["dead-letters", "list"], 0);
    let id = letters[0]["id"].as_str().unwrap();
    assert_eq!(shared.json(&["dead-letters", "drop", id], 0)["dropped"], 1);
    assert!(shared.run(&["dead-letters", "drop", id]).code(2).stderr.contains("no dead letter"));
    listener.kill().unwrap();
    listener.wait().unwrap();
}

#[test]
fn doctor_looks_at_a_store_on_disk_too() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.json(&["doctor"], 0)["verdict"], "warning");
    sandbox.run(&["put", CAPITAL, "Paris."]).code(0);
    assert_eq!(sandbox.json(&["doctor"], 0)["verdict"], "ok");
    let held = wellspring::EmbeddedStore::open(sandbox.path("wellspring.redb")).unwrap();
    let text = sandbox.run(&["doctor"]).code(1).stdout;
    assert!(text.contains("is already open") && text.contains("→ stop the other process"), "{text}");
    drop(held);
}
