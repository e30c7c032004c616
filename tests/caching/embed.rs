//! Embedders through the public API.

use std::sync::Arc;

use wellspring::embed::{Embedded, Embedder, FakeEmbedder};
use wellspring::embedding::Embedding;

async fn embed(embedder: &dyn Embedder, texts: &[&str]) -> Vec<Embedded> {
    let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
    embedder.embed(&texts).await.unwrap()
}

fn vector(embedded: &Embedded) -> &Embedding {
    match embedded {
        Embedded::Vector(vector) => vector,
        other => panic!("no vector but {other:?}"),
    }
}

async fn similarity(embedder: &dyn Embedder, a: &str, b: &str) -> f32 {
    let both = embed(embedder, &[a, b]).await;
    vector(&both[0]).similarity(vector(&both[1]))
}

#[tokio::test]
async fn the_fake_is_deterministic_and_breaks_on_demand() {
    let fake: Arc<FakeEmbedder> = Arc::new(FakeEmbedder::new(64));
    assert!(similarity(&*fake, "the same", "The same!").await > 0.999);
    assert_eq!(fake.embedded(), 2);
    fake.set_broken(true);
    assert!(fake.embed(&["text".to_owned()]).await.is_err());
    fake.set_broken(false);
    assert_eq!(embed(&*fake, &["a", "b", "c"]).await.len(), 3);
    assert!(embed(&*fake, &[]).await.is_empty());
}

#[cfg(feature = "onnx")]
mod onnx {
    use std::fs;
    use std::path::Path;
    use std::process::Command;
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use wellspring::ErrorKind;
    use wellspring::embed::{BUNDLED_MODEL, OnnxEmbedder};

    use super::*;

    /// One model for the tests of this file: loading takes longer than most of them.
    static BUNDLED: LazyLock<OnnxEmbedder> =
        LazyLock::new(|| OnnxEmbedder::bundled().expect("the bundled model; run `make setup` first"));

