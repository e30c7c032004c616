//! The best few of many candidates.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A row and how near it is, in units that are the same for all rows of one query. Larger is nearer; if two
/// rows are equally near, the earlier one counts as nearer.
///
/// Both are packed into one integer, so that a comparison takes one step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate(u64);

impl Candidate {
    pub(super) fn new(similarity: f32, row: u32) -> Self {
        let bits = similarity.to_bits();
        // Maps the order of floats to that of integers: a set sign bit reverses the order of the other bits.
        let order = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
        Self(u64::from(order) << 32 | u64::from(!row))
    }

    pub(super) fn similarity(self) -> f32 {
        let [order, _] = self.halves();
        f32::from_bits(if order >> 31 == 0 { !order } else { order & !(1 << 31) })
    }

    pub(super) fn row(self) -> u32 {
        let [_, row] = self.halves();
        !row
    }

    #[expect(clippy::cast_possible_truncation, reason = "the halves of 64 bits")]
    fn halves(self) -> [u32; 2] {
        [(self.0 >> 32) as u32, self.0 as u32]
    }
}

/// Keeps the nearest `limit` of the candidates offered to it.
#[derive(Debug, Default)]
pub(super) struct Nearest {
    limit: usize,
    /// The farthest kept candidate is on top.
    kept: BinaryHeap<Reverse<Candidate>>,
}

impl Nearest {
    pub(super) fn new(limit: usize) -> Self {
        // Not allocated in advance: a caller may ask for more candidates than there can be.
        Self { limit, kept: BinaryHeap::new() }
    }

    /// Removes all candidates, but keeps the allocated memory.
    pub(super) fn reset(&mut self, limit: usize) {
        self.limit = limit;
        self.kept.clear();
    }

    /// Whether `candidate` is nearer than the one that it would replace.
    pub(super) fn would_keep(&self, candidate: Candidate) -> bool {
        match self.kept.peek() {
            Some(Reverse(farthest)) if self.kept.len() >= self.limit => candidate > *farthest,
            _ => self.limit > 0,
        }
    }

    pub(super) fn offer(&mut self, candidate: Candidate) {
        if self.kept.len() < self.limit {
            self.kept.push(Reverse(candidate));
        } else if let Some(mut farthest) = self.kept.peek_mut()
            && candidate > farthest.0
        {
            *farthest = Reverse(candidate);
        }
    }

    /// The kept candidates, in no particular order, together with the memory that holds them.
    pub(super) fn into_vec(self) -> Vec<Candidate> {
        self.kept.into_vec().into_iter().map(|Reverse(candidate)| candidate).collect()
    }

    /// The kept candidates, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Candidate> {
        self.kept.iter().map(|&Reverse(candidate)| candidate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(limit: usize, similarities: &[f32]) -> Vec<u32> {
        let mut nearest = Nearest::new(limit);
        for (row, &similarity) in (0..).zip(similarities) {
            nearest.offer(Candidate::new(similarity, row));
        }
        let mut kept: Vec<_> = nearest.iter().collect();
        kept.sort_by(|a, b| b.cmp(a));
        kept.into_iter().map(Candidate::row).collect()
    }

    #[test]
    fn keeps_the_nearest_in_order() {
        assert_eq!(kept(2, &[0.1, 0.9, -0.5, 0.5]), [1, 3]);
        assert_eq!(kept(9, &[0.1, 0.9]), [1, 0]);
        assert!(kept(0, &[0.1]).is_empty());
    }

    #[test]
    fn a_candidate_is_what_it_was_made_of() {
        let similarities = [-1.0, -0.25, -0.0, 0.0, 1e-30, 0.5, 1.0];
        for (row, similarity) in (0..).zip(similarities) {
            let candidate = Candidate::new(similarity, row);
            assert_eq!((candidate.similarity().to_bits(), candidate.row()), (similarity.to_bits(), row));
        }
        assert!(similarities.map(|similarity| Candidate::new(similarity, 7)).is_sorted());
    }

    #[test]
    fn of_equals_the_earlier_is_kept_and_comes_first() {
        assert_eq!(kept(2, &[0.5, 0.5, 0.5]), [0, 1]);
    }
}
