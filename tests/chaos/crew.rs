//! The worker processes of one run, and what they report.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

use crate::counts::Counts;
use crate::plan::Plan;
use crate::worker::{MARK, PLAN};
use crate::world::World;

/// How much longer than it was given a run may take until it has checked enough: a busy machine takes far longer.
const GRACE: Duration = Duration::from_mins(10);
/// How long workers may take to end once the world has.
const PATIENCE: Duration = Duration::from_mins(2);

/// How much is to be done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) seed: u64,
    pub(crate) workers: usize,
    pub(crate) time: Duration,
    /// The least number of answers to check, even if that takes longer.
    pub(crate) checks: u64,
}

impl Effort {
    /// Whether enough was seen for the run to be meaningful.
    pub(crate) fn is_done(&self, counts: &Counts) -> bool {
        counts.checked() >= self.checks && (self.checks == 0 || counts.invalidated > 0)
    }
}

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) counts: Counts,
    pub(crate) faults: u64,
    pub(crate) time: Duration,
}

/// Processes at work.
pub(crate) struct Crew {
    plan: Plan,
    effort: Effort,
    world: World,
    members: Vec<Member>,
    /// Of those that were killed.
    past: Counts,
    pub(crate) random: SmallRng,
    started: Instant,
    faults: u64,
    _folder: TempDir,
}

struct Member {
    process: Child,
    /// The process ends when this is closed.
    _input: ChildStdin,
    latest: Arc<Mutex<Counts>>,
    reader: Option<JoinHandle<()>>,
}

impl Crew {
    /// Starts the processes.
    pub(crate) fn start(effort: Effort, plan: Plan) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let world = World::create(&folder.path().join("world"));
        let plan =
            Plan { folder: folder.path().to_owned(), members: effort.workers, seed: effort.seed, ..plan };
        let members = (0..effort.workers).map(|member| Member::spawn(&plan, member, 0)).collect();
        Self {
            plan,
            effort,
            world,
            members,
            past: Counts::default(),
            random: SmallRng::seed_from_u64(effort.seed),
            started: Instant::now(),
            faults: 0,
            _folder: folder,
        }
    }

    /// Whether the run is to go on: the time is not over or there is not enough yet, and nothing stale was found.
    pub(crate) fn goes_on(&self) -> bool {
        let (elapsed, counts) = (self.started.elapsed(), self.counts());
        let is_wanted =
            elapsed < self.effort.time || !self.effort.is_done(&counts) && elapsed < self.effort.time + GRACE;
        is_wanted && counts.stale == 0 && counts.errors == 0
    }

    /// Lets a random time pass, so long as the run goes on.
    pub(crate) fn pass(&mut self, millis: std::ops::Range<u64>) {
        let until = Instant::now() + Duration::from_millis(self.random.random_range(millis));
        while Instant::now() < until && self.goes_on() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Counts a fault that was injected.
    pub(crate) fn fault(&mut self) {
        self.faults += 1;
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut counts = self.past.clone();
        self.members.iter().for_each(|member| counts.add(&member.latest.lock().unwrap()));
        counts
    }

    /// Kills a process on the spot, and starts another in its place.
    pub(crate) fn kill_one(&mut self) {
        let place = self.random.random_range(0..self.members.len());
        self.faults += 1;
        // First, for its outbox is locked as long as it lives.
        self.past.add(&self.members[place].kill());
        self.members[place] = Member::spawn(&self.plan, place, self.faults);
    }

    /// Ends the world, and with it the processes.
    ///
    /// # Panics
    ///
    /// If a process does not end, or ends badly.
    pub(crate) fn finish(mut self) -> Outcome {
        let time = self.started.elapsed();
        self.world.end();
        let mut counts = std::mem::take(&mut self.past);
        for member in self.members.drain(..) {
            counts.add(&member.join());
        }
        Outcome { counts, faults: self.faults, time }
    }
}

impl Member {
    fn spawn(plan: &Plan, member: usize, round: u64) -> Self {
        let seed = plan.seed ^ ((member as u64 + 1) << 32) ^ (round << 40);
        let plan = Plan { seed, member, ..plan.clone() };
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["worker::child_process", "--exact", "--nocapture"])
            .env(PLAN, serde_json::to_string(&plan).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(if std::env::var_os("WELLSPRING_CHAOS_VERBOSE").is_some() {
                Stdio::inherit()
            } else {
                Stdio::null()
            })
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let latest = Arc::new(Mutex::new(Counts::default()));
        let heard = Arc::clone(&latest);
        let reader = std::thread::spawn(move || {
            // A kill may cut the last line short.
            let counts = lines.filter_map(|line| serde_json::from_str(line.strip_prefix(MARK)?).ok());
            counts.for_each(|counts| *heard.lock().unwrap() = counts);
        });
        Self { _input: process.stdin.take().unwrap(), process, latest, reader: Some(reader) }
    }

    fn kill(&mut self) -> Counts {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.heard()
    }

    fn join(mut self) -> Counts {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "a worker hangs");
            std::thread::sleep(Duration::from_millis(5));
        };
        assert!(status.success(), "a worker failed: {status}");
        self.heard()
    }

    fn heard(&mut self) -> Counts {
        self.reader.take().unwrap().join().unwrap();
        self.latest.lock().unwrap().clone()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // An error means that it has ended already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
