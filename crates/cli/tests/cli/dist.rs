//! The archive of `make dist`, here with the binary of this build: unpacked anywhere, it needs nothing else.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use assert_cmd::cargo::cargo_bin;
use serde_json::Value;

use crate::CAPITAL;
use crate::sandbox::Sandbox;

const WORDED_OTHERWISE: &str = "what is the capital  of france";

/// Packs the binary, and unpacks it elsewhere; returns the folder that the archive holds.
fn unpacked(sandbox: &Sandbox) -> PathBuf {
    let script = crate::support::root().join("scripts/dist.sh");
    let packed =
        Command::new(script).arg(cargo_bin("wellspring")).arg(sandbox.path("dist")).output().unwrap();
    assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
    let archive = PathBuf::from(String::from_utf8(packed.stdout).unwrap().trim_end());
    let unpacked = sandbox.path("unpacked");
    fs::create_dir(&unpacked).unwrap();
    let tar = Command::new("tar").arg("-xzf").arg(&archive).current_dir(&unpacked).status().unwrap();
    assert!(tar.success());
    fs::remove_dir_all(sandbox.path("dist")).unwrap();
    let folder =
        unpacked.join(archive.file_name().unwrap().to_str().unwrap().strip_suffix(".tar.gz").unwrap());
    folder.canonicalize().unwrap()
}

/// Runs `program` in an empty environment; returns the exit code and what it printed.
fn run(program: &Path, sandbox: &Sandbox, args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(program).args(args).env_clear().current_dir(sandbox.path("")).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn an_unpacked_archive_needs_nothing_else() {
    let sandbox = Sandbox::new();
    let folder = unpacked(&sandbox);
    let command = folder.join("bin/wellspring");
    let (code, version, _) = run(&command, &sandbox, &["--version"]);
    assert_eq!((code, &*version), (Some(0), concat!("wellspring ", env!("CARGO_PKG_VERSION"), "\n")));

    let link = sandbox.path("elsewhere");
    symlink(&command, &link).unwrap();
    for (program, store) in [(&command, "embedded:direct.redb"), (&link, "embedded:linked.redb")] {
        let put = run(program, &sandbox, &["--store", store, "put", CAPITAL, "Paris.", "--doc", "geo"]);
        assert_eq!(put.0, Some(0), "{put:?}");
        let get = ["--store", store, "get", WORDED_OTHERWISE, "--threshold", "0.9"];
        let (code, answer, reported) = run(program, &sandbox, &get);
        assert_eq!((code, &*answer), (Some(0), "Paris.\n"), "{reported}");
        assert!(reported.contains("semantic hit"), "{reported}");
        let (code, report, reported) = run(program, &sandbox, &["--store", store, "--json", "doctor"]);
        assert_eq!(code, Some(0), "{report}{reported}");
        let report: Value = serde_json::from_str(&report).unwrap();
        let runtime = report["findings"].as_array().unwrap().iter().find(|it| it["check"] == "runtime");
        let library = runtime.unwrap()["reason"].as_str().unwrap();
        assert!(library.starts_with(folder.join("lib").to_str().unwrap()), "{library}");
    }

    // The models, too, are those of the archive and not those of this source tree: damage is noticed.
    let tokenizer = folder.join("share/wellspring/models/question-encoder/tokenizer.json");
    OpenOptions::new().append(true).open(&tokenizer).unwrap().write_all(b" ").unwrap();
    let (code, _, reported) =
        run(&link, &sandbox, &["--store", "embedded:linked.redb", "get", WORDED_OTHERWISE]);
    assert_eq!(code, Some(3), "{reported}");
    assert!(reported.contains(&format!("{} has ", tokenizer.display())), "{reported}");

    for licence in [
        "LICENSE",
        "share/doc/wellspring/onnxruntime/ThirdPartyNotices.txt",
        "share/doc/wellspring/third-party-licenses.txt",
        "share/wellspring/models/question-comparer/LICENSE",
    ] {
        assert!(folder.join(licence).is_file(), "{licence}");
    }
    for (script, name) in [
        ("share/bash-completion/completions/wellspring", "_wellspring"),
        ("share/zsh/site-functions/_wellspring", "#compdef wellspring"),
        ("share/fish/vendor_completions.d/wellspring.fish", "complete -c wellspring"),
    ] {
        let script = fs::read_to_string(folder.join(script)).unwrap();
        assert!(script.contains(name), "{script}");
    }
}
