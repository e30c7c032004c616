//! Bad input, and how errors are reported.

use serde_json::Value;

use crate::CAPITAL;
use crate::sandbox::Sandbox;

#[test]
fn questions_and_answers_come_from_arguments_files_and_the_standard_input() {
    let sandbox = Sandbox::new();
    sandbox.write("answer.txt", b"Paris.\nThe city.\n");
    sandbox.run(&["put", CAPITAL, "--file", "answer.txt"]).code(0);
    assert_eq!(sandbox.run(&["get", CAPITAL, "-q"]).code(0).stdout, "Paris.\nThe city.\n");
    sandbox.run_with(&["put", CAPITAL, "-"], b"Piped.\n").code(0);
    assert_eq!(sandbox.run_with(&["get", "-"], CAPITAL.as_bytes()).code(0).stdout, "Piped.\n");

    let bad: [(&[&str], &[u8], &str); 5] = [
        (&["put", "-", "-"], b"", "cannot both come from the standard input"),
        (
            &["put", CAPITAL, "-"],
            b"Par\xffis",
            "the answer in the standard input is not valid UTF-8 at byte 3",
        ),
        (&["get", "-"], b"", "question is empty"),
        (&["put", CAPITAL, "--file", "none.txt"], b"", "cannot open none.txt"),
        (&["put", CAPITAL], b"", "required"),
    ];
    for (args, stdin, message) in bad {
        let stderr = sandbox.run_with(args, stdin).code(2).stderr;
        assert!(stderr.contains(message), "{args:?}: {stderr}");
    }
}

#[test]
fn bad_input_is_reported_and_changes_nothing() {
    let sandbox = Sandbox::new();
    sandbox.run(&["put", CAPITAL, "Paris."]).code(0);
    let long = "a ".repeat(40_000);
    let deep = format!("tools={}1{}", "[".repeat(100), "]".repeat(100));
    let deeper = "[".repeat(100_000);
    let cases: [(&[&str], &str); 10] = [
        (&["get", ""], "question is empty"),
        (&["get", " \n "], "question is empty"),
        (&["get", &long], "question has 80000 bytes, the limit is 65536"),
        (&["get", CAPITAL, "--threshold", "2"], "similarity threshold 2 is not in -1.0..=1.0"),
        (&["get", CAPITAL, "--threshold", "NaN"], "is not in -1.0..=1.0"),
        (&["get", CAPITAL, "--param", &deep], "nested deeper than 64 levels"),
        (&["put", CAPITAL, "x", "--metadata", &deeper], "not JSON: recursion limit exceeded"),
        (&["put", CAPITAL, "x", "--ttl", "soon"], "--ttl"),
        (&["invalidate", "--namespace", "a::b"], "empty level"),
        (&["invalidate", "--doc", ""], "document id is empty"),
    ];
    for (args, message) in cases {
        let stderr = sandbox.run(args).code(2).stderr;
        let shown: Vec<_> = args.iter().map(|arg| &arg[..arg.len().min(40)]).collect();
        assert!(stderr.contains(message), "{shown:?}: {stderr}");
    }
    let nul = sandbox.run_with(&["get", "-"], b"a\0b").code(2).stderr;
    assert!(nul.contains("question holds a NUL character, remove it"), "{nul}");
    assert_eq!(sandbox.run(&["get", CAPITAL, "-q"]).code(0).stdout, "Paris.\n");
}

#[cfg(unix)]
#[test]
fn an_argument_that_is_no_text_is_reported() {
    use std::os::unix::ffi::OsStrExt as _;
    let sandbox = Sandbox::new();
    let argument = std::ffi::OsStr::from_bytes(b"caf\xe9");
    let output = sandbox.command().arg("get").arg(argument).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("invalid UTF-8"));
}

#[test]
fn errors_are_json_where_results_are() {
    let sandbox = Sandbox::new();
    let error = |args: &[&str], code| -> Value {
        let run = sandbox.run(args).code(code);
        assert_eq!(run.stdout, "");
        serde_json::from_str::<Value>(&run.stderr).unwrap()["error"].take()
    };
    assert_eq!(error(&["--json", "get", ""], 3)["kind"], "store");
    assert_eq!(error(&["get", "a", "--store", "http://h", "--json"], 2)["kind"], "config");
    let usage = error(&["get", "--json"], 2);
    assert_eq!(usage["kind"], "usage");
    assert!(usage["message"].as_str().unwrap().contains("<QUESTION>"), "{usage}");
}

#[test]
fn a_closed_pipe_ends_the_program_quietly() {
    let sandbox = Sandbox::new();
    sandbox.run(&["put", CAPITAL, "Paris."]).code(0);
    for args in [&["list"][..], &["export"], &["completions", "bash"], &["config"], &["get", CAPITAL, "-q"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = sandbox.command().args(args).stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{args:?}");
    }
}
