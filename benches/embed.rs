//! How long the bundled model takes for one text and for 32, of 8 to 128 tokens, through the public API, which includes
//! the way to the owner thread and back. Also how much of the embedder's throughput in batches 64 callers of a cache
//! get on the same cores, and what a hit by meaning costs if its text is embedded again and if it was embedded lately.
//!
//! `cargo bench --bench embed`; no two texts are equal, so that none is found by the embedding of another.

#![expect(clippy::print_stdout, reason = "figures beside criterion's own")]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::runtime::Runtime;
use wellspring::embed::{Embedder, OnnxEmbedder};
use wellspring::{Cache, Dependency, Lookup, MemoryStore, Query, Tier};

/// Words that are one token each in the model's vocabulary.
const WORDS: [&str; 16] = [
    "how", "can", "water", "change", "the", "house", "river", "under", "green", "music", "people", "before",
    "light", "number", "city", "garden",
];
const CALLERS: usize = 64;
/// The answers that the callers find.
const QUESTIONS: usize = 1_000;
/// The length of one measurement. The embedder and the cache are measured in turn, [`SLICES`] times each.
const SLICE: Duration = Duration::from_millis(500);
const SLICES: usize = 10;
/// The number of lookups that a median is taken from.
const LOOKUPS: usize = 200;

/// A text of `tokens` tokens, the two special ones included; another for each `seed`.
fn text(tokens: usize, seed: usize) -> String {
    let mut rng = StdRng::seed_from_u64(seed as u64);
    let words: Vec<_> = (2..tokens).map(|_| WORDS[rng.random_range(0..WORDS.len())]).collect();
    words.join(" ")
}

/// Another spelling of `text` for each `number`: the model, which ignores case, sees the same.
fn respelt(text: &str, mut number: usize) -> String {
    let spell = |letter: char| {
        let is_upper = letter.is_ascii_lowercase() && number % 2 == 1;
        number >>= u32::from(letter.is_ascii_lowercase());
        if is_upper { letter.to_ascii_uppercase() } else { letter }
    };
    text.chars().map(spell).collect()
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

/// Texts per second of [`CALLERS`] who each `ask` again as soon as they are answered.
async fn throughput<F: Future<Output = ()> + Send + 'static>(ask: impl Fn() -> F) -> f64 {
    let (started, mut asked) = (Instant::now(), 0_u32);
    let mut callers = tokio::task::JoinSet::new();
    loop {
        while callers.len() < CALLERS && started.elapsed() < SLICE {
            callers.spawn(ask());
            asked += 1;
        }
        match callers.join_next().await {
            Some(answered) => answered.expect("an answer"),
            None => return f64::from(asked) / started.elapsed().as_secs_f64(),
        }
    }
}

/// Looks up `text`, which is near to a question.
async fn hit(cache: &Cache, text: String) {
    match cache.lookup(Query::new(text)).await.expect("a valid question") {
        Lookup::Hit(hit) => assert!(matches!(hit.tier, Tier::Semantic { .. })),
        other => panic!("{other:?}"),
    }
}

/// The median time of a lookup of each of `texts`, one after the other.
async fn lone(cache: &Cache, texts: impl Iterator<Item = String>) -> Duration {
    let mut times = Vec::new();
    for text in texts {
        let started = Instant::now();
        hit(cache, text).await;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    times[times.len() / 2]
}

async fn cache_of_questions(embedder: Arc<dyn Embedder>, tokens: usize) -> Cache {
    let builder = Cache::builder_from(embedder, Arc::new(MemoryStore::default()));
    let cache = builder.similarity_threshold(0.92).build().await.expect("a cache");
    for number in 0..QUESTIONS {
        match cache.lookup(Query::new(text(tokens, number)).renew()).await.expect("a valid question") {
            Lookup::Miss(permit) => {
                permit.fill("x".repeat(1024), vec![Dependency::document("d")]).await;
            }
            other => panic!("{other:?}"),
        }
    }
    cache
}

/// The throughput of lookups by meaning, and of the embedder alone for the same texts in batches of the same size.
fn callers(_: &mut Criterion) {
    let runtime: Runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let embedder: Arc<dyn Embedder> = Arc::new(OnnxEmbedder::bundled().expect("the bundled model"));
    let asked = AtomicUsize::new(1);
    for tokens in [8, 16, 32] {
        let cache = runtime.block_on(cache_of_questions(Arc::clone(&embedder), tokens));
        let question = || {
            let number = asked.fetch_add(1, Ordering::Relaxed);
            respelt(&text(tokens, number % QUESTIONS), number)
        };
        let mut slices = Vec::new();
        for _ in 0..SLICES {
            let (started, mut embedded) = (Instant::now(), 0);
            while started.elapsed() < SLICE {
                let batch: Vec<String> = (0..CALLERS).map(|_| question()).collect();
                embedded += runtime.block_on(embedder.embed(&batch)).expect("vectors").len();
            }
            let alone = embedded as f64 / started.elapsed().as_secs_f64();
            let through = runtime.block_on(throughput(|| {
                let (cache, text) = (cache.clone(), question());
                async move { hit(&cache, text).await }
            }));
            slices.push((through / alone, through, alone));
        }
        slices.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (ratio, through, alone) = slices[SLICES / 2];
        println!(
            "{CALLERS} callers, {tokens:>3} tokens: {through:>5.0} hits by meaning /s, {ratio:.2} × the embedder in batches of \
             {CALLERS} ({alone:.0} /s); from {:.2} to {:.2}",
            slices[0].0,
            slices[SLICES - 1].0,
        );
        let embedded = runtime.block_on(lone(&cache, (0..LOOKUPS).map(|_| question())));
        let remembered = runtime.block_on(lone(&cache, std::iter::repeat_n(question(), LOOKUPS)));
        println!(
            "one caller, {tokens:>5} tokens: {:.2} ms a hit by meaning, {:.1} µs if the text was embedded lately",
            1e3 * embedded.as_secs_f64(),
            1e6 * remembered.as_secs_f64(),
        );
    }
}

criterion_group!(benches, embed, callers);
criterion_main!(benches);
