//! How well policies tell questions that ask the same from questions that only look alike.
//!
//! Two kinds of data: labelled pairs ([`pairs`]), and queries against cached questions ([`stream`]), which is how a
//! cache is used. A [`replay`] sends the queries through the cache itself, with and without a judge. A [`control`] says how much of it is more than the surface, an [`adversarial`] run what remains against
//! questions that are made to look alike. Every policy of [`policy`] is measured on the same embeddings. A threshold comes from the settings,
//! or from *other* labelled data, on which it keeps the budget by the upper end of a confidence interval; one chosen
//! on the data that it is reported on promises too much. The measures are pure functions in [`metrics`].

mod adversarial;
mod command;
mod control;
mod cost;
mod curve;
mod details;
mod domains;
mod embeddings;
mod examined;
mod metrics;
mod page;
mod pair_report;
mod pairs;
mod policy;
mod queries;
mod reliability;
mod replay;
mod review;
mod serving;
mod stream;
mod text;
mod thresholds;
mod vcache;

pub(crate) use self::command::{EvalArgs, content, progress, run};
pub(crate) use self::examined::Examiner;
pub(crate) use self::pair_report::Labelled;
pub(crate) use self::pairs::parse;
