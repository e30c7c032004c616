//! Questions in other languages and scripts: what the bundled model ignores, and what the multilingual one finds.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use wellspring::embed::{BUNDLED_MODEL, Embedded, Embedder, MULTILINGUAL_MODEL, OnnxEmbedder};
use wellspring::tokens::TokenEncoder;
use wellspring::verify::{Budgets, Calibration, LateInteraction, PairScorer, Scored};
use wellspring::{Cache, Corpus, ErrorKind, Lookup, MemoryStore, Query};

static BUNDLED: LazyLock<Arc<OnnxEmbedder>> =
    LazyLock::new(|| OnnxEmbedder::shared().expect("the bundled model; run `make setup` first"));

/// The multilingual model; none if it has not been built. `make test` builds it.
static MULTILINGUAL: LazyLock<Option<Arc<OnnxEmbedder>>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".deps/models").join(MULTILINGUAL_MODEL);
    if !folder.exists() {
        return None;
    }
    Some(Arc::new(OnnxEmbedder::named(MULTILINGUAL_MODEL).expect("run `make multilingual` again")))
});

async fn cache(embedder: Arc<OnnxEmbedder>) -> Cache {
    // Far below the similarity of near twins: a question that is not found is excluded for another reason.
    let builder = Cache::builder_from(embedder, Arc::new(MemoryStore::default())).similarity_threshold(0.3);
    builder.verify_timeout(Duration::from_mins(1)).build().await.unwrap()
}

async fn fill(cache: &Cache, query: Query) {
    let Lookup::Miss(permit) = cache.lookup(query.clone()).await.unwrap() else { panic!("a hit: {query:?}") };
    permit.fill("an answer", vec![]).await;
}

async fn is_hit(cache: &Cache, question: &str) -> bool {
    matches!(cache.lookup(Query::new(question)).await.unwrap(), Lookup::Hit(_))
}

#[tokio::test]
async fn a_question_in_a_script_that_the_model_does_not_know_is_matched_exactly_only() {
    let cache = cache(Arc::clone(&BUNDLED)).await;
    for (question, other) in [
        ("Как сбросить пароль?", "Как сбросить мой пароль?"),
        ("what does 猫 mean in English", "what does 犬 mean in English"),
        ("How do I say हाँ in Hindi?", "How do I say ना in Hindi?"),
        ("what is the sum of α and 2", "what is the sum of β and 2"),
    ] {
        fill(&cache, Query::new(question)).await;
        assert!(is_hit(&cache, question).await, "{question}");
        assert!(!is_hit(&cache, other).await, "{other}");
    }
    // A question in Latin letters does not find them, either: they were never indexed.
    let explained = cache.explain(Query::new("what does cat mean in English")).await.unwrap();
    assert!(explained.candidates.is_empty(), "{:?}", explained.candidates);
    let counted = cache.metrics().unknown_scripts;
    // Once for the question and once for the other one.
    assert_eq!(
        counted.into_iter().collect::<Vec<_>>(),
        [
            ("Cyrillic".to_owned(), 2),
            ("Devanagari".to_owned(), 2),
            ("Greek".to_owned(), 2),
            ("Han".to_owned(), 2),
        ]
    );
}

#[tokio::test]
async fn an_embedding_that_the_caller_brings_changes_nothing_about_that() {
    let cache = cache(Arc::clone(&BUNDLED)).await;
    let texts = ["How do I reset my password?".to_owned()];
    let Some(Embedded::Vector(vector)) = BUNDLED.embed(&texts).await.unwrap().pop() else {
        panic!("no vector")
    };
    let given = |question: &str| Query::new(question).embedding(vector.as_slice().to_vec());
    fill(&cache, given("Как сбросить пароль?")).await;
    assert!(matches!(cache.lookup(given("Как сбросить мой пароль?")).await.unwrap(), Lookup::Miss(_)));
    assert!(matches!(cache.lookup(given("How do I reset my password?")).await.unwrap(), Lookup::Miss(_)));
}

#[tokio::test]
async fn why_names_the_script() {
    let cache = cache(Arc::clone(&BUNDLED)).await;
    fill(&cache, Query::new("Как сбросить пароль?")).await;
    let explained = cache.explain(Query::new("Как мне сбросить пароль?")).await.unwrap();
    assert_eq!(explained.decision, "miss: the model does not know Cyrillic: exact matches only");
    assert_eq!((explained.unknown_script, explained.threshold), (Some("Cyrillic"), None));
    let exact = cache.explain(Query::new("Как сбросить пароль?")).await.unwrap();
    assert_eq!(exact.decision, "hit: the same question was answered before");
}

#[tokio::test]
async fn the_bundled_model_and_its_comparer_have_names() {
    let named = OnnxEmbedder::named(BUNDLED_MODEL).unwrap();
    assert_eq!(named.model(), BUNDLED.model());
    let comparer = LateInteraction::bundled(Arc::clone(&BUNDLED) as Arc<dyn TokenEncoder>).unwrap();
    assert!(comparer.name().starts_with("question-comparer@"), "{}", comparer.name());
    let calibration = Calibration::bundled_for(TokenEncoder::name(&**BUNDLED)).unwrap().unwrap();
    assert_eq!(calibration.scorer.as_deref(), Some(comparer.name()));
    // Another version of the model is another model.
    assert!(Calibration::bundled_for("question-encoder@000000000000").unwrap().is_none());
}

