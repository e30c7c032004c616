//! Reading a stream as a member of a consumer group.
//!
//! A script reads new entries and checks, at the same moment, whether something may have been missed: between
//! two commands the stream could be trimmed unnoticed. Waiting for new entries is a plain `XREAD`, which
//! reads nothing on behalf of the group.

use std::future::Future;
use std::sync::LazyLock;
use std::time::Duration;

use redis::{RedisError, Script};
use tokio::time::Instant;

use super::OnGap;
use super::apply::{Applier, Failure, Target};
use super::dead_letters::{DeadLetters, Letter};
use super::event::Event;
use super::report::{Observer, Report};
use super::source::{BACKOFF, Connection, Server, Source};
use super::wire::{self, Entry};
use crate::backoff::Backoff;
use crate::cache::Cache;
use crate::error::{Error, ErrorKind, Result};
use crate::key::Corpus;
use crate::store::Store;

static READ: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("read.lua")));
static CLAIM: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("claim.lua")));

/// The most changes in events that are applied together, so that the first events are acknowledged soon.
const MAX_TOGETHER: usize = 1_000;

/// Reads the events of a stream. Made by [`DocumentEvents::stream`](super::DocumentEvents::stream).
#[derive(Debug, Clone)]
#[must_use]
pub struct StreamEvents {
    source: Source,
    stream: String,
    group: String,
    consumer: String,
    corpus: Corpus,
    on_gap: OnGap,
    batch: usize,
    block: Duration,
    claim_idle: Duration,
    max_attempts: u32,
    max_dead_letters: u64,
    observer: Observer,
}

/// Why reading ended.
enum Stop {
    /// It can go on over another connection.
    Lost(String),
    Closed(Error),
}

impl From<RedisError> for Stop {
    fn from(error: RedisError) -> Self {
        Self::Lost(error.to_string())
    }
}

impl StreamEvents {
    pub(super) fn new(address: String, stream: String, group: String, consumer: String) -> Self {
        Self {
            source: Source { address, ca: None },
            stream,
            group,
            consumer,
            corpus: Corpus::default(),
            on_gap: OnGap::default(),
            batch: 100,
            block: Duration::from_secs(1),
            claim_idle: Duration::from_mins(1),
            max_attempts: 8,
            max_dead_letters: 10_000,
            observer: Observer::default(),
        }
    }

    /// Sets the corpus of events that name none.
    pub fn corpus(mut self, corpus: Corpus) -> Self {
        self.corpus = corpus;
        self
    }

    /// Sets what to do when events may have been missed; everything is invalidated by default.
    pub fn on_gap(mut self, on_gap: OnGap) -> Self {
        self.on_gap = on_gap;
        self
    }

    /// Sets how many events are read at a time, 100 by default. Those that can be applied together are.
    pub fn batch(mut self, events: usize) -> Self {
        self.batch = events;
        self
    }

    /// Sets how long one command waits for events, 1 second by default. Events are read as soon as they are
    /// there; this only sets how soon a loss is noticed while there are none.
    pub fn block(mut self, wait: Duration) -> Self {
        self.block = wait;
        self
    }

    /// Sets after how long an event that another consumer has read but not acknowledged is taken over, 1
    /// minute by default. If an event only takes long, it is then applied twice, which is harmless.
    pub fn claim_idle(mut self, idle: Duration) -> Self {
        self.claim_idle = idle;
        self
    }

    /// Sets how many times an event may fail before it goes to the dead letters, 8 by default. A store that
    /// is away does not count: the reader waits for it. An event that can never be applied goes there at
    /// once.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// Sets about how many dead letters are kept, 10,000 by default; the oldest go first.
    pub fn max_dead_letters(mut self, letters: u64) -> Self {
        self.max_dead_letters = letters;
        self
    }

    /// Sets the certificate authority of the server, in PEM. Without one, the system's authorities are
    /// trusted.
    pub fn tls_ca(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.source.ca = Some(pem.into());
        self
    }

    /// Sets a function that receives reports of what happens. It is called between events, so it must be
    /// quick.
    pub fn observe(mut self, notify: impl Fn(&Report) + Send + Sync + 'static) -> Self {
        self.observer = Observer::new(notify);
        self
    }

    /// The events that could not be applied.
    pub fn dead_letters(&self) -> DeadLetters {
        DeadLetters::of(self.source.clone(), self.stream.clone())
    }

