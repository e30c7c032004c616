//! Bits that flip, and files that end too soon.
//!
//! Either the store says that it is damaged, or every entry that it serves is exactly what was stored and
//! was not ended. Never a panic, an abort or a wrong answer.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use wellspring::store::{Found, Limits, Store};
use wellspring::{Change, Corpus, EmbeddedStore, Entry, ErrorKind};

use crate::support::embedder::embed;
use crate::support::{Bench, Kind, about, fill_all};

const FLIPS: usize = 400;
const CUTS: usize = 60;

struct Sample {
    bytes: Vec<u8>,
    live: Vec<Entry>,
    ended: Vec<Entry>,
}

/// A store with live entries and with ended ones that are still in its file.
async fn sample(bench: &Bench) -> Sample {
    let entries: Vec<Entry> = (0..60)
        .map(|n| {
            let question = format!("question {n}");
            Entry { embedding: Some(embed(&question)), ..about(&question, &format!("d{}", n % 6)) }
        })
        .collect();
    let store = bench.embedded(Limits::default());
    fill_all(&store, &entries).await;
    let changes: Vec<Change> = (0..3).map(|n| Change::document_version(format!("d{n}"), "2")).collect();
    store.invalidate(&Corpus::default(), &changes).await.unwrap();
    store.begin_update(&Corpus::default(), "d3").await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let (ended, live) = entries.into_iter().enumerate().partition(|(n, _)| n % 6 < 4);
    let strip = |entries: Vec<(usize, Entry)>| entries.into_iter().map(|(_, entry)| entry).collect();
    Sample { bytes: std::fs::read(bench.path()).unwrap(), live: strip(live), ended: strip(ended) }
}

/// What came of opening a damaged file and reading all of it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
enum Verdict {
    Refused,
    ReadFailed,
    Served(usize),
}

async fn judge(bench: &Bench, sample: &Sample) -> Verdict {
    let options = EmbeddedStore::options().clock(std::sync::Arc::clone(&bench.clock) as _);
    let store = match options.open(bench.path()) {
        Ok(store) => store,
        Err(error) => {
            let kind = error.kind();
            assert!(matches!(kind, ErrorKind::Corrupt | ErrorKind::Store), "{error:?}");
            return Verdict::Refused;
        }
    };
    let (mut served, mut failed) = (0, false);
    for entry in &sample.ended {
        let found = store.lookup(&entry.corpus, entry.id).await.map(|fetched| fetched.found);
        assert!(!matches!(found, Ok(Found::Live(_))), "an ended entry is back: {}", entry.question);
    }
    for entry in &sample.live {
        match store.lookup(&entry.corpus, entry.id).await.map(|fetched| fetched.found) {
            Ok(Found::Live(found)) => {
                assert_eq!(*found, *entry);
                served += 1;
            }
            Ok(_) => {}
            Err(_) => failed = true,
        }
    }
    match store.scan(None, 1_000).await {
        Ok(listed) => {
            for stored in listed {
                assert!(sample.live.contains(&stored.entry), "{}", stored.entry.question);
            }
        }
        Err(_) => failed = true,
    }
    // Writing to it may fail, but must not hang or panic.
    let written = store.invalidate(&Corpus::default(), &[Change::document("d4")]).await;
    failed |= written.is_err();
    failed |= store.close().await.is_err();
    if failed { Verdict::ReadFailed } else { Verdict::Served(served) }
}

/// Judges on a thread of its own, so that neither a panic while closing nor a hang goes unseen.
fn judged(bench: Bench, sample: std::sync::Arc<Sample>, what: &str) -> (Bench, Verdict) {
    let (done, verdict) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let verdict = catch_unwind(AssertUnwindSafe(|| runtime.block_on(judge(&bench, &sample))));
        drop(done.send((bench, verdict)));
    });
    let (bench, verdict) =
        verdict.recv_timeout(crate::support::PATIENCE).unwrap_or_else(|_| panic!("{what} hangs"));
    (bench, verdict.unwrap_or_else(|_| panic!("{what} panics")))
}

#[tokio::test]
async fn a_damaged_file_never_gives_a_wrong_answer() {
    let mut bench = Bench::new(Kind::Embedded);
    let sample = std::sync::Arc::new(sample(&bench).await);
    let mut random = SmallRng::seed_from_u64(3);
    let used = sample.bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    let mut verdicts = std::collections::BTreeMap::new();
    for n in 0..FLIPS + CUTS {
        let mut bytes = sample.bytes.clone();
        let what = if n < FLIPS {
            // The headers, which are small, get a share of their own.
            let byte = if n % 4 == 0 { random.random_range(0..512) } else { random.random_range(0..used) };
            let bit = random.random_range(0..8);
            bytes[byte] ^= 1 << bit;
            format!("flipping bit {bit} of byte {byte}")
        } else {
            let len = random.random_range(0..bytes.len());
            bytes.truncate(len);
            format!("cutting to {len} bytes")
        };
        std::fs::write(bench.path(), &bytes).unwrap();
        let verdict;
        (bench, verdict) = judged(bench, std::sync::Arc::clone(&sample), &what);
        *verdicts.entry(verdict).or_insert(0) += 1;
    }
    assert!(verdicts.contains_key(&Verdict::Refused), "{verdicts:?}");
    assert!(verdicts.contains_key(&Verdict::Served(sample.live.len())), "{verdicts:?}");
}

#[tokio::test]
async fn a_clock_that_was_altered_is_refused() {
    // Marks and headers stood in the file without a checksum: a lower mark brought ended answers back.
    let bench = Bench::new(Kind::Embedded);
    let sample = sample(&bench).await;
    let marks: redb::TableDefinition<(&str, &[u8; 16]), u64> = redb::TableDefinition::new("wellspring.marks");
    let database = redb::Database::create(bench.path()).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        use redb::ReadableTable;
        let mut marks = transaction.open_table(marks).unwrap();
        let (corpus, id, mark) = {
            let (key, mark) = marks.first().unwrap().unwrap();
            let (corpus, id) = key.value();
            (corpus.to_owned(), *id, mark.value())
        };
        marks.insert((corpus.as_str(), &id), mark - 1).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    let error = EmbeddedStore::open(bench.path()).unwrap_err();
    assert!(error.is_corrupt(), "{error}");
    // As it was, it opens.
    std::fs::write(bench.path(), &sample.bytes).unwrap();
    assert!(matches!(judge(&bench, &sample).await, Verdict::Served(_)));
}
