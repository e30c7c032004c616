//! The configuration of the `wellspring` command.

use crate::sandbox::Sandbox;

#[test]
fn what_is_shown_is_a_file_that_says_the_same() {
    let sandbox = Sandbox::new();
    sandbox.write("wellspring.toml", b"[match]\ncandidates = 8\n");
    let output = sandbox.command().args(["config"]).env("WELLSPRING_TTL_DEFAULT", "2h").output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("# wellspring.toml:2") && shown.contains("# WELLSPRING_TTL_DEFAULT"), "{shown}");

    sandbox.write("shown.toml", shown.as_bytes());
    let values = |json: &serde_json::Value| -> Vec<serde_json::Value> {
        json.as_object().unwrap().values().map(|setting| setting["value"].clone()).collect()
    };
    let again = sandbox.json(&["config", "--config", "shown.toml"], 0);
    assert_eq!(again["ttl.default"]["value"], "2h");
    assert_eq!(again["match.candidates"]["value"], 8);
    let output =
        sandbox.command().args(["config", "--json"]).env("WELLSPRING_TTL_DEFAULT", "2h").output().unwrap();
    let first: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(values(&first), values(&again));
    assert_eq!(first["ttl.default"]["origin"], "WELLSPRING_TTL_DEFAULT");
}

#[test]
fn an_unknown_field_names_the_nearest_and_its_line() {
    let sandbox = Sandbox::new();
    sandbox.write("wellspring.toml", b"[store]\nmax_entires = 7\n");
    let stderr = sandbox.run(&["stats"]).code(2).stderr;
    let expected = "wellspring.toml:2: unknown field in [store] `max_entires`, did you mean `max_entries`?";
    assert!(stderr.contains(expected), "{stderr}");
    let stderr = sandbox.run(&["stats", "--config", "none.toml"]).code(2).stderr;
    assert!(stderr.contains("cannot read the configuration none.toml"), "{stderr}");
}

#[test]
fn a_misspelt_variable_is_a_warning() {
    let sandbox = Sandbox::new();
    let output = sandbox.command().arg("config").env("WELLSPRING_STOER", "memory:").output().unwrap();
    assert!(output.status.success());
    let stderr = String::from_utf8(output.stderr).unwrap();
    let expected = "warning: unknown environment variable WELLSPRING_STOER, did you mean WELLSPRING_STORE?\n";
    assert_eq!(stderr, expected);
}

#[test]
fn settings_take_effect() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "wellspring.toml",
        b"store.url = \"embedded:deep/er/cache.redb\"\nadmission.max_answer_bytes = 5\n",
    );
    sandbox.run(&["put", "Why sleep?", "Just because."]).code(1);
    sandbox.run(&["put", "Why sleep?", "Yes."]).code(0);
    assert!(sandbox.path("deep/er/cache.redb").exists());
    let memory = sandbox.json(&["stats", "--store", "memory:"], 0);
    assert_eq!(memory["store"]["entries"], 0);
}