    /// Applies events to `cache` until `shutdown` completes. If the server or the store is away, waits for
    /// it.
    ///
    /// # Errors
    ///
    /// `Config` for an address or settings that are not valid; `Closed` once the cache is.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped at any time, and `shutdown` does no more than that: events that are not acknowledged
    /// are applied again later, by this consumer when it comes back or by another.
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
        self.check()?;
        let server = self.source.open()?;
        let mut applier =
            Applier::new(target, self.observer.clone(), self.corpus.clone(), self.on_gap, self.max_attempts);
        let read = async {
            let mut backoff = BACKOFF;
            loop {
                match self.read_from(&server, &mut applier, &mut backoff).await {
                    Stop::Closed(error) => return error,
                    Stop::Lost(why) if backoff.is_first() => {
                        applier.notify(&Report::Disconnected { server: server.name.clone(), why });
                    }
                    Stop::Lost(_) => {}
                }
                backoff.pause().await;
            }
        };
        tokio::select! {
            () = shutdown => Ok(()),
            error = read => Err(error),
        }
    }

    fn check(&self) -> Result<()> {
        let config = |message: &str| Err(Error::new(ErrorKind::Config, message));
        for (what, name) in [("stream", &self.stream), ("group", &self.group), ("consumer", &self.consumer)] {
            if name.is_empty() {
                return config(&format!("the {what} of document events has no name"));
            }
        }
        if !(1..=10_000).contains(&self.batch) {
            return config("batch of document events is not in 1..=10000");
        }
        if self.max_attempts == 0 || self.max_dead_letters == 0 {
            return config("max_attempts and max_dead_letters of document events cannot be 0");
        }
        if self.block < Duration::from_millis(1) || self.claim_idle < Duration::from_millis(1) {
            return config("block and claim_idle of document events cannot be less than a millisecond");
        }
        Ok(())
    }

    /// Reads over one connection for as long as it lasts.
    async fn read_from(&self, server: &Server, applier: &mut Applier<'_>, backoff: &mut Backoff) -> Stop {
        let mut connection = match server.connect().await {
            Ok(connection) => connection,
            Err(error) => return error.into(),
        };
        applier.notify(&Report::Connected { server: server.name.clone() });
        let mut claims_at = None;
        loop {
            match self.round(&mut connection, applier, &mut claims_at).await {
                Ok(()) => backoff.reset(),
                Err(stop) => return stop,
            }
        }
    }

    /// Reads once, and applies what there is.
    async fn round(
        &self,
        connection: &mut Connection,
        applier: &mut Applier<'_>,
        claims_at: &mut Option<Instant>,
    ) -> Result<(), Stop> {
        let mut read = READ.key(&self.stream);
        read.key(self.mark()).arg(&self.group).arg(&self.consumer).arg(self.batch);
        let read = wire::read(&connection.call(&read).await?).ok_or_else(unexpected)?;
        if let Some(reason) = read.gap {
            self.missed(connection, applier, reason, &read.server).await?;
        }
        let is_idle = read.entries.is_empty();
        self.handle(connection, applier, read.entries).await?;
        if claims_at.is_none() {
            // The events that this consumer left unacknowledged when it last ran.
            self.handle_own(connection, applier, &read.server).await?;
        }
        if claims_at.is_none_or(|at| at <= Instant::now()) {
            self.handle_abandoned(connection, applier, &read.server).await?;
            *claims_at = Some(Instant::now() + self.claim_idle / 2);
        }
        if is_idle {
            let mut wait = redis::cmd("XREAD");
            wait.arg("COUNT").arg(1).arg("BLOCK").arg(self.block.as_millis().to_string());
            wait.arg("STREAMS").arg(&self.stream).arg(&read.last);
            connection.send_waiting(&wait, self.block).await?;
        }
        Ok(())
    }

    /// Handles a gap, and only then records that the events of the server are known to be complete.
    async fn missed(
        &self,
        connection: &mut Connection,
        applier: &Applier<'_>,
        reason: super::GapReason,
        server: &str,
    ) -> Result<(), Stop> {
        applier.gap(reason).await.map_err(closed)?;
        connection.send(redis::cmd("SET").arg(self.mark()).arg(server)).await?;
        Ok(())
    }

    async fn handle_own(
        &self,
        connection: &mut Connection,
        applier: &mut Applier<'_>,
        server: &str,
    ) -> Result<(), Stop> {
        let mut after = "0".to_owned();
        loop {
            let mut own = redis::cmd("XREADGROUP");
            own.arg("GROUP").arg(&self.group).arg(&self.consumer).arg("COUNT").arg(self.batch);
            own.arg("STREAMS").arg(&self.stream).arg(&after);
            let entries = wire::stream_entries(&connection.send(&own).await?);
            let Some(last) = entries.last() else { return Ok(()) };
            after.clone_from(&last.id);
            let (gone, entries): (Vec<_>, Vec<_>) =
                entries.into_iter().partition(|entry| entry.fields.is_none());
            if !gone.is_empty() {
                // Unlike claiming, reading does not remove them from the pending list, so they are still
                // there after a crash in between.
                self.missed(connection, applier, super::GapReason::Trimmed, server).await?;
                let gone: Vec<&str> = gone.iter().map(|entry| &*entry.id).collect();
                self.acknowledge(connection, &gone).await?;
            }
            self.handle(connection, applier, entries).await?;
        }
    }

    async fn handle_abandoned(
        &self,
        connection: &mut Connection,
        applier: &mut Applier<'_>,
        server: &str,
    ) -> Result<(), Stop> {
        let mut from = "0-0".to_owned();
        loop {
            let mut claim = CLAIM.key(&self.stream);
            claim.key(self.mark()).arg(&self.group).arg(&self.consumer);
            claim.arg(self.claim_idle.as_millis().to_string()).arg(&from).arg(self.batch);
            let claimed = wire::claimed(&connection.call(&claim).await?).ok_or_else(unexpected)?;
            if claimed.gone > 0 {
                self.missed(connection, applier, super::GapReason::Trimmed, server).await?;
            }
            self.handle(connection, applier, claimed.entries).await?;
            if claimed.next == "0-0" {
                return Ok(());
            }
            from = claimed.next;
        }
    }

    /// Applies and acknowledges entries in order, and together if possible.
    async fn handle(
        &self,
        connection: &mut Connection,
        applier: &mut Applier<'_>,
        entries: Vec<Entry>,
    ) -> Result<(), Stop> {
        let mut readable: Vec<(Entry, Event)> = Vec::new();
        for entry in entries {
            match Event::from_fields(entry.fields.as_deref().unwrap_or_default()) {
                Ok(event) => readable.push((entry, event)),
                Err(reason) => self.bury(connection, applier, &entry, reason).await?,
            }
        }
        let mut rest = readable.as_slice();
        while !rest.is_empty() {
            let (together, others) = rest.split_at(run_length(rest));
            let events: Vec<&Event> = together.iter().map(|(_, event)| event).collect();
            match applier.apply(&events).await {
                Ok(dropped) => self.applied(connection, applier, together, &dropped).await?,
                Err(Failure::Rejected(_)) if together.len() > 1 => {
                    for one in together {
                        self.handle_one(connection, applier, one).await?;
                    }
                }
                Err(Failure::Rejected(reason)) => {
                    self.bury(connection, applier, &together[0].0, reason).await?;
                }
                Err(Failure::Closed(error)) => return Err(Stop::Closed(error)),
            }
            rest = others;
        }
        Ok(())
    }

    async fn handle_one(
        &self,
        connection: &mut Connection,
        applier: &mut Applier<'_>,
        one: &(Entry, Event),
    ) -> Result<(), Stop> {
        match applier.apply(&[&one.1]).await {
            Ok(dropped) => self.applied(connection, applier, std::slice::from_ref(one), &dropped).await,
            Err(Failure::Rejected(reason)) => self.bury(connection, applier, &one.0, reason).await,
            Err(Failure::Closed(error)) => Err(Stop::Closed(error)),
        }
    }

    async fn applied(
        &self,
        connection: &mut Connection,
        applier: &Applier<'_>,
        entries: &[(Entry, Event)],
        dropped: &[u64],
    ) -> Result<(), Stop> {
        let ids: Vec<&str> = entries.iter().map(|(entry, _)| &*entry.id).collect();
        self.acknowledge(connection, &ids).await?;
        for ((entry, _), &dropped) in entries.iter().zip(dropped) {
            applier.notify(&Report::Applied { id: Some(entry.id.clone()), dropped });
        }
        Ok(())
    }

    async fn acknowledge(&self, connection: &mut Connection, ids: &[&str]) -> Result<(), Stop> {
        let mut acknowledge = redis::cmd("XACK");
        connection.send(acknowledge.arg(&self.stream).arg(&self.group).arg(ids)).await?;
        Ok(())
    }

    /// Puts an entry among the dead letters. It is acknowledged only afterwards, so it may be there twice,
    /// but is never lost.
    async fn bury(
        &self,
        connection: &mut Connection,
        applier: &Applier<'_>,
        entry: &Entry,
        reason: String,
    ) -> Result<(), Stop> {
        let mut pending = redis::cmd("XPENDING");
        pending.arg(&self.stream).arg(&self.group).arg(&entry.id).arg(&entry.id).arg(1);
        let deliveries = wire::deliveries(&connection.send(&pending).await?);
        let letter = Letter {
            reason: &reason,
            event: &entry.id,
            group: &self.group,
            deliveries,
            fields: entry.fields.as_deref().unwrap_or_default(),
        };
        connection.send(&letter.add_to(&self.stream, self.max_dead_letters)).await?;
        self.acknowledge(connection, &[&entry.id]).await?;
        applier.notify(&Report::DeadLettered { id: entry.id.clone(), reason });
        Ok(())
    }

    /// The key that names the server whose events this group has seen without a gap.
    fn mark(&self) -> String {
        format!("{}:{}:server", self.stream, self.group)
    }
}

/// How many of the first entries are applied together.
fn run_length(entries: &[(Entry, Event)]) -> usize {
    let mut changes = 0;
    let together = entries.iter().take_while(|(_, event)| {
        changes += event.changes();
        changes <= MAX_TOGETHER && Applier::go_together(&entries[0].1, event)
    });
    together.count().max(1)
}

fn closed(failure: Failure) -> Stop {
    match failure {
        Failure::Closed(error) => Stop::Closed(error),
        // `Change::Everything` is always valid, so the store keeps failing: try again from the start.
        Failure::Rejected(why) => Stop::Lost(why),
    }
}

fn unexpected() -> Stop {
    Stop::Lost("the server gave an unexpected reply".into())
}
