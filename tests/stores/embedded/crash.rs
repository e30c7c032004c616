//! `kill -9` of a process that fills, holds and invalidates.
//!
//! The child is this test binary itself, run on one test that does nothing unless the environment says where to work.
//! It writes a line when it begins a change and when a call has returned; the parent kills it at a random moment, opens
//! the store, and checks it against every line that came through the pipe.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use wellspring::clock::ManualClock;
use wellspring::store::{Filled, Found, Limits, Store};
use wellspring::{Answer, Change, Corpus, Dependency, EmbeddedStore, Entry};

use crate::support::{Bench, Kind, START, entry, fetch};

const STORE: &str = "WELLSPRING_TEST_CRASH_STORE";
const ROUND: &str = "WELLSPRING_TEST_CRASH_ROUND";
/// The prefix of lines to the parent, which distinguishes them from those of the test harness.
const MARK: &str = "@ ";
const DOCUMENTS: usize = 20;
const QUESTIONS: usize = 100;
const KILLS: u64 = 25;

fn document(n: usize) -> String {
    format!("d{n}")
}

/// The answer to question `n`, from its document in `version`.
fn answer(n: usize, version: u64) -> Entry {
    let dependencies = vec![Dependency::document(document(n % DOCUMENTS))];
    let padding = "x".repeat(n * 37);
    let answer = Answer::new(format!("{n} from version {version} {padding}")).metadata(version);
    Entry { answer, ..entry(&format!("question {n}"), dependencies) }
}

fn say(line: std::fmt::Arguments<'_>) {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{MARK}{line}").unwrap();
    output.flush().unwrap();
}

/// A process that works on a store. Killed when dropped.
pub(crate) struct Child {
    process: std::process::Child,
    reader: Option<JoinHandle<Vec<String>>>,
}

impl Child {
    /// Starts it and waits until it has the store open.
    pub(crate) fn spawn(store: &Path, round: u64) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["embedded::crash::child_process", "--exact", "--nocapture"])
            .env(STORE, store)
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix(MARK).map(str::to_owned));
        assert_eq!(lines.next().as_deref(), Some("open"), "the child could not open the store");
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

#[tokio::test]
async fn child_process() {
    let Some(path) = std::env::var_os(STORE) else { return };
    let round: u64 = std::env::var(ROUND).unwrap().parse().unwrap();
    let options = EmbeddedStore::options().clock(Arc::new(ManualClock::new(START)));
    let store = options.open(path).unwrap();
    say(format_args!("open"));
    let base = round * 1_000_000;
    let content: [AtomicU64; DOCUMENTS] = std::array::from_fn(|_| AtomicU64::new(base));
    let settled: [AtomicU64; DOCUMENTS] = std::array::from_fn(|_| AtomicU64::new(base));
    // If the parent dies, the child ends by itself.
    let until = Instant::now() + Duration::from_secs(20);
    let fill = async |task: u64| {
        let mut random = SmallRng::seed_from_u64(round * 100 + task);
        while Instant::now() < until {
            let n = random.random_range(0..QUESTIONS);
            let known = settled[n % DOCUMENTS].load(Ordering::SeqCst);
            let fetched = fetch(&store, answer(n, 0).id).await;
            let version = content[n % DOCUMENTS].load(Ordering::SeqCst);
            let filled = store.fill(fetched.read_version, Arc::new(answer(n, version))).await.unwrap();
            if filled == Filled::Stored {
                say(format_args!("filled {n} {known}"));
            }
        }
    };
    let update = async {
        let mut random = SmallRng::seed_from_u64(round);
        while Instant::now() < until {
            let n = random.random_range(0..DOCUMENTS);
            let version = content[n].load(Ordering::SeqCst) + 1;
            say(format_args!("begins {n} {version}"));
            if random.random_bool(0.3) {
                store.begin_update(&Corpus::default(), &document(n)).await.unwrap();
                say(format_args!("held {n}"));
                content[n].store(version, Ordering::SeqCst);
                say(format_args!("releases {n}"));
                store.end_update(&Corpus::default(), &document(n), None).await.unwrap();
            } else {
                content[n].store(version, Ordering::SeqCst);
                store.invalidate(&Corpus::default(), &[Change::document(document(n))]).await.unwrap();
            }
            say(format_args!("changed {n} {version}"));
            settled[n].store(version, Ordering::SeqCst);
        }
    };
    tokio::join!(fill(1), fill(2), fill(3), update);
}

