//! Many changes in one call, applied in batches one after the other.
//!
//! A batch is as much as a script does in about a millisecond. So no one waits long for the server, however
//! many changes there are, and each batch may take as long as a whole invalidation.

use std::ops::Range;

use super::Inner;
use super::operation::Operation;
use crate::entry::Change;
use crate::error::Result;
use crate::key::Corpus;
use crate::store::ChangeOutcome;
use crate::store::batches::Batches;

/// How many names a batch has at most, unless a single change has more.
const NAMES_AT_ONCE: usize = 512;

impl Inner {
    /// Applies `changes` everywhere, and returns what each of them did.
    pub(super) async fn invalidate_all(
        &self,
        corpus: &Corpus,
        changes: &[Change],
    ) -> Result<Vec<ChangeOutcome>> {
        let mut applied = Batches::default();
        for batch in batches(changes) {
            let changes = &changes[batch];
            applied.add(changes.len(), self.invalidate(Operation::changes(corpus, changes)).await);
        }
        applied.outcomes()
    }
}

/// The index ranges of the changes in each batch.
fn batches(changes: &[Change]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let mut names = 0;
        let fits = |change: &&Change| {
            names += match change {
                Change::Document { .. } => 2,
                Change::Chunks { hashes, .. } => 1 + hashes.len(),
                _ => 1,
            };
            names <= NAMES_AT_ONCE
        };
        let rest = changes.get(start..).filter(|rest| !rest.is_empty())?;
        let batch = start..start + rest.iter().take_while(fits).count().max(1);
        start = batch.end;
        Some(batch)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_bounded_by_their_names() {
        let of = |changes: &[Change]| batches(changes).collect::<Vec<_>>();
        assert!(of(&[]).is_empty());
        assert_eq!(of(&vec![Change::document("a"); 600]), [0..256, 256..512, 512..600]);
        let large = Change::Chunks { document: "a".into(), hashes: vec!["h".into(); 9_000], version: None };
        let small = Change::Tag("t".into());
        assert_eq!(of(&[small.clone(), large.clone(), large, small]), [0..1, 1..2, 2..3, 3..4]);
    }
}
