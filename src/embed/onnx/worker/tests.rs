//! The worker, with a model that fails on command.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::embed::onnx::batch::Batching;

/// Far longer than a run takes to begin, even on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// A model of two dimensions: the length of a text and one. Some texts make it fail.
struct Double {
    batching: Batching,
    /// Every run, in order of arrival.
    runs: Arc<Mutex<Vec<Vec<String>>>>,
    /// If there is one, each run reports that it has begun and waits for permission to go on.
    gate: Option<(mpsc::Sender<()>, mpsc::Receiver<()>)>,
}

impl Model for Double {
    fn batching(&self) -> Batching {
        self.batching
    }

    fn run(&mut self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        self.runs.lock().unwrap().push(texts.iter().map(|&text| text.to_owned()).collect());
        if let Some((began, leave)) = &self.gate {
            began.send(()).unwrap();
            leave.recv().unwrap();
        }
        if texts.contains(&"lost") {
            return Ok(Vec::new());
        }
        texts
            .iter()
            .map(|text| match *text {
                "panic" => panic!("as asked"),
                "error" => Err(Error::new(ErrorKind::Embedding, "as asked")),
                "wide" => Ok(vec![1.0; 3]),
                "nan" => Ok(vec![f32::NAN, 1.0]),
                "zero" => Ok(vec![0.0, 0.0]),
                _ => Ok(vec![text.len() as f32, 1.0]),
            })
            .collect()
    }
}

fn read(text: &str) -> Result<Reading> {
    Ok(match text {
        "long" => Reading::TooLong,
        "unknown" => Reading::Unreadable,
        "panic in the tokenizer" => panic!("as asked"),
        "error in the tokenizer" => return Err(Error::new(ErrorKind::Embedding, "as asked")),
        _ => Reading::Tokens(text.len()),
    })
}

struct Fixture {
    worker: Workers,
    runs: Arc<Mutex<Vec<Vec<String>>>>,
}

