//! A process that restarts loads its index from the disk, and later changes from the server.

use super::*;

/// More than are worth a snapshot.
const MANY: usize = 1_200;

fn numbered(n: usize) -> String {
    // Different words, so that no two are near.
    format!("alpha{n} beta{n} gamma{n} delta{n} epsilon{n}")
}

/// How often the server was asked for a field of a hash, which is how embeddings are fetched.
fn fetched(server: &Server) -> u64 {
    let info = server.text(&["INFO", "commandstats"]);
    let line = info.lines().find(|line| line.starts_with("cmdstat_hget:"));
    line.map_or(0, |line| line.split("calls=").nth(1).unwrap().split(',').next().unwrap().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_changed_is_fetched() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let start = async || {
        Process::with(&server, patient_now(), |builder| {
            builder.index_snapshots(folder.path()).index_wait(Duration::from_mins(1))
        })
        .await
    };
    let first = start().await;
    for n in 0..MANY {
        first.answer(&numbered(n), &format!("d{}", n % 10)).await;
    }
    first.cache.wait_idle().await.unwrap();
    first.cache.close().await.unwrap();
    drop(first);
    assert!(std::fs::read_dir(folder.path()).unwrap().count() > 1, "an index is saved");

    // Meanwhile another process adds one and ends some.
    let other = Process::start(&server).await;
    other.answer(ASKED, "a").await;
    other.invalidate("d3").await;
    other.cache.wait_idle().await.unwrap();

    let before = fetched(&server);
    let again = start().await;
    assert_eq!(again.finds(NEAR).await.as_deref(), Some(ANSWER));
    for n in [0, 7, MANY - 1] {
        let near = numbered(n) + " zeta";
        assert_eq!(again.finds(&near).await, Some(format!("answer to {}", numbered(n))));
    }
    assert_eq!(again.finds(&(numbered(3) + " zeta")).await, None);
    let fetched = fetched(&server) - before;
    assert!(fetched < 100, "{fetched} fields were fetched again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_snapshot_is_made_anew() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let start = async || {
        Process::with(&server, patient_now(), |builder| {
            builder.index_snapshots(folder.path()).index_wait(Duration::from_mins(1))
        })
        .await
    };
    let first = start().await;
    for n in 0..MANY {
        first.answer(&numbered(n), "d").await;
    }
    first.cache.close().await.unwrap();
    drop(first);
    for scope in std::fs::read_dir(folder.path()).unwrap().flatten().filter(|entry| entry.path().is_dir()) {
        for file in std::fs::read_dir(scope.path()).unwrap().flatten() {
            let mut bytes = std::fs::read(file.path()).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(file.path(), bytes).unwrap();
        }
    }
    let again = start().await;
    assert_eq!(again.finds(&(numbered(5) + " zeta")).await, Some(format!("answer to {}", numbered(5))));
}
