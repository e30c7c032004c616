//! A disk without room, by the limit on the size of files of a child process.

use std::process::Command;
use std::sync::Arc;

use wellspring::store::{Limits, Store};
use wellspring::{Answer, Change, Corpus, Entry};

use crate::support::{Bench, Kind, about, fetch, serves};

const STORE: &str = "WELLSPRING_TEST_FULL_STORE";

fn answer(n: usize) -> Entry {
    Entry { answer: Answer::new("x".repeat(20_000)), ..about(&format!("question {n}"), &format!("d{n}")) }
}

#[tokio::test]
async fn child_process() {
    let Some(path) = std::env::var_os(STORE) else { return };
    let clock = Arc::new(wellspring::clock::ManualClock::new(crate::support::START));
    let store = wellspring::EmbeddedStore::options().clock(clock).open(path).unwrap();
    let mut stored = Vec::new();
    let failed = loop {
        let entry = answer(stored.len());
        let snapshot = fetch(&store, entry.id).await.snapshot;
        match store.fill(snapshot, Arc::new(entry.clone())).await {
            Ok(_) => stored.push(entry),
            Err(_) => break entry,
        }
        assert!(stored.len() < 10_000, "the limit on files does not hold");
    };
    assert!(stored.len() > 10, "only {} entries had room", stored.len());
    assert!(
        !store
            .lookup(&failed.corpus, failed.id)
            .await
            .is_ok_and(|fetched| { matches!(fetched.found, wellspring::store::Found::Live(_)) })
    );
    // Changes hold in this process, whether or not they could be written.
    for entry in &stored[..5] {
        let document = entry.documents().next().unwrap().0.to_owned();
        drop(store.invalidate(&Corpus::default(), &[Change::document(document)]).await);
        let found = store.lookup(&entry.corpus, entry.id).await.map(|fetched| fetched.found);
        assert!(!matches!(found, Ok(wellspring::store::Found::Live(_))));
    }
    println_stored(stored.len());
}

fn println_stored(count: usize) {
    use std::io::Write;
    writeln!(std::io::stdout().lock(), "@ stored {count}").unwrap();
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_no_loss() {
    let bench = Bench::new(Kind::Embedded);
    let binary = std::env::current_exe().unwrap();
    let output = Command::new("sh")
        // Blocks of 512 bytes; the signal that the limit sends is ignored, so that writes fail instead.
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 12000; exec \"$0\" embedded::disk_full::child_process --exact --nocapture",
        ])
        .arg(binary)
        .env(STORE, bench.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    let count: usize = said.lines().find_map(|line| line.strip_prefix("@ stored ")).unwrap().parse().unwrap();
    // What had been stored before is there; what was ended without being written may be back, and its
    // caller was told.
    let store = bench.embedded(Limits::default());
    for n in 5..count {
        assert!(serves(&store, &answer(n)).await, "{n} of {count} is lost");
    }
}
