//! A thread that owns a model, and the queue before it.
//!
//! Guarantees: every job is answered unless its caller has gone; a failure or panic of the model affects only
//! the job that caused it; the thread ends before [`Worker`] is dropped. A caller never waits for room: if
//! the queue is full, the job fails at once, because a verdict that comes too late is worth less than a miss.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::error::{Error, ErrorKind, Result};

/// The most pairs that wait for a model: about 400 ms of work of a cross-encoder.
pub const QUEUE_CAPACITY: usize = 128;

/// A handle to the thread; dropping it ends and joins the thread, which takes one job at most.
pub(super) struct Worker<I, O> {
    /// None only while dropping: closing the queue is what ends the thread.
    queue: Option<mpsc::Sender<Request<I, O>>>,
    thread: Option<JoinHandle<()>>,
}

struct Request<I, O> {
    job: I,
    reply: oneshot::Sender<Result<O>>,
}

impl<I, O> fmt::Debug for Worker<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}

impl<I: Send + 'static, O: Send + 'static> Worker<I, O> {
    /// Starts the thread for `model`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Model`] if the system cannot start a thread.
    pub(super) fn start(model: impl FnMut(I) -> Result<O> + Send + 'static) -> Result<Self> {
        let (queue, requests) = mpsc::channel(QUEUE_CAPACITY);
        let thread = thread::Builder::new()
            .name("wellspring-verify".to_owned())
            .spawn(move || serve(model, requests))
            .map_err(|error| {
                Error::new(ErrorKind::Model, "cannot start the verifier's thread").with_source(error)
            })?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// The model's result for `job`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`] if the queue is full, [`ErrorKind::Model`] if the model fails or panics.
    ///
    /// # Cancel safety
    ///
    /// A job whose future is dropped is skipped if the thread has not started it.
    pub(super) async fn run(&self, job: I) -> Result<O> {
        let (reply, answer) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or_else(gone)?;
        queue.try_send(Request { job, reply }).map_err(|refused| match refused {
            TrySendError::Full(_) => Error::new(ErrorKind::Timeout, "too many pairs wait for the verifier"),
            TrySendError::Closed(_) => gone(),
        })?;
        answer.await.map_err(|_| gone())?
    }
}

impl<I, O> Drop for Worker<I, O> {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // The thread catches the model's panics; nothing is left to report here.
            let _ = thread.join();
        }
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Closed, "the verifier's thread has ended")
}

fn serve<I, O>(mut model: impl FnMut(I) -> Result<O>, mut requests: mpsc::Receiver<Request<I, O>>) {
    while let Some(Request { job, reply }) = requests.blocking_recv() {
        // The jobs behind a closed queue belong to callers that have gone with it.
        if reply.is_closed() {
            continue;
        }
        // The model is used again after a panic: it keeps nothing of one pair for the next.
        let outcome = catch_unwind(AssertUnwindSafe(|| model(job)))
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::Model, "the verifier panicked on a pair")));
        // An error means that the caller has gone.
        let _ = reply.send(outcome);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Arc, Mutex};

    use futures::FutureExt as _;

    use super::*;

    /// Gives lengths; waits for leave if there is a gate, and fails when asked to.
    fn double(
        done: Arc<Mutex<Vec<&'static str>>>,
        gate: Option<(Sender<()>, Receiver<()>)>,
    ) -> impl FnMut(&'static str) -> Result<usize> {
        move |job| {
            if let Some((began, leave)) = &gate {
                began.send(()).unwrap();
                leave.recv().unwrap();
            }
            done.lock().unwrap().push(job);
            match job {
                "panic" => panic!("as asked"),
                "error" => Err(Error::new(ErrorKind::Model, "as asked")),
                _ => Ok(job.len()),
            }
        }
    }

    #[tokio::test]
    async fn a_pair_that_fails_takes_no_other_with_it() {
        let worker = Worker::start(double(Arc::default(), None)).unwrap();
        assert_eq!(worker.run("error").await.unwrap_err().kind(), ErrorKind::Model);
        assert!(worker.run("panic").await.unwrap_err().to_string().contains("panicked"));
        assert_eq!(worker.run("four").await.unwrap(), 4);
    }

    #[tokio::test]
    async fn a_full_queue_is_told_at_once_and_who_gave_up_is_skipped() {
        let scored = Arc::new(Mutex::new(Vec::new()));
        let ((began, has_begun), (leave, leaves)) = (channel(), channel());
        let worker = Worker::start(double(Arc::clone(&scored), Some((began, leaves)))).unwrap();
        let mut first = Box::pin(worker.run("first"));
        assert!(first.as_mut().now_or_never().is_none());
        has_begun.recv().unwrap();
        let mut waiting: Vec<_> = (0..QUEUE_CAPACITY).map(|_| Box::pin(worker.run("gave up"))).collect();
        for one in &mut waiting {
            assert!(one.as_mut().now_or_never().is_none());
        }
        assert_eq!(worker.run("over").await.unwrap_err().kind(), ErrorKind::Timeout);
        drop(waiting);
        leave.send(()).unwrap();
        leave.send(()).unwrap();
        assert_eq!(first.await.unwrap(), 5);
        // The queue is full until the thread has taken one of the jobs that were abandoned.
        let last = loop {
            match worker.run("last").await {
                Err(error) if error.kind() == ErrorKind::Timeout => tokio::task::yield_now().await,
                other => break other,
            }
        };
        assert_eq!(last.unwrap(), 4);
        assert_eq!(*scored.lock().unwrap(), ["first", "last"]);
    }
}