#[test]
fn a_name_that_nobody_knows_is_a_configuration_error() {
    assert_eq!(OnnxEmbedder::named("multilingual").unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test]
async fn the_multilingual_model_finds_wordings_in_their_own_language() {
    let Some(model) = MULTILINGUAL.clone() else { return };
    let cache = cache(model).await;
    for question in [
        "Wie setze ich mein Passwort zurück?",
        "¿Cómo restablezco mi contraseña?",
        "Как сбросить пароль?",
        "如何重置密码？",
        "パスワードをリセットする方法は？",
        "كيف أعيد تعيين كلمة المرور؟",
        "मैं अपना पासवर्ड कैसे रीसेट करूँ?",
        "비밀번호를 어떻게 재설정하나요?",
    ] {
        // Not even the same question in another language is found: its answer is in that language.
        fill(&cache, Query::new(question)).await;
    }
    for wording in [
        "Wie kann ich mein Passwort zurücksetzen?",
        "¿Cómo puedo restablecer mi contraseña?",
        "Как мне сбросить пароль?",
        "怎么重置密码？",
        "パスワードのリセット方法は？",
        "كيف يمكنني إعادة تعيين كلمة المرور؟",
        "पासवर्ड कैसे रीसेट करें?",
        "비밀번호 재설정은 어떻게 하나요?",
    ] {
        assert!(is_hit(&cache, wording).await, "{wording}");
    }
    for other in ["How do I reset my password?", "Hoe kan ik mijn wachtwoord resetten?", "สวัสดี รีเซ็ตรหัสผ่าน"]
    {
        assert!(!is_hit(&cache, other).await, "{other}");
    }
    assert_eq!(cache.metrics().unknown_scripts.get("Thai"), Some(&1));
}

#[tokio::test]
async fn near_twins_in_other_languages_are_vetoed() {
    let Some(model) = MULTILINGUAL.clone() else { return };
    let cache = cache(model).await;
    for (question, twin, guard) in [
        ("Ist der Laden am Montag geöffnet?", "Ist der Laden am Sonntag geöffnet?", "dates"),
        ("Kann ich ohne Konto bestellen?", "Kann ich mit Konto bestellen?", "negation"),
        ("这个会员能退款吗？", "这个会员不能退款吗？", "negation"),
        ("كم سعر ٣ تذاكر؟", "كم سعر 5 تذاكر؟", "numbers"),
        ("通知を有効にする方法は？", "通知を無効にする方法は？", "antonyms"),
    ] {
        fill(&cache, Query::new(question)).await;
        let explained = cache.explain(Query::new(twin)).await.unwrap();
        let nearest =
            explained.candidates.iter().find(|candidate| candidate.question.as_deref() == Some(question));
        let checks = &nearest.unwrap().checks;
        assert!(checks.iter().any(|check| check.name == guard && !check.passed), "{twin}: {checks:?}");
        assert!(!is_hit(&cache, twin).await, "{twin}");
    }
    fill(&cache, Query::new("दुकान ५ बजे बंद होती है?")).await;
    assert!(is_hit(&cache, "दुकान 5 बजे बंद होती है?").await, "one number in two scripts");
}

/// With its calibration, if it has one by now. Until then, only exact matches are served under a rate, and this is
/// reported.
#[tokio::test]
async fn the_comparer_of_the_multilingual_model_follows_from_the_model() {
    let Some(model) = MULTILINGUAL.clone() else { return };
    let encoder = Arc::clone(&model) as Arc<dyn TokenEncoder>;
    let comparer = LateInteraction::bundled(Arc::clone(&encoder)).unwrap();
    assert!(comparer.name().starts_with("multilingual-comparer@"), "{}", comparer.name());
    let score = async |asked: &str, cached: &str| match comparer.score(asked, cached).await.unwrap() {
        Scored::Logit(logit) => logit,
        other => panic!("no score but {other:?}"),
    };
    let question = "Wie kündige ich mein Abo?";
    let (same, other) = (
        score("Wie kann ich mein Abo kündigen?", question).await,
        score("Wie verlängere ich mein Abo?", question).await,
    );
    assert!(same > other, "{same} against {other}");
    let cache = Cache::builder_from(model, Arc::new(MemoryStore::default())).build().await.unwrap();
    match Calibration::bundled_for(encoder.name()).unwrap() {
        Some(calibration) => {
            assert_eq!(calibration.scorer.as_deref(), Some(comparer.name()));
            assert!(matches!(cache.budgets(&Corpus::default()), Budgets::From(_)));
        }
        None => assert_eq!(cache.budgets(&Corpus::default()), Budgets::Uncalibrated),
    }
}
