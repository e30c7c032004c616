//! The state of a cluster, and which nodes have the buckets.

use std::collections::BTreeMap;

use redis::Value;
use redis::cluster_routing::Slot;

use crate::key::Corpus;
use crate::store::server_status::field;
use crate::store::valkey::keys::Bucket;
use crate::store::valkey::{Inner, reply};
use crate::store::{Finding, Severity};

/// With more shards than this, a corpus should have more buckets than the default; otherwise a change of one
/// document touches only a few nodes.
const MANY_SHARDS: usize = 8;

impl Inner {
    pub(super) async fn cluster_findings(&self) -> Vec<Finding> {
        vec![self.cluster_state().await, self.buckets_by_node().await]
    }

    async fn cluster_state(&self) -> Finding {
        let info = redis::cmd("CLUSTER").arg("INFO").to_owned();
        let replies = match self.control.send_to_all(&info, self.options.invalidate_timeout).await {
            Ok(replies) => replies,
            Err(error) => {
                let reason = format!("its state cannot be read: {error}");
                return Finding::new("cluster", Severity::Unknown, reason)
                    .remedy("ACL SETUSER <user> +cluster|info");
            }
        };
        for (address, reply) in &replies {
            let text = match reply {
                Value::VerbatimString { text, .. } => text,
                other => reply::text(other).unwrap_or_default(),
            };
            let slots = field(text, "cluster_slots_ok").unwrap_or("0");
            if field(text, "cluster_state") != Some("ok") || slots != "16384" {
                let reason = format!(
                    "{slots} of 16384 slots are served according to {address}: buckets in the others are unavailable"
                );
                return Finding::new("cluster", Severity::Problem, reason)
                    .remedy("start the nodes that are down, or valkey-cli --cluster fix");
            }
        }
        Finding::new("cluster", Severity::Ok, format!("{} primaries serve all 16384 slots", replies.len()))
    }

    /// Counts the buckets of the default corpus on each node; those of other corpora are elsewhere, but as
    /// evenly spread.
    async fn buckets_by_node(&self) -> Finding {
        let slots = redis::cmd("CLUSTER").arg("SLOTS").to_owned();
        let replies = self.control.send_to_all(&slots, self.options.invalidate_timeout).await;
        let ranges = replies.ok().and_then(|replies| ranges(&replies.first()?.1)).unwrap_or_default();
        let corpus = Corpus::default();
        let mut counts: BTreeMap<&str, usize> =
            ranges.iter().map(|(_, _, node)| (node.as_str(), 0)).collect();
        for number in 0..self.keys.bucket_count() {
            let slot = Slot::for_key(self.keys.clock(Bucket { corpus: &corpus, number }));
            // A `Slot` does not expose its number.
            let serves = |(first, last, _): &&(u16, u16, String)| {
                (*first..=*last).any(|number| Slot::new(number) == Some(slot))
            };
            if let Some((_, _, node)) = ranges.iter().find(serves) {
                *counts.entry(node.as_str()).or_default() += 1;
            }
        }
        if counts.is_empty() {
            return Finding::new(
                "buckets",
                Severity::Unknown,
                "the servers do not report which slots they serve",
            );
        }
        let shown: Vec<String> = counts.iter().map(|(node, count)| format!("{node}: {count}")).collect();
        let reason = format!("of the corpus default on {}", shown.join(", "));
        if counts.len() > MANY_SHARDS && self.keys.bucket_count() < 64 {
            let reason = format!("{reason}; few for so many nodes");
            return Finding::new("buckets", Severity::Warning, reason)
                .remedy("store.buckets = 64, in all processes and under another store.prefix");
        }
        Finding::new("buckets", Severity::Ok, reason)
    }
}

/// Ranges of slots, each with the node that serves it, from a reply to CLUSTER SLOTS.
fn ranges(reply: &Value) -> Option<Vec<(u16, u16, String)>> {
    reply::items(reply)?
        .iter()
        .map(|range| {
            let [first, last, primary, ..] = reply::items(range)? else { return None };
            let [host, port, ..] = reply::items(primary)? else { return None };
            let node = format!("{}:{}", reply::text(host).unwrap_or("?"), reply::number::<u16>(port)?);
            Some((reply::number(first)?, reply::number(last)?, node))
        })
        .collect()
}
