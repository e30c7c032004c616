//! Wellspring's side of the comparison with other caches, which `make bench-peers` starts.
//!
//! `peer_driver FOLDER ENTRIES STORE` opens a cache with the bundled model over `embedded` or `valkey`, stores the
//! entries that `benches/peers/caches/questions.py` wrote into the folder, and takes the same measurements as
//! `measure.py` in that folder takes of the other caches: once without verification, by the same plain similarity as
//! theirs, and once with it. It prints a JSON array of two results.
//!
//! Callers are tasks on two threads; callers of the other caches are threads of one process.

#![expect(clippy::print_stdout, reason = "the result")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot run ends")]

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::future::join_all;
use serde_json::{Value, json};
use wellspring::embed::OnnxEmbedder;
use wellspring::{
    Answer, Cache, CacheBuilder, Dependency, EmbeddedStore, Embedder, FillOutcome, FollowUps, Lookup, Query,
    Store, ValkeyStore,
};
use wellspring_test_support::servers;

/// The least similarity of a hit without verification, as for the others.
const SIMILARITY: f32 = 0.9;
/// The share of false hits that is accepted by default.
const MAX_FALSE_HIT_RATE: f64 = 0.02;
const DIMENSIONS: usize = 384;
const CALLERS: [usize; 3] = [1, 8, 64];
const GIVEN: Duration = Duration::from_millis(1_500);
const TEXT: Duration = Duration::from_millis(2_500);
/// How many near questions are asked without a vector: by one caller for the latency, by all at each throughput, and
/// altogether.
const MOST_QUESTIONS: usize = 800;
const MOST_CALLS: usize = 1_200;
const TEXT_QUESTIONS: usize = 9_000;
const PUTS: usize = 100;
/// How many fills are in flight at a time.
const FILLS: usize = 128;

/// A question with its vector, and the answer that it is stored with or should get.
struct Row {
    question: String,
    answer: String,
    vector: Vec<f32>,
}

/// Reads the rows of one file, one at a time, so that only the cache keeps them.
fn rows(folder: &Path, name: &str) -> impl Iterator<Item = Row> + use<> {
    let open = |kind: &str| BufReader::new(File::open(folder.join(format!("{name}.{kind}"))).unwrap());
    let (lines, mut vectors) = (open("jsonl").lines(), open("f32"));
    lines.map(move |line| {
        let row: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let mut bytes = [0; DIMENSIONS * 4];
        vectors.read_exact(&mut bytes).unwrap();
        let vector = bytes.chunks_exact(4).map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect();
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        Row { question: text("question"), answer: text("answer"), vector }
    })
}

