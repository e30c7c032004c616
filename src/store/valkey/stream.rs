//! The change stream: how a process learns what other processes store and remove.
//!
//! There is one stream for each corpus, `MAXLEN ~` [`LENGTH`]. An event has the kind `k`, the sender `o` and
//! the ids `e`. The kind is `put`, with the scope `s` and the vector `v`, or `gone`, with as many scopes as
//! ids. An event is written after the change that it reports, and no one waits for it: events are hints, and
//! may be lost.
//!
//! If a reader finds that its place is no longer in the stream (because it was cut off for long, or the
//! stream was trimmed or lost), it reports that it fell behind, and continues from the present.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::Value;
use tokio::sync::Notify;

use super::link::{CommandError, Link};
use super::{Inner, lock, record, reply};
use crate::entry::Entry;
use crate::error::Result;
use crate::key::{Corpus, EntryId, ScopeId};

/// About how many events a stream holds.
const LENGTH: u32 = 100_000;
/// How many events are read at a time.
const BATCH: usize = 1_000;
/// How long the server waits for an event before it answers that there is none. A newly followed corpus is
/// first read within the same time.
const WAIT: Duration = Duration::from_millis(500);
/// How often a cluster is polled: a blocking read would hold up everyone on the node's connection.
const POLL: Duration = Duration::from_millis(50);

/// The corpora that are followed.
#[derive(Debug, Default)]
pub(super) struct Follower {
    /// The last event that was read of each corpus; none while it is not known.
    places: Mutex<HashMap<Corpus, String>>,
    changed: Notify,
}

impl Follower {
    fn places(&self) -> Vec<(Corpus, String)> {
        lock(&self.places).iter().map(|(corpus, place)| (corpus.clone(), place.clone())).collect()
    }
}

impl Inner {
    /// Notifies other processes of an entry that was stored.
    pub(super) fn stored(&self, entry: &Entry) {
        // The clock does not report fills, so nothing else would make a copy of an older answer be checked.
        self.tier.forget(entry.id);
        if let Some(embedding) = &entry.embedding {
            let (id, scope) = (entry.id.as_bytes(), entry.scope.as_bytes());
            self.publish(&entry.corpus, "put", id, scope, Some(&record::vector_bytes(embedding)));
        }
        self.list(&entry.corpus);
    }

    /// Puts a corpus on the server's list when this process first uses it.
    pub(super) fn list(&self, corpus: &Corpus) {
        if lock(&self.listed).insert(corpus.clone()) {
            let key = self.keys.corpora();
            let list = redis::cmd("SADD").arg(&key).arg(corpus.as_str()).to_owned();
            self.send_later(key, list);
        }
    }

    /// Notifies other processes of entries that were removed.
    pub(super) fn publish_removed(&self, corpus: &Corpus, removed: &[(EntryId, ScopeId)]) {
        let ids: Vec<u8> = removed.iter().flat_map(|(id, _)| *id.as_bytes()).collect();
        let scopes: Vec<u8> = removed.iter().flat_map(|(_, scope)| *scope.as_bytes()).collect();
        self.publish(corpus, "gone", &ids, &scopes, None);
    }

    /// Adds an event to the stream of a corpus.
    fn publish(&self, corpus: &Corpus, kind: &str, ids: &[u8], scopes: &[u8], vector: Option<&[u8]>) {
        let key = self.keys.stream(corpus);
        let mut add = redis::cmd("XADD");
        add.arg(&key).arg("MAXLEN").arg("~").arg(LENGTH).arg("*").arg("k").arg(kind);
        add.arg("o").arg(&self.origin.to_be_bytes()[..]).arg("e").arg(ids).arg("s").arg(scopes);
        if let Some(vector) = vector {
            add.arg("v").arg(vector);
        }
        self.send_later(key, add);
    }

    fn send_later(&self, key: String, command: redis::Cmd) {
        let link = self.control.clone();
        let limit = self.options.invalidate_timeout;
        let send = async move {
            if let Err(error) = link.send(&command, &key, limit).await {
                tracing::debug!(%error, key, "other processes were not notified of a change");
            }
        };
        // Closing waits for this, so a process that stores an answer and ends has sent its event.
        self.awaited.spawn_on(send, &self.runtime);
    }

