//! The figures of each domain, by policy.

use maud::{Markup, html};
use wellspring_eval::domains::DomainFigures;
use wellspring_eval::policy::Policy;

use super::{class_of, figure};
use crate::commands::eval::text::{number, percent};
use crate::commands::units;

pub(super) fn section(domains: &[(Policy, &[DomainFigures])]) -> Markup {
    let shown = || domains.iter().filter(|(_, figures)| !figures.is_empty());
    html! {
        @if shown().next().is_some() {
            section aria-labelledby="domains" {
                h2 #domains { "Domains" }
                @for (policy, figures) in shown() { (table(*policy, figures)) }
                p.note {
                    "The worst come first, by the lower end of the 95 % interval of false hits. The verdict uses the "
                    "same interval: it lies above the budget, below it, or around it, which means too few hits. "
                    "Right is the share of answerable cases that got the right answer."
                }
            }
        }
    }
}

fn table(policy: Policy, figures: &[DomainFigures]) -> Markup {
    let id = format!("domains-{}", policy.name());
    html! {
        h3 id=(id) { (figure::key(policy)) (policy.name()) }
        div.scroll role="region" aria-labelledby=(id) tabindex="0" {
            table {
                thead { tr {
                    th scope="col" { "Domain" }
                    th.number scope="col" { "Count" }
                    th.number scope="col" { "Hits" }
                    th.number scope="col" { "Right" }
                    th.number scope="col" { "False hits" }
                    th.number scope="col" { "Upper 95 %" }
                    th.number scope="col" { "ROC-AUC" }
                    th scope="col" { "Budget" }
                } }
                tbody {
                    @for one in figures {
                        tr {
                            th scope="row" { (one.name()) }
                            td.number { (units::count(one.count as u64)) }
                            td.number { (units::count(one.hits)) }
                            td.number { (percent(one.right_of_answerable)) }
                            td.number { (percent(one.false_hits_per_hit)) }
                            td.number { (percent(Some(one.false_hits_per_hit_upper95))) }
                            td.number { (number(one.roc_auc)) }
                            td { span class={ "kept " (class_of(one.budget)) } { (one.verdict()) } }
                        }
                    }
                }
            }
        }
    }
}