/// The resident memory of this process and of those that it started, in bytes, as Linux counts it.
fn resident_bytes() -> u64 {
    let (mut total, mut processes) = (0, vec![PathBuf::from("/proc/self")]);
    while let Some(process) = processes.pop() {
        let status = std::fs::read_to_string(process.join("status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        total += kib.unwrap_or(0) * 1024;
        let tasks = std::fs::read_dir(process.join("task")).into_iter().flatten().flatten();
        for task in tasks {
            let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            processes.extend(children.split_whitespace().map(|pid| Path::new("/proc").join(pid)));
        }
    }
    total
}

fn quantile(sorted: &[Duration], quantile: f64) -> Option<f64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index of the slice")]
    let index = ((sorted.len().saturating_sub(1)) as f64 * quantile).round() as usize;
    sorted.get(index).map(|time| time.as_secs_f64() * 1e3)
}

fn times(mut took: Vec<Duration>) -> Value {
    took.sort_unstable();
    json!({ "p50_ms": quantile(&took, 0.5), "p99_ms": quantile(&took, 0.99), "count": took.len() })
}

/// Whether questions come with their vectors, and whether hits are verified.
#[derive(Clone, Copy)]
struct Manner {
    given: bool,
    verified: bool,
    limit: Duration,
}

/// A filled cache and the questions to ask it.
struct Bench {
    cache: Cache,
    embedder: Arc<dyn Embedder>,
    near: Vec<Row>,
    new: Vec<Row>,
    /// Without its vector a question is asked once, so that nothing is gained by remembering the vector.
    next_text: AtomicUsize,
    next_given: AtomicUsize,
}

impl Bench {
    /// The next near question to ask in this manner.
    fn fresh(&self, manner: Manner) -> &Row {
        let (text, given) = self.near.split_at(TEXT_QUESTIONS);
        if manner.given {
            &given[self.next_given.fetch_add(1, Ordering::Relaxed) % given.len()]
        } else {
            &text[self.next_text.fetch_add(1, Ordering::Relaxed)]
        }
    }

    /// The number that the answer to `row` begins with, if there is one.
    async fn get(&self, row: &Row, manner: Manner) -> Option<String> {
        let mut query = Query::new(row.question.as_str());
        if manner.given {
            query = query.embedding(row.vector.as_slice());
        }
        query = if manner.verified {
            query.max_false_hit_rate(MAX_FALSE_HIT_RATE)
        } else {
            query.similarity_threshold(SIMILARITY)
        };
        match self.cache.lookup(query).await.unwrap() {
            Lookup::Hit(hit) => Some(hit.entry.answer.text.split(':').next().unwrap_or_default().to_owned()),
            _ => None,
        }
    }

    async fn put(&self, row: &Row, answer: &str) {
        let query = Query::new(row.question.as_str()).embedding(row.vector.as_slice()).renew();
        let Lookup::Miss(permit) = self.cache.lookup(query).await.unwrap() else {
            panic!("a renewal has a permit");
        };
        let source = format!("document-{}", row.question.len());
        let outcome = permit.fill(Answer::new(answer), vec![Dependency::document(source)]).await;
        assert!(matches!(outcome, FillOutcome::Stored(_)), "{outcome:?}");
    }

    async fn reference(&self) -> Value {
        let (mut took, ends) = (Vec::new(), Instant::now() + TEXT);
        for row in self.near.iter().take(MOST_QUESTIONS) {
            let text = [format!("So, {}", row.question)];
            let started = Instant::now();
            self.embedder.embed(&text).await.unwrap();
            took.push(started.elapsed());
            if Instant::now() > ends {
                break;
            }
        }
        times(took)
    }

    async fn run(self: &Arc<Self>, manner: Manner) -> Value {
        let (mut took, mut asked, mut right) = (Vec::new(), 0_usize, 0_usize);
        let ends = Instant::now() + manner.limit;
        while asked < MOST_QUESTIONS && Instant::now() < ends {
            let row = self.fresh(manner);
            let started = Instant::now();
            let answer = self.get(row, manner).await;
            let elapsed = started.elapsed();
            asked += 1;
            if let Some(answer) = answer {
                took.push(elapsed);
                right += usize::from(answer == row.answer);
            }
        }
        let count = took.len();
        let mut hit = times(took);
        hit["share"] = (count as f64 / asked as f64).into();
        hit["right"] = (right as f64 / count.max(1) as f64).into();

        let (mut took, ends) = (Vec::new(), Instant::now() + manner.limit);
        for row in &self.new {
            let started = Instant::now();
            let answer = self.get(row, manner).await;
            if answer.is_none() {
                took.push(started.elapsed());
            }
            if Instant::now() > ends {
                break;
            }
        }
        let mut hits_per_second = json!({});
        for callers in CALLERS {
            hits_per_second[callers.to_string()] = self.throughput(callers, manner).await.into();
        }
        json!({ "hit": hit, "miss": times(took), "hits_per_second": hits_per_second })
    }

    async fn throughput(self: &Arc<Self>, callers: usize, manner: Manner) -> f64 {
        let started = Instant::now();
        let most = if manner.given { usize::MAX } else { MOST_CALLS };
        let made = Arc::new(AtomicUsize::new(0));
        let calls = (0..callers).map(|_| {
            let (bench, made) = (Arc::clone(self), Arc::clone(&made));
            tokio::spawn(async move {
                let mut hits = 0_usize;
                while started.elapsed() < manner.limit && made.fetch_add(1, Ordering::Relaxed) < most {
                    hits += usize::from(bench.get(bench.fresh(manner), manner).await.is_some());
                }
                hits
            })
        });
        let hits: usize = join_all(calls).await.into_iter().map(Result::unwrap).sum();
        hits as f64 / started.elapsed().as_secs_f64()
    }

    async fn puts(&self) -> Value {
        let mut took = Vec::new();
        for row in self.new.iter().take(PUTS) {
            let started = Instant::now();
            self.put(row, "-1: a new answer").await;
            took.push(started.elapsed());
        }
        times(took)
    }
}

async fn measure(
    builder: CacheBuilder,
    embedder: Arc<dyn Embedder>,
    store: &str,
    folder: &Path,
    entries: usize,
) {
    let bench = Arc::new(Bench {
        cache: builder.build().await.unwrap(),
        embedder,
        near: rows(folder, "near").collect(),
        new: rows(folder, "new").collect(),
        next_text: AtomicUsize::new(0),
        next_given: AtomicUsize::new(0),
    });
    bench.get(&bench.new[0], Manner { given: false, verified: true, limit: TEXT }).await;
    let (before, started) = (resident_bytes(), Instant::now());
    let stored = rows(folder, "entries").take(entries);
    futures::stream::iter(stored)
        .for_each_concurrent(FILLS, async |row| bench.put(&row, &row.answer).await)
        .await;
    bench.cache.wait_idle().await.unwrap();
    let (filled, after) = (started.elapsed(), resident_bytes());
    let mut results = Vec::new();
    for verified in [false, true] {
        let mut result = json!({
            "system": format!("wellspring-{store}{}", if verified { "-verified" } else { "" }),
            "version": env!("CARGO_PKG_VERSION"),
            "wanted": entries,
            "entries": entries,
            "fill_seconds": filled.as_secs_f64(),
            "bytes_per_entry": after.saturating_sub(before) as f64 / entries as f64,
        });
        result["embedding"] = bench.reference().await;
        result["given"] = bench.run(Manner { given: true, verified, limit: GIVEN }).await;
        result["text"] = bench.run(Manner { given: false, verified, limit: TEXT }).await;
        results.push(result);
    }
    let put = bench.puts().await;
    for result in &mut results {
        result["put"] = put.clone();
    }
    println!("{}", Value::from(results));
    bench.cache.close().await.unwrap();
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    // `cargo bench` adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [folder, entries, store] = arguments.as_slice() else {
        eprintln!("peer_driver FOLDER ENTRIES embedded|valkey");
        std::process::exit(2);
    };
    let (folder, entries) = (Path::new(folder), entries.parse().unwrap());
    let embedder: Arc<dyn Embedder> = Arc::new(OnnxEmbedder::bundled().expect("run make setup first"));
    let server = (store == "valkey").then(|| servers::Server::builder().start());
    let disk = tempfile::tempdir().unwrap();
    let opened: Arc<dyn Store> = match &server {
        Some(server) => {
            let options = ValkeyStore::options().command_timeout(Duration::from_secs(10));
            Arc::new(options.connect(&server.url()).await.unwrap())
        }
        None => Arc::new(EmbeddedStore::open(disk.path().join("store.redb")).unwrap()),
    };
    // No other cache looks for references to an earlier question, and a few of these wordings have some.
    let builder = Cache::builder_from(Arc::clone(&embedder), opened).follow_ups(FollowUps::Match);
    measure(builder, embedder, store, folder, entries).await;
}