    /// Starts to follow `corpus` from the present.
    pub(super) async fn follow(&self, corpus: &Corpus) -> Result<()> {
        if lock(&self.follower.places).contains_key(corpus) {
            return Ok(());
        }
        // The present, not the beginning: whoever follows lists the whole scope next, and needs only what is
        // stored after the listing began.
        let place = self.last_event(&self.control, corpus).await?;
        lock(&self.follower.places).entry(corpus.clone()).or_insert(place);
        self.follower.changed.notify_one();
        Ok(())
    }

    /// Reads new events from the streams that are followed, until the store is closed.
    pub(super) async fn follow_streams(self: Arc<Self>) {
        self.follower.changed.notified().await;
        // Reading blocks, so this task has a connection of its own.
        let limits = self.options.patient_limits();
        let link = Link::open(&self.address, self.options.certificates(), limits, None).await;
        let link = match link {
            Ok(link) => link,
            Err(error) => return tracing::error!(%error, "changes by other processes are not received"),
        };
        let mut was_cut_off = false;
        loop {
            let Ok(read) = self.read_streams(&link).await else {
                was_cut_off = true;
                tokio::time::sleep(WAIT).await;
                continue;
            };
            if std::mem::take(&mut was_cut_off) {
                self.check_places(&link).await;
            }
            if self.control.is_cluster() && read == 0 {
                tokio::time::sleep(POLL).await;
            }
        }
    }

    /// Reads one batch of each stream, and returns how many events there were.
    async fn read_streams(&self, link: &Link) -> Result<usize, CommandError> {
        let places = self.follower.places();
        if !link.is_cluster() {
            return self.read_batch(link, &places).await;
        }
        // Streams of different corpora are in different slots.
        let mut read = 0;
        for place in places {
            read += self.read_batch(link, &[place]).await?;
        }
        Ok(read)
    }

    async fn read_batch(&self, link: &Link, places: &[(Corpus, String)]) -> Result<usize, CommandError> {
        let keys: Vec<String> = places.iter().map(|(corpus, _)| self.keys.stream(corpus)).collect();
        let Some(first) = keys.first() else {
            tokio::time::sleep(WAIT).await;
            return Ok(0);
        };
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(BATCH);
        if !link.is_cluster() {
            command.arg("BLOCK").arg(WAIT.as_millis().to_string());
        }
        command.arg("STREAMS").arg(&keys);
        for (_, place) in places {
            command.arg(place);
        }
        let reply = link.send(&command, first, WAIT + self.options.invalidate_timeout).await?;
        let mut read = 0;
        for (key, events) in streams(&reply) {
            let Some(n) = keys.iter().position(|name| name.as_bytes() == key) else { continue };
            let (corpus, before) = &places[n];
            let mut last = None;
            for (id, fields) in events {
                read += 1;
                last = Some(id);
                self.hear(corpus, fields);
            }
            if let Some(last) = last {
                lock(&self.follower.places).insert(corpus.clone(), last.to_owned());
                // XREAD says nothing if events after `before` were trimmed: it returns those that are left.
                // If the place is still in the stream after the read, nothing between was lost.
                self.check_gap(link, corpus, before).await?;
            }
        }
        Ok(read)
    }

