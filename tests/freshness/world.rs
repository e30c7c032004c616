//! Documents that change, an LLM that says what it read, and the checker.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use wellspring::{Answer, Dependency, Hit, Origin, Served, Tier};

pub(crate) const DOCUMENTS: usize = 8;
const TOPICS: usize = 12;
const WORDINGS: usize = 4;

/// A question: a wording of a topic. Wordings of one topic are near, topics are strangers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question {
    topic: usize,
    wording: usize,
}

impl Question {
    pub(crate) fn nth(n: usize) -> Self {
        Self { topic: n % TOPICS, wording: n / TOPICS % WORDINGS }
    }

    pub(crate) const COUNT: usize = TOPICS * WORDINGS;

    pub(crate) fn text(self) -> String {
        let words: Vec<String> = (0..10).map(|n| format!("topic{}word{n}", self.topic)).collect();
        format!("{} {}", words.join(" "), ["please", "now", "exactly", "again"][self.wording])
    }

    pub(crate) fn documents(self) -> [usize; 2] {
        [self.topic % DOCUMENTS, (self.topic * 5 + 3) % DOCUMENTS]
    }
}

pub(crate) fn document(n: usize) -> String {
    format!("d{n}")
}

/// How far apart the versions of two processes lie.
pub(crate) const ROUND: u64 = 1_000_000;

/// What the source calls a version. It repeats, like a document that returns to an earlier state, but not from one
/// process to the next: the change that a kill cut off was never reported.
pub(crate) fn label(version: u64) -> String {
    format!("v{}.{}", version / ROUND, version % 3)
}

/// The input of the LLM, which it writes into its answer.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
pub(crate) struct Reading {
    topic: usize,
    documents: [usize; 2],
    versions: [u64; 2],
}

#[derive(Debug, Default)]
pub(crate) struct World {
    /// The version of each document that retrieval sees.
    content: [AtomicU64; DOCUMENTS],
    /// The version of each document whose invalidation has returned.
    floors: [AtomicU64; DOCUMENTS],
    exact: AtomicU64,
    semantic: AtomicU64,
    /// In caches that were closed since, and in the one that runs.
    coalesced: AtomicU64,
    coalesced_in_this_cache: AtomicU64,
    made: AtomicU64,
    bypassed: AtomicU64,
    dropped: AtomicU64,
    changes: AtomicU64,
    stale: AtomicU64,
    first_stale: Mutex<Option<String>>,
}

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) exact: u64,
    pub(crate) semantic: u64,
    pub(crate) coalesced: u64,
    pub(crate) made: u64,
    pub(crate) bypassed: u64,
    pub(crate) dropped: u64,
    pub(crate) changes: u64,
    pub(crate) stale: u64,
}

impl World {
    /// A world whose documents begin at `content` and were invalidated up to `floors` before.
    pub(crate) fn new(content: u64, floors: [u64; DOCUMENTS]) -> Self {
        Self {
            content: std::array::from_fn(|_| AtomicU64::new(content)),
            floors: floors.map(AtomicU64::new),
            ..Self::default()
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        let value = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        Counts {
            exact: value(&self.exact),
            semantic: value(&self.semantic),
            coalesced: value(&self.coalesced) + value(&self.coalesced_in_this_cache),
            made: value(&self.made),
            bypassed: value(&self.bypassed),
            dropped: value(&self.dropped),
            changes: value(&self.changes),
            stale: value(&self.stale),
        }
    }

    pub(crate) fn first_stale(&self) -> Option<String> {
        self.first_stale.lock().unwrap().clone()
    }

    /// Retrieval: the versions that are visible now.
    pub(crate) fn read(&self, question: Question) -> Reading {
        let documents = question.documents();
        let versions = documents.map(|document| self.content[document].load(Ordering::SeqCst));
        Reading { topic: question.topic, documents, versions }
    }

    /// A new version becomes visible to retrieval.
    pub(crate) fn publish(&self, document: usize) -> u64 {
        self.content[document].fetch_add(1, Ordering::SeqCst) + 1
    }

    /// The invalidation of `version` has returned.
    pub(crate) fn wait_idle(&self, document: usize, version: u64) {
        self.floors[document].fetch_max(version, Ordering::SeqCst);
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    /// The least versions that a request that begins now may expect.
    pub(crate) fn floors(&self) -> [u64; DOCUMENTS] {
        std::array::from_fn(|document| self.floors[document].load(Ordering::SeqCst))
    }

    pub(crate) fn gave_up(&self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }

    /// A cache is closed that had so many.
    pub(crate) fn coalesced(&self, count: u64) {
        self.coalesced_in_this_cache.store(0, Ordering::SeqCst);
        self.coalesced.fetch_add(count, Ordering::SeqCst);
    }

    pub(crate) fn coalesced_in_this_cache(&self, count: u64) {
        self.coalesced_in_this_cache.store(count, Ordering::SeqCst);
    }

    pub(crate) fn check_served(&self, question: Question, floors: [u64; DOCUMENTS], served: &Served) {
        match &served.origin {
            Origin::Hit(hit) => self.check_hit(question, floors, hit),
            Origin::Made(_) => {
                self.made.fetch_add(1, Ordering::SeqCst);
                self.check(question, floors, &served.answer);
            }
            _ => {
                self.bypassed.fetch_add(1, Ordering::SeqCst);
                self.check(question, floors, &served.answer);
            }
        }
    }

    pub(crate) fn check_hit(&self, question: Question, floors: [u64; DOCUMENTS], hit: &Hit) {
        let tier = if hit.tier == Tier::Exact { &self.exact } else { &self.semantic };
        tier.fetch_add(1, Ordering::SeqCst);
        self.check(question, floors, hit.answer());
    }

    pub(crate) fn check(&self, question: Question, floors: [u64; DOCUMENTS], answer: &Answer) {
        let reading: Reading = serde::Deserialize::deserialize(&*answer.metadata).unwrap();
        assert_eq!(reading.topic, question.topic, "the answer to another question was served");
        for (document, version) in reading.documents.into_iter().zip(reading.versions) {
            if version < floors[document] {
                self.stale.fetch_add(1, Ordering::SeqCst);
                let example = format!("{question:?}: d{document} in {version}, floor {}", floors[document]);
                self.first_stale.lock().unwrap().get_or_insert(example);
            }
        }
    }
}

impl Reading {
    /// The LLM: an answer that states its input.
    pub(crate) fn answer(self) -> Answer {
        Answer::new(format!("about topic {}", self.topic)).metadata(serde_json::to_value(self).unwrap())
    }

    /// The dependencies, every other one with its version.
    pub(crate) fn dependencies(self) -> Vec<Dependency> {
        let [first, second] = self.documents;
        vec![
            Dependency::document(document(first)),
            Dependency::document_version(document(second), label(self.versions[1])),
        ]
    }
}
