//! The embeddings that benchmarks use, those of this crate and of others.

#![allow(dead_code, reason = "each benchmark uses a part")]

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use wellspring_index::Embedding;

/// The dimension of a small model for sentences, such as the one that Wellspring bundles.
pub(crate) const DIMENSIONS: usize = 384;

/// The number in the environment variable `name`, or `default`.
pub(crate) fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

/// `count` embeddings and where they come from.
///
/// `WELLSPRING_BENCH_VECTORS` may name a file of real ones (little-endian `f32`, 384 per row, in random
/// order); otherwise they are synthetic and clustered, and harder or easier than real ones.
pub(crate) fn vectors(count: usize) -> (Vec<Embedding>, String) {
    let Ok(path) = std::env::var("WELLSPRING_BENCH_VECTORS") else {
        return (synthetic(count), "synthetic clusters (set WELLSPRING_BENCH_VECTORS)".to_owned());
    };
    let bytes = std::fs::read(&path).expect("WELLSPRING_BENCH_VECTORS names a readable file");
    let rows = bytes.chunks_exact(DIMENSIONS * 4).take(count).map(|row| {
        let components: Vec<f32> =
            row.chunks_exact(4).map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect();
        Embedding::new(&components).expect("rows of finite components")
    });
    let vectors: Vec<_> = rows.collect();
    assert_eq!(vectors.len(), count, "too few vectors in {path}");
    (vectors, path)
}

fn synthetic(len: usize) -> Vec<Embedding> {
    let mut rng = StdRng::seed_from_u64(1);
    let mut noise = || -> Vec<f32> { (0..DIMENSIONS).map(|_| rng.random_range(-1.0..1.0)).collect() };
    let centres: Vec<_> = (0..2_000).map(|_| noise()).collect();
    let around = |n: usize, noise: Vec<f32>| -> Vec<f32> {
        centres[n % centres.len()].iter().zip(noise).map(|(centre, noise)| centre + 0.7 * noise).collect()
    };
    (0..len).map(|n| Embedding::new(&around(n, noise())).expect("not zero")).collect()
}