    /// Passes one event to the listener.
    fn hear(&self, corpus: &Corpus, fields: &[Value]) {
        let field = |name: &str| {
            let pairs = fields.as_chunks::<2>().0;
            pairs
                .iter()
                .find(|[key, _]| reply::text(key) == Some(name))
                .and_then(|[_, value]| reply::bytes(value))
        };
        // Its own changes are in the index already. Applied again, an old one could undo a newer one.
        if field("o") == Some(&self.origin.to_be_bytes()) {
            return;
        }
        let (Some(kind), Some(ids), Some(scopes)) = (field("k"), field("e"), field("s")) else { return };
        let entries: Vec<(EntryId, ScopeId)> = ids
            .as_chunks::<16>()
            .0
            .iter()
            .zip(scopes.as_chunks::<16>().0)
            .map(|(id, scope)| (EntryId::from_bytes(*id), ScopeId::from_bytes(*scope)))
            .collect();
        let Some(listener) = self.listener() else { return };
        match (kind, entries.as_slice(), field("v")) {
            (b"put", [(id, scope)], Some(vector)) => {
                if let Some(embedding) = record::vector_of(vector) {
                    listener.stored(corpus, *scope, *id, &embedding);
                }
            }
            (b"gone", entries, _) => {
                for (id, _) in entries {
                    self.tier.forget(*id);
                }
                listener.removed(entries);
            }
            _ => {}
        }
    }

    /// After the connection was lost, checks whether each stream can still be read from its last place.
    async fn check_places(&self, link: &Link) {
        for (corpus, place) in self.follower.places() {
            if self.check_gap(link, &corpus, &place).await.is_err() {
                self.lagged(&corpus);
            }
        }
    }

    /// Reports that events after `place` may be lost, unless `place` is still in the stream.
    async fn check_gap(&self, link: &Link, corpus: &Corpus, place: &str) -> Result<(), CommandError> {
        let key = self.keys.stream(corpus);
        let mut first = redis::cmd("XRANGE");
        first.arg(&key).arg("-").arg("+").arg("COUNT").arg(1);
        let reply = link.send(&first, &key, self.options.invalidate_timeout).await?;
        let first = reply::items(&reply).unwrap_or_default().iter().find_map(event);
        let is_whole = match first {
            Some((first, _)) => place == START || parse_id(first) <= parse_id(place),
            None => place == START,
        };
        if !is_whole {
            if first.is_none() {
                // The stream is gone. Everything that comes next is new.
                lock(&self.follower.places).insert(corpus.clone(), START.to_owned());
            }
            self.lagged(corpus);
        }
        Ok(())
    }

    fn lagged(&self, corpus: &Corpus) {
        if let Some(listener) = self.listener() {
            listener.lagged(corpus);
        }
    }

    async fn last_event(&self, link: &Link, corpus: &Corpus) -> Result<String, CommandError> {
        let key = self.keys.stream(corpus);
        let mut last = redis::cmd("XREVRANGE");
        last.arg(&key).arg("+").arg("-").arg("COUNT").arg(1);
        let reply = link.send(&last, &key, self.options.invalidate_timeout).await?;
        let last = reply::items(&reply).unwrap_or_default().iter().find_map(event);
        Ok(last.map_or(START, |(id, _)| id).to_owned())
    }
}

/// The place before the first event.
const START: &str = "0-0";

/// The place of an event, and its fields.
type Event<'a> = (&'a str, &'a [Value]);

/// The streams of a reply to XREAD: a map in RESP3, and a list of pairs in RESP2.
fn streams(reply: &Value) -> Vec<(&[u8], Vec<Event<'_>>)> {
    let pairs: Vec<(&Value, &Value)> = match reply {
        Value::Map(pairs) => pairs.iter().map(|(key, events)| (key, events)).collect(),
        other => reply::items(other)
            .unwrap_or_default()
            .iter()
            .filter_map(|pair| match reply::items(pair)? {
                [key, events] => Some((key, events)),
                _ => None,
            })
            .collect(),
    };
    pairs
        .into_iter()
        .filter_map(|(key, events)| {
            Some((reply::bytes(key)?, reply::items(events)?.iter().filter_map(event).collect()))
        })
        .collect()
}

fn event(value: &Value) -> Option<Event<'_>> {
    let [id, fields] = reply::items(value)? else { return None };
    Some((reply::text(id)?, reply::items(fields)?))
}

fn parse_id(id: &str) -> (u64, u64) {
    let (time, number) = id.split_once('-').unwrap_or((id, "0"));
    (time.parse().unwrap_or(0), number.parse().unwrap_or(0))
}
