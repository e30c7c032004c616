//! The threads that each own a model, and the queue in front of them.
//!
//! fastembed takes `&mut self`, so each model needs one owner. Separate threads keep its work off the async
//! threads, and can process all waiting requests in one round. A lone request never waits for a round to
//! fill.
//!
//! Guarantees: every request is answered as soon as its own texts are done, unless its caller has gone; a
//! failure or panic of the model affects only the requests whose texts caused it; the threads end before
//! [`Workers`] is dropped. Requests are processed in order of arrival, without any priority.

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::sync::{mpsc, oneshot};

use super::batch::plan;
use super::model::{Model, Reader, Reading};
use crate::embed::Embedded;
use crate::embed::checked::checked;
use crate::embedding::Embedding;
use crate::error::{Error, ErrorKind, Result};

/// The most requests that wait for the model; further callers wait for room.
const QUEUE_CAPACITY: usize = 1_024;

/// The most texts of one request, and the number from which on a round takes no further request. A caller
/// with more texts sends them one part after the other, so that a lone question waits for one part of a large
/// import and not for all of it.
const MAX_REQUEST_TEXTS: usize = 32;

/// The longest lone text, in bytes, that its caller tokenizes itself. This keeps the work off the thread,
/// which is busy enough: it takes 50 µs for a question of 16 tokens, and 0.4 ms at most.
const MAX_CALLER_BYTES: usize = 1_024;

/// A handle to the threads; dropping it ends and joins them. Each thread first ends its current round.
pub(super) struct Workers {
    /// None only while dropping: the threads end when the queue is closed.
    queue: Option<mpsc::Sender<Request>>,
    reader: Reader,
    /// Requests that wait or are being worked on.
    open: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
}

