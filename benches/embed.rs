//! How long the bundled model takes: one text and 32, of 8 to 128 tokens, through the public API, hence with the way to the
//! owner thread and back.
//!
//! `cargo bench --bench embed`; the texts of a batch differ, so that none is embedded for another.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wellspring::embed::{Embedder, OnnxEmbedder};

/// Words that are one token each in the model's vocabulary.
const WORDS: [&str; 16] = [
    "how", "can", "water", "change", "the", "house", "river", "under", "green", "music", "people", "before",
    "light", "number", "city", "garden",
];

/// A text of `tokens` tokens, the two special ones included; another for each `seed`.
fn text(tokens: usize, seed: usize) -> String {
    let words = (0..tokens - 2).map(|position| WORDS[(seed * 7 + position * (seed % 5 + 1)) % WORDS.len()]);
    format!("{} {}", words.skip(1).collect::<Vec<_>>().join(" "), seed % 10)
}

fn embed(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let embedder = OnnxEmbedder::bundled().expect("the bundled model");
    let mut group = criterion.benchmark_group("embed");
    for texts in [1_usize, 32] {
        for tokens in [8, 16, 32, 128] {
            let batch: Vec<String> = (0..texts).map(|seed| text(tokens, seed)).collect();
            group.throughput(Throughput::Elements(texts as u64));
            let id = BenchmarkId::new(format!("{texts}-texts"), format!("{tokens}-tokens"));
            group.bench_with_input(id, &batch, |bencher, batch| {
                bencher
                    .to_async(&runtime)
                    .iter(|| async { black_box(embedder.embed(batch).await.expect("vectors")) });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, embed);
criterion_main!(benches);
