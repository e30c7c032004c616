//! When a graph build is due, which entries go into it, and the thread that runs it.

use std::cmp::Reverse;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{self, JoinHandle};

use super::turns::Turn;
use super::{Build, SegmentedIndexBuilder, State};
use crate::memory::trim;
use crate::rows::Rows;
use crate::segment::Segment;

/// A graph is extended if it has at most this many times as many rows as are linked to it. Carrying over one
/// of its rows, which is mostly a copy, costs a hundredth of linking a row.
const TAKEN_ALONG: usize = 64;

/// How many new rows make it worthwhile to link them to a graph: scanning them takes about an eighth of the
/// time of a walk.
const LINKED_AT_ONCE: usize = 1_024;

/// What the index and its builder thread share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: SegmentedIndexBuilder,
    pub(super) state: RwLock<State>,
    /// Set once, when the index is dropped.
    stop: AtomicBool,
    /// The builder thread, and perhaps some that have ended or are about to.
    builders: Mutex<Vec<JoinHandle<()>>>,
    /// Notified when a build has ended.
    ended: Condvar,
}

impl State {
    /// Whether a build is due and not yet claimed; if so, the caller now owns it.
    pub(super) fn claim_build(&mut self, settings: &SegmentedIndexBuilder) -> bool {
        let is_due = matches!(self.build, Build::Idle)
            && (self.newest.len() >= self.seal_at(settings)
                || self.segments.iter().any(|segment| must_rebuild(segment, settings)))
            && self.len() >= self.retry_at;
        if is_due {
            self.build = Build::Running { removed: Vec::new() };
        }
        is_due
    }

    /// From how many newest rows on they are sealed: fewer once there is a graph to link them to.
    pub(super) fn seal_at(&self, settings: &SegmentedIndexBuilder) -> usize {
        let has_graph = self.segments.iter().any(|segment| segment.has_graph());
        if has_graph { settings.scan_limit.min(LINKED_AT_ONCE) } else { settings.scan_limit }
    }

    /// Seals the newest rows into a segment if there are enough.
    pub(super) fn seal_newest(&mut self, settings: &SegmentedIndexBuilder) {
        if self.newest.len() >= self.seal_at(settings) {
            let newest = mem::replace(&mut self.newest, Rows::new(settings.dimensions));
            Arc::make_mut(&mut self.segments).push(Arc::new(Segment::new(newest, None)));
        }
    }

    /// Seals the newest rows if there are enough, and chooses what to link next: all segments that wait for a
    /// graph or have too many dead rows, and every other one that is not much larger than those chosen so far
    /// together.
    fn next_input(&mut self, settings: &SegmentedIndexBuilder) -> Vec<Arc<Segment>> {
        self.seal_newest(settings);
        let (mut chosen, mut others): (Vec<_>, Vec<_>) =
            self.segments.iter().cloned().partition(|segment| must_rebuild(segment, settings));
        if chosen.is_empty() {
            self.build = Build::Idle;
            return chosen;
        }
        others.sort_by_key(|segment| segment.live());
        let mut total: usize = chosen.iter().map(|segment| segment.live()).sum();
        for segment in others {
            let live = segment.live();
            if live > total.saturating_mul(TAKEN_ALONG) {
                break;
            }
            total += live;
            chosen.push(segment);
        }
        self.build = Build::Running { removed: Vec::new() };
        chosen
    }

    /// Replaces `input` by `built`. Returns the old segments, so that the caller can release them outside the
    /// lock.
    fn exchange(&mut self, input: &[Arc<Segment>], built: Option<Segment>) -> Arc<Vec<Arc<Segment>>> {
        let mut segments: Vec<_> = self
            .segments
            .iter()
            .filter(|segment| !input.iter().any(|used| Arc::ptr_eq(used, segment)))
            .cloned()
            .collect();
        if let (Some(built), Build::Running { removed }) = (built, &self.build) {
            for &id in removed {
                built.remove(id);
            }
            segments.push(Arc::new(built));
        }
        // The largest comes first: its results make most of the walks through the others unnecessary.
        segments.sort_by_key(|segment| Reverse(segment.live()));
        mem::replace(&mut self.segments, Arc::new(segments))
    }
}

fn must_rebuild(segment: &Segment, settings: &SegmentedIndexBuilder) -> bool {
    !segment.has_graph() || segment.dead_share() >= settings.max_dead_share
}

impl Shared {
    pub(super) fn new(settings: SegmentedIndexBuilder) -> Self {
        let state = State {
            newest: Rows::new(settings.dimensions),
            segments: Arc::new(Vec::new()),
            build: Build::Idle,
            retry_at: 0,
        };
        Self {
            settings,
            state: RwLock::new(state),
            stop: AtomicBool::new(false),
            builders: Mutex::new(Vec::new()),
            ended: Condvar::new(),
        }
    }

    /// Starts a thread for the build that the caller has claimed.
    pub(super) fn spawn_build(self: &Arc<Self>) {
        let claim = Claim { shared: Arc::clone(self), succeeded: false };
        match thread::Builder::new().name("wellspring-index".into()).spawn(move || claim.run()) {
            Ok(handle) => {
                let mut builders = self.builders();
                builders.retain(|builder| !builder.is_finished());
                builders.push(handle);
            }
            Err(error) => tracing::warn!(%error, "no thread for building an index could be started"),
        }
    }

    pub(super) fn wait_until_idle(&self) {
        let mut builders = self.builders();
        while self.is_building() {
            builders = self.ended.wait(builders).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends the build in progress, if there is one, and waits for its thread.
    pub(super) fn stop_build(&self) {
        self.stop.store(true, Ordering::Relaxed);
        let builders = mem::take(&mut *self.builders());
        for builder in builders {
            // If the thread panicked, its claim has reported that already.
            let _ = builder.join();
        }
    }

    fn builders(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.builders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_building(&self) -> bool {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        matches!(state.build, Build::Running { .. })
    }
}

/// The right to build. It is released when dropped, also after a panic or if no thread could be started.
struct Claim {
    shared: Arc<Shared>,
    succeeded: bool,
}

impl Claim {
    fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let is_stopped = || shared.stop.load(Ordering::Relaxed);
        while let Some(turn) = Turn::wait(is_stopped).filter(|_| !is_stopped()) {
            let input = self.with_state(|state| state.next_input(&shared.settings));
            if input.is_empty() {
                break;
            }
            let built = Segment::merge(&input, shared.settings.build_threads, &shared.stop);
            if is_stopped() {
                break;
            }
            // The exchange takes no processor time, and may wait for searches: another index can build
            // meanwhile.
            drop(turn);
            let replaced = self.with_state(|state| state.exchange(&input, built));
            drop(replaced);
            trim();
        }
        self.succeeded = true;
    }

    fn with_state<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.shared.state.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.succeeded {
            tracing::error!("an index build failed, its entries stay in the scan until they have doubled");
            self.with_state(|state| {
                state.retry_at = state.len().saturating_mul(2);
                state.build = Build::Idle;
            });
        }
        // Takes the lock first, so that a waiter either gets the notification or has not looked at the state
        // yet.
        drop(self.shared.builders());
        self.shared.ended.notify_all();
    }
}
