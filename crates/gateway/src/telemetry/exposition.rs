//! The metrics for Prometheus, in the text format of `OpenMetrics`.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use wellspring::judge::JudgeStatus;
use wellspring::metrics::{LATENCY_BOUNDS_US, Latency, Metrics};
use wellspring::store::{ConnectionStatus, StoreStatus};

use crate::Gateway;
use crate::error::Problem;

/// Every metric with its present value.
pub(super) async fn text(gateway: &Gateway) -> Result<String, Problem> {
    let telemetry = gateway.telemetry();
    let feedback = telemetry.feedback();
    let sum = |counts: Vec<u64>| counts.into_iter().sum::<u64>();
    let snapshot = Snapshot {
        metrics: gateway.cache().metrics(),
        judge: gateway.cache().judge_status(),
        // A store that is away has no sizes; the rest is reported all the same.
        store: gateway.cache().status().await.ok(),
        store_is_up: gateway.cache().ready().await.is_ok(),
        connection: gateway.cache().store_connection(),
        index_bytes: gateway.cache().index_bytes() as u64,
        in_flight: gateway.in_flight() as u64,
        upstreams: telemetry
            .calls()
            .into_iter()
            .map(|((name, status), count)| (name, status_label(status), count))
            .collect(),
        feedback: [
            ("exact", "right", feedback.right().exact()),
            ("exact", "wrong", feedback.wrong().exact()),
            ("semantic", "right", sum(feedback.right().by_similarity())),
            ("semantic", "wrong", sum(feedback.wrong().by_similarity())),
        ],
    };
    let mut registry = Registry::default();
    registry.register("wellspring_requests", "Requests by route and status", telemetry.requests.clone());
    registry.register(
        "wellspring_questions_without_sources",
        "Named questions of the proxy whose answers no document change invalidates",
        telemetry.unsourced.clone(),
    );
    registry.register(
        "wellspring_request_duration_seconds",
        "Time to the head of the response by route",
        telemetry.request_time.clone(),
    );
    registry.register(
        "wellspring_upstream_duration_seconds",
        "Time to the head of an upstream's response",
        telemetry.upstream_time.clone(),
    );
    registry.register_collector(Box::new(snapshot));
    let mut written = String::new();
    text::encode(&mut written, &registry).map_err(|_| Problem::internal("the metrics cannot be written"))?;
    Ok(written)
}

fn status_label(status: Option<u16>) -> String {
    status.map_or_else(|| "none".into(), |status| status.to_string())
}

#[derive(Debug)]
struct Snapshot {
    metrics: Metrics,
    judge: Option<JudgeStatus>,
    store: Option<StoreStatus>,
    store_is_up: bool,
    connection: Option<ConnectionStatus>,
    index_bytes: u64,
    in_flight: u64,
    upstreams: Vec<(&'static str, String, u64)>,
    feedback: [(&'static str, &'static str, u64); 4],
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut out = Out(encoder);
        self.lookups(&mut out)?;
        self.judge(&mut out)?;
        self.fills(&mut out)?;
        self.gateway(&mut out)?;
        self.connection(&mut out)?;
        self.sizes(&mut out)?;
        out.histogram(
            "wellspring_stage_duration_seconds",
            "Time by stage of the cache; `miss` is the cost of a miss without the answer itself",
            "stage",
            &self.metrics.latency.iter().map(|(stage, latency)| (*stage, *latency)).collect::<Vec<_>>(),
        )
    }
}

