//! How much the store holds, and what its servers report of themselves.

use redis::Value;

use super::{Inner, reply};
use crate::error::{Error, Result};
use crate::key::Corpus;
use crate::store::{CorpusStatus, ServerStatus, StoreStatus};

impl Inner {
    pub(super) async fn status(&self) -> Result<StoreStatus> {
        self.check_open()?;
        self.flush_hits().await;
        self.drained().await;
        let mut status = StoreStatus {
            location: self.address.to_string(),
            pending_invalidations: self.outbox.len() as u64,
            ..StoreStatus::default()
        };
        status.servers = self.servers().await?;
        for server in &status.servers {
            status.evictions += server.evicted_keys;
            status.expirations += server.expired_keys;
            status.bytes += server.used_memory;
            status.max_bytes += server.max_memory;
        }
        for corpus in self.corpora().await? {
            let corpus = self.corpus_status(corpus).await?;
            status.entries += corpus.entries;
            status.corpora.push(corpus);
        }
        Ok(status)
    }

    async fn corpus_status(&self, corpus: Corpus) -> Result<CorpusStatus> {
        let mut status = CorpusStatus::new(corpus);
        let limit = self.options.invalidate_timeout;
        for bucket in self.keys.buckets(&status.corpus.clone()) {
            let (all, clock) = (self.keys.all(bucket), self.keys.clock(bucket));
            let count = redis::cmd("SCARD").arg(&all).to_owned();
            let sequence = redis::cmd("HGET").arg(&clock).arg("s").to_owned();
            let fields = redis::cmd("HLEN").arg(&clock).to_owned();
            let (count, sequence, fields) = tokio::try_join!(
                self.control.send(&count, &all, limit),
                self.control.send(&sequence, &clock, limit),
                self.control.send(&fields, &clock, limit),
            )
            .map_err(Error::from)?;
            status.entries += reply::number::<u64>(&count).unwrap_or(0);
            // A change advances the sequence of every bucket, but a change of a single entry advances only
            // one.
            status.sequence = status.sequence.max(reply::number(&sequence).unwrap_or(0));
            // Not all fields are tombstones: some are the clock itself and the versions of documents.
            status.tombstones =
                status.tombstones.max(reply::number::<u64>(&fields).unwrap_or(0).saturating_sub(6));
        }
        let held = self.keys.held(&status.corpus);
        let names = redis::cmd("HVALS").arg(&held).to_owned();
        let names = self.control.send(&names, &held, limit).await?;
        status.held = reply::items(&names)
            .unwrap_or_default()
            .iter()
            .filter_map(reply::text)
            .map(str::to_owned)
            .collect();
        status.held.sort_unstable();
        let stream = self.keys.stream(&status.corpus);
        let length = redis::cmd("XLEN").arg(&stream).to_owned();
        status.events = reply::number(&self.control.send(&length, &stream, limit).await?);
        Ok(status)
    }

    /// What every primary reports of itself.
    pub(super) async fn servers(&self) -> Result<Vec<ServerStatus>> {
        let infos = self.infos(&["server", "memory", "stats", "replication"]).await?;
        Ok(infos.into_iter().map(|(address, info)| ServerStatus::parse(address, &info)).collect())
    }

    /// These sections of the INFO reply of every primary, each with the primary's address.
    pub(super) async fn infos(&self, sections: &[&str]) -> Result<Vec<(String, String)>> {
        let mut info = redis::cmd("INFO");
        info.arg(sections);
        let mut replies = self.control.send_to_all(&info, self.options.invalidate_timeout).await?;
        replies.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(replies.into_iter().map(|(address, reply)| (address, info_text(&reply).to_owned())).collect())
    }
}

fn info_text(reply: &Value) -> &str {
    match reply {
        Value::VerbatimString { text, .. } => text,
        other => reply::text(other).unwrap_or_default(),
    }
}
