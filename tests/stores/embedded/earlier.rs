//! A file that an earlier build wrote. It is still opened, whatever becomes of the code.
//!
//! `tests/fixtures/version-1.redb.gz` was made by the ignored test, through the public interface. Run that test to
//! make one for another version of the format. The file is compressed because redb makes none below a mebibyte, most of
//! which is zeros.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use wellspring::judgement::{Logged, Revocation};
use wellspring::key::TenantId;
use wellspring::store::{JudgementLog as _, Limits, Store as _};
use wellspring::{Answer, Change, Corpus, Dependency, Embedding, Entry, Usage};

use crate::support::{Bench, HOUR, Kind, about, entry, entry_in, fill_all, served};

fn path() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/version-1.redb.gz"))
}

/// Every field of an entry is used; the last one is invalidated.
fn entries() -> [Entry; 5] {
    let answer = Answer::new("a detailed answer")
        .metadata(serde_json::json!({"model": "m", "sources": [1, 2]}))
        .usage(Usage { prompt_tokens: 7, completion_tokens: 11, cost_microusd: 13 })
        .ttl(HOUR);
    let dependencies = vec![
        Dependency::document_version("a", "1"),
        Dependency::chunk("b", "2"),
        Dependency::Tag("t".into()),
    ];
    let detailed = Entry {
        tenant: Some(TenantId::from_bytes([9; 16])),
        embedding: Some(Embedding::new(&[0.5, -0.25, 0.125, 1.0]).unwrap()),
        answer,
        ..entry("detailed", dependencies)
    };
    [
        detailed,
        entry("plain", vec![]),
        entry_in(&Corpus::new("other").unwrap(), "elsewhere", vec![]),
        about("held", "h"),
        about("changed", "c"),
    ]
}

fn revocation() -> Logged {
    Logged::Revocation { revoke: Revocation::everything().by("a person") }
}

#[tokio::test]
#[ignore = "makes the fixture"]
async fn make() {
    let bench = Bench::new(Kind::Embedded);
    let store = bench.embedded(Limits::default());
    let entries = entries();
    fill_all(&store, &entries).await;
    store.invalidate(&Corpus::default(), &[Change::document_version("c", "2")]).await.unwrap();
    store.begin_update(&Corpus::default(), "h").await.unwrap();
    store.record_hit(&entries[0].corpus, entries[0].id);
    store.record_judgement(&revocation()).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let mut fixture = GzEncoder::new(File::create(path()).unwrap(), Compression::best());
    io::copy(&mut File::open(bench.path()).unwrap(), &mut fixture).unwrap();
    fixture.finish().unwrap();
}

#[tokio::test]
async fn a_file_of_an_earlier_build_is_opened_as_it_was_closed() {
    let bench = Bench::new(Kind::Embedded);
    let mut fixture = GzDecoder::new(File::open(path()).unwrap());
    io::copy(&mut fixture, &mut File::create(bench.path()).unwrap()).unwrap();
    let (corpus, entries) = (Corpus::default(), entries());
    let store = bench.embedded(Limits::default());
    assert_eq!(served(&store, &entries).await, [0, 1, 2]);
    let detailed = store.dependants(&corpus, &Change::Entry(entries[0].id)).await.unwrap();
    assert_eq!(detailed[0].hits, 1);
    let status = store.status().await.unwrap();
    let held = status.corpora.iter().find(|status| status.corpus == corpus).map(|status| &status.held[..]);
    assert_eq!(held, Some(&["h".to_owned()][..]));
    let versions = store.versions(&corpus, entries[4].id, &["c"]).await.unwrap();
    assert_eq!(versions, [Some("2".into())]);
    let said: Vec<_> = store.judgements(None, 10).await.unwrap().into_iter().map(|(_, said)| said).collect();
    assert_eq!(said, [revocation()]);
    // And it is written on.
    store.end_update(&corpus, "h", None).await.unwrap();
    fill_all(&store, &entries[3..]).await;
    drop(store);
    assert_eq!(served(&bench.embedded(Limits::default()), &entries).await, [0, 1, 2, 3, 4]);
}
