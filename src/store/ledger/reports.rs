//! What the ledger lists and counts. Nothing here counts as a use of an entry.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Ledger;
use super::books::{Books, Resident, Shared, death};
use crate::entry::Change;
use crate::key::{Corpus, EntryId, ScopeId};
use crate::store::{CorpusStatus, Listed, ScopeCursor, ScopePage, StoreStatus};

/// How many entries of a scope are listed at a time.
const LISTED: usize = 1_000;

impl<P: Send + Sync + 'static> Ledger<P> {
    /// The live entries that `change` would end, ordered by id.
    pub(in crate::store) fn dependants(&self, corpus: &Corpus, change: &Change) -> Vec<(EntryId, Shared<P>)> {
        let books = self.read();
        let Some(of_corpus) = books.corpora.get(corpus) else { return Vec::new() };
        let ids: BTreeSet<EntryId> = match change {
            _ if of_corpus.clock.is_unchanged(change) => BTreeSet::new(),
            Change::Everything => of_corpus.scopes.values().flatten().copied().collect(),
            Change::Entry(id) => Some(*id).into_iter().filter(|id| books.lists(corpus, *id)).collect(),
            change => {
                let sets = change.dependency_ids();
                sets.iter().filter_map(|id| of_corpus.dependants.get(id)).flatten().copied().collect()
            }
        };
        self.live(&books, ids.into_iter()).collect()
    }

    /// Up to `limit` live entries whose ids follow `after`, ordered by id.
    pub(in crate::store) fn page(&self, after: Option<EntryId>, limit: usize) -> Vec<(EntryId, Shared<P>)> {
        let books = self.read();
        let ids = books.entries.range(following(after)).map(|(&id, _)| id);
        self.live(&books, ids).take(limit).collect()
    }

    /// Some of the live entries of a scope, ordered by id, each with the number that `fill` gives for it.
    pub(in crate::store) fn scope_page(
        &self,
        corpus: &Corpus,
        scope: ScopeId,
        cursor: Option<ScopeCursor>,
        fill: impl Fn(&Resident<P>) -> u64,
    ) -> ScopePage {
        let books = self.read();
        let listed = books.corpora.get(corpus).and_then(|books| books.scopes.get(&scope));
        let Some(listed) = listed else { return ScopePage::default() };
        let after = cursor.map(|ScopeCursor(id)| EntryId::from_bytes(id.to_be_bytes()));
        let live = self.live(&books, listed.range(following(after)).copied()).take(LISTED);
        let entries: Vec<_> = live.map(|(id, resident)| Listed { id, fill: fill(&resident) }).collect();
        let last = entries.last().filter(|_| entries.len() == LISTED);
        let next = last.map(|last| ScopeCursor(u128::from_be_bytes(*last.id.as_bytes())));
        ScopePage { entries, next }
    }

    /// Whether a scope has entries, in any corpus.
    pub(in crate::store) fn holds(&self, scope: ScopeId) -> bool {
        self.read().corpora.values().any(|books| books.scopes.contains_key(&scope))
    }

    fn live<'a>(
        &self,
        books: &'a Books<P>,
        ids: impl Iterator<Item = EntryId> + 'a,
    ) -> impl Iterator<Item = (EntryId, Shared<P>)> + 'a {
        let now = self.clock.now();
        ids.filter_map(move |id| {
            let resident = books.entries.get(&id)?;
            let clock = &books.corpora.get(&resident.corpus)?.clock;
            death(clock, resident, now).is_none().then(|| (id, Arc::clone(resident)))
        })
    }

    /// An entry that is listed, dead or not.
    pub(in crate::store) fn listed(&self, id: EntryId) -> Option<Shared<P>> {
        self.read().entries.get(&id).cloned()
    }

    /// How often an entry was served; none if it is not listed.
    #[cfg(feature = "embedded")]
    pub(in crate::store) fn hits(&self, id: EntryId) -> Option<u64> {
        self.listed(id).map(|resident| resident.hits.load(Ordering::Relaxed))
    }

    /// The ledger's part of a status; the store adds its location.
    pub(in crate::store) fn status(&self) -> StoreStatus {
        let books = self.read();
        let mut corpora: Vec<CorpusStatus> = books
            .corpora
            .iter()
            .map(|(corpus, books)| {
                let mut held: Vec<String> = books.clock.held.values().cloned().collect();
                held.sort_unstable();
                CorpusStatus {
                    entries: books.entries() as u64,
                    sequence: books.clock.sequence,
                    marks: books.clock.marks.len() as u64,
                    held,
                    ..CorpusStatus::new(corpus.clone())
                }
            })
            .collect();
        corpora.sort_by(|a, b| a.corpus.cmp(&b.corpus));
        StoreStatus {
            entries: corpora.iter().map(|corpus| corpus.entries).sum(),
            bytes: books.bytes,
            evictions: self.evictions.load(Ordering::Relaxed),
            expirations: self.expirations.load(Ordering::Relaxed),
            max_entries: self.limits.max_entries,
            max_bytes: self.limits.max_bytes,
            corpora,
            ..StoreStatus::default()
        }
    }
}

fn following(after: Option<EntryId>) -> (Bound<EntryId>, Bound<EntryId>) {
    (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
}
