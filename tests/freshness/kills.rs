//! `kill -9` of the process that owns the store, at any moment.
//!
//! The child is this test binary itself, run on one test that does nothing unless the environment says where to work.
//! It runs the simulation and reports each invalidation that returned to the parent; the next child checks what it is
//! served against all of them.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use wellspring::{EmbeddedStore, Store};

use crate::simulation::{Habit, Simulation};
use crate::support::{Bench, Kind};
use crate::world::{DOCUMENTS, World};

const STORE: &str = "WELLSPRING_TEST_FRESH_STORE";
const ROUND: &str = "WELLSPRING_TEST_FRESH_ROUND";
const FLOORS: &str = "WELLSPRING_TEST_FRESH_FLOORS";
const MARK: &str = "@ ";
const KILLS: u64 = 24;
/// The longest that it may take until enough was seen.
const PATIENCE: Duration = Duration::from_mins(10);

/// Reports to the parent, in a child.
pub(crate) fn say(line: std::fmt::Arguments<'_>) {
    static IS_CHILD: OnceLock<bool> = OnceLock::new();
    if *IS_CHILD.get_or_init(|| std::env::var_os(STORE).is_some()) {
        let mut output = std::io::stdout().lock();
        writeln!(output, "{MARK}{line}").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_process() {
    let Some(path) = std::env::var_os(STORE) else { return };
    let round: u64 = std::env::var(ROUND).unwrap().parse().unwrap();
    let floors: Vec<u64> =
        std::env::var(FLOORS).unwrap().split(',').map(|floor| floor.parse().unwrap()).collect();
    let bench = Bench::new(Kind::Embedded);
    let clock = std::sync::Arc::clone(&bench.clock);
    let store = EmbeddedStore::options().limits(crate::tiny()).clock(clock).open(path).unwrap();
    // A hold that outlived the last child; the document did not change any more.
    for corpus in store.status().await.unwrap().corpora {
        for held in corpus.held {
            store.end_update(&corpus.corpus, &held, None).await.unwrap();
        }
    }
    // The present versions of the documents are not older than any that were read before.
    let world = World::new(round * crate::world::ROUND, floors.try_into().unwrap());
    let store = std::sync::Arc::new(store);
    let simulation = Simulation::on(round, bench, crate::tiny(), Habit::Sound, store, world).await;
    say(format_args!("open"));
    let report = async {
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let counts = simulation.world.counts();
            say(format_args!("checked {} {}", counts.exact + counts.semantic, counts.stale));
        }
    };
    tokio::select! {
        () = simulation.run(Duration::from_mins(1), false) => {}
        () = report => {}
    }
    let counts = simulation.world.counts();
    say(format_args!("checked {} {}", counts.exact + counts.semantic, counts.stale));
}

#[test]
fn nothing_stale_after_kills() {
    let seed = crate::seed();
    let mut random = SmallRng::seed_from_u64(seed);
    let bench = Bench::new(Kind::Embedded);
    let mut floors = [0_u64; DOCUMENTS];
    let (mut checked, mut changes) = (0, 0);
    let mut round = 0;
    let started = Instant::now();
    // On a slow disk or a busy machine less happens between two kills, and more kills are needed.
    while round < KILLS || (checked < 2_000 || changes < 100) && started.elapsed() < PATIENCE {
        round += 1;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["kills::child_process", "--exact", "--nocapture"])
            .env(STORE, bench.path())
            .env(ROUND, round.to_string())
            .env(FLOORS, floors.map(|floor| floor.to_string()).join(","))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix(MARK).map(str::to_owned));
        assert_eq!(lines.next().as_deref(), Some("open"), "round {round}: the store does not open");
        let reader = std::thread::spawn(move || lines.collect::<Vec<String>>());
        std::thread::sleep(Duration::from_millis(random.random_range(20..200)));
        child.kill().unwrap();
        child.wait().unwrap();
        let mut of_round = 0;
        for line in reader.join().unwrap() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["changed", document, version] => {
                    let floor = &mut floors[document.parse::<usize>().unwrap()];
                    *floor = version.parse::<u64>().unwrap().max(*floor);
                    changes += 1;
                }
                ["checked", hits, stale] => {
                    assert_eq!(stale, "0", "round {round}: something stale was served");
                    of_round = hits.parse().unwrap();
                }
                // The kill may cut the last line short.
                _ => {}
            }
        }
        checked += of_round;
    }
    eprintln!("{checked} hits checked over {round} kills and {changes} changes");
    assert!(checked >= 2_000, "only {checked} hits were checked");
    assert!(changes >= 100, "only {changes} changes were made");
}
