//! The flags that say when another question's answer is served.

use clap::Args;
use wellspring::cache::Query;
use wellspring::match_policy::MatchPolicy;

#[derive(Debug, Args)]
pub(crate) struct MatchPolicyArgs {
    /// The largest accepted share of wrong answers among hits on other wordings, such as 0.02
    #[arg(long, value_name = "SHARE")]
    max_false_hit_rate: Option<f64>,
    /// The lowest cosine similarity at which the answer to another question is served, instead of an error rate
    #[arg(long, value_name = "COSINE", allow_negative_numbers = true, conflicts_with = "max_false_hit_rate")]
    threshold: Option<f32>,
}

impl MatchPolicyArgs {
    /// The query with what was asked for; the configuration decides on the rest.
    pub(crate) fn apply(&self, query: Query) -> Query {
        match (self.threshold, self.max_false_hit_rate) {
            (Some(threshold), _) => query.match_policy(MatchPolicy::SimilarityThreshold(threshold)),
            (None, Some(rate)) => query.match_policy(MatchPolicy::MaxFalseHitRate(rate)),
            (None, None) => query,
        }
    }
}
