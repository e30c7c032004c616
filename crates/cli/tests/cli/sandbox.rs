//! A folder of its own for each test, and the real binary to run in it.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use assert_cmd::cargo::cargo_bin;
use serde_json::Value;
use tempfile::TempDir;

/// A folder of its own.
pub(crate) struct Sandbox(TempDir);

/// What a command printed.
pub(crate) struct Run {
    args: Vec<String>,
    code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Sandbox {
    /// # Panics
    ///
    /// If ONNX Runtime is not found: the bundled model cannot run.
    pub(crate) fn new() -> Self {
        if let Err(error) = wellspring::embed::OnnxEmbedder::bundled() {
            panic!("{error}");
        }
        Self(TempDir::new().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        std::fs::write(self.path(name), content).unwrap();
    }

    /// The binary, in this folder, without any configuration of the user.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(cargo_bin("wellspring"));
        command.current_dir(self.0.path());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("WELLSPRING_") {
                command.env_remove(name);
            }
        }
        command
    }

    /// Starts a command that goes on.
    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        self.command().args(args).stdout(Stdio::piped()).spawn().unwrap()
    }

    pub(crate) fn run(&self, args: &[&str]) -> Run {
        self.run_with(args, b"")
    }

    pub(crate) fn run_with(&self, args: &[&str], stdin: &[u8]) -> Run {
        let command = self.command();
        let output = assert_cmd::Command::from_std(command).args(args).write_stdin(stdin).output().unwrap();
        Run {
            args: args.iter().map(|&arg| arg.chars().take(60).collect()).collect(),
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs with `--json` and reads what comes out.
    pub(crate) fn json(&self, args: &[&str], code: i32) -> Value {
        let run = self.run(&[args, &["--json"]].concat()).code(code);
        serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {}", run.stdout))
    }
}

impl Run {
    /// Expects this exit code.
    pub(crate) fn code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{:?}\n{}{}", self.args, self.stdout, self.stderr);
        self
    }
}
