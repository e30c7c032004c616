//! The cost of each stage.

use serde::Serialize;

use super::metrics::quantile;

/// How long each stage took for a pair, in microseconds; 0 for one that did not run.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Cost {
    pub(super) guards: f64,
    pub(super) features: f64,
    pub(super) scorer: f64,
}

/// The cost of a stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageCost {
    /// The stage's name.
    pub stage: &'static str,
    /// How often it ran per query: an evaluation examines every candidate, a lookup stops at the first
    /// accepted.
    pub runs_per_query: f64,
    /// The median of a run, in microseconds.
    pub p50_us: f64,
    /// The time that 99 % of the runs took at most, in microseconds.
    pub p99_us: f64,
}

impl StageCost {
    /// The stages of all pairs examined for this many queries.
    pub(super) fn of(pairs: &[Cost], queries: usize) -> Vec<Self> {
        let stage = |stage: &'static str, took: fn(&Cost) -> f64| {
            let mut took: Vec<f64> = pairs.iter().map(took).filter(|took| *took > 0.0).collect();
            took.sort_by(f64::total_cmp);
            Self {
                stage,
                runs_per_query: took.len() as f64 / queries as f64,
                p50_us: quantile(&took, 0.5),
                p99_us: quantile(&took, 0.99),
            }
        };
        vec![
            stage("guards", |cost| cost.guards),
            stage("features", |cost| cost.features),
            stage("scorer", |cost| cost.scorer),
        ]
    }
}
