//! The figures of each domain, if the data name domains.
//!
//! A policy that keeps its budget over all data may exceed it on another kind of question. A domain has few
//! hits, so its verdict goes by the interval: a budget is exceeded only if the lower end is above it, and
//! kept only if the upper end is within it. Between the two, there are too few hits to decide.

use std::collections::BTreeMap;

use serde::Serialize;
use wellspring::verify::wilson_upper95;

use super::budget::BudgetVerdict;
use super::curve::Tally;
use super::metrics::{Scored, roc_auc};

/// The outcome of a pair or a query.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// Its subject, if the data name one.
    pub domain: Option<&'a str>,
    /// Whether there is a right answer.
    pub is_answerable: bool,
    /// For a hit, whether it is right.
    pub hit: Option<bool>,
    /// Its score, if it has one.
    pub scored: Option<Scored>,
}

/// The figures of one domain.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DomainFigures {
    /// The domain; none for data without one.
    pub domain: Option<String>,
    /// The number of its pairs or queries.
    pub count: usize,
    /// Those that were hits.
    pub hits: u64,
    /// Those of the hits that were false.
    pub false_hits: u64,
    /// False hits per hit; none without hits.
    pub false_hits_per_hit: Option<f64>,
    /// The upper end of its Wilson interval at 95 % (two-sided).
    pub false_hits_per_hit_upper95: f64,
    /// The share of the answerable that got the right answer: the accepted share of positive pairs, or the
    /// share of answerable queries that got the right answer.
    pub right_of_answerable: Option<f64>,
    /// How well scores rank right above wrong; none without both.
    pub roc_auc: Option<f64>,
    /// Whether the budget was kept, by the interval: `insufficient` where there are too few hits to decide.
    pub budget: BudgetVerdict,
}

impl DomainFigures {
    fn of(domain: Option<&str>, members: &[&Member<'_>], budget: f64) -> Self {
        let tally = Tally::of_hits(members.iter().filter_map(|member| member.hit));
        let (hits, wrong) = (tally.hits(), tally.wrong());
        let answerable = members.iter().filter(|member| member.is_answerable).count();
        let scored: Vec<Scored> = members.iter().filter_map(|member| member.scored).collect();
        Self {
            domain: domain.map(str::to_owned),
            count: members.len(),
            hits,
            false_hits: wrong,
            false_hits_per_hit: (hits > 0).then(|| wrong as f64 / hits as f64),
            false_hits_per_hit_upper95: wilson_upper95(wrong, hits),
            right_of_answerable: (answerable > 0).then(|| tally.right() as f64 / answerable as f64),
            roc_auc: roc_auc(&scored),
            budget: match wilson_upper95(wrong, hits) {
                upper if upper <= budget => BudgetVerdict::Within,
                _ if lower95(wrong, hits) > budget => BudgetVerdict::Exceeded,
                _ => BudgetVerdict::Insufficient,
            },
        }
    }

    /// The name of the verdict on its budget.
    pub fn verdict(&self) -> &'static str {
        match self.budget {
            BudgetVerdict::Insufficient => "too few hits",
            reported => reported.name(),
        }
    }

    /// The name of its domain.
    pub fn name(&self) -> &str {
        self.domain.as_deref().unwrap_or("(none)")
    }
}

/// The lower end of the interval of `wrong` in `hits`, which is the least share that they show.
fn lower95(wrong: u64, hits: u64) -> f64 {
    // Without wrong ones it is 0, which rounding would miss.
    if wrong == 0 { 0.0 } else { 1.0 - wilson_upper95(hits - wrong, hits) }
}

/// The figures of each domain, worst first. They are sorted by the lower end of the share of false hits,
/// because one of two is no worse than fifty of a hundred; then by the share itself, then by the share not
/// answered. Empty if no domain is named.
pub fn by_domain(members: &[Member<'_>], budget: f64) -> Vec<DomainFigures> {
    if members.iter().all(|member| member.domain.is_none()) {
        return Vec::new();
    }
    let mut domains: BTreeMap<Option<&str>, Vec<&Member<'_>>> = BTreeMap::new();
    for member in members {
        domains.entry(member.domain).or_default().push(member);
    }
    let mut figures: Vec<DomainFigures> =
        domains.into_iter().map(|(domain, members)| DomainFigures::of(domain, &members, budget)).collect();
    let or = |share: Option<f64>, none: f64| share.unwrap_or(none);
    figures.sort_by(|a, b| {
        let by_share = or(b.false_hits_per_hit, -1.0).total_cmp(&or(a.false_hits_per_hit, -1.0));
        let by_answers = or(a.right_of_answerable, 1.0).total_cmp(&or(b.right_of_answerable, 1.0));
        let shown = |one: &DomainFigures| lower95(one.false_hits, one.hits);
        shown(b).total_cmp(&shown(a)).then(by_share).then(by_answers)
    });
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `hits` in a domain, of which `wrong` are wrong, and `missed` more that could be answered.
    fn members(domain: Option<&'static str>, hits: u8, wrong: u8, missed: u8) -> Vec<Member<'static>> {
        let hit = |n: u8| {
            let is_right = n >= wrong;
            let scored = Some(Scored::of(if is_right { 0.9 } else { 0.8 }, is_right));
            Member { domain, is_answerable: is_right, hit: Some(is_right), scored }
        };
        let miss = Member { domain, is_answerable: true, hit: None, scored: None };
        (0..hits).map(hit).chain((0..missed).map(|_| miss)).collect()
    }

    #[test]
    fn the_worst_comes_first_by_what_its_hits_show() {
        let all = [
            members(Some("a few"), 2, 1, 0),
            members(Some("good"), 240, 0, 10),
            members(Some("bad"), 100, 50, 50),
            members(Some("none"), 0, 0, 4),
            members(None, 200, 2, 0),
        ]
        .concat();
        let figures = by_domain(&all, 0.02);
        let names: Vec<_> = figures.iter().map(|one| (one.name(), one.verdict())).collect();
        // 1 of 2 is 9.5 % at the least, 50 of 100 is 40 %, 2 of 200 is .3 %.
        assert_eq!(
            names,
            [
                ("bad", "exceeded"),
                ("a few", "exceeded"),
                ("(none)", "too few hits"),
                ("good", "kept"),
                ("none", "too few hits"),
            ]
        );
        let bad = &figures[0];
        assert_eq!((bad.count, bad.hits, bad.false_hits_per_hit), (150, 100, Some(0.5)));
        assert_eq!((bad.right_of_answerable, bad.roc_auc), (Some(0.5), Some(1.0)));
        assert!((bad.false_hits_per_hit_upper95 - 0.5962).abs() < 1e-3);
        let none = &figures[4];
        assert_eq!((none.hits, none.false_hits_per_hit, none.right_of_answerable), (0, None, Some(0.0)));
        assert_eq!(none.roc_auc, None);
    }

    #[test]
    fn data_without_domains_have_no_table() {
        assert_eq!(by_domain(&members(None, 10, 1, 0), 0.02), []);
        assert_eq!(by_domain(&[], 0.02), []);
    }
}