impl Snapshot {
    fn lookups(&self, out: &mut Out<'_>) -> fmt::Result {
        let Metrics { exact_hits, semantic_hits, coalesced_hits, misses, bypasses, .. } = &self.metrics;
        out.counter(
            "wellspring_lookups",
            "Lookups by outcome",
            &[
                ([("outcome", "exact")], *exact_hits),
                ([("outcome", "semantic")], *semantic_hits),
                ([("outcome", "miss")], *misses),
                ([("outcome", "bypass")], bypasses.values().sum()),
            ],
        )?;
        out.counter(
            "wellspring_bypasses",
            "Lookups that did not use the cache, by reason",
            &by_reason(bypasses),
        )?;
        out.plain(
            "wellspring_coalesced_hits",
            "Hits that waited for another caller's answer",
            *coalesced_hits,
        )?;
        out.plain(
            "wellspring_rejected_candidates",
            "Near neighbours that the verifier did not accept",
            self.metrics.rejected_candidates,
        )?;
        out.plain(
            "wellspring_unshown_budgets",
            "Lookups whose false-hit rate cannot be shown, so that other wordings were not considered",
            self.metrics.unshown_budgets,
        )?;
        let scripts = &self.metrics.unknown_scripts;
        let scripts: Vec<_> =
            scripts.iter().map(|(name, count)| ([("script", name.as_str())], *count)).collect();
        out.counter(
            "wellspring_unknown_scripts",
            "Lookups of a question in a script that the embedding model does not know, so that other wordings were \
             not considered",
            &scripts,
        )?;
        out.plain(
            "wellspring_remembered_embeddings",
            "Embeddings that were reused",
            self.metrics.remembered_embeddings,
        )?;
        let verifications: Vec<_> = self
            .metrics
            .verifications
            .iter()
            .flat_map(|(stage, outcomes)| {
                outcomes.iter().map(|(outcome, count)| ([("stage", *stage), ("outcome", *outcome)], *count))
            })
            .collect();
        out.counter(
            "wellspring_verifications",
            "Verdicts of the verification stages on near neighbours",
            &verifications,
        )?;
        out.counter(
            "wellspring_tokens_saved",
            "Tokens that hits saved",
            &[
                ([("kind", "prompt")], self.metrics.prompt_tokens_saved),
                ([("kind", "completion")], self.metrics.completion_tokens_saved),
            ],
        )?;
        out.dollars("wellspring_saved_dollars", "Cost that hits saved", self.metrics.cost_saved_usd)
    }

    fn judge(&self, out: &mut Out<'_>) -> fmt::Result {
        let Some(judge) = &self.judge else { return Ok(()) };
        let metrics = &self.metrics;
        let judged: Vec<_> =
            metrics.judged.iter().map(|(verdict, count)| ([("verdict", verdict.as_str())], *count)).collect();
        out.counter("wellspring_judged", "Verdicts of the judge on pairs", &judged)?;
        out.plain("wellspring_unjudged", "Pairs that the judge failed on", metrics.unjudged)?;
        out.plain("wellspring_judge_calls", "Calls of the judge", metrics.judge_calls)?;
        out.plain(
            "wellspring_judge_dropped",
            "Near misses and sampled hits that were not judged because the queue was full",
            metrics.judge_dropped,
        )?;
        out.gauge(
            "wellspring_judge_waiting",
            "Questions and sampled hits that wait for the judge",
            judge.waiting as u64,
        )?;
        out.gauge(
            "wellspring_judge_calls_left",
            "Calls of the judge that the budget allows at once",
            judge.calls_left.into(),
        )
    }

    fn fills(&self, out: &mut Out<'_>) -> fmt::Result {
        let metrics = &self.metrics;
        out.plain("wellspring_fills", "Answers stored", metrics.stored)?;
        out.counter(
            "wellspring_refused_fills",
            "Answers not stored because they may be stale, by reason",
            &by_reason(&metrics.refused),
        )?;
        out.counter(
            "wellspring_declined_fills",
            "Answers not worth storing, by reason",
            &by_reason(&metrics.declined),
        )?;
        out.plain("wellspring_failed_fills", "Answers that the store failed to store", metrics.failed_fills)?;
        out.plain(
            "wellspring_confirmed_fills",
            "Answers stored for everyone because enough principals got the same answer",
            metrics.confirmed_fills,
        )?;
        out.plain(
            "wellspring_unconfirmed_fills",
            "Answers stored for one principal until others get the same answer",
            metrics.unconfirmed_fills,
        )?;
        out.plain("wellspring_changes", "Document changes reported", metrics.changes)?;
        out.plain(
            "wellspring_unchanged",
            "Reported changes whose version was already known",
            metrics.unchanged,
        )?;
        out.plain("wellspring_unmatched", "Changes that no answer depended on", metrics.unmatched)?;
        out.plain("wellspring_invalidated_entries", "Entries dropped by changes", metrics.dropped)?;
        out.plain(
            "wellspring_failed_invalidations",
            "Invalidations that failed",
            metrics.failed_invalidations,
        )
    }

    fn gateway(&self, out: &mut Out<'_>) -> fmt::Result {
        let calls: Vec<_> = self
            .upstreams
            .iter()
            .map(|(name, status, count)| ([("upstream", *name), ("status", status.as_str())], *count))
            .collect();
        out.counter(
            "wellspring_upstream_responses",
            "Answers of upstreams; `none` if there was none",
            &calls,
        )?;
        let said =
            self.feedback.map(|(tier, verdict, count)| ([("tier", tier), ("verdict", verdict)], count));
        out.counter("wellspring_feedback", "Feedback of callers on hits; `wrong` is a false hit", &said)?;
        out.gauge(
            "wellspring_requests_in_flight",
            "Requests of callers that are being served",
            self.in_flight,
        )
    }