/// What the child has promised.
#[derive(Default)]
struct Promises {
    /// The least version that answers may derive from, by document.
    floors: BTreeMap<usize, u64>,
    /// The questions whose answers must be there.
    present: BTreeSet<usize>,
    /// The documents that must be held.
    held: BTreeSet<String>,
    fills: usize,
    changes: usize,
}

impl Promises {
    fn hear(&mut self, round: u64, lines: &[String]) {
        self.held.clear();
        let mut begun = BTreeMap::new();
        let mut fills = Vec::new();
        // The kill may cut the last line short.
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            let number = |place: usize| words[place].parse::<u64>().unwrap();
            let place = |place: usize| words[place].parse::<usize>().unwrap();
            match (words[0], words.len()) {
                ("begins", 3) => drop(begun.insert(place(1), number(2))),
                ("changed", 3) => {
                    self.floors.insert(place(1), number(2));
                    self.changes += 1;
                }
                ("held", 2) => drop(self.held.insert(document(place(1)))),
                ("releases", 2) => drop(self.held.remove(&document(place(1)))),
                ("filled", 3) => fills.push((place(1), number(2))),
                _ => {}
            }
        }
        self.fills += fills.len();
        self.present.retain(|n| !begun.contains_key(&(n % DOCUMENTS)));
        // A fill that no change overtook, from before its lookup until the kill.
        let last = |n: usize| begun.get(&(n % DOCUMENTS)).copied().unwrap_or(round * 1_000_000);
        self.present.extend(fills.iter().filter(|&&(n, known)| last(n) == known).map(|&(n, _)| n));
    }

    async fn check(&self, store: &dyn Store, round: u64) {
        let status = store.status().await.unwrap();
        for held in &self.held {
            assert!(status.corpora[0].held.contains(held), "round {round}: {held} is not held");
        }
        for n in 0..QUESTIONS {
            match fetch(store, answer(n, 0).id).await.found {
                Found::Live(entry) => {
                    let version = entry.answer.metadata.as_u64().unwrap();
                    assert_eq!(*entry, answer(n, version), "round {round}: another entry");
                    let floor = self.floors.get(&(n % DOCUMENTS)).copied().unwrap_or(0);
                    assert!(version >= floor, "round {round}: {n} from {version}, floor {floor}");
                }
                gone => assert!(!self.present.contains(&n), "round {round}: {n} is lost: {gone:?}"),
            }
        }
    }
}

#[tokio::test]
async fn what_was_promised_survives_a_kill() {
    let bench = Bench::new(Kind::Embedded);
    let mut random = SmallRng::seed_from_u64(1);
    let mut promises = Promises::default();
    let mut round = 0;
    let started = Instant::now();
    // On a slow disk or a busy machine less is promised between two kills, and more kills are needed.
    while round < KILLS
        || (promises.fills < 500 || promises.changes < 200) && started.elapsed() < Duration::from_mins(10)
    {
        round += 1;
        let child = Child::spawn(&bench.path(), round);
        std::thread::sleep(Duration::from_millis(random.random_range(0..60)));
        promises.hear(round, &child.kill());
        let store = bench.embedded(Limits::default());
        promises.check(&store, round).await;
        for held in &store.status().await.unwrap().corpora.first().map_or(Vec::new(), |c| c.held.clone()) {
            store.end_update(&Corpus::default(), held, None).await.unwrap();
        }
    }
    let Promises { fills, changes, .. } = promises;
    eprintln!("{fills} fills and {changes} changes held over {round} kills");
    assert!(fills >= 500 && changes >= 200, "only {fills} fills and {changes} changes were promised");
}

#[tokio::test]
async fn a_kill_while_the_store_is_made_leaves_a_place_for_one() {
    // Made in its place, the file was neither empty nor a store for a while, and refused for good.
    for round in 0..10 {
        let bench = Bench::new(Kind::Embedded);
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["embedded::crash::child_process", "--exact"])
            .env(STORE, bench.path())
            .env(ROUND, "1")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Until there is a file, whatever its name, and then a little more.
        while std::fs::read_dir(bench.folder.path()).unwrap().next().is_none() {
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_micros(round * 400));
        process.kill().unwrap();
        process.wait().unwrap();
        let store = bench.embedded(Limits::default());
        store.status().await.unwrap();
    }
}
