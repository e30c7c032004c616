//! The threads that each own a model, and the queue in front of them.
//!
//! A model takes `&mut self` or keeps a core busy, so each has one owner, a thread that is no async thread.
//! Guarantees: every job is answered unless its caller has gone; a job whose caller has gone is skipped if no
//! thread has begun it; the threads end before [`Threads`] is dropped. Jobs are begun in order of arrival,
//! without any priority.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::error::{Error, ErrorKind, Result};

/// What the threads are for, and their limits.
#[derive(Debug)]
pub(crate) struct Settings<J> {
    /// Whose threads they are, such as `embedder`.
    pub(crate) whose: &'static str,
    /// The name of each thread.
    pub(crate) thread: &'static str,
    /// The kind of the errors of the models.
    pub(crate) kind: ErrorKind,
    /// The most jobs that wait.
    pub(crate) capacity: usize,
    /// How large a job is.
    pub(crate) size: fn(&J) -> usize,
    /// The size from which on a round takes no further job.
    pub(crate) round: usize,
}

impl<J> Settings<J> {
    /// Calls `work` and turns a panic into an error. The model is used again afterwards: none keeps any state
    /// from one text to the next.
    pub(crate) fn catch<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
            Err(Error::new(self.kind, format!("the model of the {} panicked", self.whose)))
        })
    }

    fn gone(&self) -> Error {
        Error::new(ErrorKind::Closed, format!("the {}'s thread has ended", self.whose))
    }
}

/// A job, and where its outcome goes.
pub(crate) struct Request<J, O> {
    pub(crate) job: J,
    pub(crate) reply: Reply<O>,
}

/// Where the outcome of a job goes.
pub(crate) struct Reply<O> {
    sender: oneshot::Sender<Result<O>>,
    open: Arc<()>,
}

impl<O> Reply<O> {
    pub(crate) fn send(self, outcome: Result<O>) {
        // Before the answer, because the caller that gets it may ask at once whether a thread is free.
        drop(self.open);
        // An error means that the caller has gone.
        let _ = self.sender.send(outcome);
    }
}

/// A handle to the threads; dropping it ends and joins them. Each thread first ends its current round.
pub(crate) struct Threads<J: 'static, O> {
    settings: &'static Settings<J>,
    /// None only while dropping: the threads end when the queue is closed.
    queue: Option<mpsc::Sender<Request<J, O>>>,
    /// Each job that waits or is being worked on has a share of it.
    open: Arc<()>,
    handles: Vec<JoinHandle<()>>,
}

impl<J, O> fmt::Debug for Threads<J, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads").field("threads", &self.handles.len()).finish_non_exhaustive()
    }
}

impl<J: Send + 'static, O: Send + 'static> Threads<J, O> {
    /// Starts a thread for each of `models`, which are copies of one model and get jobs in rounds. A thread
    /// takes its share of the waiting jobs at a time; a lone job never waits for a round to fill.
    ///
    /// # Errors
    ///
    /// Of the kind in `settings` if the system cannot start a thread.
    pub(crate) fn start<M>(settings: &'static Settings<J>, models: Vec<M>) -> Result<Self>
    where
        M: FnMut(Vec<Request<J, O>>) + Send + 'static,
    {
        let (queue, requests) = mpsc::channel(settings.capacity);
        let requests = Arc::new(Mutex::new(requests));
        let workers = models.len();
        // Filled while the threads start, so that if one fails to start, the others are joined.
        let mut started = Self { settings, queue: Some(queue), open: Arc::default(), handles: Vec::new() };
        for mut model in models {
            let requests = Arc::clone(&requests);
            let serve = move || {
                while let Some(round) = next_round(settings, &requests, workers) {
                    model(round);
                }
            };
            let thread =
                thread::Builder::new().name(settings.thread.to_owned()).spawn(serve).map_err(|error| {
                    Error::new(settings.kind, format!("cannot start the {}'s thread", settings.whose))
                        .with_source(error)
                })?;
            started.handles.push(thread);
        }
        Ok(started)
    }

    /// Starts a thread for a `model` that takes one job at a time. If it fails or panics, only that job fails.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub(crate) fn start_one(
        settings: &'static Settings<J>,
        mut model: impl FnMut(J) -> Result<O> + Send + 'static,
    ) -> Result<Self> {
        let one = move |round: Vec<Request<J, O>>| {
            for Request { job, reply } in round {
                reply.send(settings.catch(|| model(job)));
            }
        };
        Self::start(settings, vec![one])
    }

    /// The outcome of `job`, for which the caller waits until there is room.
    ///
    /// # Errors
    ///
    /// Those of the model; [`ErrorKind::Closed`] if the thread has ended.
    ///
    /// # Cancel safety
    ///
    /// A job whose future is dropped is skipped if no thread has begun it.
    pub(crate) async fn run(&self, job: J) -> Result<O> {
        let place = self.queue()?.reserve().await.map_err(|_| self.settings.gone())?;
        self.run_in(place, job).await
    }

    /// The same, but if there is no room, the job fails at once.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run), and [`ErrorKind::Timeout`] if there is no room.
    ///
    /// # Cancel safety
    ///
    /// As for [`run`](Self::run).
    pub(crate) async fn run_now(&self, job: J) -> Result<O> {
        let place = self.queue()?.try_reserve().map_err(|refused| match refused {
            TrySendError::Full(()) => {
                Error::new(ErrorKind::Timeout, format!("too many wait for the {}", self.settings.whose))
            }
            TrySendError::Closed(()) => self.settings.gone(),
        })?;
        self.run_in(place, job).await
    }

    async fn run_in(&self, place: mpsc::Permit<'_, Request<J, O>>, job: J) -> Result<O> {
        let (sender, outcome) = oneshot::channel();
        place.send(Request { job, reply: Reply { sender, open: Arc::clone(&self.open) } });
        outcome.await.map_err(|_| self.settings.gone())?
    }

    /// Whether a thread has nothing to do.
    pub(crate) fn is_idle(&self) -> bool {
        Arc::strong_count(&self.open) - 1 < self.handles.len()
    }

    fn queue(&self) -> Result<&mpsc::Sender<Request<J, O>>> {
        self.queue.as_ref().ok_or_else(|| self.settings.gone())
    }
}

impl<J, O> Drop for Threads<J, O> {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.handles.drain(..) {
            // The thread catches the model's panics; nothing is left to report here.
            let _ = thread.join();
        }
    }
}

/// Waits for a job, and takes this thread's share of the jobs waiting behind it, without those whose callers
/// have gone; none if the queue is closed. Other threads wait for the lock meanwhile.
fn next_round<J, O>(
    settings: &Settings<J>,
    requests: &Mutex<mpsc::Receiver<Request<J, O>>>,
    workers: usize,
) -> Option<Vec<Request<J, O>>> {
    // Poison is harmless: the queue changes in one step.
    let mut requests = requests.lock().unwrap_or_else(PoisonError::into_inner);
    let first = requests.blocking_recv()?;
    let share = (requests.len() + 1).div_ceil(workers);
    let mut size = (settings.size)(&first.job);
    let mut round = vec![first];
    while round.len() < share
        && size < settings.round
        && let Ok(request) = requests.try_recv()
    {
        size += (settings.size)(&request.job);
        round.push(request);
    }
    round.retain(|request| !request.reply.sender.is_closed());
    Some(round)
}
