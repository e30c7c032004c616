//! A breadth-first search over every world that can be reached. The first stale answer that it meets ends
//! a shortest trace to any.
//!
//! Worlds are known by 64-bit fingerprints, so that millions of them fit in little memory. Two worlds with
//! one fingerprint would be taken for one: among ten million, the odds of that are 1 to 370,000.

use std::cell::RefCell;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::time::{Duration, Instant};

use crate::protocol::{Protocol, Scenario};
use crate::state::World;
use crate::steps::{Model, Origin, Step};

/// Above this a scenario is too large: about a gigabyte.
const MAX_STATES: usize = 16_000_000;

/// What a search found.
pub(crate) struct Report {
    pub(crate) states: usize,
    /// Steps between states.
    pub(crate) steps: usize,
    /// How many of the steps serve an answer that reflects an update whose invalidation had returned. A
    /// protocol that serves none is fresh for the wrong reason.
    pub(crate) served_updated: usize,
    /// How many of these came from a stream.
    pub(crate) streamed: usize,
    pub(crate) elapsed: Duration,
    /// A shortest trace that ends with a stale answer.
    pub(crate) counterexample: Option<Vec<Step>>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, steps, elapsed, .. } = self;
        match &self.counterexample {
            None => write!(f, "{states} states, {steps} steps, no stale answer, {elapsed:.1?}"),
            Some(trace) => {
                write!(f, "a stale answer in {} steps, after {states} states, {elapsed:.1?}", trace.len())?;
                let mut lines = trace.iter().enumerate();
                lines.try_for_each(|(number, step)| write!(f, "\n{:>4}. {step}", number + 1))
            }
        }
    }
}

/// Looks at everything that can happen.
pub(crate) fn search(scenario: &Scenario, protocol: &Protocol) -> Report {
    search_by(Model { scenario, protocol }, |world| world.canonical(scenario, protocol))
}

/// The same, but worlds that differ only in names are distinguished.
pub(crate) fn search_without_renaming(scenario: &Scenario, protocol: &Protocol) -> Report {
    search_by(Model { scenario, protocol }, |world| world)
}

/// How many worlds there are, found by distinguishing those that differ only in names and counting them as one
/// afterwards.
pub(crate) fn distinct_names(scenario: &Scenario, protocol: &Protocol) -> usize {
    let seen = RefCell::new(HashSet::new());
    search_by(Model { scenario, protocol }, |world| {
        seen.borrow_mut().insert(fingerprint(&world.canonical(scenario, protocol)));
        world
    });
    seen.into_inner().len()
}

fn search_by(model: Model, name: impl Fn(World) -> World) -> Report {
    let started = Instant::now();
    let root = name(World::new(model.scenario));
    let mut parents: Parents = HashMap::default();
    parents.insert(fingerprint(&root), fingerprint(&root));
    let mut report = Report {
        states: 0,
        steps: 0,
        served_updated: 0,
        streamed: 0,
        elapsed: Duration::ZERO,
        counterexample: None,
    };
    let mut level = vec![root];
    let mut successors = Vec::new();
    'search: while !level.is_empty() {
        let mut next_level = Vec::new();
        for world in level {
            let parent = fingerprint(&world);
            model.successors(&world, &mut successors);
            for (step, next) in successors.drain(..) {
                report.steps += 1;
                if step.is_stale() {
                    report.counterexample = Some(replay(model, name, &parents, parent));
                    break 'search;
                }
                if let Step::Served { owed: 1.., from, .. } = step {
                    report.served_updated += 1;
                    report.streamed += usize::from(matches!(from, Origin::Stream(_)));
                }
                let next = name(next);
                if let Entry::Vacant(vacant) = parents.entry(fingerprint(&next)) {
                    vacant.insert(parent);
                    next_level.push(next);
                }
            }
        }
        assert!(parents.len() <= MAX_STATES, "the scenario is too large: {:?}", model.scenario);
        level = next_level;
    }
    report.states = parents.len();
    report.elapsed = started.elapsed();
    report
}

/// The steps from the beginning to the world with the fingerprint `last`, and the stale answer after it.
///
/// The search knows worlds by what is the same in all that differ in names only. The trace is therefore
/// walked again without renaming, so that everyone in it keeps one name.
fn replay(model: Model, name: impl Fn(World) -> World, parents: &Parents, last: u64) -> Vec<Step> {
    let mut path = vec![last];
    while let Some(&parent) = path.last().and_then(|last| parents.get(last).filter(|&parent| parent != last))
    {
        path.push(parent);
    }
    let mut world = World::new(model.scenario);
    let mut trace = Vec::new();
    for &wanted in path.iter().rev().skip(1) {
        let mut successors = Vec::new();
        model.successors(&world, &mut successors);
        let (step, next) = successors
            .into_iter()
            .find(|(_, next)| fingerprint(&name(*next)) == wanted)
            .expect("worlds that differ in names only have the same futures");
        trace.push(step);
        world = next;
    }
    let mut successors = Vec::new();
    model.successors(&world, &mut successors);
    trace.extend(successors.into_iter().map(|(step, _)| step).find(Step::is_stale));
    trace
}

/// The fingerprint of every world that was reached, with that of the one before it; the first's is its own.
type Parents = HashMap<u64, u64, BuildHasherDefault<Mixer>>;

fn fingerprint(world: &World) -> u64 {
    let mut mixer = Mixer::default();
    world.hash(&mut mixer);
    mixer.finish()
}

/// A hash that is the same in every run and several times as fast as the standard library's. Each word is
/// mixed in by a bijection, so that two worlds do not meet in the words after those in which they differ.
struct Mixer(u64);

impl Default for Mixer {
    fn default() -> Self {
        Self(0x243f_6a88_85a3_08d3)
    }
}

impl Mixer {
    fn mix(&mut self, word: u64) {
        let product = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ (product >> 32);
    }
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.mix(u64::from(byte));
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.mix(u64::from(byte));
    }

    fn write_isize(&mut self, discriminant: isize) {
        self.mix(discriminant.unsigned_abs() as u64);
    }

    fn write_u64(&mut self, word: u64) {
        self.mix(word);
    }

    fn write_usize(&mut self, length: usize) {
        self.mix(length as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
