//! Measures how well policies distinguish questions that ask the same from questions that only look alike.
//!
//! There are two kinds of data: labelled pairs ([`pairs`]), and queries against cached questions
//! ([`stream`]), which is how a cache is used. A [`replay`] sends the queries through the cache itself, with
//! and without a judge. A [`control`] shows how much of the result is more than surface similarity. An
//! [`adversarial`] run shows how many attacks succeed with questions that are made to look alike.
//!
//! Every policy of [`policy`] is measured on the same embeddings. A threshold comes from the settings, or
//! from *other* labelled data, on which it keeps the budget by the upper end of a confidence interval; a
//! threshold that is chosen on the reported data promises too much. The measures are pure functions in
//! [`metrics`].

pub mod adversarial;
pub mod budget;
pub mod calibrating;
pub mod control;
pub mod cost;
pub mod curve;
pub mod details;
pub mod domains;
mod embeddings;
pub mod examined;
pub mod metrics;
pub mod pair_report;
pub mod pairs;
pub mod policy;
pub mod queries;
pub mod reliability;
pub mod replay;
pub mod review;
pub mod serving;
pub mod stream;
pub mod thresholds;
pub mod vcache;

pub use self::embeddings::Progress;