struct Request {
    texts: Vec<String>,
    /// How the model sees the only text, if the caller has checked.
    reading: Option<Reading>,
    reply: oneshot::Sender<Result<Vec<Embedded>>>,
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

impl Workers {
    /// Starts a thread for each of `models`, which are copies of one model. `reader` reads their texts, and
    /// their vectors have `dimensions` components.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Embedding`] if the system cannot start a thread.
    pub(super) fn start<M: Model>(models: Vec<M>, reader: Reader, dimensions: usize) -> Result<Self> {
        let (queue, requests) = mpsc::channel(QUEUE_CAPACITY);
        let shared = Shared {
            requests: Arc::new(Mutex::new(requests)),
            open: Arc::new(AtomicUsize::new(0)),
            workers: models.len(),
            dimensions,
            reader: Arc::clone(&reader),
        };
        let open = Arc::clone(&shared.open);
        // Filled while the threads start, so that if one fails to start, the others are joined.
        let mut workers = Self { queue: Some(queue), reader, open, threads: Vec::new() };
        for model in models {
            let shared = shared.clone();
            let thread = thread::Builder::new()
                .name("wellspring-embed".to_owned())
                .spawn(move || shared.serve(model))
                .map_err(|error| {
                    Error::new(ErrorKind::Embedding, "cannot start the embedder's thread").with_source(error)
                })?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Embeds `texts`, in their order.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Embedding`] if the model fails or panics on one of them.
    ///
    /// # Cancel safety
    ///
    /// A request whose future is dropped is skipped if no thread has begun it.
    pub(super) async fn embed(&self, texts: &[String]) -> Result<Vec<Embedded>> {
        let reading = match texts {
            [lone] if lone.len() <= MAX_CALLER_BYTES => match catch(|| (self.reader)(lone))? {
                Reading::TooLong => return Ok(vec![Embedded::TooLong]),
                Reading::Unreadable => return Ok(vec![Embedded::Unreadable]),
                reading @ Reading::Tokens(_) => Some(reading),
            },
            _ => None,
        };
        let mut embedded = Vec::with_capacity(texts.len());
        for part in texts.chunks(MAX_REQUEST_TEXTS) {
            let (reply, answer) = oneshot::channel();
            let queue = self.queue.as_ref().ok_or_else(gone)?;
            let place = queue.reserve().await.map_err(|_| gone())?;
            // From here on the request is sure to reach a thread, which decrements the counter.
            self.open.fetch_add(1, Ordering::Relaxed);
            place.send(Request { texts: part.to_vec(), reading, reply });
            embedded.extend(answer.await.map_err(|_| gone())??);
        }
        Ok(embedded)
    }

    /// Whether a thread has nothing to do.
    pub(super) fn is_idle(&self) -> bool {
        self.open.load(Ordering::Relaxed) < self.threads.len()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            // The thread catches the model's panics; nothing is left to report here.
            let _ = thread.join();
        }
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Closed, "the embedder's thread has ended")
}

/// What the threads share.
#[derive(Clone)]
struct Shared {
    /// Locked while a thread waits for a request: the other threads wait for the lock instead.
    requests: Arc<Mutex<mpsc::Receiver<Request>>>,
    open: Arc<AtomicUsize>,
    workers: usize,
    dimensions: usize,
    reader: Reader,
}

impl Shared {
    fn serve(&self, mut model: impl Model) {
        while let Some(mut round) = self.next_round() {
            let taken = round.len();
            round.retain(|request| !request.reply.is_closed());
            self.open.fetch_sub(taken - round.len(), Ordering::Relaxed);
            self.answer(&mut model, round);
        }
    }

    /// Waits for a request, and takes this thread's share of the requests waiting behind it; none if the
    /// queue is closed.
    fn next_round(&self) -> Option<Vec<Request>> {
        // Poison is harmless: the queue changes in one step.
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let first = requests.blocking_recv()?;
        let share = (requests.len() + 1).div_ceil(self.workers);
        let mut texts = first.texts.len();
        let mut round = vec![first];
        while round.len() < share
            && texts < MAX_REQUEST_TEXTS
            && let Ok(request) = requests.try_recv()
        {
            texts += request.texts.len();
            round.push(request);
        }
        Some(round)
    }

    /// Embeds each distinct text of `round` once, and answers each request as soon as its last text is done.
    fn answer(&self, model: &mut impl Model, round: Vec<Request>) {
        let (asked, replies): (Vec<_>, Vec<_>) =
            round.into_iter().map(|request| ((request.texts, request.reading), request.reply)).unzip();
        let mut positions: HashMap<&str, usize> = HashMap::new();
        let mut texts: Vec<(&str, Option<Reading>)> = Vec::new();
        let mut waiting: Vec<Waiting> = Vec::with_capacity(asked.len());
        for ((request, reading), reply) in asked.iter().zip(replies) {
            let position = |text| {
                *positions.entry(text).or_insert_with(|| {
                    texts.push((text, *reading));
                    texts.len() - 1
                })
            };
            waiting.push(Waiting {
                positions: request.iter().map(String::as_str).map(position).collect(),
                reply,
            });
        }
        let mut outcomes = Vec::with_capacity(texts.len());
        // The texts to run: position and length.
        let mut to_run = Vec::new();
        for (position, (text, reading)) in texts.iter().enumerate() {
            let reading = reading.map_or_else(|| catch(|| (self.reader)(text)), Ok);
            outcomes.push(match reading {
                Ok(Reading::Tokens(length)) => {
                    to_run.push((position, length));
                    None
                }
                Ok(Reading::TooLong) => Some(Outcome::Done(Embedded::TooLong)),
                Ok(Reading::Unreadable) => Some(Outcome::Done(Embedded::Unreadable)),
                Err(error) => Some(Err(error).into()),
            });
        }
        self.reply(&mut waiting, &outcomes);
        let lengths: Vec<usize> = to_run.iter().map(|&(_, length)| length).collect();
        for run in plan(&lengths, model.batching()) {
            let positions: Vec<usize> = run.into_iter().map(|index| to_run[index].0).collect();
            let run: Vec<&str> = positions.iter().map(|&position| texts[position].0).collect();
            for (position, outcome) in positions.into_iter().zip(run_model(model, self.dimensions, &run)) {
                outcomes[position] = Some(outcome);
            }
            self.reply(&mut waiting, &outcomes);
        }
    }

    /// Answers the requests in `waiting` whose texts are all done.
    fn reply(&self, waiting: &mut Vec<Waiting>, outcomes: &[Option<Outcome>]) {
        let is_done = |one: &mut Waiting| one.positions.iter().all(|&position| outcomes[position].is_some());
        for done in waiting.extract_if(.., is_done) {
            let outcomes = done.positions.iter().filter_map(|&position| outcomes[position].as_ref());
            let answer = outcomes.map(Outcome::to_result).collect();
            // Before the answer, because the caller that gets it may ask at once whether a thread is free.
            self.open.fetch_sub(1, Ordering::Relaxed);
            // An error means that the caller has gone.
            let _ = done.reply.send(answer);
        }
    }
}

/// A request that is being worked on.
struct Waiting {
    /// The positions of its texts among the distinct ones of the round.
    positions: Vec<usize>,
    reply: oneshot::Sender<Result<Vec<Embedded>>>,
}

/// The outcome for a text; unlike a `Result`, it can answer several requests.
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

/// Runs the model once on all of `texts`. If that fails, runs it on each text alone, so that one failing text
/// does not fail the others.
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

/// Calls `work` and turns a panic into an error. The model is used again afterwards: it consists of a session
/// and a tokenizer, and neither keeps any state from one text to the next.
fn catch<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Error::new(ErrorKind::Embedding, "the model panicked on a text")))
}

#[cfg(test)]
mod tests;
