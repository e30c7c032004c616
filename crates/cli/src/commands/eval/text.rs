//! Reports for the terminal.

use std::fmt::Write as _;

use owo_colors::OwoColorize as _;
use wellspring_eval::adversarial::{AdversarialReport, KindReport, PolicyThreshold};
use wellspring_eval::control::ControlReport;
use wellspring_eval::domains::DomainFigures;
use wellspring_eval::metrics::ThresholdRow;
use wellspring_eval::pair_report::PairReport;
use wellspring_eval::policy::Policy;
use wellspring_eval::replay::ReplayReport;
use wellspring_eval::stream::StreamReport;

use crate::commands::output::{self, Column, table};
use crate::commands::units;

/// What to know if `vcache` is compared with the others.
pub(super) const OF_VCACHE: &str = "\
    `vcache` learns on these queries themselves; its budget is one of errors among all queries, not of false hits.";

/// A report on pairs.
pub(super) fn of_pairs(report: &PairReport) -> String {
    let pairs = format!(
        "{}, {} the same question, {} different",
        units::count(report.pairs as u64),
        units::count(report.positives as u64),
        units::count(report.negatives as u64)
    );
    let too_long = if report.too_long == 0 { String::new() } else { units::count(report.too_long as u64) };
    let mut text =
        output::fields(&[("model", report.model.clone()), ("pairs", pairs), ("too long", too_long)]);
    for policy in &report.policies {
        let scores = &policy.scores;
        let best = scores.best_f1.map(|best| format!(", best F1 {:.3} at {:.3}", best.f1, best.threshold));
        let error = policy.calibration_error.map(|error| format!(", calibration error {error:.3}"));
        let _ = write!(
            text,
            "\n\n{}\nROC-AUC {}, average precision {}{}{}\n{}\n{}",
            policy.policy.bold(),
            number(scores.roc_auc),
            number(scores.average_precision),
            best.unwrap_or_default(),
            error.unwrap_or_default(),
            match policy.threshold {
                Some(threshold) => format!(
                    "At {threshold:.4}: {} of the same and {} of the different ones accepted, {} of the hits false (95 %: up to {})",
                    percent(policy.accepted_positive),
                    percent(policy.accepted_negative),
                    percent(policy.false_hits_per_hit),
                    percent(Some(policy.false_hits_per_hit_upper95)),
                ),
                None => "The calibration data are insufficient for the budget".into(),
            },
            thresholds_table(&scores.thresholds)
        );
        if !policy.domains.is_empty() {
            let _ = write!(text, "\n\n{}", domains_table(&policy.domains, "PAIRS"));
        }
    }
    text
}

/// A report on a replay.
pub(super) fn of_replay(report: &ReplayReport) -> String {
    let ReplayReport { per_hour, calls_per_hour, batch, .. } = report;
    let mut text = output::fields(&[
        ("model", report.model.clone()),
        ("cached questions", units::count(report.cached as u64)),
        ("other questions", units::count(report.queries as u64)),
        ("traffic", format!("{} an hour, in simulated time", units::counted((*per_hour).into(), "question"))),
        (
            "judge",
            format!(
                "simulated: right by the labels in {} of the cases; at most {} an hour of up to {}",
                percent(Some(report.judge_accuracy)),
                units::counted((*calls_per_hour).into(), "call"),
                units::counted(*batch as u64, "case"),
            ),
        ),
    ]);
    let columns = [
        Column::Right("QUESTIONS"),
        Column::Left("JUDGE"),
        Column::Right("HITS"),
        Column::Right("OTHER WORDINGS"),
        Column::Right("APPROVED"),
        Column::Right("FALSE"),
        Column::Right("UPPER 95 %"),
        Column::Right("ANSWERS MADE"),
        Column::Right("CALLS"),
        Column::Right("CASES"),
        Column::Right("SAVED PER CALL"),
    ];
    let rows = report.lengths.iter().flat_map(|length| {
        [("without", &length.without, None), ("with", &length.with, length.saved_per_call)].map(
            |(judge, figures, saved)| {
                vec![
                    units::count(length.questions as u64),
                    judge.to_owned(),
                    percent(Some(figures.hit_rate)),
                    units::count(figures.semantic),
                    units::count(figures.approved_hits),
                    percent(figures.false_hits_per_hit),
                    percent(Some(figures.false_hits_per_hit_upper95)),
                    units::count(figures.made),
                    units::count(figures.judge_calls),
                    units::count(figures.judged),
                    number(saved),
                ]
            },
        )
    });
    let _ = write!(text, "\n\n{}", table(&columns, rows));
    if let Some(last) = report.lengths.last() {
        let _ = write!(
            text,
            "\n\nA cached question answers {} of the questions. The judge approved {}, {} of them wrongly.",
            percent(Some(last.answerable)),
            units::counted(last.with.approved, "pair"),
            units::count(last.with.approved_wrongly),
        );
    }
    text.push_str(
        "\nOTHER WORDINGS counts hits on another question, APPROVED those of them that a judge had approved. FALSE \
         is the share of OTHER WORDINGS that is wrong. Answers to questions that no cached question answers are not \
        stored.",
    );
    text
}

