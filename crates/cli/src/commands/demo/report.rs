//! What the demo showed, for people and for programs.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use owo_colors::OwoColorize as _;
use serde::Serialize;
use wellspring::{MatchPolicy, Metrics};

use super::observed::StaticThreshold;
use super::play::{FalseHit, Tally, Times};

/// Every figure of the demo.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) documents: usize,
    pub(super) model: String,
    pub(super) answerer: String,
    pub(super) simulated_llm_ms: u64,
    pub(super) clients: usize,
    pub(super) seed: u64,
    pub(super) match_policy: MatchPolicy,
    pub(super) questions: u64,
    pub(super) hits: u64,
    pub(super) exact_hits: u64,
    pub(super) semantic_hits: u64,
    pub(super) coalesced_hits: u64,
    pub(super) misses: u64,
    pub(super) bypassed: u64,
    /// Those of them that are follow-up questions.
    pub(super) follow_ups: u64,
    pub(super) failed: u64,
    pub(super) hit_rate: f64,
    pub(super) false_hits: u64,
    pub(super) false_hits_per_hit: f64,
    pub(super) false_hits_per_semantic_hit: f64,
    pub(super) false_hit_example: Option<FalseHit>,
    /// What a static threshold would have done on the same run.
    pub(super) static_threshold: Option<StaticThreshold>,
    /// The share of hits that the model confirmed; the others were decided without the model.
    pub(super) verified_share: f64,
    pub(super) edits: u64,
    pub(super) entries_dropped: u64,
    pub(super) refused_fills: u64,
    pub(super) checked_hits: u64,
    pub(super) unmarked_answers: u64,
    pub(super) stale_answers: u64,
    pub(super) llm_calls: u64,
    pub(super) llm_calls_saved: u64,
    pub(super) elapsed_s: f64,
    pub(super) time_saved_s: f64,
    pub(super) latency_ms: Latencies,
    pub(super) entries: u64,
    pub(super) store: Option<PathBuf>,
}

/// How long callers waited, by how they were answered.
#[derive(Debug, Serialize)]
pub(super) struct Latencies {
    pub(super) exact_hit: Quantiles,
    pub(super) semantic_hit: Quantiles,
    pub(super) miss: Quantiles,
}

#[derive(Debug, Serialize)]
pub(super) struct Quantiles {
    pub(super) p50: f64,
    pub(super) p99: f64,
}

impl From<&Times> for Quantiles {
    fn from(times: &Times) -> Self {
        let millis = |quantile| times.quantile(quantile).as_secs_f64() * 1e3;
        Self { p50: millis(0.5), p99: millis(0.99) }
    }
}

/// What a report is made from, in addition to the tally.
pub(super) struct Setting {
    pub(super) documents: usize,
    pub(super) model: String,
    pub(super) answerer: String,
    pub(super) simulated_llm: Duration,
    pub(super) clients: usize,
    pub(super) seed: u64,
    pub(super) match_policy: MatchPolicy,
    pub(super) elapsed: Duration,
    pub(super) entries: u64,
    pub(super) store: Option<PathBuf>,
}

