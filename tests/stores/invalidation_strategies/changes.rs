//! Answers that end because something changed.

use std::time::Duration;

use wellspring::store::RefusedReason;
use wellspring::{Change, Corpus, Dependency, FillOutcome, Lookup, Namespace, Query, Scope};

use crate::invalidation_strategies::{
    Llm, calls_of, change, exactly, is_hit, process, process_with, put, server,
};
use crate::support::PATIENCE;
use crate::support::servers::Flavour;
use crate::support::valkey::patient_now;

on_every_server!(
    version_bump_of_a_namespace,
    version_bump_of_everything,
    event_driven_by_document,
    chunk_level,
    bulk_by_namespace_prefix,
    tags_and_collections,
);

fn namespace(path: &str) -> Namespace {
    Namespace::new(path).unwrap()
}

fn in_namespace(path: &str) -> Vec<Dependency> {
    vec![Dependency::Namespace(namespace(path))]
}

async fn version_bump_of_a_namespace(flavour: Flavour) {
    let server = server(flavour);
    let (one, two) = (process(&server).await, process(&server).await);
    put(&one, "a", "old", in_namespace("docs")).await;
    put(&one, "b", "other", in_namespace("support")).await;
    assert!(is_hit(&two, "a").await);
    let Lookup::Miss(begun) = two.lookup(exactly("c")).await.unwrap() else { panic!("nothing is stored") };

    change(&one, &[Change::Namespace(namespace("docs"))]).await;
    assert!(!is_hit(&one, "a").await && !is_hit(&two, "a").await);
    assert!(is_hit(&one, "b").await && is_hit(&two, "b").await, "another namespace lives on");
    // A key with the version in its name would store this one under the new version.
    let late = begun.fill("old", in_namespace("docs")).await;
    assert!(matches!(late, FillOutcome::Refused(RefusedReason::DependencyChanged)), "{late:?}");
    put(&two, "a", "new", in_namespace("docs")).await;
    assert!(is_hit(&one, "a").await);
}

async fn version_bump_of_everything(flavour: Flavour) {
    let server = server(flavour);
    // What is late is not sent again, for it would be counted twice.
    let options = patient_now().invalidate_timeout(PATIENCE);
    let (one, two) = (process_with(&server.url(), options, |builder| builder).await, process(&server).await);
    for n in 0..200 {
        put(&one, &format!("question {n}"), "old", vec![Dependency::document(n.to_string())]).await;
    }
    let Lookup::Miss(begun) = two.lookup(exactly("begun")).await.unwrap() else { panic!("not stored") };
    // The last of the claims above are given back behind their answers.
    let mut before = calls_of(&server, "evalsha");
    loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = calls_of(&server, "evalsha");
        if now == before {
            break;
        }
        before = now;
    }
    let done = change(&one, &[Change::Everything]).await;
    let calls = calls_of(&server, "evalsha") - before;
    assert_eq!(done.dropped(), 200);
    assert!(calls <= 16 + 16, "one script for each bucket, and cleaning up behind: {calls}");
    for n in 0..200 {
        assert!(!is_hit(&two, &format!("question {n}")).await);
    }
    let late = begun.fill("old", vec![]).await;
    assert!(matches!(late, FillOutcome::Refused(_)), "{late:?}");
}

async fn event_driven_by_document(flavour: Flavour) {
    let server = server(flavour);
    let (writer, reader) = (process(&server).await, process(&server).await);
    let of = |id: &str, version: &str| vec![Dependency::document_version(id, version)];
    // The hook reports versions: a version that is already known drops nothing.
    change(&writer, &[Change::document_version("guide", "1"), Change::document_version("faq", "1")]).await;
    put(&reader, "a", "from guide", of("guide", "1")).await;
    put(&reader, "b", "from both", [of("guide", "1"), of("faq", "1")].concat()).await;
    put(&reader, "c", "from faq", of("faq", "1")).await;
    assert!(change(&writer, &[Change::document_version("guide", "1")]).await.is_unchanged());
    assert!(is_hit(&reader, "a").await);

    let Lookup::Miss(begun) = reader.lookup(exactly("d")).await.unwrap() else { panic!("not stored") };
    let done = change(&writer, &[Change::document_version("guide", "2")]).await;
    assert_eq!(done.dropped(), 2);
    assert!(!is_hit(&reader, "a").await && !is_hit(&reader, "b").await);
    assert!(is_hit(&reader, "c").await);
    // Deleting the dependants would have missed the answer that was on its way.
    let late = begun.fill("from guide", of("guide", "1")).await;
    assert!(matches!(late, FillOutcome::Refused(_)), "{late:?}");
    // Retrieval that lags behind the hook reads the old version after the change.
    let Lookup::Miss(lagging) = reader.lookup(exactly("e")).await.unwrap() else { panic!("not stored") };
    let lagged = lagging.fill("from guide", of("guide", "1")).await;
    assert!(matches!(lagged, FillOutcome::Refused(RefusedReason::VersionMismatch)), "{lagged:?}");

    let corpus = Corpus::default();
    writer.begin_update(&corpus, "faq").await.unwrap();
    assert!(!is_hit(&reader, "c").await, "what is being updated is not served");
    writer.end_update(&corpus, "faq", Some("2".into())).await.unwrap();
    put(&reader, "c", "from faq", of("faq", "2")).await;
    assert!(is_hit(&writer, "c").await);
}

