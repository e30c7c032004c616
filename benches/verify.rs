//! What it costs to decide whether a near neighbour is the same question, stage by stage, beside the embedding of the
//! question, and what a hit costs that the comparer has to confirm.
//!
//! `cargo bench --bench verify`

#![expect(clippy::print_stdout, reason = "figures beside criterion's own")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use wellspring::embed::OnnxEmbedder;
use wellspring::verify::{
    Calibration, Candidate, CrossEncoder, LateInteraction, Outcome, PairScorer, Scored, Stage, is_follow_up,
};
use wellspring::{Cache, Dependency, Embedder, Guards, Lookup, MemoryStore, Pipeline, Query, Verifier};

/// 30 tokens together, the three special ones included.
const ASKED: &str = "who was the first person that won a nobel prize in physics?";
const CACHED: &str = "which person was the first winner of the nobel prize in physics?";
/// The default.
const RATE: f64 = 0.02;
/// How many confirmed hits the quantiles are taken from.
const HITS: usize = 2_000;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

fn stages(criterion: &mut Criterion) {
    let runtime = runtime();
    let embedder = Arc::new(OnnxEmbedder::bundled().expect("run make setup first"));
    let comparer = Arc::new(LateInteraction::bundled(embedder.clone()).expect("the bundled comparer"));
    let cross_encoder = CrossEncoder::shared().expect("the bundled cross-encoder");
    let pipeline = Pipeline::new(Calibration::bundled()).scorer(comparer.clone());
    let candidate = Candidate::new(ASKED, CACHED, 0.9, wellspring::MatchPolicy::MaxFalseHitRate(RATE));
    assert_eq!(pipeline.screen(&candidate).outcome, Outcome::Undecided);
    let mut group = criterion.benchmark_group("verify");
    group.bench_function("embedding (reference)", |bencher| {
        let text = [ASKED.to_owned()];
        bencher.to_async(&runtime).iter(|| async { embedder.embed(&text).await.expect("a vector") });
    });
    group.bench_function("follow-up", |bencher| bencher.iter(|| is_follow_up(black_box(ASKED))));
    group.bench_function("guards", |bencher| {
        bencher.iter(|| Guards::default().veto(black_box(ASKED), black_box(CACHED)));
    });
    group.bench_function("screen: guards, features, probability", |bencher| {
        bencher.iter(|| pipeline.screen(black_box(&candidate)));
    });
    let scorers: [(&str, Arc<dyn PairScorer>); 2] =
        [("comparer, states kept", comparer), ("cross-encoder, 30 tokens", cross_encoder)];
    for (name, scorer) in scorers {
        group.bench_function(name, |bencher| {
            bencher.to_async(&runtime).iter(|| async {
                let scored = scorer.score(ASKED, CACHED).await.expect("a score");
                assert!(matches!(scored, Scored::Logit(_)));
            });
        });
    }
    group.finish();
    runtime.block_on(confirmed(embedder, pipeline));
}

/// Hits that the comparer confirms, one after the other, embedding included and apart.
async fn confirmed(embedder: Arc<dyn Embedder>, pipeline: Pipeline) {
    let cache = Cache::builder_from(Arc::clone(&embedder), Arc::new(MemoryStore::default()))
        .verifier(pipeline)
        .max_false_hit_rate(RATE)
        // The one question is asked again and again, and must be embedded each time.
        .remember_embeddings(0)
        .build()
        .await
        .expect("a cache");
    if let Ok(Lookup::Miss(permit)) = cache.lookup(Query::new(CACHED)).await {
        permit.fill("Wilhelm Conrad Röntgen", vec![Dependency::document("prizes")]).await;
    }
    let text = [ASKED.to_owned()];
    let (mut embeddings, mut hits) = (Vec::with_capacity(HITS), Vec::with_capacity(HITS));
    for _ in 0..HITS {
        let started = Instant::now();
        embedder.embed(&text).await.expect("a vector");
        embeddings.push(started.elapsed());
        let started = Instant::now();
        let lookup = cache.lookup(Query::new(ASKED)).await;
        assert!(matches!(lookup, Ok(Lookup::Hit(_))), "not confirmed: {lookup:?}");
        hits.push(started.elapsed());
    }
    let scored = &cache.metrics().verifications[Stage::Scorer.name()];
    assert_eq!(scored["accepted"], HITS as u64, "confirmed by the comparer");
    for (what, mut times) in [("embedding", embeddings), ("confirmed hit, embedding included", hits)] {
        times.sort_unstable();
        let at = |percent: usize| 1e3 * times[HITS * percent / 100].as_secs_f64();
        println!("{what}: p50 {:.2} ms, p99 {:.2} ms", at(50), at(99));
    }
}

criterion_group!(benches, stages);
criterion_main!(benches);
