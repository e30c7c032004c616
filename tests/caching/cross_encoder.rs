//! The bundled cross-encoder and the bundled comparer through the public API.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use wellspring::ErrorKind;
use wellspring::embed::{Embedder, OnnxEmbedder};
use wellspring::tokens::{Encoded, TokenEncoder};
use wellspring::verify::{BUNDLED_VERIFIER, CrossEncoder, LateInteraction, PairScorer, Scored};

/// One model for the tests of this file: loading takes longer than most of them.
static BUNDLED: LazyLock<CrossEncoder> =
    LazyLock::new(|| CrossEncoder::bundled().expect("the bundled verifier; run `make setup` first"));

async fn logit(asked: &str, cached: &str) -> f32 {
    match BUNDLED.score(asked, cached).await.unwrap() {
        Scored::Logit(logit) => logit,
        other => panic!("no score but {other:?}"),
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(BUNDLED_VERIFIER)
}

#[tokio::test]
async fn a_paraphrase_scores_above_near_twins_and_strangers() {
    for (asked, paraphrase, twin) in [
        (
            "Which city is the capital of France?",
            "What is the capital city of France?",
            "Which city is the capital of Germany?",
        ),
        (
            "When did Beyonce start becoming popular?",
            "When did Beyonce begin to be popular?",
            "When did Rihanna start becoming popular?",
        ),
        (
            "Where did the Normans settle in 911?",
            "In what place did the Normans settle in 911?",
            "Who led the Normans in 911?",
        ),
    ] {
        let (same, other) = (logit(asked, paraphrase).await, logit(asked, twin).await);
        let stranger = logit(asked, "Which river flows through Vienna?").await;
        assert!(same > other && same > stranger, "{asked}: {same} against {other} and {stranger}");
    }
}

#[tokio::test]
async fn a_pair_has_one_score_whoever_asks_beside_it() {
    let alone = logit("Where is the Rhine?", "Where does the Rhine flow?").await;
    let (again, _) = tokio::join!(
        logit("Where is the Rhine?", "Where does the Rhine flow?"),
        logit("Who built the tower of the old town hall in Prague?", "What is a tower?")
    );
    assert!((alone - again).abs() < f32::EPSILON);
}

#[tokio::test]
async fn what_the_model_cannot_see_whole_gets_no_score() {
    let long = "word ".repeat(60);
    assert_eq!(BUNDLED.score(&long, &long).await.unwrap(), Scored::TooLong);
    assert!(matches!(BUNDLED.score(&long, "short").await.unwrap(), Scored::Logit(_)));
    assert_eq!(BUNDLED.score(&"word ".repeat(1_000_000), "short").await.unwrap(), Scored::TooLong);
    assert_eq!(BUNDLED.score("what is 🦀?", "what is a crab?").await.unwrap(), Scored::Unreadable);
}

#[test]
fn the_shared_model_is_loaded_once_while_it_is_used() {
    let first = CrossEncoder::shared().unwrap();
    assert!(Arc::ptr_eq(&first, &CrossEncoder::shared().unwrap()));
}

#[test]
fn an_altered_file_is_refused() {
    let copy = tempfile::tempdir().unwrap();
    for entry in folder().read_dir().unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let path = copy.path().join("model.onnx");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = CrossEncoder::from_dir(copy.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Model);
    assert!(error.to_string().contains("sha256"), "{error}");
}

#[test]
fn a_model_that_embeds_is_no_cross_encoder() {
    let embedding = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/question-encoder");
    assert_eq!(CrossEncoder::from_dir(embedding).unwrap_err().kind(), ErrorKind::Model);
}

fn comparer() -> (Arc<OnnxEmbedder>, LateInteraction) {
    let encoder = OnnxEmbedder::shared().expect("the bundled model; run `make setup` first");
    (Arc::clone(&encoder), LateInteraction::bundled(encoder).unwrap())
}

#[tokio::test]
async fn the_comparer_sets_a_wording_above_near_twins_whoever_asks() {
    let (_, comparer) = comparer();
    let logit = async |asked: &str, cached: &str| match comparer.score(asked, cached).await.unwrap() {
        Scored::Logit(logit) => logit,
        other => panic!("no score but {other:?}"),
    };
    for (question, wording, twin) in [
        (
            "How do I cancel my subscription?",
            "What are the steps to end my subscription?",
            "How do I renew my subscription?",
        ),
        (
            "When do I have to pay the deposit before moving in?",
            "by what date is the deposit due, before i get the keys",
            "When will I get the deposit back after moving out?",
        ),
        ("How do I enable two-factor login?", "turn on 2 factor login", "How do I disable two-factor login?"),
    ] {
        let (same, other) = (logit(wording, question).await, logit(wording, twin).await);
        assert!(same > other, "{wording}: {same} against {other}");
        let turned = logit(question, wording).await;
        assert!((same - turned).abs() < 1e-3, "{same} is not {turned}");
    }
}

#[tokio::test]
async fn token_states_come_with_the_embedding_and_without_it() {
    let (embedder, comparer) = comparer();
    let text = "how many words does this question have";
    let Encoded::States(states) = embedder.encode(text).await.unwrap() else { panic!("no states") };
    assert_eq!(states.tokens(), 9, "its seven words, and one token at each end");
    embedder.embed(&[text.to_owned()]).await.unwrap();
    let Encoded::States(again) = embedder.encode(text).await.unwrap() else { panic!("no states") };
    assert_eq!(states, again);
    let long = "word ".repeat(300);
    assert!(matches!(embedder.encode(&long).await.unwrap(), Encoded::TooLong));
    assert_eq!(comparer.score(&long, "short").await.unwrap(), Scored::TooLong);
    assert_eq!(comparer.score("what is 🦀?", "what is a crab?").await.unwrap(), Scored::Unreadable);
}

#[test]
fn a_comparer_is_refused_for_the_states_of_another_encoder() {
    let copy = tempfile::tempdir().unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/question-comparer");
    let weights = "model.safetensors";
    fs::copy(folder.join(weights), copy.path().join(weights)).unwrap();
    let manifest = fs::read_to_string(folder.join("manifest.json")).unwrap();
    let other = manifest.replace("\"encoder\": \"question-encoder@", "\"encoder\": \"another@");
    assert_ne!(manifest, other);
    fs::write(copy.path().join("manifest.json"), other).unwrap();
    let encoder = OnnxEmbedder::shared().unwrap();
    let error = LateInteraction::from_dir(copy.path(), encoder).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Model);
    assert!(error.to_string().contains("another@"), "{error}");
}
