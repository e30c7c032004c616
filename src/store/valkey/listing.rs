//! What the store holds: listings, and the entries from which indexes are loaded.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::keys::Bucket;
use super::link::CommandError;
use super::script::FETCH;
use super::{Inner, lock, record, reply};
use crate::embedding::Embedding;
use crate::entry::{Change, any_change_of};
use crate::error::{Error, Result};
use crate::key::{Corpus, EntryId, ScopeId};
use crate::store::invalidation_clock::HELD;
use crate::store::{Listed, ScopeCursor, ScopePage, StoredEntry};

/// How many members of a set are read at a time.
const PAGE: usize = 1_000;
/// How many entries one script fetches, so that no one waits long for the server.
const FETCHED: usize = 64;
/// How long the ids of a listing are reused for its next pages.
const LISTING_LIFE: Duration = Duration::from_mins(1);

/// All entries in order, for a caller that reads page by page. The server itself keeps no order.
#[derive(Debug)]
pub(super) struct Listing {
    entries: Vec<(EntryId, Corpus)>,
    taken: Instant,
}

impl Inner {
    pub(super) async fn dependants(&self, corpus: &Corpus, change: &Change) -> Result<Vec<StoredEntry>> {
        self.check_open()?;
        self.flush_hits().await;
        let mut ids = BTreeSet::new();
        if let Change::Entry(id) = change {
            ids.insert(*id);
        } else {
            for bucket in self.keys.buckets(corpus) {
                if self.is_unchanged(bucket, change).await? {
                    continue;
                }
                let sets = match change {
                    Change::Everything => vec![self.keys.all(bucket)],
                    _ => change.dependency_ids().iter().map(|id| self.keys.dependants(bucket, *id)).collect(),
                };
                for set in sets {
                    ids.extend(self.all_members(&set).await?);
                }
            }
        }
        self.fetch(ids.into_iter().map(|id| (id, corpus.clone())).collect()).await
    }

    /// Whether `change` carries the version that the bucket has registered.
    async fn is_unchanged(&self, bucket: Bucket<'_>, change: &Change) -> Result<bool> {
        let Some((document, Some(version))) = change.reported_document() else { return Ok(false) };
        let clock = self.keys.clock(bucket);
        let id = any_change_of(document);
        let mut get = redis::cmd("HMGET");
        let field = [b"v".as_slice(), id.as_bytes()].concat();
        get.arg(&clock).arg(field).arg(&id.as_bytes()[..]).arg("f");
        let reply = self.control.send(&get, &clock, self.options.invalidate_timeout).await?;
        let Some([registered, tombstone, low_water_mark]) = reply::items(&reply) else { return Ok(false) };
        let (tombstone, low_water_mark) =
            (reply::number::<u64>(tombstone).unwrap_or(0), reply::number::<u64>(low_water_mark).unwrap_or(0));
        Ok(reply::text(registered) == Some(version.as_str())
            && tombstone > low_water_mark
            && tombstone != HELD)
    }

    pub(super) async fn scan(&self, after: Option<EntryId>, limit: usize) -> Result<Vec<StoredEntry>> {
        self.check_open()?;
        self.flush_hits().await;
        let mut after = after;
        let mut found = Vec::new();
        while found.len() < limit {
            let page = self.listed(after, limit - found.len()).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            // Some entries may be gone since they were listed, so a page of entries may take more than one
            // page of ids.
            found.extend(self.fetch(page).await?);
        }
        Ok(found)
    }

    /// The next ids of the listing. The listing is made again if there is none, or for a first page.
    async fn listed(&self, after: Option<EntryId>, limit: usize) -> Result<Vec<(EntryId, Corpus)>> {
        let from = |listing: &Listing| {
            let start = listing.entries.partition_point(|(id, _)| after.is_some_and(|after| *id <= after));
            listing.entries[start..].iter().take(limit).cloned().collect()
        };
        let usable = |listing: &&Listing| after.is_some() && listing.taken.elapsed() < LISTING_LIFE;
        if let Some(page) = lock(&self.listing).as_ref().filter(usable).map(from) {
            return Ok(page);
        }
        let mut entries = Vec::new();
        for corpus in self.corpora().await? {
            for bucket in self.keys.buckets(&corpus) {
                let ids = self.all_members(&self.keys.all(bucket)).await?;
                entries.extend(ids.into_iter().map(|id| (id, corpus.clone())));
            }
        }
        entries.sort_unstable();
        entries.dedup();
        let listing = Listing { entries, taken: Instant::now() };
        let page = from(&listing);
        *lock(&self.listing) = Some(listing);
        Ok(page)
    }

    pub(super) async fn corpora(&self) -> Result<Vec<Corpus>> {
        let key = self.keys.corpora();
        let mut members = redis::cmd("SMEMBERS");
        members.arg(&key);
        let reply = self.control.send(&members, &key, self.options.invalidate_timeout).await?;
        let names = reply::items(&reply).unwrap_or_default();
        let mut corpora: Vec<Corpus> =
            names.iter().filter_map(|name| Corpus::new(reply::text(name)?).ok()).collect();
        // Also the corpora that this process knows, but that the server has not received yet or has lost.
        corpora.extend(lock(&self.listed).iter().cloned());
        corpora.sort_unstable();
        corpora.dedup();
        Ok(corpora)
    }

