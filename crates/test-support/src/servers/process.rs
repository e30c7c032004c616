//! One server process, and its end.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use super::until;

/// A process that ends when this value is dropped, or when the test process is killed.
pub(super) struct Process {
    child: Child,
    watchdog: Child,
}

impl Process {
    /// Starts `command`, which writes to `log`. The watchdog removes `folder` if `Drop` does not run.
    pub(super) fn spawn(command: &mut Command, log: &Path, folder: &Path) -> Self {
        let log = File::create(log).expect("the folder of a server is writable");
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be cloned"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));

        // A signal at the parent's death would need unsafe code, and is sent when the thread that started the
        // child ends. The watchdog instead sees the end of its input: the operating system closes it with the
        // process. A line on its input means that its work is done. It has its own process group, because an
        // interrupt from the terminal is meant for the tests.
        let watchdog = Command::new("sh")
            .args(["-c", r#"read -r _ || { kill -9 "$0"; rm -rf "$1"; }"#, &child.id().to_string()])
            .arg(folder)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("there is a shell");
        Self { child, watchdog }
    }

    /// How the process ended, if it has.
    pub(super) fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Freezes the process, and returns once it has stopped.
    pub(super) fn stop(&self) {
        self.signal("STOP");
        until("the process is stopped", || self.state() == Some('T'));
    }

    /// Lets the process continue.
    pub(super) fn cont(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &command]).status().expect("there is a shell");
        assert!(status.success(), "failed: {command}");
    }

    fn state(&self) -> Option<char> {
        let id = self.child.id();
        // The state follows the program's name, which is in parentheses.
        if let Ok(stat) = fs::read_to_string(format!("/proc/{id}/stat")) {
            return stat.rsplit_once(") ")?.1.chars().next();
        }
        let output = Command::new("ps").args(["-o", "state=", "-p", &id.to_string()]).output().ok()?;
        output.stdout.first().copied().map(char::from)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The watchdog first: once the child has been waited for, its id may belong to another process.
        if let Some(mut input) = self.watchdog.stdin.take() {
            let _ = input.write_all(b"\n");
        }
        let _ = self.watchdog.wait();
        // This also ends a stopped process.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
