//! The configuration file for deployments.

use wellspring::error::ServerFault;
use wellspring::store::{Finding, Severity, ValkeyStore};

use crate::support::servers::{Flavour, Server};
use crate::support::valkey::patient_now;

const RECOMMENDED: &str = include_str!("../../../deploy/valkey.conf");

/// The file's settings, as a server takes them.
fn settings() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = RECOMMENDED.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(' ').unwrap())
}

/// Kubernetes has them in a file of its own.
#[test]
fn they_are_the_same_wherever_they_stand() {
    let copy = include_str!("../../../deploy/kubernetes.yaml");
    for line in RECOMMENDED.lines().filter(|line| !line.is_empty()) {
        assert!(copy.contains(&format!("\n    {line}\n")), "deploy/kubernetes.yaml lacks: {line}");
    }
}

async fn connect(server: &Server) -> ValkeyStore {
    patient_now().connect(&server.url()).await.unwrap()
}

/// The load of the test machine does not matter.
fn of_the_server(findings: Vec<Finding>) -> impl Iterator<Item = Finding> {
    findings.into_iter().filter(|finding| !["reachable", "scheduling"].contains(&finding.check))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_starts_with_them_and_the_doctor_finds_nothing_to_change() {
    for flavour in Flavour::available() {
        let builder =
            settings().fold(Server::builder(), |builder, (name, value)| builder.config(name, value));
        let server = builder.flavour(flavour).start();
        for finding in of_the_server(connect(&server).await.diagnose().await.unwrap()) {
            assert_eq!(finding.severity, Severity::Ok, "{flavour:?}: {finding:?}");
        }
    }
}

/// A doctor that finds nothing anywhere would pass the test above.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_them_has_something_to_change() {
    let server = Server::start();
    let findings = connect(&server).await.diagnose().await.unwrap();
    let remedies: Vec<&str> = findings.iter().filter_map(|finding| finding.remedy.as_deref()).collect();
    assert!(remedies.contains(&"CONFIG SET maxmemory 1gb maxmemory-policy volatile-lfu"), "{remedies:?}");
    assert!(remedies.contains(&"CONFIG SET repl-backlog-ttl 0"), "{remedies:?}");
    // The server understands the commands that it suggests.
    for remedy in remedies {
        server.command(&remedy.split(' ').collect::<Vec<_>>());
    }
    for finding in of_the_server(connect(&server).await.diagnose().await.unwrap()) {
        assert_eq!(finding.severity, Severity::Ok, "{finding:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_a_problem() {
    let primary = Server::start();
    let replica = Server::builder().replica_of(primary.port()).start();
    primary.wait_for_replicas(1);
    let error = patient_now().connect(&replica.url()).await.unwrap().ping().await.unwrap_err();
    assert!(error.to_string().ends_with("it is not a primary"), "{error}");
    assert_eq!(error.server_fault(), Some(ServerFault::NotPrimary));
}

/// A check leaves no keys behind except the one that holds the layout.
#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_leaves_nothing_behind() {
    let server = Server::start();
    connect(&server).await.diagnose().await.unwrap();
    let keys: Vec<String> = redis::from_redis_value(server.command(&["KEYS", "*"])).unwrap();
    assert_eq!(keys, ["wellspring:format"]);
}
