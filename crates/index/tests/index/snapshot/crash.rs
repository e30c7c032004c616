//! `kill -9` of a process that saves.
//!
//! The child is this test binary itself, run on one test that does nothing unless the environment says where to work.
//! It changes an index, saves it, and writes a line before and after each save; the parent kills it at a random moment,
//! loads, and compares the result with the lines that came through the pipe.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::RngExt;
use wellspring_index::{Embedding, PassedOver, Saved, SegmentedIndex, Snapshots, VectorIndex};

use crate::snapshot::{DIMENSIONS, LABEL, answers, clustered, id, mixed, random, settings, sorted};

const FOLDER: &str = "WELLSPRING_TEST_SNAPSHOT_FOLDER";
/// The prefix of lines to the parent, which distinguishes them from those of the test harness.
const MARK: &str = "@ ";
const NAME: &str = "c0de";
/// How many kills must meet a save.
const KILLS: usize = 200;
/// The entry that shows the turn of a snapshot has this number and the turn's.
const TURNS: usize = 1_000_000;

fn turn_vector(turn: usize) -> Embedding {
    let angle = turn as f32 * 0.37;
    let components: [f32; DIMENSIONS] = std::array::from_fn(|axis| (angle + axis as f32).sin());
    Embedding::new(&components).unwrap()
}

/// Moves `index` to the next turn.
fn advance(index: &SegmentedIndex, turn: usize) {
    index.insert(id(TURNS + turn), &turn_vector(turn)).unwrap();
    assert!(index.remove(id(TURNS + turn - 1)));
}

/// The turn of `index`.
fn turn_of(index: &SegmentedIndex) -> usize {
    let greatest = index.ids().into_iter().max().unwrap();
    usize::try_from(u128::from_be_bytes(greatest)).unwrap() - TURNS
}

fn load(snapshots: &Snapshots) -> (SegmentedIndex, Vec<PassedOver>) {
    let restored = snapshots.generations(NAME).unwrap().load(&settings(), LABEL).unwrap();
    (restored.index.expect("a generation").0, restored.passed_over)
}

fn say(line: std::fmt::Arguments<'_>) {
    let mut output = std::io::stdout().lock();
    // On one processor, the harness has begun a line with the test's name.
    writeln!(output, "\n{MARK}{line}").unwrap();
    output.flush().unwrap();
}

#[test]
fn child_process() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let snapshots = Snapshots::open(folder).unwrap();
    let generations = snapshots.generations(NAME).unwrap();
    let (index, _) = load(&snapshots);
    say(format_args!("open"));
    // If the parent dies, the child ends by itself.
    let until = Instant::now() + Duration::from_secs(20);
    for turn in turn_of(&index) + 1.. {
        if Instant::now() > until {
            break;
        }
        advance(&index, turn);
        say(format_args!("saving {turn}"));
        assert!(matches!(generations.save(&index, LABEL).unwrap(), Saved::Written { .. }));
        say(format_args!("saved {turn}"));
    }
}

/// A process that saves. Killed when dropped.
struct Child {
    process: std::process::Child,
    reader: Option<JoinHandle<Vec<String>>>,
}

impl Child {
    /// Starts it and waits until it has loaded.
    fn spawn(folder: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["snapshot::crash::child_process", "--exact", "--nocapture"])
            .env(FOLDER, folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix(MARK).map(str::to_owned));
        assert_eq!(lines.next().as_deref(), Some("open"), "the child could not load");
        Self { process, reader: Some(std::thread::spawn(move || lines.collect())) }
    }

    /// Kills it and returns what it said.
    fn kill(mut self) -> Vec<String> {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.reader.take().unwrap().join().unwrap()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // An error means that it has ended already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// How many drafts and generations a kill has left.
fn leftovers(folder: &Path) -> (usize, usize) {
    let names = std::fs::read_dir(folder.join(NAME)).unwrap().map(|entry| entry.unwrap().file_name());
    let (drafts, generations): (Vec<_>, Vec<_>) =
        names.partition(|name| Path::new(name).extension().is_some_and(|extension| extension == "draft"));
    (drafts.len(), generations.len())
}

#[test]
fn after_a_kill_the_previous_or_the_new_generation_is_there_and_right() {
    let mut random = random();
    let folder = tempfile::tempdir().unwrap();
    // The same index, changed turn by turn without ever being saved.
    let healthy = mixed(&mut random, 6);
    healthy.insert(id(TURNS), &turn_vector(0)).unwrap();
    let queries = clustered(&mut random, 5, DIMENSIONS);
    let first = Snapshots::open(folder.path()).unwrap();
    first.generations(NAME).unwrap().save(&healthy, LABEL).unwrap();
    drop(first);
    let (mut turn, mut kills, mut left) = (0, 0, BTreeMap::new());
    let started = Instant::now();
    // On a slow machine more of them come between two saves.
    for round in 0.. {
        if kills >= KILLS || started.elapsed() > Duration::from_mins(10) {
            break;
        }
        let child = Child::spawn(folder.path());
        if round % 50 == 0 {
            let beside = Snapshots::open(folder.path()).unwrap();
            assert!(beside.refusal().unwrap().is_locked(), "the child may save");
        }
        std::thread::sleep(Duration::from_micros(random.random_range(0..20_000)));
        let lines = child.kill();
        *left.entry(leftovers(folder.path())).or_insert(0) += 1;
        let said = |what: &str| -> Option<usize> {
            // The kill may cut the last line short.
            let line = lines.iter().rev().find(|line| line.starts_with(what))?;
            line.strip_prefix(what)?.trim().parse().ok()
        };
        let (begun, ended) = (said("saving ").unwrap_or(turn), said("saved ").unwrap_or(turn));
        kills += usize::from(begun > ended);

        let snapshots = Snapshots::open(folder.path()).unwrap();
        assert!(snapshots.refusal().is_none(), "the lock ends with the process");
        assert_eq!(leftovers(folder.path()).0, 0);
        let (index, passed_over) = load(&snapshots);
        assert!(passed_over.is_empty(), "round {round}: {passed_over:?}");
        let found = turn_of(&index);
        assert!(
            (ended..=begun.max(ended)).contains(&found),
            "round {round}: {found}, saved {ended}, began {begun}"
        );
        while turn < found {
            turn += 1;
            advance(&healthy, turn);
        }
        assert_eq!(sorted(index.ids()), sorted(healthy.ids()), "round {round}");
        assert_eq!(answers(&index, &queries), answers(&healthy, &queries), "round {round}");
    }
    eprintln!("{kills} kills met a save; (drafts, generations) left: {left:?}");
    assert!(kills >= KILLS, "only {kills} kills met a save");
}
