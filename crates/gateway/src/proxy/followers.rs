//! Streams that other callers read while they arrive.
//!
//! A caller that asks a question that is being answered at that moment reads the same stream, from its
//! beginning. It must pass the same freshness checks as a hit first: a stream that could no longer be stored,
//! because something that it depends on changed since it began, is not given to a later caller. A caller that
//! cannot follow waits until the answer is stored, as for any other answer.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use bytes::Bytes;
use tokio::sync::{Notify, watch};
use wellspring::cache::PendingFill;
use wellspring::key::EntryId;

use super::recording::Form;

/// What the answer responds to, and how it is sent.
pub(super) type Key = (EntryId, Form);

/// The streams that are arriving.
#[derive(Debug, Default)]
pub(crate) struct Followers {
    streams: Mutex<HashMap<Key, Arc<Stream>>>,
    /// Notified when a stream is added.
    added: Notify,
}

#[derive(Debug)]
struct Stream {
    pending_fill: PendingFill,
    received: watch::Sender<Received>,
}

/// What has arrived of a stream.
#[derive(Debug, Default)]
struct Received {
    /// Whether the stream is an answer that may be kept.
    is_answer: bool,
    /// The latest pieces, and how many bytes they hold.
    pieces: VecDeque<Bytes>,
    bytes: usize,
    /// How many pieces came before them. A follower that has not read those by then does not get the rest.
    dropped: usize,
    end: Option<End>,
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Whole,
    Broken,
}

impl Followers {
    /// Lets others follow a stream that is about to arrive.
    pub(super) fn lead(self: &Arc<Self>, key: Key, pending_fill: PendingFill, limit: usize) -> Leading {
        let received = watch::Sender::new(Received::default());
        let stream = Arc::new(Stream { pending_fill, received });
        self.table().insert(key, Arc::clone(&stream));
        self.added.notify_waiters();
        Leading { followers: Arc::clone(self), key, stream, limit }
    }

    /// Waits for a stream that may be followed; waits for ever if none comes.
    pub(super) async fn follow(&self, key: Key) -> Following {
        loop {
            let added = self.added.notified();
            let stream = self.table().get(&key).cloned();
            let Some(stream) = stream else {
                added.await;
                continue;
            };
            let mut received = stream.received.subscribe();
            // This check comes after the question arrived, so the clock already knows of all earlier changes.
            if stream.pending_fill.is_fresh().await {
                let is_so = |received: &Received| received.is_answer || received.end.is_some();
                let is_readable = |received: &Received| {
                    received.is_answer && received.end != Some(End::Broken) && received.dropped == 0
                };
                if received.wait_for(is_so).await.is_ok_and(|received| is_readable(&received)) {
                    return Following { received, read: 0 };
                }
            }
            // Those who wait for the answer to be stored learn how the stream ended and what to do then.
            std::future::pending::<()>().await;
        }
    }

    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Arc<Stream>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writing side of a stream. Dropping it breaks off a stream that has not ended.
pub(super) struct Leading {
    followers: Arc<Followers>,
    key: Key,
    stream: Arc<Stream>,
    /// How many bytes are held for callers who read slowly.
    limit: usize,
}

impl Leading {
    /// Marks the response as an answer that may be kept.
    pub(super) fn answers(&self) {
        self.stream.received.send_modify(|received| received.is_answer = true);
    }

    pub(super) fn push(&self, piece: &Bytes) {
        self.stream.received.send_modify(|received| {
            received.bytes += piece.len();
            received.pieces.push_back(piece.clone());
            while received.bytes > self.limit {
                let Some(oldest) = received.pieces.pop_front() else { break };
                received.bytes -= oldest.len();
                received.dropped += 1;
            }
        });
    }

    pub(super) fn is_followed(&self) -> bool {
        self.stream.received.receiver_count() > 0
    }

    /// Waits until no one follows.
    pub(super) async fn unfollowed(&self) {
        self.stream.received.closed().await;
    }

    /// Ends the stream, if it had not ended before.
    pub(super) fn finish(&self, end: End) {
        let mut table = self.followers.table();
        if table.get(&self.key).is_some_and(|stream| Arc::ptr_eq(stream, &self.stream)) {
            table.remove(&self.key);
        }
        drop(table);
        self.stream.received.send_modify(|received| received.end = received.end.or(Some(end)));
    }
}

impl Drop for Leading {
    fn drop(&mut self) {
        self.finish(End::Broken);
    }
}

/// The error for a caller that does not read while others do.
pub(super) const TOO_SLOW: &str = "the caller does not read what it asked for";

/// The reading side of a stream.
pub(super) struct Following {
    received: watch::Receiver<Received>,
    read: usize,
}

impl Following {
    pub(super) fn into_body(self) -> Body {
        Body::from_stream(futures::stream::unfold(Some(self), async |following| {
            let mut following = following?;
            match following.next().await {
                Ok(piece) => piece.map(|piece| (Ok(piece), Some(following))),
                Err(error) => Some((Err(error), None)),
            }
        }))
    }

    /// The next piece; none at the end.
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let read = self.read;
        let broke_off = || io::Error::other("the upstream's answer broke off");
        let is_more =
            |received: &Received| received.dropped + received.pieces.len() > read || received.end.is_some();
        let received = self.received.wait_for(is_more).await.map_err(|_| broke_off())?;
        let place = read.checked_sub(received.dropped).ok_or_else(|| io::Error::other(TOO_SLOW))?;
        let (piece, end) = (received.pieces.get(place).cloned(), received.end);
        drop(received);
        self.read += 1;
        match (piece, end) {
            (Some(piece), _) => Ok(Some(piece)),
            (None, Some(End::Whole)) => Ok(None),
            (None, _) => Err(broke_off()),
        }
    }
}
