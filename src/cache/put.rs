//! Storing an answer that was made without a permit.

use crate::cache::fill::ReadVersions;
use crate::cache::query::{Mode, Prepared};
use crate::cache::{Cache, FillOutcome, FillPermit, Query, Since};
use crate::entry::{Answer, Dependency, DocumentVersion};
use crate::error::{Error, Result};
use crate::store::RefusedReason;

impl Cache {
    /// Stores `answer` to `query`, which was derived from `dependencies`, and replaces the stored answer if
    /// there is one.
    ///
    /// The answer is refused if a dependency changed [`since`](Since) the question was looked up. Without
    /// `since`, it is not known when the answer was begun. Then each dependency must be a document with the
    /// version that was read, and the answer is stored only if these are the versions that were last
    /// reported, and if that does not change until it is stored.
    ///
    /// ```
    /// # wellspring_test_support::example::with_permit(async |cache, permit| {
    /// use wellspring::{Dependency, FillOutcome};
    ///
    /// // When the question was looked up:
    /// let since = permit.since().to_string();
    /// # drop(permit);
    /// // Later, and elsewhere if processes share the store:
    /// let (question, answer) = ("Where is the key?", "With the porter.");
    /// let sources = [Dependency::document("keys.md")];
    /// let outcome = cache.put(question, answer, sources, Some(&since.parse()?)).await?;
    /// assert!(matches!(outcome, FillOutcome::Stored(_)));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput` for input that [`lookup`](Self::lookup) rejects, for a follow-up question without its
    /// conversation, for `since` of another question, and without `since` for other dependencies or none.
    /// `Embedding` or `Timeout` if the question cannot be embedded, others if the store cannot be read.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the answer may still be stored.
    pub async fn put(
        &self,
        query: impl Into<Query> + Send,
        answer: impl Into<Answer> + Send,
        dependencies: impl Into<Vec<Dependency>> + Send,
        since: Option<&Since>,
    ) -> Result<FillOutcome> {
        let (answer, dependencies) = (answer.into(), dependencies.into());
        let prepared = Prepared::new(query.into(), &self.inner)?;
        match prepared.mode {
            Mode::Nothing => return Err(Error::invalid("the query says that nothing is to be stored")),
            Mode::Detached => {
                return Err(Error::invalid(
                    "the question follows up on another one: give the fingerprint of its conversation",
                ));
            }
            Mode::All | Mode::ExactOnly | Mode::Renew => {}
        }
        let read = if since.is_none() { versions_read(&prepared, &dependencies)? } else { Vec::new() };
        let key = &prepared.key;
        let store = &self.inner.store;
        let now = store.lookup(&key.corpus, key.exact).await?.read_version;
        let fence = if let Some(since) = since {
            // Everybody's answer has another clock, and `since` does not cover it. So this answer confirms no
            // other.
            let own = self.read_version_of(since, &key.corpus, key.exact, now)?;
            own.map(ReadVersions::from).ok_or(RefusedReason::ClockLost)
        } else {
            let shared = match &prepared.shared {
                Some(shared) => Some(store.lookup(&key.corpus, shared.key.exact).await?.read_version),
                None => None,
            };
            self.current(&prepared, &read).await?.map_or(Ok(ReadVersions { own: now, shared }), Err)
        };
        let read_versions = match fence {
            Ok(read_versions) => read_versions,
            Err(reason) => return Ok(FillOutcome::Refused(self.refused(&prepared, reason))),
        };
        let embedding = match &prepared.given {
            Some(given) if self.inner.unknown_script(&key.text).is_none() => Some(given.clone()),
            None if prepared.is_embedded() => self.inner.embed(&key.text).await?,
            _ => None,
        };
        // Without a flight and a claim: others may be making an answer to the same question, and this one
        // does not end their wait.
        Ok(FillPermit::new(self.clone(), prepared, read_versions, embedding, None, None)
            .fill(answer, dependencies)
            .await)
    }

    /// Why an answer that read these versions may be stale; none if they are the ones that were last
    /// reported. Call it after the read version was taken: any change after this call then also comes after
    /// the read version.
    async fn current(
        &self,
        prepared: &Prepared,
        read: &[(&str, &DocumentVersion)],
    ) -> Result<Option<RefusedReason>> {
        let documents: Vec<&str> = read.iter().map(|(document, _)| *document).collect();
        let key = &prepared.key;
        let reported = self.inner.store.versions(&key.corpus, key.exact, &documents).await?;
        let wrong =
            |((_, read), reported): (&(&str, &DocumentVersion), &Option<DocumentVersion>)| match reported {
                None => Some(RefusedReason::VersionUnknown),
                Some(reported) => (reported != *read).then_some(RefusedReason::VersionMismatch),
            };
        if reported.len() != read.len() {
            return Ok(Some(RefusedReason::VersionUnknown));
        }
        Ok(read.iter().zip(&reported).find_map(wrong))
    }
}

/// The documents with their versions, if the answer depends on nothing else.
fn versions_read<'a>(
    prepared: &Prepared,
    dependencies: &'a [Dependency],
) -> Result<Vec<(&'a str, &'a DocumentVersion)>> {
    let version = |dependency: &'a Dependency| match dependency {
        Dependency::Document { id, version } => Some((id.as_str(), version.as_ref()?)),
        _ => None,
    };
    let read: Option<Vec<_>> = dependencies.iter().map(version).collect();
    read.filter(|read| !read.is_empty() && prepared.namespace.is_none()).ok_or_else(|| {
        Error::invalid(
            "without `since`, an answer needs sources, each a whole document with its version, and no namespace: \
             give the `since` of a lookup from before you retrieved",
        )
    })
}
