//! The best few of many candidates.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// A row and how near it is; larger is nearer, and of two equally near the earlier row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) similarity: f32,
    pub(super) row: u32,
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.similarity.total_cmp(&other.similarity).then_with(|| other.row.cmp(&self.row))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Candidate {}

/// Keeps the nearest `limit` of the candidates offered to it.
#[derive(Debug)]
pub(super) struct Nearest {
    limit: usize,
    /// The farthest of the kept lies on top.
    kept: BinaryHeap<Reverse<Candidate>>,
}

impl Nearest {
    pub(super) fn new(limit: usize) -> Self {
        // Not allocated ahead: a caller may ask for more than there can be.
        Self { limit, kept: BinaryHeap::new() }
    }

    /// The similarity that a candidate must exceed to be kept.
    pub(super) fn threshold(&self) -> f32 {
        match self.kept.peek() {
            Some(Reverse(farthest)) if self.kept.len() >= self.limit => farthest.similarity,
            _ if self.limit == 0 => f32::INFINITY,
            _ => f32::NEG_INFINITY,
        }
    }

    pub(super) fn offer(&mut self, candidate: Candidate) {
        if candidate.similarity <= self.threshold() {
            return;
        }
        if self.kept.len() >= self.limit {
            self.kept.pop();
        }
        self.kept.push(Reverse(candidate));
    }

    /// The kept candidates, nearest first.
    pub(super) fn into_sorted(self) -> Vec<Candidate> {
        self.kept.into_sorted_vec().into_iter().map(|Reverse(candidate)| candidate).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(limit: usize, similarities: &[f32]) -> Vec<u32> {
        let mut nearest = Nearest::new(limit);
        for (row, &similarity) in (0..).zip(similarities) {
            nearest.offer(Candidate { similarity, row });
        }
        nearest.into_sorted().iter().map(|candidate| candidate.row).collect()
    }

    #[test]
    fn keeps_the_nearest_in_order() {
        assert_eq!(kept(2, &[0.1, 0.9, -0.5, 0.5]), [1, 3]);
        assert_eq!(kept(9, &[0.1, 0.9]), [1, 0]);
        assert!(kept(0, &[0.1]).is_empty());
    }

    #[test]
    fn of_equals_the_earlier_is_kept_and_comes_first() {
        assert_eq!(kept(2, &[0.5, 0.5, 0.5]), [0, 1]);
    }
}
