//! A disk without room, by the limit on the size of files of a child process.

use std::process::Command;
use std::sync::Arc;

use wellspring::store::{Limits, Store};
use wellspring::{Answer, Change, Corpus, Entry};

use crate::support::{Bench, Kind, about, eventually, fetch, serves};

const STORE: &str = "WELLSPRING_TEST_FULL_STORE";
const ROOM: &str = "WELLSPRING_TEST_FULL_STORE_GETS_ROOM";

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
        let read_version = fetch(&store, entry.id).await.read_version;
        match store.fill(read_version, Arc::new(entry.clone())).await {
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
    // Stored answers are still served, although the database had to be opened again.
    for entry in &stored[5..] {
        assert!(serves(&store, entry).await);
    }
    let status = store.status().await.unwrap();
    assert!(status.unwritable.is_some(), "{status:?}");
    if std::env::var_os(ROOM).is_some() {
        let (_, hard) = rlimit::Resource::FSIZE.get().unwrap();
        rlimit::Resource::FSIZE.set(hard, hard).unwrap();
        eventually("everything is written", async || {
            let status = store.status().await.unwrap();
            status.unwritable.is_none() && status.pending_invalidations == 0
        })
        .await;
        let read_version = fetch(&store, failed.id).await.read_version;
        store.fill(read_version, Arc::new(failed)).await.unwrap();
        println_stored(stored.len() + 1);
    } else {
        println_stored(stored.len());
    }
}

fn println_stored(count: usize) {
    use std::io::Write;
    writeln!(std::io::stdout().lock(), "@ stored {count}").unwrap();
}

/// What the child process stored before it ended, without closing its store.
fn run(bench: &Bench, gets_room: bool) -> usize {
    let binary = std::env::current_exe().unwrap();
    let output = Command::new("sh")
        // Blocks of 512 bytes; the signal that the limit sends is ignored, so that writes fail instead.
        .args([
            "-c",
            "trap '' XFSZ; ulimit -S -f 12000; exec \"$0\" embedded::disk_full::child_process --exact --nocapture",
        ])
        .arg(binary)
        .env(STORE, bench.path())
        .envs(gets_room.then_some((ROOM, "1")))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    said.lines().find_map(|line| line.strip_prefix("@ stored ")).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_no_loss() {
    let bench = Bench::new(Kind::Embedded);
    let count = run(&bench, false);
    // Earlier answers are there; answers that were ended without being written may be back, and this was reported to
    // the caller.
    let store = bench.embedded(Limits::default());
    for n in 5..count {
        assert!(serves(&store, &answer(n)).await, "{n} of {count} is lost");
    }
}

/// Every write was refused until the process started again.
#[tokio::test]
async fn once_there_is_room_everything_is_written() {
    let bench = Bench::new(Kind::Embedded);
    let count = run(&bench, true);
    let store = bench.embedded(Limits::default());
    for n in 0..count {
        assert_eq!(serves(&store, &answer(n)).await, n >= 5, "{n} of {count}");
    }
}