/// A report on a stream.
pub(super) fn of_stream(report: &StreamReport) -> String {
    let mut text = output::fields(&[
        ("model", report.model.clone()),
        ("cached questions", units::count(report.cached as u64)),
        ("queries", units::count(report.queries as u64)),
        ("answerable", percent(Some(report.answerable))),
        ("budget", percent(Some(report.budget))),
    ]);
    let columns = [
        Column::Left("POLICY"),
        Column::Right("THRESHOLD"),
        Column::Right("HITS"),
        Column::Right("FALSE HITS"),
        Column::Right("UPPER 95 %"),
        Column::Right("ERRORS"),
        Column::Right("ANSWERED RIGHT"),
        Column::Right("ROC-AUC"),
        Column::Right("CAL. ERROR"),
        Column::Right("P50 MS"),
        Column::Right("P99 MS"),
        Column::Left("BUDGET"),
    ];
    let rows = report.policies.iter().map(|policy| {
        vec![
            policy.policy.to_owned(),
            threshold(policy.threshold),
            percent(Some(policy.hit_rate)),
            percent(policy.false_hits_per_hit),
            percent(Some(policy.false_hits_per_hit_upper95)),
            percent(Some(policy.errors_per_request)),
            percent(policy.correct_on_positives),
            number(policy.roc_auc),
            number(policy.calibration_error),
            format!("{:.3}", policy.p50_ms),
            format!("{:.3}", policy.p99_ms),
            policy.budget.name().to_owned(),
        ]
    });
    let _ = write!(text, "\n\n{}", table(&columns, rows));
    if report.policies.iter().any(|policy| policy.policy == Policy::VCache.name()) {
        let _ = write!(text, "\n{OF_VCACHE}");
    }
    for policy in report.policies.iter().filter(|policy| !policy.domains.is_empty()) {
        let table = domains_table(&policy.domains, "QUERIES");
        let _ = write!(text, "\n\n{}\n{table}", policy.policy.bold());
    }
    let columns = [
        Column::Left("STAGE"),
        Column::Right("RUNS PER QUERY"),
        Column::Right("P50 µS"),
        Column::Right("P99 µS"),
    ];
    let rows = report.stages.iter().map(|stage| {
        vec![
            stage.stage.to_owned(),
            format!("{:.2}", stage.runs_per_query),
            format!("{:.1}", stage.p50_us),
            format!("{:.1}", stage.p99_us),
        ]
    });
    let _ = write!(text, "\n\n{}", table(&columns, rows));
    text
}

