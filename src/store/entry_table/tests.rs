use std::sync::Arc;

use super::{EntryMeta, EntryTable};
use crate::clock::{Clock as _, SystemClock};
use crate::entry::{Answer, Change, Entry};
use crate::key::{CacheKey, Corpus, ScopeId};
use crate::store::{Limits, RefusedReason};

fn entry(corpus: &Corpus) -> Entry {
    let key = CacheKey::new(corpus.clone(), ScopeId::from_bytes([0; 16]), "a question").unwrap();
    Entry {
        id: key.exact,
        corpus: key.corpus,
        scope: key.scope,
        tenant: None,
        question: key.text,
        embedding: None,
        answer: Answer::new("an answer"),
        dependencies: Vec::new(),
        created_at: SystemClock.now(),
        expires_at: SystemClock.now().saturating_add(std::time::Duration::from_hours(1)),
        recompute: std::time::Duration::ZERO,
    }
}

#[test]
fn corpora_that_were_only_looked_into_are_bounded_and_what_began_there_is_refused() {
    let entry_table = EntryTable::<()>::new(Limits::default(), Arc::new(SystemClock));
    let corpus = |name: &str| Corpus::new(name).unwrap();
    let (used, changed, idle) = (corpus("used"), corpus("changed"), corpus("idle"));
    let look = |corpus: &Corpus| entry_table.lookup(corpus, entry(corpus).id);
    let fill = |corpus: &Corpus, read_version| {
        let entry = entry(corpus);
        entry_table.fill(&entry, EntryMeta::new(&entry, read_version, entry.dependency_ids().unwrap(), ()))
    };
    let (begun, of_changed) = (look(&idle).0, look(&changed).0);
    fill(&used, look(&used).0).unwrap();
    entry_table.invalidate(&changed, &[Change::document("d")]);
    for n in 0..20_000 {
        look(&corpus(&format!("invented {n}")));
    }
    let known = entry_table.status().corpora.len();
    assert!(known <= 1_002, "{known} corpora");
    assert!(look(&used).1.is_some_and(|found| found.is_ok()), "it has an entry");
    assert!(look(&changed).0.sequence > of_changed.sequence, "a change is never forgotten");
    assert_eq!(fill(&idle, begun), Err(RefusedReason::ClockLost));
    fill(&idle, look(&idle).0).unwrap();
}

#[test]
fn corpora_whose_answers_are_gone_are_bounded_too() {
    let entry_table = EntryTable::<()>::new(Limits::default().max_entries(10), Arc::new(SystemClock));
    let fill = |name: &str| {
        let entry = entry(&Corpus::new(name).unwrap());
        let read_version = entry_table.lookup(&entry.corpus, entry.id).0;
        let filled = entry_table
            .fill(&entry, EntryMeta::new(&entry, read_version, entry.dependency_ids().unwrap(), ()));
        entry_table.evict();
        filled
    };
    for n in 0..5_000 {
        fill(&format!("invented {n}")).unwrap();
    }
    let known = entry_table.status().corpora.len();
    assert!(known <= 1_020, "{known} corpora");
    // A corpus that is dropped and comes back works as well as any other.
    for _ in 0..3 {
        fill("again").unwrap();
        (0..20).for_each(|n| fill(&format!("other {n}")).unwrap());
    }
}

/// How many changes of documents that no answer depends on it takes until unrelated answers end.
#[test]
fn answers_outlive_half_a_million_changes_of_other_documents_and_not_many_more() {
    let entry_table = EntryTable::<()>::new(Limits::default(), Arc::new(SystemClock));
    let entry = entry(&Corpus::default());
    let read_version = entry_table.lookup(&entry.corpus, entry.id).0;
    let meta = EntryMeta::new(&entry, read_version, entry.dependency_ids().unwrap(), ());
    entry_table.fill(&entry, meta).unwrap();
    let is_live = || entry_table.lookup(&entry.corpus, entry.id).1.is_some_and(|found| found.is_ok());
    let mut documents = 0;
    while is_live() && documents < 1_000_000 {
        let change = |n| Change::document(format!("no one asked {}", documents + n));
        entry_table.invalidate(&entry.corpus, &(0..4_000).map(change).collect::<Vec<_>>());
        documents += 4_000;
    }
    assert_eq!(documents, 528_000, "2 of the 2^20 tombstones for each document");
}
