//! Schemathesis sends every route requests that its description allows, and others that it does not.
//!
//! For a bounded time, and the same questions every time: `WELLSPRING_SCHEMA_SECONDS` (20 for each listener) and
//! `WELLSPRING_SCHEMA_SEED` ask more and others.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::Value;

use crate::clients::installed;
use crate::running::Running;

/// What must hold for every response. Tokens are tested elsewhere; here, every caller is trusted.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,unsupported_method";

/// The description of what `listener` serves: routes of the other one name it as their server.
fn described(document: &Value, is_public: bool) -> Value {
    let mut document = document.clone();
    let paths = document["paths"].as_object_mut().unwrap();
    paths.retain(|_, path| path.get("servers").is_none() == is_public);
    for path in paths.values_mut() {
        path.as_object_mut().unwrap().remove("servers");
    }
    document
}

async fn check(gateway: &Running, address: SocketAddr, is_public: bool, checks: String) {
    let document =
        gateway.client.get(gateway.url("/openapi.json")).send().await.unwrap().json().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("openapi.json");
    std::fs::write(&file, described(&document, is_public).to_string()).unwrap();
    let setting = |name, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let seconds = setting("WELLSPRING_SCHEMA_SECONDS", "20");
    let seed = setting("WELLSPRING_SCHEMA_SEED", "1");
    let program = installed("st");
    assert!(program.exists(), "Schemathesis is missing, fetch it with `make clients`");
    let mut command = Command::new(program);
    command
        .current_dir(folder.path())
        .arg("run")
        .arg(&file)
        .args(["--url", &format!("http://{address}"), "--checks", &checks])
        .args(["--phases", "examples,coverage,fuzzing", "--max-time", &seconds, "--continue-on-failure"])
        .args(["--generation-database", "none", "--no-color", "--seed", &seed])
        .env("NO_PROXY", "127.0.0.1");
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("Tested:"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_is_as_it_is_described() {
    let gateway = Running::start().await;
    // An invalid request to a model is for the upstream to refuse.
    check(&gateway, gateway.public, true, CHECKS.to_owned()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn administration_is_as_it_is_described() {
    let gateway = Running::start().await;
    check(&gateway, gateway.admin, false, format!("{CHECKS},negative_data_rejection,use_after_free")).await;
}
