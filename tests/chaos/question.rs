//! What is asked, what answers derive from, and an LLM that says what it read.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use wellspring::key::Namespace;
use wellspring::{Answer, Change, Dependency};

use crate::world::{DOCUMENTS, World};

const TOPICS: usize = 64;
const WORDINGS: usize = 4;

/// How answers depend on a document, and how its changes are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Whole,
    WholeInVersion,
    Chunk,
    Tag,
    Collection,
    Namespace,
    /// Held while it changes.
    Held,
    HeldInVersion,
}

impl Way {
    pub(crate) fn of(document: usize) -> Self {
        const WAYS: [Way; 8] = [
            Way::Whole,
            Way::WholeInVersion,
            Way::Chunk,
            Way::Tag,
            Way::Held,
            Way::Collection,
            Way::Namespace,
            Way::HeldInVersion,
        ];
        WAYS[document % WAYS.len()]
    }
}

pub(crate) fn name(document: usize) -> String {
    format!("d{document}")
}

/// What the source calls a version. It repeats, like a document that returns to an earlier state.
pub(crate) fn label(version: u64) -> String {
    format!("v{}", version % 3)
}

fn namespace(document: usize) -> Namespace {
    Namespace::new(&format!("docs:n{document}")).unwrap()
}

/// What depends on `document` as it is in `version`.
fn dependency(document: usize, version: u64) -> Dependency {
    match Way::of(document) {
        Way::Whole | Way::Held => Dependency::document(name(document)),
        Way::WholeInVersion | Way::HeldInVersion => {
            Dependency::document_version(name(document), label(version))
        }
        Way::Chunk => Dependency::chunk(name(document), label(version)),
        Way::Tag => Dependency::Tag(name(document)),
        Way::Collection => Dependency::Collection(name(document)),
        Way::Namespace => Dependency::Namespace(namespace(document)),
    }
}

/// The change of `document` to `version` from the one before.
pub(crate) fn change(document: usize, version: u64) -> Change {
    match Way::of(document) {
        Way::Whole | Way::Held => Change::document(name(document)),
        Way::WholeInVersion | Way::HeldInVersion => Change::document_version(name(document), label(version)),
        Way::Chunk => Change::Chunks {
            document: name(document),
            hashes: vec![label(version - 1)],
            version: Some(label(version).into()),
        },
        Way::Tag => Change::Tag(name(document)),
        Way::Collection => Change::Collection(name(document)),
        Way::Namespace => Change::Namespace(namespace(document)),
    }
}

/// A question: a wording of a topic. Wordings of one topic are near, topics are strangers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question {
    topic: usize,
    wording: usize,
}

impl Question {
    pub(crate) const COUNT: usize = TOPICS * WORDINGS;

    pub(crate) fn nth(n: usize) -> Self {
        Self { topic: n % TOPICS, wording: n / TOPICS % WORDINGS }
    }

    pub(crate) fn text(self) -> String {
        let words: Vec<String> = (0..10).map(|n| format!("topic{}word{n}", self.topic)).collect();
        format!("{} {}", words.join(" "), ["please", "now", "exactly", "again"][self.wording])
    }

    /// One to four documents.
    pub(crate) fn documents(self) -> impl Iterator<Item = usize> {
        let first = self.topic;
        // Coprime to the number of documents, so that no document comes twice.
        (0..=self.topic % 4).map(move |n| (first + n * 7) % DOCUMENTS)
    }
}

/// The input of the LLM, which it writes into its answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Reading {
    topic: usize,
    versions: Vec<(usize, u64)>,
    padding: String,
}

impl Reading {
    /// Reads the documents of `question`.
    pub(crate) fn of(question: Question, world: &World, padding: Range<usize>) -> Self {
        let versions = question.documents().map(|document| (document, world.content(document))).collect();
        Self { topic: question.topic, versions, padding: "x".repeat(rand::random_range(padding)) }
    }

    pub(crate) fn answer(&self) -> Answer {
        Answer::new(format!("about topic {}", self.topic)).metadata(serde_json::to_value(self).unwrap())
    }

    pub(crate) fn dependencies(&self) -> Vec<Dependency> {
        self.versions.iter().map(|&(document, version)| dependency(document, version)).collect()
    }

    /// What is stale in an answer to a caller that saw `floors` before asking.
    pub(crate) fn stale(question: Question, floors: &[u64; DOCUMENTS], answer: &Answer) -> Option<String> {
        let reading: Self = serde::Deserialize::deserialize(&*answer.metadata).unwrap();
        assert_eq!(reading.topic, question.topic, "the answer to another question was served");
        assert!(reading.versions.iter().map(|(document, _)| *document).eq(question.documents()));
        let old = reading.versions.iter().find(|(document, version)| *version < floors[*document]);
        old.map(|(document, version)| {
            let (way, floor) = (Way::of(*document), floors[*document]);
            format!("{question:?} from d{document} ({way:?}) in version {version}, floor {floor}")
        })
    }
}
