//! `wellspring eval` and its page.

use serde_json::json;

use crate::sandbox::Sandbox;

const CACHED: &str = r#"{"id":"a","q":"How do I reset my password?"}
{"id":"b","q":"What is the population of Oslo in 2019?"}"#;

const QUERIES: &str = r#"{"q":"how can i reset my password","expect":"a"}
{"q":"What is the population of Oslo in 2021?","expect":null}
{"q":"How do I <script>reset</script> my password?","expect":"a"}"#;

#[test]
fn pairs_are_evaluated() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "pairs.jsonl",
        br#"{"a":"How do I reset my password?","b":"how can i reset my password","label":1}
{"a":"Population of Oslo in 2019?","b":"Population of Oslo in 2021?","label":0}
{"a":"How old is the Earth?","b":"Where is the nearest bakery?","label":0}"#,
    );
    let report = sandbox.json(&["eval", "pairs", "pairs.jsonl"], 0);
    assert_eq!((&report["pairs"], &report["positives"]), (&json!(3), &json!(1)));
    assert_eq!(report["policies"][1]["policy"], "guards");
    assert_eq!(report["policies"][1]["roc_auc"], 1.0);
    assert!(sandbox.run(&["eval", "pairs", "pairs.jsonl"]).code(0).stdout.contains("ROC-AUC 1.000"));
    let bad = sandbox.run_with(&["eval", "pairs", "-"], b"{}\n").code(2).stderr;
    assert!(bad.contains("line 1: field `a` is missing"), "{bad}");
}

fn stream(sandbox: &Sandbox) -> [&'static str; 6] {
    sandbox.write("cached.jsonl", CACHED.as_bytes());
    sandbox.write("queries.jsonl", QUERIES.as_bytes());
    ["eval", "stream", "--cached", "cached.jsonl", "--queries", "queries.jsonl"]
}

#[test]
fn a_report_is_one_page_that_needs_nothing_else() {
    let sandbox = Sandbox::new();
    let args =
        [&stream(&sandbox)[..], &["--policy", "threshold,verifier,vcache", "--report", "r.html"]].concat();
    let run = sandbox.run(&[&args[..], &["--json"]].concat()).code(0);
    assert!(run.stderr.contains("report written to r.html"), "{}", run.stderr);
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(
        (&report["policies"][2]["policy"], &report["policies"][2]["threshold"]),
        (&json!("vcache"), &json!(null))
    );
    let page = std::fs::read_to_string(sandbox.path("r.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"));
    assert!(page.contains("&lt;script&gt;reset&lt;/script&gt;") && !page.contains("<script"));
    assert!(!page.contains(" src=") && !page.contains(" href=") && !page.contains("url("));
    assert!(page.contains("Precision and hit rate") && page.contains("Are the probabilities true?"));
    let left: Vec<_> =
        std::fs::read_dir(sandbox.path(".")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.iter().filter(|name| name.to_string_lossy().contains("r.html")).count(), 1, "{left:?}");
}

