//! Stores that are missing, foreign or in use.

use std::fs;

use serde_json::Value;

use crate::CAPITAL;
use crate::sandbox::Sandbox;

#[test]
fn what_only_reads_creates_no_store() {
    let sandbox = Sandbox::new();
    let commands: [&[&str]; 8] = [
        &["get", CAPITAL],
        &["why", CAPITAL],
        &["list"],
        &["stats"],
        &["export"],
        &["sources", "00000000"],
        &["impact", "--doc", "a"],
        &["invalidate", "--doc", "a"],
    ];
    for args in commands {
        let stderr = sandbox.run(args).code(3).stderr;
        assert!(stderr.contains("no store at wellspring.redb; fill it with `wellspring put`"), "{stderr}");
    }
    assert_eq!(fs::read_dir(sandbox.path("")).unwrap().count(), 0);
}

/// A folder for indexes is created only if one for state is named.
#[test]
fn indexes_are_kept_where_the_configuration_says() {
    let sandbox = Sandbox::new();
    sandbox.run(&["put", CAPITAL, "Paris."]).code(0);
    assert_eq!(fs::read_dir(sandbox.path("")).unwrap().count(), 1);
    sandbox.write("wellspring.toml", b"[store]\nstate_dir = \"state\"\ncache_bytes = \"1MiB\"\n");
    assert_eq!(sandbox.json(&["get", CAPITAL], 0)["answer"], "Paris.");
    assert!(sandbox.path("state/indexes").is_dir());
}

#[test]
fn a_store_of_another_process_is_left_to_it() {
    let sandbox = Sandbox::new();
    let held = wellspring::EmbeddedStore::open(sandbox.path("wellspring.redb")).unwrap();
    for args in [&["get", CAPITAL][..], &["put", CAPITAL, "Paris."], &["stats"]] {
        let error = sandbox.run(&[args, &["--json"]].concat()).code(3).stderr;
        let error: Value = serde_json::from_str(&error).unwrap();
        assert_eq!(error["error"]["kind"], "locked");
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.contains("is already open, in another process or in this one"), "{message}");
    }
    drop(held);
    sandbox.run(&["put", CAPITAL, "Paris."]).code(0);
}

#[test]
fn a_foreign_file_is_left_as_it_is() {
    let sandbox = Sandbox::new();
    let foreign = b"SQLite format 3\0".repeat(1_000);
    sandbox.write("wellspring.redb", &foreign);
    for args in [&["get", CAPITAL][..], &["put", CAPITAL, "Paris."], &["import", "-"]] {
        let stderr = sandbox.run(args).code(3).stderr;
        assert!(stderr.contains("it is not a Wellspring store; move the file away"), "{stderr}");
        assert!(fs::read(sandbox.path("wellspring.redb")).unwrap() == foreign);
    }
}
