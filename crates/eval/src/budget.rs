//! Whether hits kept a budget of false ones.

use serde::Serialize;

/// Whether a budget was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetVerdict {
    /// The upper bound is within the budget.
    #[serde(rename = "kept")]
    Within,
    /// The rate itself is above the budget.
    Exceeded,
    /// The rate is within the budget, but its upper bound is not: there are too few hits to decide.
    Insufficient,
}

impl BudgetVerdict {
    /// Whether `budget` was kept by a rate with this upper bound.
    pub fn of(rate: Option<f64>, upper: f64, budget: f64) -> Self {
        match rate {
            _ if upper <= budget => Self::Within,
            Some(rate) if rate > budget => Self::Exceeded,
            _ => Self::Insufficient,
        }
    }

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Within => "kept",
            Self::Exceeded => "exceeded",
            Self::Insufficient => "insufficient data",
        }
    }
}
