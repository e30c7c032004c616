//! The moment of a miss as a text, which outlives the permit: it fences an answer that is stored later.
//!
//! It holds the sequence of the invalidation clock and a hash that can be made only with the clock's
//! incarnation. So a text is not accepted if it was changed or made up, or given for another question, or
//! given under a clock that is gone. After a crash, a clock that one process owns may continue from what was
//! written before, and so count some numbers twice: with such a clock, a text is valid only in the process
//! that gave it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::cache::{Cache, FillPermit};
use crate::error::{Error, Result};
use crate::key::{Corpus, EntryId, sealing_hash};
use crate::store::ReadVersion;

/// When a question was looked up, by the invalidation clock: returned by [`FillPermit::since`] and accepted
/// by [`Cache::put`].
///
/// Written as 56 hexadecimal digits. It is valid for the question, corpus and scope that it was given for and
/// never expires; the older it is, the more may have changed since. With a store that several processes
/// share, all of them accept it; otherwise it ends with the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since {
    sequence: u64,
    /// The beginning of the entry's id, to distinguish a mistake from a lost clock.
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
    /// When the question was looked up, for storing an answer to it by [`Cache::put`] without this permit.
    ///
    /// ```
    /// # wellspring_test_support::example::with_permit(async |_, permit| {
    /// use wellspring::Since;
    ///
    /// let since: Since = permit.since().to_string().parse()?;
    /// assert_eq!(since, permit.since());
    /// # Ok(()) });
    /// ```
    pub fn since(&self) -> Since {
        let key = &self.prepared.key;
        self.cache.since(&key.corpus, key.exact, self.read_versions.own)
    }

    /// Fences the fill by `since` instead of the lookup that gave this permit: for an answer that was begun
    /// before the lookup. Returns whether that was possible: if not, the clock that `since` was given under
    /// is gone, and the permit is unchanged.
    ///
    /// ```
    /// # wellspring_test_support::example::with_permit(async |cache, permit| {
    /// use wellspring::{Dependency, FillOutcome};
    ///
    /// let since = permit.since();
    /// # drop(permit);
    /// cache.invalidate_document("keys.md").await?;
    /// # let mut permit = wellspring_test_support::example::miss(&cache, "Where is the key?").await?;
    /// // The permit of a later lookup knows nothing of the change, but `since` does.
    /// assert!(permit.fence(&since)?);
    /// let outcome = permit.fill("With the porter.", [Dependency::document("keys.md")]).await;
    /// assert!(matches!(outcome, FillOutcome::Refused(_)));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput` if `since` was given for another question, corpus or scope.
    pub fn fence(&mut self, since: &Since) -> Result<bool> {
        let key = &self.prepared.key;
        let read_version =
            self.cache.read_version_of(since, &key.corpus, key.exact, self.read_versions.own)?;
        // Everybody's answer has another clock, and `since` does not cover it.
        Ok(read_version.inspect(|&read_version| self.read_versions = read_version.into()).is_some())
    }
}

impl Cache {
    pub(super) fn since(&self, corpus: &Corpus, entry: EntryId, read_version: ReadVersion) -> Since {
        let owner: &[u8] = match self.inner.store.coordination() {
            Some(_) => &[],
            None => &self.inner.process,
        };
        let ReadVersion { incarnation, sequence } = read_version;
        let parts = [
            &incarnation.to_be_bytes()[..],
            owner,
            corpus.as_str().as_bytes(),
            entry.as_bytes(),
            &sequence.to_be_bytes(),
        ];
        // Enough to know a text of another question, which is a mistake of the caller. By the seal alone it
        // would look like one of a clock that is gone, which is no mistake.
        let [a, b, c, d, ..] = *entry.as_bytes();
        Since { sequence, entry: [a, b, c, d], seal: sealing_hash("wellspring.since.1", &parts) }
    }

    /// The read version that `since` stands for, if the clock is now at `now`; none if it does not belong to
    /// that clock.
    pub(super) fn read_version_of(
        &self,
        since: &Since,
        corpus: &Corpus,
        entry: EntryId,
        now: ReadVersion,
    ) -> Result<Option<ReadVersion>> {
        let read_version = ReadVersion { sequence: since.sequence, ..now };
        let expected = self.since(corpus, entry, read_version);
        if expected.entry != since.entry {
            return Err(Error::invalid(
                "since was given for another question, corpus or scope: look this one up before you retrieve",
            ));
        }
        Ok((expected == *since).then_some(read_version))
    }
}
