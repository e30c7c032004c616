//! A small but real RAG pipeline, played through the cache: `wellspring demo`.
//!
//! It has a bundled [corpus] of labelled questions, a [retriever] over documents that can be edited while it
//! runs, [answerers](answerer) that say which versions they read, and [labels] that distinguish a right hit
//! from a false one. [`play`] asks and edits, [`freshness`] checks every hit, [`report`] shows the results.

mod answerer;
mod corpus;
mod freshness;
mod labels;
#[cfg(test)]
mod letter_count;
mod observed;
mod plan;
mod play;
mod read_marker;
mod report;
mod retriever;
mod revision;
mod run;
mod sentences;

pub(crate) use self::run::{DemoArgs, run};
