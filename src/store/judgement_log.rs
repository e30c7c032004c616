//! The log from which a cache learns.

use std::fmt;

use async_trait::async_trait;

use crate::error::Result;
use crate::judgement::{JudgementCursor, Logged};

/// The log of judgements and revocations, which a store keeps beside its answers and in the same place: what
/// one process learns, every process that shares the store learns, and what a store forgets when it is closed
/// is forgotten with it.
///
/// Every [`Store`](super::Store) has one, because a pair that was called wrong must not be served again.
/// Costs and cancellation are given as for [`Store`](super::Store). No rule of freshness is concerned: a
/// judgement is about a question and an entry, whatever its documents say.
#[async_trait]
pub trait JudgementLog: fmt::Debug + Send + Sync {
    /// Appends to the log, which keeps about the newest
    /// [`MAX_JUDGEMENTS`](crate::judgement::MAX_JUDGEMENTS) records.
    ///
    /// - Cost: one round trip.
    /// - If dropped: the record may still be written.
    ///
    /// # Errors
    ///
    /// If the log cannot be written.
    async fn record_judgement(&self, logged: &Logged) -> Result<()>;

    /// Up to `limit` records of the log after `after`, oldest first; none at its end.
    ///
    /// - Cost: one round trip, unless a page has only records that this version cannot read; then the next
    ///   page is read at once.
    /// - If dropped: nothing has changed.
    ///
    /// # Errors
    ///
    /// If the log cannot be read.
    async fn judgements(
        &self,
        after: Option<JudgementCursor>,
        limit: usize,
    ) -> Result<Vec<(JudgementCursor, Logged)>>;
}
