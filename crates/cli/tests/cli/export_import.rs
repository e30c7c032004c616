//! Exporting and importing answers by the `wellspring` command.

use serde_json::{Value, json};

use crate::CAPITAL;
use crate::sandbox::Sandbox;

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_is_exported_is_imported_whole() {
    let from = Sandbox::new();
    from.run(&["put", CAPITAL, "Paris.", "--doc", "geo@v1", "--ttl", "6h", "--metadata", "{\"a\":1}"])
        .code(0);
    from.run(&["put", "Who rules?", "Nobody.", "--negative", "--tenant", "a", "--namespace", "docs:faq"])
        .code(0);
    from.run(&["put", "Where is Rome?", "Here.", "--corpus", "maps", "--cost", "0.01"]).code(0);
    from.run(&["export", "all.jsonl"]).code(0);
    let exported = std::fs::read_to_string(from.path("all.jsonl")).unwrap();
    assert_eq!(exported, from.run(&["export"]).code(0).stdout);
    assert_eq!(exported.lines().count(), 3);
    let left = std::fs::read_dir(from.path(".")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.filter(|name| name.to_string_lossy().contains("all.jsonl")).count(), 1);

    let to = Sandbox::new();
    let report = to.json(&["import", from.path("all.jsonl").to_str().unwrap()], 0);
    assert_eq!((&report["imported"], &report["bad"]), (&json!(3), &json!(0)));
    assert_eq!(to.run(&["get", CAPITAL, "-q"]).code(0).stdout, "Paris.\n");
    to.run(&["get", "what is the capital of france?", "--threshold", "0.9"]).code(0);
    to.run(&["get", "Who rules?"]).code(1);
    to.run(&["get", "Who rules?", "--tenant", "a", "--namespace", "docs:faq"]).code(0);
    // Everything is the same except the clock of the store and the hits, which start again.
    let same = |text: &str| {
        let mut lines = lines(text);
        for line in &mut lines {
            line["clock"].take();
            line["hits"].take();
        }
        lines
    };
    assert_eq!(same(&exported), same(&to.run(&["export"]).code(0).stdout));
    assert_eq!(to.json(&["invalidate", "--namespace", "docs"], 0)["dropped"], 1);
}

/// What editors and exports of other systems begin a file with is no part of a line, also if several files come one
/// after the other: the second one's mark ended the import.
#[test]
fn a_byte_order_mark_is_taken() {
    let sandbox = Sandbox::new();
    let line = |question: &str| format!("{{\"question\":\"{question}\",\"answer\":\"b\"}}\n");
    let input = format!("\u{feff}{}{}\u{feff}{}", line("Who?"), line("Where?"), line("When?"));
    let report = sandbox.run_with(&["import", "-", "--json"], input.as_bytes()).code(0);
    assert!(report.stdout.contains("\"imported\": 3"), "{}", report.stdout);
    sandbox.write("marked.jsonl", b"\xef\xbb\xbf\n");
    assert_eq!(sandbox.json(&["import", "marked.jsonl"], 0)["bad"], 0);
    // Within a line, it is not one.
    let refused = sandbox.run_with(&["import", "-"], format!(" \u{feff}{}", line("Why?")).as_bytes()).code(2);
    assert!(refused.stderr.contains("line 1"), "{}", refused.stderr);
}

/// It became a part of the answer, and of the id of the first document, whose answers then stayed.
#[test]
fn a_byte_order_mark_is_no_part_of_an_answer_or_a_document() {
    let sandbox = Sandbox::new();
    sandbox.write("answer.txt", "\u{feff}Paris.\n".as_bytes());
    sandbox.run(&["put", CAPITAL, "--file", "answer.txt", "--doc", "geo"]).code(0);
    assert_eq!(sandbox.run(&["get", CAPITAL, "-q"]).code(0).stdout, "Paris.\n");
    sandbox.write("changed.txt", "\u{feff}geo\n".as_bytes());
    sandbox.run(&["invalidate", "--docs-from", "changed.txt"]).code(0);
    sandbox.run(&["get", CAPITAL]).code(1);
}

/// It wrote a file of that name.
#[test]
fn a_dash_stands_for_what_the_shell_connects() {
    let sandbox = Sandbox::new();
    sandbox.run_with(&["put", CAPITAL, "--file", "-"], b"Paris.\n").code(0);
    let exported = sandbox.run(&["export", "-"]).code(0).stdout;
    assert_eq!((exported.clone(), 1), (sandbox.run(&["export"]).code(0).stdout, exported.lines().count()));
    assert!(!sandbox.path("-").exists());
}

