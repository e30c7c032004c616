//! Embedding on threads that each own a copy of the model.
//!
//! A thread processes all that waits, up to its share, in one round.
//!
//! Guarantees: every request is answered as soon as its own texts are done; a failure or panic of the model
//! affects only the requests whose texts caused it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::batch::plan;
use super::model::{Model, Reader, Reading};
use crate::embed::Embedded;
use crate::embed::checked::checked;
use crate::embedding::Embedding;
use crate::error::{Error, ErrorKind, Result};
use crate::onnx::{Reply, Request, Settings, Threads};

/// The most requests that wait for the model; further callers wait for room.
const QUEUE_CAPACITY: usize = 1_024;

/// The most texts of one request, and the number from which on a round takes no further request. A caller
/// with more texts sends them one part after the other, so that a lone question waits for one part of a large
/// import and not for all of it.
const MAX_REQUEST_TEXTS: usize = 32;

/// The longest lone text, in bytes, that its caller tokenizes itself. This keeps the work off the thread,
/// which is busy enough: it takes 50 µs for a question of 16 tokens, and 0.4 ms at most.
const MAX_CALLER_BYTES: usize = 1_024;

static SETTINGS: Settings<Job> = Settings {
    whose: "embedder",
    thread: "wellspring-embed",
    kind: ErrorKind::Embedding,
    capacity: QUEUE_CAPACITY,
    size: |job| job.texts.len(),
    round: MAX_REQUEST_TEXTS,
};

/// A handle to the threads; dropping it ends and joins them.
pub(super) struct Workers {
    reader: Reader,
    threads: Threads<Job, Vec<Embedded>>,
}

struct Job {
    texts: Vec<String>,
    /// How the model sees the only text, if the caller has checked.
    reading: Option<Reading>,
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.threads.fmt(f)
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
        let serve = |mut model: M| {
            let reader = Arc::clone(&reader);
            move |round| answer(&mut model, &reader, dimensions, round)
        };
        let threads = Threads::start(&SETTINGS, models.into_iter().map(serve).collect())?;
        Ok(Self { reader, threads })
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
            [lone] if lone.len() <= MAX_CALLER_BYTES => match SETTINGS.catch(|| (self.reader)(lone))? {
                Reading::TooLong => return Ok(vec![Embedded::TooLong]),
                Reading::Unreadable => return Ok(vec![Embedded::Unreadable]),
                reading @ Reading::Tokens(_) => Some(reading),
            },
            _ => None,
        };
        let mut embedded = Vec::with_capacity(texts.len());
        for part in texts.chunks(MAX_REQUEST_TEXTS) {
            embedded.extend(self.threads.run(Job { texts: part.to_vec(), reading }).await?);
        }
        Ok(embedded)
    }

    /// Whether a thread has nothing to do.
    pub(super) fn is_idle(&self) -> bool {
        self.threads.is_idle()
    }
}

/// Embeds each distinct text of `round` once, and answers each request as soon as its last text is done.
fn answer(
    model: &mut impl Model,
    reader: &Reader,
    dimensions: usize,
    round: Vec<Request<Job, Vec<Embedded>>>,
) {
    let (asked, replies): (Vec<_>, Vec<_>) =
        round.into_iter().map(|request| (request.job, request.reply)).unzip();
    let mut positions: HashMap<&str, usize> = HashMap::new();
    let mut texts: Vec<(&str, Option<Reading>)> = Vec::new();
    let mut waiting: Vec<Waiting> = Vec::with_capacity(asked.len());
    for (job, reply) in asked.iter().zip(replies) {
        let position = |text| {
            *positions.entry(text).or_insert_with(|| {
                texts.push((text, job.reading));
                texts.len() - 1
            })
        };
        waiting
            .push(Waiting { positions: job.texts.iter().map(String::as_str).map(position).collect(), reply });
    }
    let mut outcomes = Vec::with_capacity(texts.len());
    // The texts to run: position and length.
    let mut to_run = Vec::new();
    for (position, (text, reading)) in texts.iter().enumerate() {
        let reading = reading.map_or_else(|| SETTINGS.catch(|| reader(text)), Ok);
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
    reply(&mut waiting, &outcomes);
    let lengths: Vec<usize> = to_run.iter().map(|&(_, length)| length).collect();
    for run in plan(&lengths, model.batching()) {
        let positions: Vec<usize> = run.into_iter().map(|index| to_run[index].0).collect();
        let run: Vec<&str> = positions.iter().map(|&position| texts[position].0).collect();
        for (position, outcome) in positions.into_iter().zip(run_model(model, dimensions, &run)) {
            outcomes[position] = Some(outcome);
        }
        reply(&mut waiting, &outcomes);
    }
}

/// Answers the requests in `waiting` whose texts are all done.
fn reply(waiting: &mut Vec<Waiting>, outcomes: &[Option<Outcome>]) {
    let is_done = |one: &mut Waiting| one.positions.iter().all(|&position| outcomes[position].is_some());
    for done in waiting.extract_if(.., is_done) {
        let outcomes = done.positions.iter().filter_map(|&position| outcomes[position].as_ref());
        done.reply.send(outcomes.map(Outcome::to_result).collect());
    }
}

/// A request that is being worked on.
struct Waiting {
    /// The positions of its texts among the distinct ones of the round.
    positions: Vec<usize>,
    reply: Reply<Vec<Embedded>>,
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
    let vectors = SETTINGS.catch(|| model.run(texts))?;
    if vectors.len() != texts.len() {
        let message = format!("the model gave {} vectors for {} texts", vectors.len(), texts.len());
        return Err(Error::new(ErrorKind::Embedding, message));
    }
    vectors.iter().map(|vector| checked(vector, dimensions)).collect()
}

#[cfg(test)]
mod tests;