impl Report {
    pub(super) fn new(setting: Setting, tally: &Tally, metrics: &Metrics) -> Self {
        let (exact_hits, semantic_hits) = (tally.exact.count(), tally.semantic.count());
        let hits = exact_hits + semantic_hits;
        let questions = hits + tally.made.count() + tally.failed;
        let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        let mean_call =
            if tally.calls == 0 { 0.0 } else { tally.call_time.as_secs_f64() / tally.calls as f64 };
        let confirmed =
            metrics.verifications.get("scorer").and_then(|scored| scored.get("accepted")).copied();
        let confirmed = confirmed.unwrap_or(0);
        let waited = (tally.exact.total() + tally.semantic.total()).as_secs_f64();
        Self {
            documents: setting.documents,
            model: setting.model,
            answerer: setting.answerer,
            simulated_llm_ms: u64::try_from(setting.simulated_llm.as_millis()).unwrap_or(u64::MAX),
            clients: setting.clients,
            seed: setting.seed,
            match_policy: setting.match_policy,
            questions,
            hits,
            exact_hits,
            semantic_hits,
            coalesced_hits: metrics.coalesced_hits,
            misses: tally.made.count() - tally.bypassed,
            bypassed: tally.bypassed,
            follow_ups: metrics.bypasses.get("follow_up").copied().unwrap_or(0),
            failed: tally.failed,
            hit_rate: share(hits, questions),
            false_hits: tally.false_hits,
            false_hits_per_hit: share(tally.false_hits, hits),
            false_hits_per_semantic_hit: share(tally.false_hits, semantic_hits),
            false_hit_example: tally.example.clone(),
            static_threshold: StaticThreshold::of_as_many_hits(
                tally.nearest.clone(),
                usize::try_from(semantic_hits).unwrap_or(usize::MAX),
            ),
            verified_share: share(confirmed, hits),
            edits: tally.edits,
            entries_dropped: tally.dropped,
            refused_fills: metrics.refused.values().sum(),
            checked_hits: tally.checked,
            unmarked_answers: tally.unknown,
            stale_answers: tally.stale,
            llm_calls: tally.calls,
            llm_calls_saved: hits,
            elapsed_s: setting.elapsed.as_secs_f64(),
            time_saved_s: (mean_call * hits as f64 - waited).max(0.0),
            latency_ms: Latencies {
                exact_hit: (&tally.exact).into(),
                semantic_hit: (&tally.semantic).into(),
                miss: (&tally.made).into(),
            },
            entries: setting.entries,
            store: setting.store,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        let of_all = |count: u64| percent(count as f64 / (self.questions.max(1)) as f64);
        writeln!(
            f,
            "{}  {} questions by {} clients, {} edits of {} documents, in {}\n",
            "Wellspring demo".bold(),
            self.questions,
            self.clients,
            self.edits,
            self.documents,
            Seconds(self.elapsed_s)
        )?;
        writeln!(f, "{:34}{:>10}{:>10}{:>12}{:>12}", "", "", "", "p50", "p99")?;
        for (name, count, times) in [
            ("exact hits", self.exact_hits, &self.latency_ms.exact_hit),
            ("semantic hits", self.semantic_hits, &self.latency_ms.semantic_hit),
            ("misses (answered by the pipeline)", self.misses, &self.latency_ms.miss),
        ] {
            let (p50, p99) = (Millis(times.p50), Millis(times.p99));
            writeln!(f, "{name:34}{count:>10}{:>10}{p50:>12}{p99:>12}", of_all(count))?;
        }
        let others = self.bypassed - self.follow_ups.min(self.bypassed) + self.failed;
        for (name, count) in [("follow-ups, left alone", self.follow_ups), ("bypassed or failed", others)] {
            if count > 0 {
                writeln!(f, "{name:34}{count:>10}{:>10}", of_all(count))?;
            }
        }
        writeln!(f)?;
        let verdict = if self.stale_answers == 0 && self.unmarked_answers == 0 {
            format!("{:>10}", self.stale_answers).green().bold().to_string()
        } else {
            format!("{:>10}", self.stale_answers + self.unmarked_answers).red().bold().to_string()
        };
        writeln!(
            f,
            "{:34}{verdict}  of {} hits, checked by the versions written into them",
            "stale answers", self.checked_hits
        )?;
        writeln!(
            f,
            "{:34}{:>10}  by {} edits; {} late answers were not stored",
            "answers dropped", self.entries_dropped, self.edits, self.refused_fills
        )?;
        writeln!(
            f,
            "{:34}{:>10}  of {} hits ({}), by the labels of the questions",
            "false hits",
            self.false_hits,
            self.hits,
            percent(self.false_hits_per_hit)
        )?;
        if let Some(plain) = &self.static_threshold {
            writeln!(
                f,
                "{:34}{:>10}  of as many hits ({}), from similarity {:.3} up",
                "  with a static threshold",
                plain.false_hits,
                percent(plain.false_hits as f64 / self.hits.max(1) as f64),
                plain.similarity
            )?;
        }
        writeln!(
            f,
            "{:34}{:>10}  of the hits",
            "confirmed by the verifier's model",
            percent(self.verified_share)
        )?;
        writeln!(
            f,
            "{:34}{:>10}  of {} and {} of waiting",
            "calls saved",
            self.llm_calls_saved,
            self.llm_calls_saved + self.llm_calls,
            Seconds(self.time_saved_s)
        )?;
        if let Some(example) = &self.false_hit_example {
            writeln!(f, "\na false hit at similarity {:.3}:", example.similarity)?;
            writeln!(f, "  asked     {}", example.asked)?;
            writeln!(f, "  answered  {}", example.answered)?;
        }
        writeln!(f, "\nembedding  {}", self.model)?;
        writeln!(f, "answers    {}", self.answerer)?;
        writeln!(
            f,
            "corpus     SQuAD 2.0 paragraphs and questions (CC BY-SA 4.0), Disfl-QA rewrites (CC BY 4.0)"
        )
    }
}

/// A time in milliseconds, with a suitable number of digits.
struct Millis(f64);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&match self.0 {
            millis if millis < 1.0 => format!("{:.0} µs", millis * 1e3),
            millis if millis < 10.0 => format!("{millis:.1} ms"),
            millis => format!("{millis:.0} ms"),
        })
    }
}

/// A time in seconds, in minutes if it is long.
struct Seconds(f64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&match self.0 {
            seconds if seconds < 100.0 => format!("{seconds:.1} s"),
            seconds => format!("{:.1} min", seconds / 60.0),
        })
    }
}
