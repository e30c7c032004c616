//! A report as one page: no script, nothing to fetch, for light and dark, screen and paper.
//!
//! All content comes from the reports and their [`Details`]; this module only lays it out. The template
//! escapes everything that comes from the data.

mod domains;
mod examples;
mod figure;
mod precision;
mod reliability;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use wellspring_eval::budget::BudgetVerdict;
use wellspring_eval::cost::StageCost;
use wellspring_eval::curve::CurvePoint;
use wellspring_eval::details::Details;
use wellspring_eval::domains::DomainFigures;
use wellspring_eval::pair_report::PairReport;
use wellspring_eval::policy::Policy;
use wellspring_eval::stream::StreamReport;

use super::text::{OF_VCACHE, number, percent, threshold};
use crate::commands::units;

/// Nothing may be loaded or run, whatever the data contain.
const CONTENT_SECURITY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// A page.
#[derive(Debug)]
pub(super) struct Page<'a> {
    title: &'static str,
    /// What was asked, as a noun.
    asked: &'static str,
    facts: Vec<(&'static str, String)>,
    budget: f64,
    /// The greatest hit rate without a false hit.
    answerable: f64,
    columns: &'static [&'static str],
    /// A row for each policy, without its name.
    rows: Vec<Vec<String>>,
    kept: Vec<BudgetVerdict>,
    details: &'a [Details],
    domains: Vec<(Policy, &'a [DomainFigures])>,
    stages: &'a [StageCost],
}

