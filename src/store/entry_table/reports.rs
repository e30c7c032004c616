//! What the entry table lists and counts. Nothing here counts as a use of an entry.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::EntryTable;
use super::state::{EntryMeta, Shared, TableState, death};
use crate::entry::Change;
use crate::key::{Corpus, EntryId, ScopeId};
use crate::store::{CorpusStatus, Listed, ScopeCursor, ScopePage, StoreStatus};

/// How many entries of a scope are listed at a time.
const LISTED: usize = 1_000;

impl<P: Send + Sync + 'static> EntryTable<P> {
    /// The live entries that `change` would end, ordered by id.
    pub(in crate::store) fn dependants(&self, corpus: &Corpus, change: &Change) -> Vec<(EntryId, Shared<P>)> {
        let state = self.read();
        let Some(of_corpus) = state.corpora.get(corpus) else { return Vec::new() };
        let ids: BTreeSet<EntryId> = match change {
            _ if of_corpus.clock.is_unchanged(change) => BTreeSet::new(),
            Change::Everything => of_corpus.scopes.values().flatten().copied().collect(),
            Change::Entry(id) => Some(*id).into_iter().filter(|id| state.lists(corpus, *id)).collect(),
            change => {
                let sets = change.dependency_ids();
                sets.iter().filter_map(|id| of_corpus.dependants.get(id)).flatten().copied().collect()
            }
        };
        self.live(&state, ids.into_iter()).collect()
    }

    /// Up to `limit` live entries whose ids follow `after`, ordered by id.
    pub(in crate::store) fn page(&self, after: Option<EntryId>, limit: usize) -> Vec<(EntryId, Shared<P>)> {
        let state = self.read();
        let ids = state.entries.range(following(after)).map(|(&id, _)| id);
        self.live(&state, ids).take(limit).collect()
    }

    /// Some of the live entries of a scope, ordered by id, each with the number that `fill` gives for it.
    pub(in crate::store) fn scope_page(
        &self,
        corpus: &Corpus,
        scope: ScopeId,
        cursor: Option<ScopeCursor>,
        fill: impl Fn(&EntryMeta<P>) -> u64,
    ) -> ScopePage {
        let state = self.read();
        let listed = state.corpora.get(corpus).and_then(|state| state.scopes.get(&scope));
        let Some(listed) = listed else { return ScopePage::default() };
        let after = cursor.map(|ScopeCursor(id)| EntryId::from_bytes(id.to_be_bytes()));
        let live = self.live(&state, listed.range(following(after)).copied()).take(LISTED);
        let entries: Vec<_> = live.map(|(id, meta)| Listed { id, fill: fill(&meta) }).collect();
        let last = entries.last().filter(|_| entries.len() == LISTED);
        let next = last.map(|last| ScopeCursor(u128::from_be_bytes(*last.id.as_bytes())));
        ScopePage { entries, next }
    }

    /// Whether a scope has entries, in any corpus.
    pub(in crate::store) fn holds(&self, scope: ScopeId) -> bool {
        self.read().corpora.values().any(|state| state.scopes.contains_key(&scope))
    }

    fn live<'a>(
        &self,
        state: &'a TableState<P>,
        ids: impl Iterator<Item = EntryId> + 'a,
    ) -> impl Iterator<Item = (EntryId, Shared<P>)> + 'a {
        let now = self.clock.now();
        ids.filter_map(move |id| {
            let meta = state.entries.get(&id)?;
            let clock = &state.corpora.get(&meta.corpus)?.clock;
            death(clock, meta, now).is_none().then(|| (id, Arc::clone(meta)))
        })
    }

    /// An entry that is listed, dead or not.
    pub(in crate::store) fn listed(&self, id: EntryId) -> Option<Shared<P>> {
        self.read().entries.get(&id).cloned()
    }

    /// How often an entry was served; none if it is not listed.
    #[cfg(feature = "embedded")]
    pub(in crate::store) fn hits(&self, id: EntryId) -> Option<u64> {
        self.listed(id).map(|meta| meta.hits.load(Ordering::Relaxed))
    }

    /// The entry table's part of a status; the store adds its location.
    pub(in crate::store) fn status(&self) -> StoreStatus {
        let state = self.read();
        let mut corpora: Vec<CorpusStatus> = state
            .corpora
            .iter()
            .map(|(corpus, state)| {
                let mut held: Vec<String> = state.clock.held.values().cloned().collect();
                held.sort_unstable();
                CorpusStatus {
                    entries: state.entries() as u64,
                    sequence: state.clock.sequence,
                    tombstones: state.clock.tombstones.len() as u64,
                    held,
                    ..CorpusStatus::new(corpus.clone())
                }
            })
            .collect();
        corpora.sort_by(|a, b| a.corpus.cmp(&b.corpus));
        StoreStatus {
            entries: corpora.iter().map(|corpus| corpus.entries).sum(),
            bytes: state.bytes,
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