    fn model_folder() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(BUNDLED_MODEL)
    }

    /// A copy of the bundled model's folder.
    fn copied_model() -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        for entry in model_folder().read_dir().unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        copy
    }

    #[tokio::test]
    async fn paraphrases_are_nearer_than_strangers() {
        let model = &*BUNDLED;
        assert_eq!(model.model().dimensions, 384);
        let question = "How do I reset my password?";
        let paraphrase =
            similarity(model, question, "What are the steps to change a forgotten password?").await;
        let stranger = similarity(model, question, "Which river flows through Vienna?").await;
        assert!(paraphrase > 0.6, "{paraphrase}");
        assert!(stranger < 0.3, "{stranger}");
    }

    #[tokio::test]
    async fn a_text_has_one_embedding_whatever_it_is_embedded_with() {
        // The activations of the bundled model are scaled by their range over a batch. Were texts of different
        // callers run together, a repeated question would not find its own entry at similarity 1.
        let texts: Vec<String> =
            (1..40).map(|words| format!("{words} {}", "many words follow ".repeat(words))).collect();
        let together = BUNDLED.embed(&texts).await.unwrap();
        for (text, together) in texts.iter().zip(&together) {
            let alone = embed(&*BUNDLED, &[text]).await;
            assert_eq!(vector(&alone[0]), vector(together), "{text}");
        }
    }

    #[tokio::test]
    async fn results_come_in_order_and_nothing_gives_nothing() {
        let embedded =
            embed(&*BUNDLED, &["a longer text about rivers", "short", "a longer text about rivers"]).await;
        assert_eq!(vector(&embedded[0]), vector(&embedded[2]));
        assert_ne!(vector(&embedded[0]), vector(&embedded[1]));
        assert!(embed(&*BUNDLED, &[]).await.is_empty());
    }

    #[tokio::test]
    async fn the_limit_of_tokens_counts_the_special_ones() {
        let fits = vec!["water"; 254].join(" ");
        let over = vec!["water"; 255].join(" ");
        let endless = "water ".repeat(1_000_000);
        let embedded = embed(&*BUNDLED, &[&fits, &over, &endless]).await;
        assert!(matches!(embedded[..], [Embedded::Vector(_), Embedded::TooLong, Embedded::TooLong]));
    }

    #[tokio::test]
    async fn characters_outside_the_vocabulary_make_a_text_unreadable() {
        // Both would be "what does [UNK] mean?", at similarity 1.
        let embedded =
            embed(&*BUNDLED, &["What does 🦀 mean?", "What does 🐙 mean?", "What does crab mean?"]).await;
        assert!(matches!(embedded[..], [Embedded::Unreadable, Embedded::Unreadable, Embedded::Vector(_)]));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_thousand_callers_are_all_answered() {
        let embedder = Arc::new(OnnxEmbedder::bundled().unwrap());
        let tasks: Vec<_> = (0..1_000)
            .map(|number| {
                let embedder = Arc::clone(&embedder);
                tokio::spawn(async move { embedder.embed(&[format!("question {}", number % 50)]).await })
            })
            .collect();
        let mut firsts: Vec<Option<Embedding>> = vec![None; 50];
        for (number, task) in tasks.into_iter().enumerate() {
            let answer = task.await.unwrap().unwrap();
            let vector = vector(&answer[0]);
            assert_eq!(firsts[number % 50].get_or_insert_with(|| vector.clone()), vector);
        }
    }

    #[tokio::test]
    async fn workers_give_the_same_embeddings_as_one() {
        let workers = std::num::NonZeroUsize::new(2).unwrap();
        let two = OnnxEmbedder::options().workers(workers).bundled().unwrap();
        let texts: Vec<String> = (0..20).map(|number| format!("What is question {number} about?")).collect();
        let one = BUNDLED.embed(&texts).await.unwrap();
        let lone = texts.iter().map(async |text| embed(&two, &[text]).await);
        for (lone, of_one) in futures::future::join_all(lone).await.iter().zip(&one) {
            assert_eq!(vector(&lone[0]), vector(of_one));
        }
    }

    #[tokio::test]
    async fn a_lone_text_is_seen_as_it_is_among_others() {
        let over = vec!["water"; 255].join(" ");
        for text in ["What does 🦀 mean?", &over, "What does crab mean?", "", &"a".repeat(1_025)] {
            let (lone, both) = (embed(&*BUNDLED, &[text]).await, embed(&*BUNDLED, &[text, "another"]).await);
            match (&lone[0], &both[0]) {
                (Embedded::Vector(lone), Embedded::Vector(both)) => assert_eq!(lone, both),
                (lone, both) => assert_eq!(format!("{lone:?}"), format!("{both:?}")),
            }
        }
    }

    #[test]
    fn a_damaged_model_folder_is_refused_with_the_file_named() {
        type Damage = fn(&Path);
        let damages: [(&str, Damage); 5] = [
            ("model.onnx", |path| {
                let mut bytes = fs::read(path).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                fs::write(path, bytes).unwrap();
            }),
            ("model.onnx", |path| fs::write(path, &fs::read(path).unwrap()[..1_000]).unwrap()),
            ("tokenizer.json", |path| {
                let mut bytes = fs::read(path).unwrap();
                bytes.push(b' ');
                fs::write(path, bytes).unwrap();
            }),
            ("tokenizer_config.json", |path| fs::remove_file(path).unwrap()),
            ("manifest.json", |path| fs::remove_file(path).unwrap()),
        ];
        for (file, damage) in damages {
            let copy = copied_model();
            damage(&copy.path().join(file));
            let error = OnnxEmbedder::from_dir(copy.path()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Model);
            assert!(error.to_string().contains(file), "{error}");
        }
    }

    #[test]
    fn what_matches_its_manifest_but_is_no_model_is_refused() {
        // Bytes of the right length and checksum that ONNX Runtime cannot parse.
        let copy = copied_model();
        let manifest = copy.path().join("manifest.json");
        let text = fs::read_to_string(&manifest).unwrap();
        let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
        fs::write(copy.path().join("model.onnx"), b"").unwrap();
        json["files"]["model.onnx"] = serde_json::json!({
            "bytes": 0,
            "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        });
        fs::write(&manifest, json.to_string()).unwrap();
        assert_eq!(OnnxEmbedder::from_dir(copy.path()).unwrap_err().kind(), ErrorKind::Model);
    }

    #[tokio::test]
    async fn vectors_of_another_dimension_than_the_manifest_says_are_an_error() {
        let copy = copied_model();
        let manifest = copy.path().join("manifest.json");
        let text = fs::read_to_string(&manifest).unwrap();
        fs::write(&manifest, text.replace("\"dimensions\": 384", "\"dimensions\": 300")).unwrap();
        let embedder = OnnxEmbedder::from_dir(copy.path()).unwrap();
        let error = embedder.embed(&["text".to_owned()]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Embedding);
    }

    #[cfg(not(feature = "hub"))]
    #[test]
    fn a_named_model_needs_the_hub_feature() {
        let error = OnnxEmbedder::named("BGESmallENV15").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("`hub`"), "{error}");
    }

    /// Set in a child process, which has not loaded the library yet: a process loads it only once.
    const CHILD: &str = "WELLSPRING_TEST_CHILD";

    #[test]
    fn without_the_library_or_the_model_there_is_one_clear_sentence() {
        if std::env::var_os(CHILD).is_some() {
            let error = OnnxEmbedder::bundled().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Model);
            eprintln!("{error}");
            return;
        }
        let not_a_library = tempfile::NamedTempFile::new().unwrap();
        fs::write(&not_a_library, b"not a library").unwrap();
        for (variable, value, advice) in [
            ("ORT_DYLIB_PATH", Path::new("/nowhere/libonnxruntime.so"), "make setup"),
            ("ORT_DYLIB_PATH", not_a_library.path(), "make setup"),
            ("WELLSPRING_MODELS_DIR", Path::new("/nowhere"), "WELLSPRING_MODELS_DIR"),
        ] {
            let output = Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "--nocapture",
                    "embed::onnx::without_the_library_or_the_model_there_is_one_clear_sentence",
                ])
                .env(CHILD, "1")
                .env(variable, value)
                .output()
                .unwrap();
            let printed = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && printed.contains(advice), "{printed}");
        }
    }

    /// The bundled files stand in for a model of the hub, laid out as its cache is: no network is needed.
    #[cfg(feature = "hub")]
    #[test]
    fn a_named_model_comes_from_the_cache_and_its_commit_is_its_revision() {
        if std::env::var_os(CHILD).is_some() {
            let embedder = OnnxEmbedder::named("qdrant/all-minilm-l6-v2-onnx").unwrap();
            assert_eq!(embedder.model().fingerprint(), "AllMiniLML6V2@0123abcd/384");
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let answers = runtime.block_on(embed(&embedder, &["one", "another text", &"word ".repeat(600)]));
            assert!(matches!(answers[..], [Embedded::Vector(_), Embedded::Vector(_), Embedded::TooLong]));
            assert_eq!(OnnxEmbedder::named("no/such-model").unwrap_err().kind(), ErrorKind::Config);
            return;
        }
        let cache = tempfile::tempdir().unwrap();
        let repository = cache.path().join("models--Qdrant--all-MiniLM-L6-v2-onnx");
        let snapshot = repository.join("snapshots/0123abcd");
        fs::create_dir_all(&snapshot).unwrap();
        fs::create_dir_all(repository.join("refs")).unwrap();
        fs::write(repository.join("refs/main"), "0123abcd").unwrap();
        for entry in model_folder().read_dir().unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), snapshot.join(entry.file_name())).unwrap();
        }
        let output = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "embed::onnx::a_named_model_comes_from_the_cache_and_its_commit_is_its_revision",
            ])
            .env(CHILD, "1")
            .env("HF_HOME", cache.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_text_makes_it_fail(text in any::<String>()) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let embedded = runtime.block_on(BUNDLED.embed(&[text])).unwrap();
            prop_assert_eq!(embedded.len(), 1);
        }
    }
}