async fn chunk_level(flavour: Flavour) {
    let server = server(flavour);
    let (writer, reader) = (process(&server).await, process(&server).await);
    put(&reader, "first", "1", vec![Dependency::chunk("guide", "h1")]).await;
    put(&reader, "second", "2", vec![Dependency::chunk("guide", "h2")]).await;
    put(&reader, "whole", "3", vec![Dependency::document("guide")]).await;
    let chunks = |hashes: &[&str]| Change::Chunks {
        document: "guide".into(),
        hashes: hashes.iter().map(ToString::to_string).collect(),
        version: None,
    };
    assert_eq!(change(&writer, &[chunks(&["h1"])]).await.dropped(), 2);
    assert!(!is_hit(&reader, "first").await);
    assert!(!is_hit(&reader, "whole").await, "it may come from the changed chunk");
    assert!(is_hit(&reader, "second").await, "the unchanged chunk still holds");
    change(&writer, &[Change::document("guide")]).await;
    assert!(!is_hit(&reader, "second").await, "a change that names no chunk is of all");
}

async fn bulk_by_namespace_prefix(flavour: Flavour) {
    let server = server(flavour);
    let (one, two) = (process(&server).await, process(&server).await);
    let llm = Llm::default();
    for n in 0..100 {
        for path in ["docs:technical", "docs:legal", "documents"] {
            let query = exactly(&format!("question {n}")).scope(Scope::new().namespace(namespace(path)));
            llm.ask(&one, query, "answer", vec![]).await;
        }
    }
    let live = async |path: &str| {
        let mut live = 0;
        for n in 0..100 {
            let query = Query::new(format!("question {n}")).exact_only();
            let query = query.scope(Scope::new().namespace(namespace(path)));
            live += u32::from(matches!(two.lookup(query).await.unwrap(), Lookup::Hit(_)));
        }
        live
    };
    assert_eq!((live("docs:technical").await, live("docs:legal").await), (100, 100));
    change(&one, &[Change::Namespace(namespace("docs:technical"))]).await;
    assert_eq!((live("docs:technical").await, live("docs:legal").await), (0, 100));
    change(&one, &[Change::Namespace(namespace("docs"))]).await;
    assert_eq!((live("docs:legal").await, live("documents").await), (0, 100), "a prefix ends at a level");
    one.wait_idle().await.unwrap();
    // The server counts what scripts call, too.
    for command in ["keys", "scan", "flushdb", "flushall"] {
        assert_eq!(calls_of(&server, command), 0, "{command}");
    }
}

async fn tags_and_collections(flavour: Flavour) {
    let server = server(flavour);
    let (one, two) = (process(&server).await, process(&server).await);
    let (tag, collection) = (Dependency::Tag("pricing".into()), Dependency::Collection("handbook".into()));
    put(&one, "a", "1", vec![tag.clone(), Dependency::document("x")]).await;
    put(&one, "b", "2", vec![collection.clone()]).await;
    put(&one, "c", "3", vec![tag, collection]).await;
    put(&one, "d", "4", vec![Dependency::document("pricing")]).await;
    assert_eq!(change(&two, &[Change::Tag("pricing".into())]).await.dropped(), 2);
    assert!(!is_hit(&two, "a").await && is_hit(&two, "b").await && !is_hit(&two, "c").await);
    // A document that joins changes what an answer over the collection would say.
    change(&two, &[Change::Collection("handbook".into())]).await;
    assert!(!is_hit(&two, "b").await);
    assert!(is_hit(&two, "d").await, "kinds of names do not meet");
}
