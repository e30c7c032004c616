//! Hostile input at every public entry point: either a clear error or success, never a panic, and nothing is stored
//! after an error.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use wellspring::clock::Timestamp;
use wellspring::key::ScopeId;
use wellspring::store::{Found, Limits, MemoryStore, ReadVersion, Store};
use wellspring::{
    Admission, Answer, Cache, Change, ContentType, Corpus, Dependency, EarlyRefresh, EmbeddedStore,
    Embedding, Entry, EntryId, FillOutcome, Lookup, Namespace, Origin, Query, Scope, Ttls,
};

use crate::support::embedder::{DIMENSIONS, WordEmbedder};

/// Text of any kind: empty, short, very long, and any Unicode including control characters and NUL.
fn text() -> impl Strategy<Value = String> {
    let unicode = proptest::collection::vec(any::<char>(), 0..40).prop_map(String::from_iter);
    let repeated = (any::<char>(), 0_usize..3_000).prop_map(|(c, times)| c.to_string().repeat(times));
    prop_oneof![
        6 => unicode,
        3 => repeated,
        2 => "[a-z]{1,8}( [a-z]{1,8}){0,5}",
        1 => any::<char>().prop_map(|c| c.to_string().repeat((1 << 20) / c.len_utf8())),
        1 => Just("a\0b".to_owned()),
        1 => Just("\u{fdfa}".repeat(20_000)),
        1 => Just("a\u{0301}\u{200d}\u{202e}\u{feff}\u{fffd}".to_owned()),
    ]
}

/// JSON of any shape, some of it far deeper than any parser would accept.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        text().prop_map(Into::into),
    ];
    let deep = |(levels, leaf)| (0..levels).fold(leaf, |inner, _| serde_json::json!({ "in": [inner] }));
    (prop_oneof![6 => 0..3, 1 => 20..80, 1 => 500..1_000], leaf).prop_map(deep)
}

fn number() -> impl Strategy<Value = f32> {
    prop_oneof![
        any::<f32>(),
        Just(f32::NAN),
        Just(f32::INFINITY),
        Just(-0.0),
        Just(1.0),
        Just(f32::MAX),
        -1.0..1.0_f32,
    ]
}

fn components() -> impl Strategy<Value = Vec<f32>> {
    let len = prop_oneof![4 => Just(DIMENSIONS), 2 => 0..200_usize, 1 => Just(10_000_usize)];
    len.prop_flat_map(|len| {
        prop_oneof![
            proptest::collection::vec(-1.0..1.0_f32, len),
            Just(vec![0.0; len]),
            (number(), 0..len.max(1)).prop_map(move |(odd, at)| {
                (0..len).map(|n| if n == at { odd } else { 1.0 }).collect::<Vec<f32>>()
            }),
        ]
    })
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        Just(Duration::MAX),
        Just(Duration::from_nanos(1)),
        any::<u64>().prop_map(Duration::from_millis),
        any::<u64>().prop_map(Duration::from_secs),
    ]
}

fn namespace() -> impl Strategy<Value = Option<Namespace>> {
    prop_oneof![text(), "[a-z]{1,5}(:[a-z]{1,5}){0,30}"].prop_map(|path| Namespace::new(&path).ok())
}

fn dependency() -> impl Strategy<Value = Dependency> {
    prop_oneof![
        text().prop_map(Dependency::document),
        (text(), text()).prop_map(|(id, version)| Dependency::document_version(id, version)),
        (text(), text()).prop_map(|(document, hash)| Dependency::chunk(document, hash)),
        text().prop_map(Dependency::Collection),
        text().prop_map(Dependency::Tag),
        namespace().prop_map(|path| path.map_or(Dependency::Tag(String::new()), Dependency::Namespace)),
    ]
}

