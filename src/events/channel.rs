//! Listening to a pub/sub channel.
//!
//! The server sends messages to those who are connected, and does not keep them. Messages that arrive while
//! others are being applied wait in a queue of [`QUEUE`]; if it is full, some were missed.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::{PushInfo, PushKind, Value};
use tokio::sync::mpsc;

use super::OnGap;
use super::apply::{Applier, Failure, Target};
use super::event::Event;
use super::report::{GapReason, Observer, Report};
use super::source::{BACKOFF, Server, Source};
use crate::backoff::Backoff;
use crate::cache::Cache;
use crate::error::{Error, ErrorKind, Result};
use crate::key::Corpus;
use crate::store::Store;

/// The most messages that wait.
const QUEUE: usize = 10_000;
/// How often a quiet connection is tested: one that was cut without notice would stay quiet for ever.
const PING: Duration = Duration::from_secs(5);
/// How many times a message may fail for a reason of its own.
const MAX_ATTEMPTS: u32 = 8;

/// Listens to a channel. Made by [`DocumentEvents::channel`](super::DocumentEvents::channel).
#[derive(Debug, Clone)]
#[must_use]
pub struct ChannelEvents {
    source: Source,
    channel: String,
    corpus: Corpus,
    on_gap: OnGap,
    observer: Observer,
}

impl ChannelEvents {
    pub(super) fn new(address: String, channel: String) -> Self {
        Self {
            source: Source { address, ca: None },
            channel,
            corpus: Corpus::default(),
            on_gap: OnGap::default(),
            observer: Observer::default(),
        }
    }

    /// Sets the corpus of events that name none.
    pub fn corpus(mut self, corpus: Corpus) -> Self {
        self.corpus = corpus;
        self
    }

    /// Sets what to do when messages may have been missed, which is the case at every connection; by default,
    /// everything is invalidated.
    pub fn on_gap(mut self, on_gap: OnGap) -> Self {
        self.on_gap = on_gap;
        self
    }

    /// Sets the certificate authority of the server, in PEM. Without one, the system's authorities are
    /// trusted.
    pub fn tls_ca(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.source.ca = Some(pem.into());
        self
    }

    /// Sets a function that receives reports of what happens. It is called between messages, so it must be
    /// quick.
    pub fn observe(mut self, notify: impl Fn(&Report) + Send + Sync + 'static) -> Self {
        self.observer = Observer::new(notify);
        self
    }

    /// Applies messages to `cache` until `shutdown` completes. If the server or the store is away, waits for
    /// it.
    ///
    /// # Errors
    ///
    /// `Config` for an address or a channel that is not valid; `Closed` once the cache is.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped at any time. Waiting messages are then lost, as are those that come before the next
    /// start.
    pub async fn run(&self, cache: &Cache, shutdown: impl Future<Output = ()>) -> Result<()> {
        self.run_to(Target::Cache(cache), shutdown).await
    }

    /// The same for a program that has a store and no cache.
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run).
    ///
    /// # Cancel safety
    ///
    /// As for [`run`](Self::run).
    pub async fn run_on_store(&self, store: &dyn Store, shutdown: impl Future<Output = ()>) -> Result<()> {
        self.run_to(Target::Store(store), shutdown).await
    }

    async fn run_to(&self, target: Target<'_>, shutdown: impl Future<Output = ()>) -> Result<()> {
        if self.channel.is_empty() {
            return Err(Error::new(ErrorKind::Config, "the channel of document events has no name"));
        }
        let server = self.source.open()?;
        let mut applier =
            Applier::new(target, self.observer.clone(), self.corpus.clone(), self.on_gap, MAX_ATTEMPTS);
        let listen = async {
            let mut backoff = BACKOFF;
            loop {
                let why = match self.listen_to(&server, &mut applier, &mut backoff).await {
                    Err(Failure::Closed(error)) => return error,
                    Err(Failure::Rejected(why)) => why,
                    Ok(()) => "the connection was closed".into(),
                };
                if backoff.is_first() {
                    applier.notify(&Report::Disconnected { server: server.name.clone(), why });
                }
                backoff.pause().await;
            }
        };
        tokio::select! {
            () = shutdown => Ok(()),
            error = listen => Err(error),
        }
    }

    /// Listens over one connection for as long as it lasts.
    async fn listen_to(
        &self,
        server: &Server,
        applier: &mut Applier<'_>,
        backoff: &mut Backoff,
    ) -> Result<(), Failure> {
        let lost = |error: redis::RedisError| Failure::Rejected(error.to_string());
        let (sender, mut messages) = mpsc::channel(QUEUE);
        let overrun = Arc::new(AtomicBool::new(false));
        let is_full = Arc::clone(&overrun);
        let listen = move |push: PushInfo| {
            if let Err(mpsc::error::TrySendError::Full(_)) = sender.try_send(push) {
                is_full.store(true, Ordering::Release);
            }
            Ok(())
        };
        let mut connection = server.connect_listening(listen).await.map_err(lost)?;
        connection.send(redis::cmd("SUBSCRIBE").arg(&self.channel)).await.map_err(lost)?;
        applier.notify(&Report::Connected { server: server.name.clone() });
        // After subscribing, so that nothing comes in between.
        applier.gap(GapReason::Subscribed).await?;
        backoff.reset();
        loop {
            let Ok(push) = tokio::time::timeout(PING, messages.recv()).await else {
                connection.send(&redis::cmd("PING")).await.map_err(lost)?;
                continue;
            };
            match push {
                None | Some(PushInfo { kind: PushKind::Disconnection, .. }) => return Ok(()),
                Some(PushInfo { kind: PushKind::Message, data }) => self.hear(applier, &data).await?,
                Some(_) => {}
            }
            if overrun.swap(false, Ordering::AcqRel) {
                applier.gap(GapReason::Overrun).await?;
            }
        }
    }

    async fn hear(&self, applier: &mut Applier<'_>, data: &[Value]) -> Result<(), Failure> {
        let Some(Value::BulkString(payload)) = data.get(1) else { return Ok(()) };
        let outcome = match Event::from_json(payload) {
            Ok(event) => applier.apply(&[&event]).await,
            Err(reason) => Err(Failure::Rejected(reason)),
        };
        match outcome {
            Ok(dropped) => applier.notify(&Report::Applied { id: None, dropped: dropped.iter().sum() }),
            Err(Failure::Rejected(reason)) => applier.notify(&Report::Ignored { reason }),
            Err(closed) => return Err(closed),
        }
        Ok(())
    }
}