#[test]
fn a_report_on_pairs_stands_beside_the_text() {
    let sandbox = Sandbox::new();
    sandbox.write("pairs.jsonl", br#"{"a":"How old is the Earth?","b":"How old is Earth?","label":1}"#);
    let run = sandbox.run(&["eval", "pairs", "pairs.jsonl", "--report", "r.html"]).code(0);
    assert!(run.stdout.contains("threshold"), "{}", run.stdout);
    assert!(std::fs::read_to_string(sandbox.path("r.html")).unwrap().contains("Policies on labelled pairs"));
}

#[test]
fn a_report_that_cannot_be_written_is_known_before_the_work() {
    let sandbox = Sandbox::new();
    let args = [&stream(&sandbox)[..], &["--report", "no/such/folder/r.html"]].concat();
    let run = sandbox.run(&args).code(3);
    assert!(run.stderr.contains("cannot write no/such/folder/r.html"), "{}", run.stderr);
    assert!(run.stdout.is_empty(), "{}", run.stdout);
}

#[test]
fn vcache_is_for_streams() {
    let sandbox = Sandbox::new();
    sandbox.write("pairs.jsonl", br#"{"a":"x","b":"y","label":1}"#);
    let refused = sandbox.run(&["eval", "pairs", "pairs.jsonl", "--policy", "vcache"]).code(2).stderr;
    assert!(refused.contains("eval stream"), "{refused}");
}

#[test]
fn domains_and_disagreements_are_written() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "pairs.jsonl",
        br#"{"a":"How old is the Earth?","b":"How old is Earth?","label":1,"domain":"geology"}
{"a":"How old is the Earth?","b":"how old is the earth","label":0,"domain":"mistaken"}
{"a":"How old is the Earth?","b":"Where is the nearest bakery?","label":1,"domain":"mistaken"}"#,
    );
    let args = ["eval", "pairs", "pairs.jsonl", "--policy", "verifier", "--review", "review.jsonl"];
    let run = sandbox.run(&args).code(0);
    assert!(run.stdout.contains("DOMAIN") && run.stdout.contains("too few hits"), "{}", run.stdout);
    assert!(run.stderr.contains("with the labels written to review.jsonl"), "{}", run.stderr);
    let review = std::fs::read_to_string(sandbox.path("review.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> =
        review.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let bakery = lines.iter().find(|line| line["b"] == "Where is the nearest bakery?").unwrap();
    assert_eq!((&bakery["domain"], &bakery["label"]), (&json!("mistaken"), &json!(1)));
    assert!(lines.iter().all(|line| line["checks"].is_array()), "{review}");
    // What was written can be read again.
    sandbox.run(&["eval", "pairs", "review.jsonl", "--policy", "threshold"]).code(0);
    let refused = sandbox.run(&["eval", "pairs", "pairs.jsonl", "--policy", "guards", "--review", "x"]);
    assert!(refused.code(2).stderr.contains("--review needs a policy that gives a probability"));
}

#[test]
fn wordings_are_set_against_near_twins() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "wordings.jsonl",
        br#"{"wording":"so how old would you say the Earth is","question":"How old is the Earth?","twins":["How far is the Moon?","How large is the Earth?"]}"#,
    );
    let report = sandbox.json(&["eval", "control", "wordings.jsonl"], 0);
    let policies: Vec<_> = report["policies"].as_array().unwrap().iter().map(|one| &one["policy"]).collect();
    assert_eq!(policies, ["threshold", "verifier", "word_overlap"]);
    assert!(report["policies"][1]["ranked_first"].is_number());
    assert!(sandbox.run(&["eval", "control", "wordings.jsonl"]).code(0).stdout.contains("OWN FIRST"));
}

#[test]
fn attacks_are_the_same_for_the_same_seed() {
    let sandbox = Sandbox::new();
    sandbox.write("cached.jsonl", CACHED.as_bytes());
    let args = ["eval", "adversarial", "--cached", "cached.jsonl", "--count", "2", "--seed", "3"];
    let report = sandbox.json(&args, 0);
    assert_eq!(report, sandbox.json(&args, 0));
    assert_eq!((&report["attacked"], &report["seed"]), (&json!(2), &json!(3)));
    assert!(report["all"]["made"].as_u64().unwrap() > 4, "{report}");
    assert!(sandbox.run(&args).code(0).stdout.contains("Every one is a false hit"));
}

#[test]
fn traffic_is_replayed_without_and_with_a_judge() {
    let sandbox = Sandbox::new();
    sandbox.write("cached.jsonl", CACHED.as_bytes());
    let queries = r#"{"q":"login secret forgotten, what to do to get another","expect":"a"}
{"q":"headcount of Norway's main city, 2019","expect":"b"}
{"q":"Where can I buy a train ticket?","expect":null}"#;
    sandbox.write("queries.jsonl", queries.as_bytes());
    // Answers live for a few questions, so that wordings are asked again when their own answers are gone.
    sandbox.write("wellspring.toml", b"[ttl]\ndefault = \"10m\"\n");
    let args = [
        "eval",
        "judge",
        "--cached",
        "cached.jsonl",
        "--queries",
        "queries.jsonl",
        "--questions",
        "20,200",
        "--per-hour",
        "60",
        "--judge-accuracy",
        "1",
        "--calls-per-hour",
        "600",
    ];
    let report = sandbox.json(&args, 0);
    let (short, long) = (&report["lengths"][0], &report["lengths"][1]);
    assert_eq!((&short["questions"], &long["questions"]), (&json!(20), &json!(200)));
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    assert_eq!(
        (number(&long["without"]["judge_calls"]), number(&long["without"]["approved_hits"])),
        (0.0, 0.0)
    );
    assert!(number(&long["with"]["approved_hits"]) > 0.0, "{report}");
    assert!(number(&long["with"]["hit_rate"]) > number(&long["without"]["hit_rate"]), "{report}");
    assert_eq!((number(&long["with"]["approved_wrongly"]), number(&long["with"]["false_hits"])), (0.0, 0.0));
    let saved = number(&long["without"]["made"]) - number(&long["with"]["made"]);
    assert!((number(&long["saved_per_call"]) - saved / number(&long["with"]["judge_calls"])).abs() < 1e-9);
    assert_eq!(sandbox.json(&args, 0), report, "a run can be repeated");
    let text = sandbox.run(&args).code(0).stdout;
    assert!(text.contains("simulated: right by the labels in 100.0 % of the cases"), "{text}");
    sandbox.run(&[&args[..], &["--judge-accuracy", "1.5"]].concat()).code(2);
}
