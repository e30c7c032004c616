//! How well policies tell questions that ask the same from questions that only look alike.
//!
//! Two kinds of data: labelled pairs ([`pairs`]), and queries against cached questions ([`stream`]), which is how a
//! cache is used. A [`replay`] sends the queries through the cache itself, with and without a judge. A [`control`] says how much of it is more than the surface, an [`adversarial`] run what remains against
//! questions that are made to look alike. Every policy of [`policy`] is measured on the same embeddings. A threshold comes from the settings,
//! or from *other* labelled data, on which it keeps the budget by the upper end of a confidence interval; one chosen
//! on the data that it is reported on promises too much. The measures are pure functions in [`metrics`].

pub mod adversarial;
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