    pub(super) async fn scope_page(
        &self,
        corpus: &Corpus,
        scope: ScopeId,
        cursor: Option<ScopeCursor>,
    ) -> Result<ScopePage> {
        self.check_open()?;
        let ScopeCursor(place) = cursor.unwrap_or(ScopeCursor(0));
        // The place holds the bucket, and the server's cursor in the bucket's set.
        let number = u16::try_from(place >> 64).map_err(|_| Error::invalid("no such place in a scope"))?;
        let at = u64::try_from(place & u128::from(u64::MAX)).unwrap_or(0);
        let (ids, next) = self.members(&self.keys.scope(Bucket { corpus, number }, scope), at).await?;
        let next = match next {
            0 => {
                Some(number + 1).filter(|number| *number < self.keys.bucket_count()).map(|number| (number, 0))
            }
            at => Some((number, at)),
        };
        Ok(ScopePage {
            entries: ids.into_iter().map(|id| Listed { id, fill: 0 }).collect(),
            next: next.map(|(number, at)| ScopeCursor(u128::from(number) << 64 | u128::from(at))),
        })
    }

    pub(super) async fn embeddings(
        &self,
        corpus: &Corpus,
        ids: &[EntryId],
    ) -> Result<Vec<Option<Embedding>>> {
        let gets = ids.iter().map(|id| async move {
            let key = self.keys.entry(self.keys.bucket(corpus, *id), *id);
            let get = redis::cmd("HGET").arg(&key).arg("v").to_owned();
            let reply = self.control.send(&get, &key, self.options.invalidate_timeout).await?;
            Ok::<_, CommandError>(
                reply::bytes(&reply).filter(|bytes| !bytes.is_empty()).and_then(record::vector_of),
            )
        });
        Ok(try_join_all(gets).await?)
    }

    async fn all_members(&self, set: &str) -> Result<Vec<EntryId>> {
        let (mut all, mut cursor) = (Vec::new(), 0);
        loop {
            let (page, next) = self.members(set, cursor).await?;
            all.extend(page);
            cursor = next;
            if cursor == 0 {
                return Ok(all);
            }
        }
    }

    /// Some members of a set of ids, and the cursor to continue with; 0 at the end.
    async fn members(&self, set: &str, cursor: u64) -> Result<(Vec<EntryId>, u64)> {
        let mut scan = redis::cmd("SSCAN");
        scan.arg(set).arg(cursor).arg("COUNT").arg(PAGE);
        let reply = self.control.send(&scan, set, self.options.invalidate_timeout).await?;
        let Some([next, members]) = reply::items(&reply) else { return Err(reply::unexpected("SSCAN")) };
        let ids = reply::items(members)
            .unwrap_or_default()
            .iter()
            .filter_map(|id| Some(EntryId::from_bytes(reply::bytes(id)?.try_into().ok()?)))
            .collect();
        Ok((ids, reply::number(next).ok_or_else(|| reply::unexpected("SSCAN"))?))
    }

    /// Those of `entries` that are live, in the same order.
    async fn fetch(&self, entries: Vec<(EntryId, Corpus)>) -> Result<Vec<StoredEntry>> {
        let mut by_bucket = std::collections::BTreeMap::<(&Corpus, u16), Vec<(usize, EntryId)>>::new();
        for (n, (id, corpus)) in entries.iter().enumerate() {
            let bucket = self.keys.bucket(corpus, *id);
            by_bucket.entry((corpus, bucket.number)).or_default().push((n, *id));
        }
        let mut calls = Vec::new();
        for ((corpus, number), ids) in &by_bucket {
            for ids in ids.chunks(FETCHED) {
                calls.push(self.fetch_from(Bucket { corpus, number: *number }, ids));
            }
        }
        let mut found: Vec<(usize, StoredEntry)> =
            stream::iter(calls).buffer_unordered(4).try_concat().await?;
        found.sort_unstable_by_key(|(n, _)| *n);
        let now = self.options.clock.now();
        Ok(found
            .into_iter()
            .map(|(_, stored)| stored)
            .filter(|stored| stored.entry.expires_at > now)
            .collect())
    }

    async fn fetch_from(
        &self,
        bucket: Bucket<'_>,
        ids: &[(usize, EntryId)],
    ) -> Result<Vec<(usize, StoredEntry)>> {
        let mut names = vec![self.keys.clock(bucket)];
        names.extend(ids.iter().map(|(_, id)| self.keys.entry(bucket, *id)));
        let call = FETCH.call(&names).nonce();
        let reply = self.control.call(&call, &names[0], self.options.invalidate_timeout).await?;
        let entries = reply::items(&reply).unwrap_or_default();
        let stored = ids.iter().zip(entries).filter_map(|((n, id), fields)| {
            let [fields @ .., hits] = reply::items(fields)? else { return None };
            let entry = record::decode(bucket.corpus, *id, fields)?;
            Some((*n, StoredEntry { entry: entry.into(), hits: reply::number(hits)? }))
        });
        Ok(stored.collect())
    }
}
