//! The cache as a library: lookups and fills, matching, and learning.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use wellspring_test_support as support;

mod confirmations;
mod corpora;
#[cfg(feature = "onnx")]
mod cross_encoder;
mod embed;
#[cfg(feature = "remote")]
mod embed_remote;
mod get_or_fill;
mod judging;
#[cfg(feature = "onnx")]
mod languages;
mod learning;
#[cfg(feature = "remote")]
mod llm_judge;
mod robustness;
mod verification;