/// Only the beginning of the question was written, and imported as if it were all of it, under another id; and it was
/// then found by meaning.
#[test]
fn what_is_only_matched_exactly_still_is_after_an_import() {
    let (from, to) = (Sandbox::new(), Sandbox::new());
    let long = |end: &str| format!("{} {end}", "all work and no play ".repeat(4_000));
    let put = |question: &str, answer: &str, tenant: &[&str]| {
        let args = [&["put", "-", answer, "--exact"], tenant].concat();
        from.run_with(&args, question.as_bytes()).code(0);
    };
    let refused = from.run_with(&["put", "-", "a"], long("a").as_bytes()).code(2);
    assert!(refused.stderr.contains("exactly"), "{}", refused.stderr);
    put(&long("a"), "dull", &[]);
    put(&long("b"), "Jack", &["--tenant", "t"]);
    put(CAPITAL, "Paris.", &[]);
    let get = |sandbox: &Sandbox, question: &str, args: &[&str]| {
        sandbox.run_with(&[&["get", "-", "-q"], args].concat(), question.as_bytes())
    };
    let reworded = "what is the capital of france?";
    get(&from, reworded, &["--threshold", "0.9"]).code(1);
    from.run(&["export", "all.jsonl"]).code(0);

    let report = to.json(&["import", from.path("all.jsonl").to_str().unwrap()], 0);
    assert_eq!((&report["imported"], &report["bad"]), (&json!(3), &json!(0)));
    assert_eq!(get(&to, &long("a"), &["--exact"]).code(0).stdout, "dull\n");
    assert_eq!(get(&to, &long("b"), &["--exact", "--tenant", "t"]).code(0).stdout, "Jack\n");
    get(&to, &long("b"), &["--exact"]).code(1);
    assert_eq!(get(&to, CAPITAL, &[]).code(0).stdout, "Paris.\n");
    get(&to, reworded, &["--threshold", "0.9"]).code(1);
    // Nor is what was kept of a question a question.
    let exported = std::fs::read_to_string(from.path("all.jsonl")).unwrap();
    let kept = lines(&exported).into_iter().find(|line| line["answer"] == "dull").unwrap()["question"].take();
    get(&to, kept.as_str().unwrap(), &[]).code(1);
    // Where the same answers are already, they are kept.
    assert_eq!(from.json(&["import", "all.jsonl"], 0)["kept"], 3);
    let cut = json!({ "question": "Who?", "answer": "a", "cut": true }).to_string();
    let refused = to.run_with(&["import", "-"], cut.as_bytes()).code(2);
    assert!(refused.stderr.contains("line 1: question does not end as"), "{}", refused.stderr);
}

#[test]
fn importing_again_changes_nothing() {
    let sandbox = Sandbox::new();
    sandbox.run(&["put", CAPITAL, "Paris."]).code(0);
    sandbox.run(&["export", "all.jsonl"]).code(0);
    sandbox.run(&["put", CAPITAL, "Paris, still."]).code(0);
    assert_eq!(sandbox.json(&["import", "all.jsonl"], 0)["kept"], 1);
    assert_eq!(sandbox.run(&["get", CAPITAL, "-q"]).code(0).stdout, "Paris, still.\n");
}

/// A plain import would store the answer under the clock as it is now, as if it had been made after the
/// change.
#[test]
fn an_import_does_not_bring_back_what_was_invalidated() {
    let sandbox = Sandbox::new();
    sandbox.run(&["put", CAPITAL, "Paris.", "--doc", "geo"]).code(0);
    sandbox.run(&["export", "all.jsonl"]).code(0);
    sandbox.run(&["invalidate", "--doc", "geo"]).code(0);
    let report = sandbox.json(&["import", "all.jsonl"], 0);
    assert_eq!(report["imported"], 0);
    assert_eq!(report["refused"], json!({ "dependency_changed": 1 }));
    sandbox.run(&["get", CAPITAL]).code(1);
}

#[test]
fn bad_lines_are_named_and_the_others_are_stored() {
    let input = [
        r#"{"question":"Where is Rome?","answer":"Here."}"#,
        "",
        r#"{"question":"Where is Rome?","answr":"Here."}"#,
        r#"{"question":"","answer":"x"}"#,
        r#"{"question":"Old?","answer":"x","expires_at":"2020-01-01T00:00:00Z"}"#,
        r#"{"question":"What counts?","answer":"x","dependencies":[{"document":{"id":""}}]}"#,
        r#"{"question":"What counts?","answer":"x","expires_at":"soon"}"#,
        "[[[",
        r#"{"question":"Who rules?","answer":"Me.","dependencies":[{"tag":"t"}]}"#,
    ];
    let input = input.join("\n");

    let sandbox = Sandbox::new();
    let run = sandbox.run_with(&["import", "-"], input.as_bytes()).code(2);
    assert!(run.stderr.contains("line 3: unknown field `answr`"), "{}", run.stderr);
    assert!(run.stdout.contains("stopped there, see --keep-going"), "{}", run.stdout);
    assert_eq!(sandbox.json(&["list"], 0)["total"], 1);

    let sandbox = Sandbox::new();
    let run = sandbox.run_with(&["import", "-", "--keep-going", "--json"], input.as_bytes()).code(2);
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&report["imported"], &report["expired"], &report["bad"]), (&json!(2), &json!(1), &json!(5)));
    let bad = |index: usize| &report["bad_lines"][index];
    assert_eq!([0, 1, 2, 3, 4].map(|index| bad(index)["line"].as_u64().unwrap()), [3, 4, 6, 7, 8]);
    assert_eq!(bad(1)["message"], "question is empty");
    assert_eq!(bad(2)["message"], "document id is empty");
    assert_eq!(bad(3)["message"], "expires_at is not a time, write it like 2026-11-21T08:00:00Z");
    assert_eq!(sandbox.run(&["get", "Who rules?", "-q"]).code(0).stdout, "Me.\n");
}

#[test]
fn bytes_that_are_no_text_are_a_bad_line() {
    let sandbox = Sandbox::new();
    let run = sandbox.run_with(&["import", "-"], b"{\"question\":\"a\xff\",\"answer\":\"b\"}\n").code(2);
    assert!(run.stderr.contains("line 1: invalid unicode code point"), "{}", run.stderr);
}