fn start(batching: Batching, gate: Option<(mpsc::Sender<()>, mpsc::Receiver<()>)>) -> Fixture {
    let runs = Arc::new(Mutex::new(Vec::new()));
    let double = Double { batching, runs: Arc::clone(&runs), gate };
    let worker = Workers::start(vec![double], Arc::new(read), 2).unwrap();
    Fixture { worker, runs }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

#[tokio::test]
async fn a_text_that_breaks_the_model_fails_its_own_request_only() {
    let Fixture { worker, .. } = start(Batching::ByLength, None);
    for bad in
        ["panic", "error", "wide", "nan", "zero", "lost", "panic in the tokenizer", "error in the tokenizer"]
    {
        let (good, bad) = (texts(&["good"]), texts(&["fine", bad]));
        let (good, bad) = tokio::join!(worker.embed(&good), worker.embed(&bad));
        assert!(matches!(good.unwrap()[..], [Embedded::Vector(_)]));
        assert_eq!(bad.unwrap_err().kind(), ErrorKind::Embedding);
    }
}

#[tokio::test]
async fn texts_that_the_model_cannot_see_whole_are_outcomes_and_not_errors() {
    let Fixture { worker, .. } = start(Batching::ByLength, None);
    let embedded = worker.embed(&texts(&["long", "short", "unknown"])).await.unwrap();
    assert!(matches!(embedded[..], [Embedded::TooLong, Embedded::Vector(_), Embedded::Unreadable]));
}

#[tokio::test]
async fn a_lone_text_fares_as_it_does_among_others() {
    let Fixture { worker, runs } = start(Batching::ByLength, None);
    let lone = async |text: &str| worker.embed(&texts(&[text])).await.map(|mut all| all.pop().unwrap());
    assert!(matches!(lone("long").await, Ok(Embedded::TooLong)));
    assert!(matches!(lone("unknown").await, Ok(Embedded::Unreadable)));
    assert!(lone("panic in the tokenizer").await.unwrap_err().to_string().contains("panicked"));
    assert_eq!(lone("error in the tokenizer").await.unwrap_err().to_string(), "as asked");
    assert!(runs.lock().unwrap().is_empty());
    let long = "x".repeat(MAX_CALLER_BYTES + 1);
    for text in ["short", &long] {
        let Embedded::Vector(alone) = lone(text).await.unwrap() else { panic!("no vector") };
        let both = worker.embed(&texts(&[text, "another"])).await.unwrap();
        assert!(matches!(&both[0], Embedded::Vector(vector) if *vector == alone));
    }
    assert!(worker.is_idle());
}

#[tokio::test]
async fn no_text_is_no_work() {
    let Fixture { worker, runs } = start(Batching::ByLength, None);
    assert!(worker.embed(&[]).await.unwrap().is_empty());
    assert!(runs.lock().unwrap().is_empty());
}

#[tokio::test]
async fn equal_texts_run_once_and_order_is_kept() {
    let Fixture { worker, runs } = start(Batching::Alone, None);
    let embedded = worker.embed(&texts(&["bb", "a", "bb"])).await.unwrap();
    assert_eq!(*runs.lock().unwrap(), [["bb"], ["a"]]);
    let vectors: Vec<_> = embedded
        .iter()
        .map(|one| match one {
            Embedded::Vector(vector) => vector,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(vectors[0], vectors[2]);
    assert_ne!(vectors[0], vectors[1]);
}

#[tokio::test]
async fn a_dropped_request_is_skipped_and_waiting_ones_share_a_run() {
    let (announce, running) = mpsc::channel();
    let (leave, leave_given) = mpsc::channel();
    let Fixture { worker, runs } = start(Batching::ByLength, Some((announce, leave_given)));
    let worker = Arc::new(worker);
    let spawn = |text: &'static str| {
        let worker = Arc::clone(&worker);
        tokio::spawn(async move { worker.embed(&texts(&[text])).await })
    };
    let first = spawn("first");
    tokio::task::yield_now().await;
    running.recv_timeout(PATIENCE).unwrap();
    // The thread is held inside "first"; these three wait in the queue.
    let (dropped, second, third) = (spawn("dropped"), spawn("second"), spawn("third"));
    tokio::task::yield_now().await;
    dropped.abort();
    assert!(dropped.await.unwrap_err().is_cancelled());
    leave.send(()).unwrap();
    leave.send(()).unwrap();
    for task in [first, second, third] {
        assert_eq!(task.await.unwrap().unwrap().len(), 1);
    }
    // By length, so the order within the run is not that of arrival.
    assert_eq!(*runs.lock().unwrap(), [vec!["first"], vec!["third", "second"]]);
}

#[tokio::test]
async fn a_large_request_lets_a_lone_one_in_between() {
    let Fixture { worker, runs } = start(Batching::ByLength, None);
    let many: Vec<String> = (0..200).map(|number| format!("text {number:03}")).collect();
    let lone = texts(&["lone"]);
    let (all, one) = tokio::join!(worker.embed(&many), worker.embed(&lone));
    assert_eq!((all.unwrap().len(), one.unwrap().len()), (200, 1));
    let runs = runs.lock().unwrap();
    let place = runs.iter().position(|run| run.contains(&"lone".to_owned())).unwrap();
    assert!(place <= 2, "the lone text ran after {place} runs");
}

#[tokio::test]
async fn a_request_is_answered_before_the_others_of_its_round() {
    let (announce, running) = mpsc::channel();
    let (leave, leave_given) = mpsc::channel();
    let Fixture { worker, .. } = start(Batching::Alone, Some((announce, leave_given)));
    let worker = Arc::new(worker);
    let spawn = |text: &'static str| {
        let worker = Arc::clone(&worker);
        tokio::spawn(async move { worker.embed(&texts(&[text])).await })
    };
    let holding = spawn("holding");
    tokio::task::yield_now().await;
    running.recv_timeout(PATIENCE).unwrap();
    // These wait in the queue and become one round.
    let (first, second) = (spawn("first"), spawn("second"));
    tokio::task::yield_now().await;
    for _ in 0..2 {
        leave.send(()).unwrap();
    }
    holding.await.unwrap().unwrap();
    first.await.unwrap().unwrap();
    assert!(!second.is_finished() && !worker.is_idle());
    leave.send(()).unwrap();
    second.await.unwrap().unwrap();
    assert!(worker.is_idle());
}

#[tokio::test]
async fn workers_share_what_waits() {
    let runs = Arc::new(Mutex::new(Vec::new()));
    let (announce, running) = mpsc::channel();
    let (leaves, doubles): (Vec<_>, Vec<_>) = (0..2)
        .map(|_| {
            let (leave, given) = mpsc::channel();
            let gate = Some((announce.clone(), given));
            (leave, Double { batching: Batching::Alone, runs: Arc::clone(&runs), gate })
        })
        .unzip();
    let worker = Workers::start(doubles, Arc::new(read), 2).unwrap();
    let (one, other) = (texts(&["one"]), texts(&["other"]));
    let both = async { tokio::join!(worker.embed(&one), worker.embed(&other)) };
    let release = async {
        // Both run at the same time: neither has permission to end.
        for _ in 0..2 {
            running.recv_timeout(PATIENCE).unwrap();
        }
        assert!(!worker.is_idle());
        for leave in &leaves {
            leave.send(()).unwrap();
        }
    };
    let ((one, other), ()) = tokio::join!(both, release);
    assert_eq!((one.unwrap().len(), other.unwrap().len()), (1, 1));
}
