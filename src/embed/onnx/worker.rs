//! The one thread that owns a model, and the queue before it.
//!
//! fastembed takes `&mut self`, so someone must own the model; a thread of its own keeps its work off the
//! async threads and can take what waits in one round. A lone request never waits for a round to fill.
//!
//! Guarantees: every request is answered or its caller has gone; a failure or panic of the model reaches
//! only the requests whose texts caused it; the thread ends before [`Worker`] is dropped. Does not order
//! requests by anything but arrival.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use tokio::sync::{mpsc, oneshot};

use super::batch::plan;
use super::model::{Model, Reading};
use crate::embed::Embedded;
use crate::embed::checked::checked;
use crate::embedding::Embedding;
use crate::error::{Error, ErrorKind, Result};

/// The most requests that wait before the model; further callers wait for room.
const QUEUE_CAPACITY: usize = 1_024;

/// The most texts of one request, and of one round over what waits. A caller with more sends them one part
/// after the other, so that a lone question waits for one part of a large import and not for all of it.
const MAX_ROUND_TEXTS: usize = 32;

/// A handle to the thread; dropping it ends and joins the thread, which takes one round at most.
#[derive(Debug)]
pub(super) struct Worker {
    /// None only while dropping: closing the queue is what ends the thread.
    queue: Option<mpsc::Sender<Request>>,
    /// Requests that wait or are being worked on.
    open: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

struct Request {
    texts: Vec<String>,
    reply: oneshot::Sender<Result<Vec<Embedded>>>,
}

impl Worker {
    /// Starts the thread of `model`, whose vectors have `dimensions` components.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Embedding`] if the system gives no thread.
    pub(super) fn start(model: impl Model, dimensions: usize) -> Result<Self> {
        let (queue, requests) = mpsc::channel(QUEUE_CAPACITY);
        let open = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&open);
        let thread = thread::Builder::new()
            .name("wellspring-embed".to_owned())
            .spawn(move || serve(model, dimensions, requests, &counter))
            .map_err(|error| {
                Error::new(ErrorKind::Embedding, "cannot start the embedder's thread").with_source(error)
            })?;
        Ok(Self { queue: Some(queue), open, thread: Some(thread) })
    }

    /// Embeds `texts`, in their order.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Embedding`] if the model fails or panics on one of them.
    ///
    /// # Cancel safety
    ///
    /// A request whose future is dropped is skipped if the thread has not begun it.
    pub(super) async fn embed(&self, texts: &[String]) -> Result<Vec<Embedded>> {
        let mut embedded = Vec::with_capacity(texts.len());
        for part in texts.chunks(MAX_ROUND_TEXTS) {
            let (reply, answer) = oneshot::channel();
            let queue = self.queue.as_ref().ok_or_else(gone)?;
            let place = queue.reserve().await.map_err(|_| gone())?;
            // Only from here on nothing keeps the request from the thread, which counts it off.
            self.open.fetch_add(1, Ordering::Relaxed);
            place.send(Request { texts: part.to_vec(), reply });
            embedded.extend(answer.await.map_err(|_| gone())??);
        }
        Ok(embedded)
    }

    /// Whether the thread has nothing to do.
    pub(super) fn is_idle(&self) -> bool {
        self.open.load(Ordering::Relaxed) == 0
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // The thread catches the model's panics; nothing is left to report here.
            let _ = thread.join();
        }
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Closed, "the embedder's thread has ended")
}

fn serve(
    mut model: impl Model,
    dimensions: usize,
    mut requests: mpsc::Receiver<Request>,
    open: &AtomicUsize,
) {
    // What the last round had no room for.
    let mut next = None;
    while let Some(first) = next.take().or_else(|| requests.blocking_recv()) {
        let mut texts = first.texts.len();
        let mut round = vec![first];
        while let Ok(request) = requests.try_recv() {
            texts += request.texts.len();
            if texts > MAX_ROUND_TEXTS {
                next = Some(request);
                break;
            }
            round.push(request);
        }
        let taken = round.len();
        round.retain(|request| !request.reply.is_closed());
        answer(&mut model, dimensions, round);
        open.fetch_sub(taken, Ordering::Relaxed);
    }
}