impl<'a> Page<'a> {
    /// The page of a report on pairs, made from these data.
    pub(super) fn of_pairs(report: &'a PairReport, data: &[(&'static str, Option<&str>)]) -> Self {
        let counts = format!(
            "{}, {} the same question, {} different",
            units::count(report.pairs as u64),
            units::count(report.positives as u64),
            units::count(report.negatives as u64)
        );
        let too_long = (report.too_long > 0).then(|| units::count(report.too_long as u64));
        let facts =
            [("model", Some(report.model.clone())), ("counted", Some(counts)), ("too long", too_long)];
        let rows = report.policies.iter().zip(&report.details).map(|(policy, details)| {
            vec![
                threshold(policy.threshold),
                percent(Some(details.at.map_or(0.0, |at| at.hit_rate))),
                percent(policy.false_hits_per_hit),
                percent(Some(policy.false_hits_per_hit_upper95)),
                percent(policy.accepted_positive),
                number(policy.scores.roc_auc),
                number(policy.calibration_error),
                format!("{:.3}", policy.p50_ms),
                format!("{:.3}", policy.p99_ms),
            ]
        });
        Self {
            title: "Policies on labelled pairs",
            asked: "pairs",
            facts: of_data(data).chain(known(facts)).collect(),
            budget: report.budget,
            answerable: report.positives as f64 / report.pairs as f64,
            columns: &[
                "Threshold",
                "Hits",
                "False hits",
                "Upper 95 %",
                "Same accepted",
                "ROC-AUC",
                "Calibration error",
                "p50 ms",
                "p99 ms",
            ],
            rows: rows.collect(),
            kept: report
                .policies
                .iter()
                .map(|p| BudgetVerdict::of(p.false_hits_per_hit, p.false_hits_per_hit_upper95, report.budget))
                .collect(),
            details: &report.details,
            domains: domains_of(&report.details, report.policies.iter().map(|policy| &*policy.domains)),
            stages: &report.stages,
        }
    }

    /// The page of a report on a stream, made from these data.
    pub(super) fn of_stream(report: &'a StreamReport, data: &[(&'static str, Option<&str>)]) -> Self {
        let counts = format!(
            "{} queries, {} cached questions; answerable: {}",
            units::count(report.queries as u64),
            units::count(report.cached as u64),
            percent(Some(report.answerable))
        );
        let facts = [("model", Some(report.model.clone())), ("counted", Some(counts))];
        let rows = report.policies.iter().map(|policy| {
            vec![
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
            ]
        });
        Self {
            title: "Policies on a stream",
            asked: "queries",
            facts: of_data(data).chain(known(facts)).collect(),
            budget: report.budget,
            answerable: report.answerable,
            columns: &[
                "Threshold",
                "Hits",
                "False hits",
                "Upper 95 %",
                "Errors",
                "Answered right",
                "ROC-AUC",
                "Calibration error",
                "p50 ms",
                "p99 ms",
            ],
            rows: rows.collect(),
            kept: report.policies.iter().map(|policy| policy.budget).collect(),
            details: &report.details,
            domains: domains_of(&report.details, report.policies.iter().map(|policy| &*policy.domains)),
            stages: &report.stages,
        }
    }

    /// The page as HTML.
    pub(super) fn render(&self) -> String {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta http-equiv="Content-Security-Policy" content=(CONTENT_SECURITY);
                    title { "Wellspring: " (self.title) }
                    style { (PreEscaped(include_str!("style.css"))) }
                }
                body {
                    header {
                        p.brand { "Wellspring " (env!("CARGO_PKG_VERSION")) }
                        h1 { (self.title) }
                        p.verdict { (self.verdict()) }
                        dl.facts {
                            @for (name, value) in &self.facts {
                                div { dt { (name) } dd { (value) } }
                            }
                            div { dt { "budget" } dd { (percent(Some(self.budget))) " of the hits false" } }
                        }
                    }
                    main {
                        (self.headline())
                        (domains::section(&self.domains))
                        (precision::section(self.details, self.budget, self.answerable, self.asked))
                        (reliability::section(self.details))
                        (examples::section(self.details))
                        (self.costs())
                    }
                }
            }
        };
        page.into_string()
    }

    /// The most hits within the budget, in a sentence.
    fn verdict(&self) -> Markup {
        let hits = |at: &CurvePoint| at.hit_rate;
        let kept = self.details.iter().zip(&self.kept).filter(|(_, kept)| **kept == BudgetVerdict::Within);
        let best = kept
            .filter_map(|(details, _)| Some((details.policy, details.at.as_ref()?)))
            .max_by(|(_, a), (_, b)| hits(a).total_cmp(&hits(b)));
        html! {
            @match best {
                Some((policy, at)) => {
                    strong { (policy.name()) } " found the most within the budget: hits on "
                    strong { (percent(Some(at.hit_rate))) } " of the " (self.asked) ", "
                    (percent(Some(at.false_hits_per_hit))) " of them false."
                }
                None => {
                    "No policy could show on these " (self.asked) " that it keeps the budget of "
                    (percent(Some(self.budget))) "."
                }
            }
        }
    }

    fn headline(&self) -> Markup {
        let with_vcache = self.details.iter().any(|details| details.policy == Policy::VCache);
        html! {
            section aria-labelledby="policies" {
                h2 #policies { "Policies" }
                div.scroll role="region" aria-labelledby="policies" tabindex="0" {
                    table.headline {
                        thead { tr {
                            th scope="col" { "Policy" }
                            @for column in self.columns { th.number scope="col" { (column) } }
                            th scope="col" { "Budget" }
                        } }
                        tbody {
                            @for ((details, row), kept) in self.details.iter().zip(&self.rows).zip(&self.kept) {
                                tr {
                                    th scope="row" { (figure::key(details.policy)) (details.policy.name()) }
                                    @for cell in row { td.number { (cell) } }
                                    td { span class={ "kept " (class_of(*kept)) } { (kept.name()) } }
                                }
                            }
                        }
                    }
                }
                p.note {
                    "A hit is false if its answer belongs to another question. The budget is kept if the upper end of the "
                    "95 % Wilson interval of false hits is within it, and exceeded if the share itself is above; between "
                    "the two, there are too few hits. The calibration error is the average distance between "
                    "probabilities and outcomes, over ten bins of equal counts. Times are those of a lookup's "
                    "decision, without embedding and search."
                    @if with_vcache { " " (OF_VCACHE.replace('`', "")) }
                }
            }
        }
    }

    fn costs(&self) -> Markup {
        html! {
            section aria-labelledby="cost" {
                h2 #cost { "What each stage costs" }
                div.scroll role="region" aria-labelledby="cost" tabindex="0" {
                    table {
                        thead { tr {
                            th scope="col" { "Stage" }
                            th.number scope="col" { "Runs per query" }
                            th.number scope="col" { "p50 µs" }
                            th.number scope="col" { "p99 µs" }
                        } }
                        tbody {
                            @for stage in self.stages {
                                tr {
                                    th scope="row" { (stage.stage) }
                                    td.number { (format!("{:.2}", stage.runs_per_query)) }
                                    td.number { (format!("{:.1}", stage.p50_us)) }
                                    td.number { (format!("{:.1}", stage.p99_us)) }
                                }
                            }
                        }
                    }
                }
                p.note { "Here every candidate is examined; a lookup stops at the first that is accepted." }
            }
        }
    }
}

/// The domains of each policy, under its name.
fn domains_of<'a>(
    details: &[Details],
    domains: impl Iterator<Item = &'a [DomainFigures]>,
) -> Vec<(Policy, &'a [DomainFigures])> {
    details.iter().map(|details| details.policy).zip(domains).collect()
}

fn of_data<'d>(
    data: &'d [(&'static str, Option<&str>)],
) -> impl Iterator<Item = (&'static str, String)> + 'd {
    data.iter().filter_map(|&(name, file)| {
        let file = file.map(|file| if file == "-" { "the standard input" } else { file })?;
        Some((name, file.to_owned()))
    })
}

fn known<const N: usize>(
    facts: [(&'static str, Option<String>); N],
) -> impl Iterator<Item = (&'static str, String)> {
    facts.into_iter().filter_map(|(name, value)| Some((name, value?)))
}

fn class_of(kept: BudgetVerdict) -> &'static str {
    match kept {
        BudgetVerdict::Within => "yes",
        BudgetVerdict::Exceeded => "no",
        BudgetVerdict::Insufficient => "open",
    }
}

#[cfg(test)]
mod tests;
