//! The one thread that owns the model, and the queue before it.
//!
//! Guarantees: every pair is answered or its caller has gone; a failure or panic of the model reaches only the pair
//! that caused it; the thread ends before [`Worker`] is dropped. A caller is never made to wait for room: what finds
//! the queue full is told so, for a verdict that comes too late is worth less than a miss.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::super::scorer::Scored;
use super::model::Pairs;
use crate::error::{Error, ErrorKind, Result};

/// The most pairs that wait before the model: about 400 ms of work of the bundled one.
pub const QUEUE_CAPACITY: usize = 128;

/// A handle to the thread; dropping it ends and joins the thread, which takes one pair at most.
#[derive(Debug)]
pub(super) struct Worker {
    /// None only while dropping: closing the queue is what ends the thread.
    queue: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

struct Request {
    asked: String,
    cached: String,
    reply: oneshot::Sender<Result<Scored>>,
}

impl Worker {
    /// Starts the thread of `model`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Model`] if the system gives no thread.
    pub(super) fn start(model: impl Pairs) -> Result<Self> {
        let (queue, requests) = mpsc::channel(QUEUE_CAPACITY);
        let thread = thread::Builder::new()
            .name("wellspring-verify".to_owned())
            .spawn(move || serve(model, requests))
            .map_err(|error| {
                Error::new(ErrorKind::Model, "cannot start the verifier's thread").with_source(error)
            })?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Scores a pair.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`] if the queue is full, [`ErrorKind::Model`] if the model fails or panics.
    ///
    /// # Cancel safety
    ///
    /// A pair whose future is dropped is skipped if the thread has not begun it.
    pub(super) async fn score(&self, asked: &str, cached: &str) -> Result<Scored> {
        let (reply, answer) = oneshot::channel();
        let request = Request { asked: asked.to_owned(), cached: cached.to_owned(), reply };
        let queue = self.queue.as_ref().ok_or_else(gone)?;
        queue.try_send(request).map_err(|refused| match refused {
            TrySendError::Full(_) => Error::new(ErrorKind::Timeout, "too many pairs wait for the verifier"),
            TrySendError::Closed(_) => gone(),
        })?;
        answer.await.map_err(|_| gone())?
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
    Error::new(ErrorKind::Closed, "the verifier's thread has ended")
}

fn serve(mut model: impl Pairs, mut requests: mpsc::Receiver<Request>) {
    while let Some(Request { asked, cached, reply }) = requests.blocking_recv() {
        // What waits behind a closed queue belongs to callers that have gone with it.
        if reply.is_closed() {
            continue;
        }
        // The model is used again after a panic: it is a session and a tokenizer, neither of which keeps anything of
        // one pair for the next.
        let scored = catch_unwind(AssertUnwindSafe(|| model.score(&asked, &cached)))
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::Model, "the verifier panicked on a pair")));
        // An error means that the caller has gone.
        let _ = reply.send(scored);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Arc, Mutex};

    use futures::FutureExt as _;

    use super::*;

    /// Scores by length; waits for leave if there is a gate, and fails when asked to.
    struct Double {
        scored: Arc<Mutex<Vec<String>>>,
        gate: Option<(Sender<()>, Receiver<()>)>,
    }

    impl Pairs for Double {
        fn score(&mut self, asked: &str, _cached: &str) -> Result<Scored> {
            if let Some((began, leave)) = &self.gate {
                began.send(()).unwrap();
                leave.recv().unwrap();
            }
            self.scored.lock().unwrap().push(asked.to_owned());
            match asked {
                "panic" => panic!("as asked"),
                "error" => Err(Error::new(ErrorKind::Model, "as asked")),
                _ => Ok(Scored::Logit(asked.len() as f32)),
            }
        }
    }

    #[tokio::test]
    async fn a_pair_that_fails_takes_no_other_with_it() {
        let worker = Worker::start(Double { scored: Arc::default(), gate: None }).unwrap();
        assert_eq!(worker.score("error", "b").await.unwrap_err().kind(), ErrorKind::Model);
        assert!(worker.score("panic", "b").await.unwrap_err().to_string().contains("panicked"));
        assert_eq!(worker.score("four", "b").await.unwrap(), Scored::Logit(4.0));
    }

    #[tokio::test]
    async fn a_full_queue_is_told_at_once_and_who_gave_up_is_skipped() {
        let scored = Arc::new(Mutex::new(Vec::new()));
        let ((began, has_begun), (leave, leaves)) = (channel(), channel());
        let double = Double { scored: Arc::clone(&scored), gate: Some((began, leaves)) };
        let worker = Worker::start(double).unwrap();
        let mut first = Box::pin(worker.score("first", "b"));
        assert!(first.as_mut().now_or_never().is_none());
        has_begun.recv().unwrap();
        let mut waiting: Vec<_> =
            (0..QUEUE_CAPACITY).map(|_| Box::pin(worker.score("gave up", "b"))).collect();
        for one in &mut waiting {
            assert!(one.as_mut().now_or_never().is_none());
        }
        assert_eq!(worker.score("over", "b").await.unwrap_err().kind(), ErrorKind::Timeout);
        drop(waiting);
        leave.send(()).unwrap();
        leave.send(()).unwrap();
        assert_eq!(first.await.unwrap(), Scored::Logit(5.0));
        // The queue is full until the thread has taken one of those that gave up.
        let last = loop {
            match worker.score("last", "b").await {
                Err(error) if error.kind() == ErrorKind::Timeout => tokio::task::yield_now().await,
                other => break other,
            }
        };
        assert_eq!(last.unwrap(), Scored::Logit(4.0));
        assert_eq!(*scored.lock().unwrap(), ["first", "last"]);
    }
}
