//! The moment of a miss as a text, which outlives the permit: what stores an answer later is fenced by it.
//!
//! It holds the sequence of the invalidation clock and a hash that only whoever knows the clock's incarnation can make.
//! So a text that was changed, made up, given for another question, or given under a clock that is gone, is not taken.
//! A clock that one process owns may count on from what was written before a crash, and so counts some numbers twice:
//! there, a text is good only in the process that gave it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::cache::{Cache, FillPermit};
use crate::error::{Error, Result};
use crate::key::{Corpus, EntryId, sealing_hash};
use crate::store::Snapshot;

/// When a question was looked up, by the invalidation clock: what [`FillPermit::since`] gives and [`Cache::put`] takes.
///
/// Written as 56 hexadecimal digits. It is good for the question, corpus and scope that it was given for and expires never;
/// the older it is, the more may have changed since. With a store that several processes share, all of them take it;
/// otherwise it ends with the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since {
    sequence: u64,
    /// The beginning of the entry's id, to tell a mistake from a lost clock.
    entry: [u8; 4],
    seal: [u8; 16],
}

impl fmt::Display for Since {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{}{}", self.sequence, hex::encode(self.entry), hex::encode(self.seal))
    }
}

impl FromStr for Since {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut bytes = [0; 28];
        hex::decode_to_slice(text, &mut bytes)
            .map_err(|_| Error::invalid("since is not one that a miss returned: 56 hexadecimal digits"))?;
        let (sequence, rest) = bytes.split_at(8);
        let (entry, seal) = rest.split_at(4);
        let broken = |_| Error::invalid("since is not one that a miss returned");
        Ok(Self {
            sequence: u64::from_be_bytes(sequence.try_into().map_err(broken)?),
            entry: entry.try_into().map_err(broken)?,
            seal: seal.try_into().map_err(broken)?,
        })
    }
}

impl Serialize for Since {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Since {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl FillPermit {
    /// When the question was looked up, to store an answer to it by [`Cache::put`] without this permit.
    pub fn since(&self) -> Since {
        let key = &self.prepared.key;
        self.cache.since(&key.corpus, key.exact, self.snapshots.own)
    }

    /// Fences the fill by `since` in place of the lookup that gave this permit: for an answer that was begun before it.
    /// Returns whether it could: if not, the clock that `since` was given under is gone, and the permit is as it was.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if `since` was given for another question, corpus or scope.
    pub fn fence(&mut self, since: &Since) -> Result<bool> {
        let key = &self.prepared.key;
        let snapshot = self.cache.snapshot_of(since, &key.corpus, key.exact, self.snapshots.own)?;
        // What everybody's answer goes by is another clock, of which `since` says nothing.
        Ok(snapshot.inspect(|&snapshot| self.snapshots = snapshot.into()).is_some())
    }
}

impl Cache {
    pub(super) fn since(&self, corpus: &Corpus, entry: EntryId, snapshot: Snapshot) -> Since {
        let owner: &[u8] = if self.inner.store.is_shared() { &[] } else { &self.inner.process };
        let Snapshot { incarnation, sequence } = snapshot;
        let parts = [
            &incarnation.to_be_bytes()[..],
            owner,
            corpus.as_str().as_bytes(),
            entry.as_bytes(),
            &sequence.to_be_bytes(),
        ];
        let [a, b, c, d, ..] = *entry.as_bytes();
        Since { sequence, entry: [a, b, c, d], seal: sealing_hash("wellspring.since.1", &parts) }
    }

    /// The snapshot that `since` stands for, now that the clock says `now`; none if it is not of that clock.
    pub(super) fn snapshot_of(
        &self,
        since: &Since,
        corpus: &Corpus,
        entry: EntryId,
        now: Snapshot,
    ) -> Result<Option<Snapshot>> {
        let snapshot = Snapshot { sequence: since.sequence, ..now };
        let expected = self.since(corpus, entry, snapshot);
        if expected.entry != since.entry {
            return Err(Error::invalid(
                "since was given for another question, corpus or scope: look this one up before you retrieve",
            ));
        }
        Ok((expected == *since).then_some(snapshot))
    }
}
