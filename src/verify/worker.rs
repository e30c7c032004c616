//! The thread that owns a scorer's model.
//!
//! Use [`Threads::run_now`]: a verdict that comes too late is worth less than a miss.

use crate::error::{ErrorKind, Result};
use crate::onnx::{Settings, Threads};

/// The most pairs that wait for a model: about 400 ms of work of a cross-encoder.
pub const QUEUE_CAPACITY: usize = 128;

/// Starts the thread for `model`; dropping it takes one job at most.
///
/// # Errors
///
/// [`ErrorKind::Model`] if the system cannot start a thread.
pub(super) fn start<J: Send + 'static, O: Send + 'static>(
    model: impl FnMut(J) -> Result<O> + Send + 'static,
) -> Result<Threads<J, O>> {
    let settings = const {
        &Settings {
            whose: "verifier",
            thread: "wellspring-verify",
            kind: ErrorKind::Model,
            capacity: QUEUE_CAPACITY,
            size: |_| 1,
            round: 1,
        }
    };
    Threads::start_one(settings, model)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Arc, Mutex};

    use futures::FutureExt as _;

    use super::*;
    use crate::error::Error;

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
        let worker = start(double(Arc::default(), None)).unwrap();
        assert_eq!(worker.run_now("error").await.unwrap_err().kind(), ErrorKind::Model);
        assert!(worker.run_now("panic").await.unwrap_err().to_string().contains("panicked"));
        assert_eq!(worker.run_now("four").await.unwrap(), 4);
    }

    #[tokio::test]
    async fn a_full_queue_is_reported_at_once_and_who_gave_up_is_skipped() {
        let scored = Arc::new(Mutex::new(Vec::new()));
        let ((began, has_begun), (leave, leaves)) = (channel(), channel());
        let worker = start(double(Arc::clone(&scored), Some((began, leaves)))).unwrap();
        let mut first = Box::pin(worker.run_now("first"));
        assert!(first.as_mut().now_or_never().is_none());
        has_begun.recv().unwrap();
        let mut waiting: Vec<_> = (0..QUEUE_CAPACITY).map(|_| Box::pin(worker.run_now("gave up"))).collect();
        for one in &mut waiting {
            assert!(one.as_mut().now_or_never().is_none());
        }
        assert_eq!(worker.run_now("over").await.unwrap_err().kind(), ErrorKind::Timeout);
        drop(waiting);
        leave.send(()).unwrap();
        leave.send(()).unwrap();
        assert_eq!(first.await.unwrap(), 5);
        // The queue is full until the thread has taken one of the jobs that were abandoned.
        let last = loop {
            match worker.run_now("last").await {
                Err(error) if error.kind() == ErrorKind::Timeout => tokio::task::yield_now().await,
                other => break other,
            }
        };
        assert_eq!(last.unwrap(), 4);
        assert_eq!(*scored.lock().unwrap(), ["first", "last"]);
    }
}
