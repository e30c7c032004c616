//! The configuration of the `wellspring` command.

use serde_json::json;

use crate::sandbox::Sandbox;

#[test]
fn what_is_shown_is_a_file_that_says_the_same() {
    let sandbox = Sandbox::new();
    let file = b"[admission]\nconfirmations = 8\n[[server.webhooks]]\nname = \"docs\"\nkind = \"github\"\n\
        secret_env = \"SECRET\"\nrules = [{ glob = \"docs/**\", document = \"${path}\" }]\n";
    sandbox.write("wellspring.toml", file);
    let output = sandbox.command().args(["config"]).env("WELLSPRING_TTL_DEFAULT", "2h").output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    // A person reads it in a window; a table is on one line.
    assert!(shown.lines().all(|line| line.len() < 110 || line.contains('{')), "{shown}");
    assert!(shown.contains("# wellspring.toml:2") && shown.contains("# WELLSPRING_TTL_DEFAULT"), "{shown}");

    sandbox.write("shown.toml", shown.as_bytes());
    let values = |json: &serde_json::Value| -> Vec<serde_json::Value> {
        json.as_object().unwrap().values().map(|setting| setting["value"].clone()).collect()
    };
    let again = sandbox.json(&["config", "--config", "shown.toml"], 0);
    assert_eq!(again["ttl.default"]["value"], "2h");
    assert_eq!(again["admission.confirmations"]["value"], 8);
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

#[test]
fn a_judge_is_described_in_full_or_not_at_all() {
    let sandbox = Sandbox::new();
    for (settings, message) in [
        ("url = \"http://localhost:9/v1\"", "judge.url needs judge.model"),
        ("model = \"small\"", "judge.model is set without judge.url"),
        ("hits = 1.5", "wellspring.toml:2: judge.hits is 1.5, expected a number from 0 to 1"),
        ("calls_per_hour = -1", "wellspring.toml:2: judge.calls_per_hour is -1, expected a whole number"),
    ] {
        sandbox.write("wellspring.toml", format!("[judge]\n{settings}\n").as_bytes());
        let stderr = sandbox.run(&["put", "Why sleep?", "Yes."]).code(2).stderr;
        assert!(stderr.contains(message), "{stderr}");
    }
    sandbox.write("wellspring.toml", b"[judge]\nurl = \"http://localhost:9/v1\"\nmodel = \"small\"\n");
    sandbox.run(&["put", "Why sleep?", "Yes."]).code(0);
    let doctor = sandbox.run(&["doctor"]).code(0).stdout;
    assert!(doctor.contains("small, at most 120 calls an hour, each with up to 8 cases"), "{doctor}");
}

#[test]
fn a_calibration_belongs_to_its_verifier() {
    let sandbox = Sandbox::new();
    let pair = |n: i32| {
        let (year, label) = if n % 2 == 0 { (1900, 1) } else { (1950, 0) };
        let (a, b) = ("how many people lived in town", "how many lived in town");
        let pair =
            json!({ "a": format!("{a} {n} in 1900"), "b": format!("in {year} {b} {n}"), "label": label });
        pair.to_string()
    };
    let pairs = (0..60).map(pair).collect::<Vec<_>>().join("\n");
    sandbox.write("pairs.jsonl", pairs.as_bytes());
    let report = sandbox.json(&["calibrate", "pairs.jsonl", "--write", "own.json"], 0);
    assert_eq!(report["positives"], 30);
    // Sixty pairs show little by themselves; the previous thresholds are kept where the pairs agree.
    let verdicts = |report: &serde_json::Value| {
        let budgets = report["budgets"].as_array().unwrap().iter();
        budgets.map(|budget| budget["verdict"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(verdicts(&report), ["insufficient", "insufficient", "unconfirmed", "unconfirmed"]);
    let alone = sandbox.json(&["calibrate", "pairs.jsonl", "--from-scratch"], 0);
    assert_eq!(verdicts(&alone), ["insufficient"; 4]);
    sandbox.write("wellspring.toml", b"match.calibration = \"own.json\"\n");
    sandbox.run(&["put", "Why sleep?", "Yes."]).code(0);
    let own = std::fs::read_to_string(sandbox.path("own.json")).unwrap();
    let scorer = serde_json::from_str::<serde_json::Value>(&own).unwrap()["scorer"].clone();
    sandbox.write("own.json", own.replace(scorer.as_str().unwrap(), "another@1").as_bytes());
    let stderr = sandbox.run(&["put", "Why sleep?", "Yes."]).code(2).stderr;
    assert!(stderr.contains("match.calibration was made for scores of another@1"), "{stderr}");
}

#[test]
fn a_corpus_may_have_a_calibration_of_its_own() {
    let sandbox = Sandbox::new();
    // As the bundled one, but for hits that are less sure.
    let bundled = crate::support::root().join("models/question-comparer/calibration.json");
    let mut lenient: serde_json::Value = serde_json::from_slice(&std::fs::read(bundled).unwrap()).unwrap();
    for point in lenient["full"]["curve"].as_array_mut().unwrap() {
        point["false_hits"] = 0.into();
    }
    sandbox.write("support.json", lenient.to_string().as_bytes());
    let settings = "store.url = \"embedded:store.redb\"\nmatch.calibrations = [\"support:support.json\"]\n";
    sandbox.write("wellspring.toml", settings.as_bytes());
    let (cached, asked) = ("How do I cancel my subscription?", "How can I pause my subscription?");
    for corpus in ["support", "other"] {
        sandbox.run(&["put", cached, "On the account page.", "--corpus", corpus]).code(0);
    }
    sandbox.run(&["get", asked, "--corpus", "support"]).code(0);
    sandbox.run(&["get", asked, "--corpus", "other"]).code(1);
    for (wrong, printed) in
        [("support", "expected a list such as"), ("support:none.json", "none.json cannot be read")]
    {
        sandbox.write("wellspring.toml", settings.replace("support:support.json", wrong).as_bytes());
        let stderr = sandbox.run(&["get", asked]).code(2).stderr;
        assert!(stderr.contains(printed), "{stderr}");
    }
}

#[test]
fn what_cannot_be_shown_is_reported_wherever_the_settings_are_looked_at() {
    let sandbox = Sandbox::new();
    sandbox.run(&["put", "Why sleep?", "Yes."]).code(0);
    let matching = |report: &serde_json::Value| {
        let findings = report["findings"].as_array().unwrap().iter();
        findings.into_iter().find(|finding| finding["check"] == "matching").unwrap().clone()
    };
    assert_eq!(matching(&sandbox.json(&["doctor"], 0))["severity"], "ok");
    assert_eq!(sandbox.json(&["stats"], 0)["matching"]["warning"], json!(null));
    let remote =
        "embedding.url = \"http://localhost:9/v1\"\nembedding.model = \"other\"\nembedding.dimensions = 8\n";
    for (settings, expected, remedy) in [
        (
            "match.max_false_hit_rate = 0.0001\n",
            "match.max_false_hit_rate = 0.0001 cannot be shown by the calibration in force: only exact matches are served; \
             the lowest that it can show is 0.0",
            "set match.max_false_hit_rate = 0.0",
        ),
        (
            remote,
            "match.max_false_hit_rate = 0.02 cannot be shown without a calibration for the embedding model",
            "set match.similarity_threshold",
        ),
    ] {
        sandbox.write("wellspring.toml", settings.as_bytes());
        let finding = matching(&sandbox.json(&["doctor"], 0));
        assert_eq!(finding["severity"], "warning");
        assert!(finding["reason"].as_str().unwrap().starts_with(expected), "{finding}");
        assert!(finding["remedy"].as_str().unwrap().contains(remedy), "{finding}");
        let stats = sandbox.json(&["stats"], 0);
        assert!(stats["matching"]["warning"].as_str().unwrap().starts_with(expected), "{stats}");
        let text = sandbox.run(&["stats"]).code(0).stdout;
        assert!(text.contains("accepted") && text.contains(expected), "{text}");
        let printed = sandbox.run(&["config"]).code(0).stderr;
        assert!(printed.starts_with("warning: ") && printed.contains(expected), "{printed}");
    }
    // A similarity, or the user's own calibration, is used as it is.
    sandbox.write("wellspring.toml", format!("{remote}match.similarity_threshold = 0.9\n").as_bytes());
    assert_eq!(matching(&sandbox.json(&["doctor"], 0))["reason"], "similarity 0.900 and up");
    sandbox.write("wellspring.toml", b"match.calibration = \"none.json\"\n");
    let finding = matching(&sandbox.json(&["doctor"], 1));
    assert_eq!(finding["reason"], "calibration none.json cannot be read");
}

#[test]
fn why_names_the_least_budget_that_can_be_shown() {
    let sandbox = Sandbox::new();
    sandbox.run(&["put", "How long is the warranty of the device?", "Two years."]).code(0);
    let why = ["why", "how long is the device's warranty?", "--max-false-hit-rate", "0.0001"];
    let printed = sandbox.run(&why).code(0).stdout;
    let decision = "miss: max_false_hit_rate = 0.0001 cannot be shown by the calibration in force";
    assert!(
        printed.contains(decision) && printed.contains("no probability shows a false-hit rate below 0.0"),
        "{printed}"
    );
}

#[test]
fn which_models_decide_and_what_they_cannot_read_is_reported() {
    let sandbox = Sandbox::new();
    sandbox.run(&["put", "Why sleep?", "Yes."]).code(0);
    sandbox.run(&["put", "Зачем спать?", "Да."]).code(0);
    sandbox.run(&["get", "Зачем спать?"]).code(0);
    let why = sandbox.run(&["why", "Зачем мне спать?"]).code(0).stdout;
    assert!(why.contains("the model does not know Cyrillic: exact matches only"), "{why}");
    let doctor = sandbox.run(&["doctor"]).code(0).stdout;
    for printed in
        ["question-encoder@", "scorer question-comparer@", "calibration question-comparer", "it knows Latin"]
    {
        assert!(doctor.contains(printed), "{doctor}");
    }
    let stats = sandbox.json(&["stats"], 0);
    assert_eq!(stats["unknown_scripts"], json!({ "Cyrillic": 1 }));
    assert_eq!(stats["matching"]["scripts"], json!(["Latin"]));
    let text = sandbox.run(&["stats"]).code(0).stdout;
    assert!(text.contains("1 in Cyrillic") && text.contains("question-encoder@"), "{text}");
}

#[test]
fn a_model_that_was_not_built_is_one_sentence_on_how_to_get_it() {
    let sandbox = Sandbox::new();
    sandbox.write("wellspring.toml", b"embedding.model = \"multilingual-encoder\"\n");
    for args in [&["put", "Warum schlafen?", "Ja."][..], &["doctor"]] {
        let nowhere = sandbox.path("nowhere");
        let output = sandbox.command().args(args).env("WELLSPRING_MODELS_DIR", &nowhere).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && printed.contains("run `make multilingual`"),
            "{args:?}: {printed}"
        );
    }
}