    fn connection(&self, out: &mut Out<'_>) -> fmt::Result {
        out.gauge("wellspring_store_up", "Whether lookups reach the store", u64::from(self.store_is_up))?;
        let Some(connection) = &self.connection else { return Ok(()) };
        for (name, help, micros) in [
            (
                "wellspring_store_round_trip_seconds",
                "Mean time from a command to the store's reply",
                connection.round_trip_us,
            ),
            (
                "wellspring_store_slowest_round_trip_seconds",
                "The longest such time of the last 10 to 20 seconds",
                connection.slowest_round_trip_us,
            ),
            (
                "wellspring_store_command_timeout_seconds",
                "How long a lookup or a fill waits for the store now",
                connection.command_timeout_us,
            ),
            (
                "wellspring_scheduling_delay_seconds",
                "The longest scheduling delay of this process in the last 10 to 20 seconds",
                connection.scheduling_delay_us,
            ),
        ] {
            out.seconds(name, help, micros)?;
        }
        out.plain(
            "wellspring_store_late_replies",
            "Replies of the store that arrived too late",
            connection.late_replies,
        )?;
        out.plain(
            "wellspring_store_late_wakeups",
            "Replies of the store that this process missed because it was itself scheduled too late",
            connection.late_wakeups,
        )
    }

    fn sizes(&self, out: &mut Out<'_>) -> fmt::Result {
        out.gauge("wellspring_index_bytes", "Memory of the vector indexes", self.index_bytes)?;
        let Some(store) = &self.store else { return Ok(()) };
        out.gauge(
            "wellspring_store_writable",
            "Whether the store can be written; 0 if, for example, the disk is full",
            u64::from(store.unwritable.is_none()),
        )?;
        out.gauge("wellspring_entries", "Entries stored", store.entries)?;
        out.gauge("wellspring_bytes", "Size of the entries", store.bytes)?;
        out.gauge("wellspring_max_entries", "The most entries, 0 for no limit", store.max_entries)?;
        out.gauge("wellspring_max_bytes", "The largest size, 0 for no limit", store.max_bytes)?;
        out.plain("wellspring_evictions", "Entries removed for lack of space", store.evictions)?;
        out.plain("wellspring_expirations", "Entries removed on expiry", store.expirations)?;
        out.gauge(
            "wellspring_pending_invalidations",
            "Invalidations that are not in force everywhere yet",
            store.pending_invalidations,
        )?;
        let held = store.corpora.iter().map(|corpus| corpus.held.len() as u64).sum();
        out.gauge("wellspring_held_documents", "Documents that are being updated", held)
    }
}

fn by_reason(counts: &std::collections::BTreeMap<String, u64>) -> Vec<([(&str, &str); 1], u64)> {
    counts.iter().map(|(reason, count)| ([("reason", reason.as_str())], *count)).collect()
}

/// Writes metrics one after the other.
struct Out<'a>(DescriptorEncoder<'a>);

impl Out<'_> {
    fn counter<L: EncodeLabelSet>(&mut self, name: &str, help: &str, counts: &[(L, u64)]) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, count) in counts {
            metric.encode_family(labels)?.encode_counter::<NoLabelSet, _, u64>(count, None)?;
        }
        Ok(())
    }

    fn plain(&mut self, name: &str, help: &str, count: u64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&count, None)
    }

    fn dollars(&mut self, name: &str, help: &str, amount: f64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&amount, None)
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn seconds(&mut self, name: &str, help: &str, micros: u64) -> fmt::Result {
        let seconds = micros as f64 / 1e6;
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&seconds)
    }

    fn histogram(&mut self, name: &str, help: &str, label: &str, all: &[(&str, Latency)]) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (value, latency) in all {
            let bounds = LATENCY_BOUNDS_US.iter().map(|&bound| bound as f64 / 1e6);
            let buckets: Vec<_> = bounds.chain([f64::INFINITY]).zip(latency.buckets).collect();
            let sum = latency.mean_us * latency.count as f64 / 1e6;
            metric.encode_family(&[(label, *value)])?.encode_histogram::<NoLabelSet>(
                sum,
                latency.count,
                &buckets,
                None,
            )?;
        }
        Ok(())
    }
}