/// Embeds each distinct text of `round` once and answers each request.
fn answer(model: &mut impl Model, dimensions: usize, round: Vec<Request>) {
    let mut positions: HashMap<&str, usize> = HashMap::new();
    let mut texts: Vec<&str> = Vec::new();
    for text in round.iter().flat_map(|request| &request.texts) {
        positions.entry(text).or_insert_with(|| {
            texts.push(text);
            texts.len() - 1
        });
    }
    let outcomes = embed_distinct(model, dimensions, &texts);
    let answers: Vec<Result<Vec<Embedded>>> = round
        .iter()
        .map(|request| {
            request.texts.iter().map(|text| outcomes[positions[text.as_str()]].to_result()).collect()
        })
        .collect();
    for (request, answer) in round.into_iter().zip(answers) {
        // An error means that the caller has gone.
        let _ = request.reply.send(answer);
    }
}

/// What became of a text; unlike a `Result`, it can answer several requests.
#[derive(Clone)]
enum Outcome {
    Done(Embedded),
    Failed(ErrorKind, String),
}

impl Outcome {
    fn to_result(&self) -> Result<Embedded> {
        match self {
            Self::Done(embedded) => Ok(embedded.clone()),
            Self::Failed(kind, message) => Err(Error::new(*kind, message.clone())),
        }
    }
}

impl From<Result<Embedded>> for Outcome {
    fn from(result: Result<Embedded>) -> Self {
        result.map_or_else(|error| Self::Failed(error.kind(), with_causes(&error)), Self::Done)
    }
}

/// An error and its causes in one line: the causes themselves cannot be cloned.
fn with_causes(error: &Error) -> String {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        message = format!("{message}: {error}");
        cause = error.source();
    }
    message
}

fn embed_distinct(model: &mut impl Model, dimensions: usize, texts: &[&str]) -> Vec<Outcome> {
    let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(texts.len());
    // The texts to run: position and length.
    let mut to_run = Vec::new();
    for (position, text) in texts.iter().enumerate() {
        outcomes.push(match catch(|| model.read(text)) {
            Ok(Reading::Tokens(length)) => {
                to_run.push((position, length));
                None
            }
            Ok(Reading::TooLong) => Some(Outcome::Done(Embedded::TooLong)),
            Ok(Reading::Unreadable) => Some(Outcome::Done(Embedded::Unreadable)),
            Err(error) => Some(Err(error).into()),
        });
    }
    let lengths: Vec<usize> = to_run.iter().map(|&(_, length)| length).collect();
    for run in plan(&lengths, model.batching()) {
        let positions: Vec<usize> = run.into_iter().map(|index| to_run[index].0).collect();
        let run: Vec<&str> = positions.iter().map(|&position| texts[position]).collect();
        for (position, outcome) in positions.into_iter().zip(run_model(model, dimensions, &run)) {
            outcomes[position] = Some(outcome);
        }
    }
    outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(|| Err(gone()).into())).collect()
}

/// Runs the model once over all of `texts`; if that fails, over each alone, so that the text that it fails
/// on does not take the others with it.
fn run_model(model: &mut impl Model, dimensions: usize, texts: &[&str]) -> Vec<Outcome> {
    match try_run(model, dimensions, texts) {
        Ok(embeddings) => embeddings.into_iter().map(|one| Outcome::Done(Embedded::Vector(one))).collect(),
        Err(error) if texts.len() == 1 => vec![Err(error).into()],
        Err(_) => texts.iter().flat_map(|text| run_model(model, dimensions, &[text])).collect(),
    }
}

fn try_run(model: &mut impl Model, dimensions: usize, texts: &[&str]) -> Result<Vec<Embedding>> {
    let vectors = catch(|| model.run(texts))?;
    if vectors.len() != texts.len() {
        let message = format!("the model gave {} vectors for {} texts", vectors.len(), texts.len());
        return Err(Error::new(ErrorKind::Embedding, message));
    }
    vectors.iter().map(|vector| checked(vector, dimensions)).collect()
}

/// Calls `work` and turns a panic into an error. The model is used again afterwards: it is a session and a
/// tokenizer, neither of which keeps anything of one text for the next.
fn catch<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Error::new(ErrorKind::Embedding, "the model panicked on a text")))
}

#[cfg(test)]
mod tests;
