//! Which questions are asked, in which words and in which order.

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use super::corpus::{DemoCorpus, Question};

/// Questions are not equally popular: the one at rank `r` is asked in proportion to `1 / r^EXPONENT`, as is
/// usual for questions to one service.
const EXPONENT: f64 = 0.8;
/// The share of questions that are asked as they were written; the others are rewrites.
const AS_WRITTEN: f64 = 0.5;

/// A question in the words in which it is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) question: &'a Question,
    pub(super) phrasing: &'a str,
}

/// `count` questions in the order in which they are asked; the same for the same seed.
pub(super) fn plan(corpus: &DemoCorpus, count: usize, seed: u64) -> Vec<Asked<'_>> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut by_rank: Vec<&Question> = corpus.questions.iter().collect();
    by_rank.shuffle(&mut random);
    let mut total = 0.0;
    let cumulated: Vec<f64> = (1..=by_rank.len())
        .map(|rank| {
            total += (rank as f64).powf(-EXPONENT);
            total
        })
        .collect();
    (0..count)
        .map(|_| {
            let at = random.random::<f64>() * total;
            let rank = cumulated.partition_point(|&up_to| up_to < at).min(by_rank.len() - 1);
            let question = by_rank[rank];
            let rewrites = &question.rewrites;
            let phrasing = if rewrites.is_empty() || random.random_bool(AS_WRITTEN) {
                &question.text
            } else {
                &rewrites[random.random_range(0..rewrites.len())]
            };
            Asked { question, phrasing }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_order_with_popular_and_rare_questions() {
        let corpus = DemoCorpus::bundled().unwrap();
        let asked = |seed| -> Vec<String> {
            plan(&corpus, 2_000, seed).iter().map(|asked| asked.phrasing.to_owned()).collect()
        };
        assert_eq!(asked(1), asked(1));
        assert_ne!(asked(1), asked(2));
        let mut counts = std::collections::HashMap::new();
        for asked in plan(&corpus, 2_000, 1) {
            *counts.entry(&asked.question.id).or_insert(0) += 1;
        }
        assert!(counts.values().max() > Some(&20) && counts.len() > 500, "{}", counts.len());
    }
}
