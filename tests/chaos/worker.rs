//! A process that asks and updates.
//!
//! It is this test binary itself, run on one test that does nothing unless the environment holds a plan. It reports to
//! the parent on its output, and ends when the world does or when the parent is gone.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::watch;
use wellspring::clock::{Clock, SystemClock, Timestamp};
use wellspring::store::{Store, ValkeyStore};
use wellspring::{Answer, Cache, Threshold, Ttls};

use crate::asking::ask;
use crate::counts::Counts;
use crate::plan::{Habit, Plan};
use crate::support::embedder::WordEmbedder;
use crate::support::faulty::{Fault, FaultyStore};
use crate::support::valkey::patient_now;
use crate::updating::{recover, update};
use crate::world::World;

/// Holds the plan, as JSON.
pub(crate) const PLAN: &str = "WELLSPRING_TEST_CHAOS_PLAN";
/// The prefix of lines to the parent, which distinguishes them from those of the test harness.
pub(crate) const MARK: &str = "@ ";
const REPORT_EVERY: Duration = Duration::from_millis(50);
const ASKERS: u64 = 8;
const UPDATERS: usize = 2;
const HOUR_MS: i64 = 3_600_000;

/// What the tasks of a process share.
pub(crate) struct Worker {
    pub(crate) plan: Plan,
    pub(crate) world: World,
    pub(crate) cache: Cache,
    counts: Mutex<Counts>,
    /// What followers of the short cut wait for.
    pub(crate) sharing: Mutex<HashMap<String, watch::Receiver<Option<Answer>>>>,
}

impl Worker {
    pub(crate) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_process() {
    let Some(plan) = std::env::var_os(PLAN) else { return };
    std::thread::spawn(|| {
        // The parent never writes: this returns when it is gone.
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(1);
    });
    run(serde_json::from_str(plan.to_str().unwrap()).unwrap()).await;
}

async fn run(plan: Plan) {
    let world = World::open(&plan.folder.join("world"));
    let clock = clock(&plan);
    let store = open(&plan, &clock).await;
    let cache = Cache::builder_from(Arc::new(WordEmbedder::default()), store)
        .clock(clock)
        .ttls(Ttls::default().general(Duration::from_mins(10)))
        .similarity_threshold(0.8)
        .verifier(Threshold::default())
        .seed(plan.seed)
        .build()
        .await
        .unwrap();
    let worker = Worker { plan, world, cache, counts: Mutex::default(), sharing: Mutex::default() };
    recover(&worker).await;
    let updaters = if worker.plan.updates { UPDATERS } else { 0 };
    let asking = futures::future::join_all((0..ASKERS).map(|task| ask(&worker, task)));
    let updating = futures::future::join_all((0..updaters).map(|task| update(&worker, task, updaters)));
    let reporting = async {
        while !worker.world.is_over() {
            tokio::time::sleep(REPORT_EVERY).await;
            report(&worker);
        }
    };
    tokio::join!(asking, updating, reporting);
    report(&worker);
}

fn report(worker: &Worker) {
    let mut counts = worker.counts().clone();
    counts.coalesced = worker.cache.metrics().coalesced_hits;
    let line = serde_json::to_string(&counts).unwrap();
    let mut output = std::io::stdout().lock();
    // The parent may be gone; then this process ends soon, too.
    let _ = writeln!(output, "{MARK}{line}").and_then(|()| output.flush());
}

async fn open(plan: &Plan, clock: &Arc<dyn Clock>) -> Arc<dyn Store> {
    let options = match plan.command_timeout {
        _ if plan.is_patient => patient_now(),
        Some(timeout) => ValkeyStore::options().command_timeout(timeout),
        None => ValkeyStore::options(),
    };
    let options = options
        .clock(Arc::clone(clock))
        .claim_life(plan.claim_life)
        .memory_tier_bytes(if plan.member % 3 == 2 { 0 } else { 1 << 20 })
        .outbox(plan.folder.join(format!("outbox{}", plan.member)));
    let store = options.connect(plan.url()).await.unwrap();
    match plan.habit {
        Habit::NoFence => FaultyStore::new(Fault::NoFence, store),
        Habit::NoReadCheck => FaultyStore::new(Fault::NoReadCheck, store),
        _ => Arc::new(store),
    }
}

fn clock(plan: &Plan) -> Arc<dyn Clock> {
    match plan.member % 3 {
        1 if plan.skews => Arc::new(SkewedClock(HOUR_MS)),
        2 if plan.skews => Arc::new(SkewedClock(-HOUR_MS)),
        _ => Arc::new(SystemClock),
    }
}

/// A clock that is wrong by so many milliseconds.
#[derive(Debug)]
struct SkewedClock(i64);

impl Clock for SkewedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(SystemClock.now().as_millis().saturating_add_signed(self.0))
    }
}
