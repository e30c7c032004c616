//! `wellspring watch`: changes of files, reported to a gateway on real sockets.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::running::{Running, start_on_disk as start};

fn command(gateway: &Running, work: &TempDir, more: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("wellspring"));
    command.current_dir(work.path()).env_clear();
    command.args(["--json", "watch", "docs", "--debounce", "50ms", "--gateway", &gateway.admin_url("")]);
    command.args(more);
    command
}

/// What one run of `watch --once` reported: the ids, and whether each has a version.
fn once(gateway: &Running, work: &TempDir, more: &[&str]) -> Vec<(String, bool)> {
    let output = command(gateway, work, more).arg("--once").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(reported).collect()
}

fn reported(line: &str) -> (String, bool) {
    let change: Value = serde_json::from_str(line).unwrap();
    match change.get("document") {
        Some(document) => (document["id"].as_str().unwrap().to_owned(), !document["version"].is_null()),
        None => (format!("collection {}", change["collection"]["name"].as_str().unwrap()), false),
    }
}

fn folder() -> TempDir {
    let work = tempfile::tempdir().unwrap();
    fs::create_dir_all(work.path().join("docs/deep")).unwrap();
    work
}

fn write(work: &TempDir, name: &str, text: &str) {
    fs::write(work.path().join("docs").join(name), text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_reports_only_what_changed_while_it_was_away() {
    let (gateway, _store) = start(|_| {}).await;
    let work = folder();
    write(&work, "a.md", "hello");
    write(&work, "deep/b.md", "b");
    write(&work, ".hidden", "h");
    #[cfg(unix)]
    std::os::unix::fs::symlink("/etc/hostname", work.path().join("docs/link.md")).unwrap();
    let all = once(&gateway, &work, &[]);
    assert_eq!(all, [("a.md".to_owned(), true), ("deep/b.md".to_owned(), true)]);
    assert!(once(&gateway, &work, &[]).is_empty());
    // The version is what sha256sum prints.
    let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    gateway.store("q", &json!([{ "id": "a.md", "version": hash }])).await;
    fs::rename(work.path().join("docs/a.md"), work.path().join("docs/c.md")).unwrap();
    assert_eq!(once(&gateway, &work, &[]), [("a.md".to_owned(), false), ("c.md".to_owned(), true)]);
    assert!(!gateway.is_stored("q").await);
    let output = command(&gateway, &work, &["--once", "--corpus", "other"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_of_a_file_is_the_same_however_its_letters_are_composed() {
    let (gateway, _store) = start(|_| {}).await;
    let work = folder();
    let rules = "[[rules]]\nglob = \"**/\u{dc}*.md\"\ndocument = \"doc:${stem}\"\ncollection = \"\u{dc}\"\n";
    fs::write(work.path().join("rules.toml"), rules).unwrap();
    let id = "doc:\u{dc}bersicht";
    gateway.store("q", &json!([{ "id": id }])).await;
    write(&work, "U\u{308}bersicht.md", "one");
    let reported = once(&gateway, &work, &["--rules", "rules.toml"]);
    assert_eq!(reported, [("collection \u{dc}".to_owned(), false), (id.to_owned(), true)]);
    assert!(!gateway.is_stored("q").await);
    // On another system the name is written differently, but is the same.
    fs::rename(work.path().join("docs/U\u{308}bersicht.md"), work.path().join("docs/\u{dc}bersicht.md"))
        .unwrap();
    assert!(once(&gateway, &work, &["--rules", "rules.toml"]).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_make_ids_and_collections() {
    let (gateway, _store) = start(|_| {}).await;
    let work = folder();
    write(&work, "deep/b.md", "b");
    write(&work, "notes.txt", "n");
    let rules = "[[rules]]\nglob = \"**/*.md\"\ndocument = \"doc:${stem}\"\ncollection = \"${dir}\"\n";
    fs::write(work.path().join("rules.toml"), rules).unwrap();
    let all = once(&gateway, &work, &["--rules", "rules.toml"]);
    assert_eq!(all, [("collection deep".to_owned(), false), ("doc:b".to_owned(), true)]);
}

/// A running watch, with its reports.
struct Watch {
    child: Child,
    lines: Receiver<String>,
}

impl Watch {
    fn start(gateway: &Running, work: &TempDir) -> Self {
        let mut child = command(gateway, work, &[]).stdout(Stdio::piped()).spawn().unwrap();
        let (send, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Self { child, lines }
    }

    fn next(&self) -> (String, bool) {
        reported(&self.lines.recv_timeout(Duration::from_mins(2)).unwrap())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn save_like_an_editor(path: &Path, text: &str) {
    let new = path.with_extension("md~");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_reported_as_they_happen() {
    let (gateway, _store) = start(|_| {}).await;
    let work = folder();
    write(&work, "a.md", "1");
    write(&work, "deep/b.md", "1");
    let watch = Watch::start(&gateway, &work);
    assert_eq!([watch.next(), watch.next()].map(|reported| reported.0), ["a.md", "deep/b.md"]);
    gateway.store("q", &json!([{ "id": "a.md" }])).await;
    save_like_an_editor(&work.path().join("docs/a.md"), "2");
    assert_eq!(watch.next(), ("a.md".to_owned(), true));
    assert!(!gateway.is_stored("q").await);
    // A folder that is renamed takes its documents along.
    fs::rename(work.path().join("docs/deep"), work.path().join("docs/low")).unwrap();
    let mut reported = [watch.next(), watch.next()];
    reported.sort();
    assert_eq!(reported, [("deep/b.md".to_owned(), false), ("low/b.md".to_owned(), true)]);
    fs::remove_file(work.path().join("docs/a.md")).unwrap();
    assert_eq!(watch.next(), ("a.md".to_owned(), false));
    // Files in a new folder are seen as well.
    fs::create_dir_all(work.path().join("docs/new/er")).unwrap();
    write(&work, "new/er/c.md", "1");
    assert_eq!(watch.next(), ("new/er/c.md".to_owned(), true));
}