/// A report on a control.
pub(super) fn of_control(report: &ControlReport) -> String {
    let too_long = if report.too_long == 0 { String::new() } else { units::count(report.too_long as u64) };
    let mut text = output::fields(&[
        ("model", report.model.clone()),
        ("wordings", units::count(report.wordings as u64)),
        ("near-twins", units::count(report.twins as u64)),
        ("too long", too_long),
        ("first by chance", percent(Some(report.chance))),
    ]);
    let columns = [Column::Left("POLICY"), Column::Right("ROC-AUC"), Column::Right("OWN FIRST")];
    let rows = report.policies.iter().map(|policy| {
        let figures = policy.all;
        vec![policy.policy.to_owned(), number(figures.roc_auc), percent(Some(figures.ranked_first))]
    });
    let _ = write!(text, "\n\n{}", table(&columns, rows));
    for policy in report.policies.iter().filter(|policy| !policy.domains.is_empty()) {
        let columns = [
            Column::Left("DOMAIN"),
            Column::Right("WORDINGS"),
            Column::Right("ROC-AUC"),
            Column::Right("OWN FIRST"),
        ];
        let rows = policy.domains.iter().map(|domain| {
            vec![
                domain.name().to_owned(),
                units::count(domain.wordings as u64),
                number(domain.figures.roc_auc),
                percent(Some(domain.figures.ranked_first)),
            ]
        });
        let _ = write!(text, "\n\n{}\n{}", policy.policy.bold(), table(&columns, rows));
    }
    text
}

/// A report on attacks.
pub(super) fn of_adversarial(report: &AdversarialReport) -> String {
    let of = |one: &PolicyThreshold| format!("{} {}", one.policy, threshold(one.threshold));
    let mut text = output::fields(&[
        ("model", report.model.clone()),
        ("cached questions", units::count(report.cached as u64)),
        ("attacked", units::count(report.attacked as u64)),
        ("seed", report.seed.to_string()),
        ("budget", percent(Some(report.budget))),
        ("thresholds", report.thresholds.iter().map(of).collect::<Vec<_>>().join(", ")),
    ]);
    let mut columns = vec![Column::Left("ATTACK"), Column::Right("MADE")];
    columns.extend(report.thresholds.iter().map(|one| Column::Right(one.policy)));
    let row = |kind: &KindReport| {
        let served = kind.policies.iter().map(|by| match by.share {
            Some(share) => format!("{} (up to {})", percent(Some(share)), percent(Some(by.share_upper95))),
            None => percent(None),
        });
        [kind.kind.to_owned(), units::count(kind.made as u64)]
            .into_iter()
            .chain(served)
            .collect::<Vec<String>>()
    };
    let rows = report.kinds.iter().chain([&report.all]).map(row);
    let _ = write!(
        text,
        "\n\n{}\nAttacks that were served, with the upper end at 95 %. Every one is a false hit.",
        table(&columns, rows)
    );
    text
}

fn thresholds_table(rows: &[ThresholdRow]) -> String {
    let columns = [
        Column::Right("THRESHOLD"),
        Column::Right("HITS"),
        Column::Right("RECALL"),
        Column::Right("PRECISION"),
        Column::Right("FALSE HITS"),
        Column::Right("UPPER 95 %"),
    ];
    table(
        &columns,
        rows.iter().map(|row| {
            vec![
                format!("{:.2}", row.threshold),
                percent(Some(row.hit_rate)),
                percent(row.recall),
                percent(row.precision),
                percent(row.false_hits_per_hit),
                percent(Some(row.false_hits_per_hit_upper95)),
            ]
        }),
    )
}

/// The figures of each domain; `asked` names the kind of its cases.
fn domains_table(domains: &[DomainFigures], asked: &'static str) -> String {
    let columns = [
        Column::Left("DOMAIN"),
        Column::Right(asked),
        Column::Right("HITS"),
        Column::Right("RIGHT"),
        Column::Right("FALSE HITS"),
        Column::Right("UPPER 95 %"),
        Column::Right("ROC-AUC"),
        Column::Left("BUDGET"),
    ];
    table(
        &columns,
        domains.iter().map(|one| {
            vec![
                one.name().to_owned(),
                units::count(one.count as u64),
                units::count(one.hits),
                percent(one.right_of_answerable),
                percent(one.false_hits_per_hit),
                percent(Some(one.false_hits_per_hit_upper95)),
                number(one.roc_auc),
                one.verdict().to_owned(),
            ]
        }),
    )
}

pub(super) fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), |value| format!("{value:.3}"))
}

pub(super) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".into(), |share| format!("{:.1} %", 100.0 * share))
}

pub(super) fn threshold(threshold: Option<f32>) -> String {
    threshold.map_or_else(|| "–".into(), |threshold| format!("{threshold:.4}"))
}