fn dependencies() -> impl Strategy<Value = Vec<Dependency>> {
    prop_oneof![
        6 => proptest::collection::vec(dependency(), 0..3),
        1 => (250_u32..300).prop_map(|count| (0..count).map(|n| Dependency::Tag(n.to_string())).collect()),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        text().prop_map(Change::document),
        (text(), text()).prop_map(|(id, version)| Change::document_version(id, version)),
        (text(), proptest::collection::vec(text(), 0..3), proptest::option::of(text())).prop_map(
            |(document, hashes, version)| Change::Chunks {
                document,
                hashes,
                version: version.map(Into::into)
            }
        ),
        text().prop_map(Change::Collection),
        text().prop_map(Change::Tag),
        any::<[u8; 16]>().prop_map(|id| Change::Entry(EntryId::from_bytes(id))),
        Just(Change::Everything),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    (text(), proptest::option::of(duration()), any::<bool>(), json(), any::<bool>()).prop_map(
        |(text, ttl, negative, metadata, real_time)| {
            let mut answer = if negative { Answer::negative(text) } else { Answer::new(text) };
            answer.ttl = ttl;
            if real_time {
                answer = answer.content_type(ContentType::RealTime);
            }
            answer.metadata(metadata)
        },
    )
}

fn scope() -> impl Strategy<Value = Scope> {
    let parameters = proptest::collection::vec((text(), json()), 0..3);
    (proptest::option::of(text()), namespace(), any::<bool>(), parameters, proptest::option::of(number()))
        .prop_map(|(tenant, namespace, private, parameters, threshold)| {
            let mut scope = Scope::new();
            if let Some(tenant) = tenant {
                scope = scope.tenant(tenant);
            }
            if let Some(namespace) = namespace {
                scope = scope.namespace(namespace);
            }
            if private {
                scope = scope.private();
            }
            if let Some(threshold) = threshold {
                scope = scope.similarity_threshold(threshold);
            }
            parameters.into_iter().fold(scope, |scope, (name, value)| scope.parameter(name, value))
        })
}

fn query() -> impl Strategy<Value = Query> {
    // Plain scopes and embeddings more often, or hardly any question would get past them.
    let scope = prop_oneof![3 => Just(Scope::new()), 2 => scope()];
    let components = proptest::option::weighted(0.3, components());
    (text(), scope, components, proptest::option::weighted(0.3, number()), 0..5_u8).prop_map(
        |(text, scope, components, threshold, mode)| {
            let mut query = Query::new(text).scope(scope);
            if let Some(components) = components {
                query = query.embedding(components);
            }
            if let Some(threshold) = threshold {
                query = query.similarity_threshold(threshold);
            }
            match mode {
                0 => query.exact_only(),
                1 => query.renew(),
                2 => query.no_store(),
                _ => query,
            }
        },
    )
}

fn stores(folder: &tempfile::TempDir) -> [Arc<dyn Store>; 2] {
    let embedded = EmbeddedStore::open(folder.path().join("store.redb")).unwrap();
    [Arc::new(MemoryStore::default()), Arc::new(embedded)]
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn any_question_and_answer(query in query(), answer in answer(), dependencies in dependencies()) {
        block_on(async {
            let folder = tempfile::tempdir().unwrap();
            for store in stores(&folder) {
                let builder = Cache::builder_from(Arc::new(WordEmbedder::default()), Arc::clone(&store));
                let cache = builder.similarity_threshold(0.92).build().await.unwrap();
                let entries = async || store.status().await.unwrap().entries;
                match cache.lookup(query.clone()).await {
                    Ok(Lookup::Miss(permit)) => {
                        let outcome = permit.fill(answer.clone(), dependencies.clone()).await;
                        let stored = match outcome {
                            FillOutcome::Stored(_) => 1,
                            FillOutcome::Failed(error) => {
                                assert!(error.is_invalid_input(), "{error:?}");
                                0
                            }
                            _ => 0,
                        };
                        // The time to live may be so short that the answer has already expired.
                        assert!(entries().await <= stored);
                    }
                    Ok(_) => assert_eq!(entries().await, 0),
                    Err(error) => {
                        assert!(error.is_invalid_input(), "{error:?}");
                        assert!(cache.explain(query.clone()).await.unwrap_err().is_invalid_input());
                        assert_eq!(entries().await, 0);
                    }
                }
                // The one call always answers.
                let served = cache.get_or_fill(query.clone(), async |_| {
                    Ok((answer.clone(), dependencies.clone()))
                });
                let served = served.await.unwrap();
                assert_eq!(&served.answer, &answer);
                if let Origin::Made(FillOutcome::Failed(error)) = &served.origin {
                    assert!(error.is_invalid_input(), "{error:?}");
                }
                for stored in store.scan(None, 10).await.unwrap() {
                    assert_eq!(&stored.entry.answer, &answer, "it comes back as it was");
                }
            }
        });
    }

    #[test]
    fn any_change(changes in proptest::collection::vec(change(), 0..4), corpus in text(), document in text()) {
        block_on(async {
            let folder = tempfile::tempdir().unwrap();
            for store in stores(&folder) {
                let corpus = Corpus::new(&corpus).unwrap_or_default();
                let cache = Cache::builder_from(Arc::new(WordEmbedder::default()), store).build().await.unwrap();
                for change in &changes {
                    if let Err(error) = cache.impact(&corpus, change).await {
                        assert!(error.is_invalid_input(), "{error:?}");
                    }
                }
                match cache.invalidate(&corpus, &changes).await {
                    Ok(done) => assert_eq!(done.outcomes.len(), changes.len()),
                    Err(error) => {
                        assert!(error.is_invalid_input(), "{error:?}");
                        assert!(cache.status().await.unwrap().corpora.iter().all(|corpus| corpus.sequence == 0));
                    }
                }
                let begun = cache.begin_update(&corpus, &document).await;
                let ended = cache.end_update(&corpus, &document, None).await;
                assert_eq!(begun.is_ok(), ended.is_ok());
                assert!(begun.map_or_else(|error| error.is_invalid_input(), |()| true));
            }
        });
    }

    #[test]
    fn any_entry(
        question in text(), answer in answer(), dependencies in dependencies(), components in components(),
        times in any::<[u64; 2]>(), recompute in duration(), sequence in any::<u64>(),
    ) {
        block_on(async {
            let folder = tempfile::tempdir().unwrap();
            for store in stores(&folder) {
                let entry = Entry {
                    id: EntryId::from_bytes([1; 16]),
                    corpus: Corpus::default(),
                    scope: ScopeId::from_bytes([2; 16]),
                    tenant: None,
                    question: question.as_str().into(),
                    embedding: Embedding::new(&components).ok(),
                    answer: answer.clone(),
                    dependencies: dependencies.clone(),
                    created_at: Timestamp::from_millis(times[0]),
                    expires_at: Timestamp::from_millis(times[1]),
                    recompute,
                };
                let now = store.lookup(&entry.corpus, entry.id).await.unwrap().read_version;
                let read_version = ReadVersion { sequence, ..now };
                let filled = store.fill(read_version, Arc::new(entry.clone())).await;
                match store.lookup(&entry.corpus, entry.id).await.unwrap().found {
                    Found::Live(found) => {
                        assert!(filled.is_ok());
                        assert_eq!(*found, entry);
                    }
                    _ => assert!(filled.map_or_else(|error| error.is_invalid_input(), |_| true)),
                }
            }
        });
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn any_setting(
        threshold in number(), candidates in 0..100_usize, beta in any::<f64>(), write_behind in any::<usize>(),
        times in any::<[u64; 2]>(), jitter in any::<f64>(), timeout in duration(),
    ) {
        block_on(async {
            let ttls = Ttls::default()
                .general(Duration::from_millis(times[0]))
                .negative(Duration::from_secs(times[1]))
                .of(ContentType::RealTime, timeout)
                .jitter(jitter);
            let limits = Limits::default().max_entries(times[0]).max_bytes(times[1]);
            let built = Cache::builder(WordEmbedder::default(), MemoryStore::new(limits))
                .similarity_threshold(threshold)
                .candidates(candidates)
                .early_refresh(EarlyRefresh::default().beta(beta))
                .refresh_with(async |_| Ok(("again", Vec::<Dependency>::new())))
                .write_behind(write_behind)
                .embed_timeout(timeout)
                .ttls(ttls)
                .admission(Admission::default().max_answer_bytes(candidates))
                .build()
                .await;
            match built {
                Err(error) => assert_eq!(error.kind(), wellspring::ErrorKind::Config),
                Ok(cache) => {
                    for _ in 0..3 {
                        let served = cache.get_or_fill(Query::new("question"), async |_| {
                            Ok(("answer", Vec::<Dependency>::new()))
                        });
                        let served = served.await.unwrap();
                        assert!(["answer", "again"].contains(&&*served.answer.text));
                    }
                    cache.close().await.unwrap();
                }
            }
        });
    }

    #[test]
    fn any_name_and_id(text in text()) {
        for error in [
            Corpus::new(&text).err(),
            Namespace::new(&text).err(),
            text.parse::<EntryId>().err(),
            text.parse::<Corpus>().err(),
            wellspring::key::normalise(&text).err(),
        ].into_iter().flatten() {
            assert!(error.is_invalid_input());
            let message = error.to_string();
            assert!(message.len() < 300, "a message repeats its input: {} bytes", message.len());
        }
        if let Ok(normal) = wellspring::key::normalise(&text) {
            assert_eq!(wellspring::key::normalise(&normal).ok().as_ref(), Some(&normal), "it is idempotent");
        }
    }
}

#[test]
fn integers_beyond_a_double_are_apart() {
    // Canonical JSON writes every number as a double, and two seeds would share their answers.
    let id = |seed: u64| Scope::new().parameter("seed", seed).id(&Corpus::default(), "model");
    let near = [(1_u64 << 53) - 1, 1 << 53, (1 << 53) + 1, u64::MAX - 1, u64::MAX];
    let ids: Vec<ScopeId> = near.into_iter().filter_map(|seed| id(seed).ok()).collect();
    let distinct: std::collections::HashSet<ScopeId> = ids.iter().copied().collect();
    assert_eq!((ids.len(), distinct.len()), (near.len(), near.len()));
}
