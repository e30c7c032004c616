//! Files that belong to someone else, or that someone else has open.

use std::path::Path;

use wellspring::clock::Timestamp;
use wellspring::store::Limits;
use wellspring::{EmbeddedStore, Entry, ErrorKind};

use crate::support::{Bench, Kind, entry, fill_all, serves};

/// Opening fails with this kind, says where, and leaves the file as it was.
fn is_refused(path: &Path, kind: ErrorKind) {
    // A process that has it open may write to it.
    let before = (path.is_file() && kind != ErrorKind::Locked).then(|| std::fs::read(path).unwrap());
    let error = EmbeddedStore::open(path).unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(&*path.to_string_lossy()), "{error}");
    if let Some(before) = before {
        assert!(std::fs::read(path).unwrap() == before, "{} was written to", path.display());
    }
}

#[test]
fn a_file_of_another_program_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let random: Vec<u8> = (0..100_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect();
    for (name, bytes) in [
        ("text", b"Dear diary,\n".as_slice()),
        ("one byte", b"r"),
        ("the beginning of a database", b"redb\x1a\x0a\xa9"),
        ("zeros", &[0; 8_192]),
        ("random", &random),
        ("a magic number and nothing else", b"redb\x1a\x0a\xa9\x0d\x0a"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        is_refused(&path, ErrorKind::Corrupt);
    }
}

#[test]
fn another_database_of_the_same_kind_is_left_alone() {
    // redb writes to a file when it is opened for writing and when it is closed, so that a look inside
    // through an ordinary opening changed it.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.redb");
    let table: redb::TableDefinition<&str, u64> = redb::TableDefinition::new("theirs");
    let other = redb::Database::create(&path).unwrap();
    let transaction = other.begin_write().unwrap();
    transaction.open_table(table).unwrap().insert("key", 1).unwrap();
    transaction.commit().unwrap();
    is_refused(&path, ErrorKind::Locked);
    drop(other);
    is_refused(&path, ErrorKind::Corrupt);
}

#[test]
fn a_store_of_another_format_is_left_alone() {
    let bench = Bench::new(Kind::Embedded);
    drop(bench.embedded(Limits::default()));
    let meta: redb::TableDefinition<&str, u64> = redb::TableDefinition::new("wellspring.meta");
    let database = redb::Database::create(bench.path()).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(meta).unwrap().insert("format", 99).unwrap();
    transaction.commit().unwrap();
    drop(database);
    is_refused(&bench.path(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn an_empty_file_and_a_missing_folder_become_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let (empty, missing) = (folder.path().join("empty"), folder.path().join("a/b/c.redb"));
    std::fs::write(&empty, b"").unwrap();
    for path in [&empty, &missing] {
        let entry = Entry { expires_at: Timestamp::from_millis(u64::MAX), ..entry("q", vec![]) };
        let store = EmbeddedStore::open(path).unwrap();
        fill_all(&store, std::slice::from_ref(&entry)).await;
        drop(store);
        assert!(serves(&EmbeddedStore::open(path).unwrap(), &entry).await);
        let folder = std::fs::read_dir(path.parent().unwrap()).unwrap();
        assert!(folder.flatten().all(|file| !file.file_name().to_string_lossy().contains("new")));
    }
}

#[test]
fn a_place_that_cannot_be_written_is_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), b"x").unwrap();
    is_refused(folder.path(), ErrorKind::Store);
    is_refused(&folder.path().join("file/store.redb"), ErrorKind::Store);
    is_refused(Path::new("/proc/wellspring/store.redb"), ErrorKind::Store);
    is_refused(Path::new("/proc/wellspring.redb"), ErrorKind::Store);
}

#[tokio::test]
async fn a_second_opener_gets_an_error() {
    let bench = Bench::new(Kind::Embedded);
    let entry = entry("q", vec![]);
    let first = bench.embedded(Limits::default());
    let error = EmbeddedStore::open(bench.path()).unwrap_err();
    assert!(error.is_locked(), "{error}");
    assert!(error.to_string().contains("already open"), "{error}");
    // The first one continues; when it is gone, the place is free.
    fill_all(&first, std::slice::from_ref(&entry)).await;
    drop(first);
    assert!(serves(&bench.embedded(Limits::default()), &entry).await);
}

#[test]
fn a_second_process_gets_an_error() {
    let bench = Bench::new(Kind::Embedded);
    let child = crate::embedded::crash::Child::spawn(&bench.path(), 1);
    is_refused(&bench.path(), ErrorKind::Locked);
    drop(child);
    drop(EmbeddedStore::open(bench.path()).unwrap());
}
