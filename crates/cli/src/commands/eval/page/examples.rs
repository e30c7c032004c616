//! What a policy got wrong: answers that it served and should not have, and answers that it should have
//! served.

use std::collections::HashSet;

use maud::{Markup, html};
use wellspring_eval::details::{Details, Example};

use super::figure;
use crate::commands::units;

pub(super) fn section(details: &[Details]) -> Markup {
    let shown: Vec<&Details> = details.iter().filter(|one| one.false_hits > 0 || one.misses() > 0).collect();
    html! {
        @if !shown.is_empty() {
            section aria-labelledby="examples" {
                h2 #examples { "What went wrong" }
                p.note {
                    "False hits are sorted by score, the highest first. Missed paraphrases are either below the "
                    "threshold, the nearest to it first, or were refused before they had a score, the most similar "
                    "first. Words that the other question lacks are marked."
                }
                @for (place, one) in shown.iter().enumerate() {
                    details.policy.(figure::class(one.policy)) open[place + 1 == shown.len()] {
                        summary {
                            (figure::key(one.policy)) span.name { (one.policy.name()) }
                            span.soft {
                                (units::counted(one.false_hits as u64, "false hit")) ", "
                                (units::count(one.misses() as u64)) " missed"
                            }
                        }
                        (list("False hits, the surest first", &one.worst, one.false_hits))
                        (causes(one))
                        (list("Missed, the nearest to the threshold first", &one.nearly, 0))
                        (list("Refused without a score, the most similar first", &one.refused, 0))
                    }
                }
            }
        }
    }
}

/// Why paraphrases were missed.
fn causes(details: &Details) -> Markup {
    let most = details.missed.first().map_or(1, |(_, count)| *count) as f64;
    html! {
        @if !details.missed.is_empty() {
            h3 { "Why paraphrases were missed" }
            table.causes {
                thead.unseen { tr { th scope="col" { "Cause" } th scope="col" { "Paraphrases" } } }
                tbody {
                    @for (cause, count) in &details.missed {
                        tr {
                            th scope="row" { (cause) }
                            td {
                                span.bar style=(format!("width: {:.1}%", 70.0 * *count as f64 / most)) {}
                                (units::count(*count as u64))
                            }
                        }
                    }
                }
            }
        }
    }
}

fn list(title: &str, examples: &[Example], all: usize) -> Markup {
    html! {
        @if !examples.is_empty() {
            h3 {
                (title)
                @if all > examples.len() { span.soft { " (" (examples.len()) " of " (all) ")" } }
            }
            ol.examples { @for example in examples { li { (shown(example)) } } }
        }
    }
}

fn shown(example: &Example) -> Markup {
    let score = |score: Option<f32>| score.map_or_else(|| "–".into(), |score| format!("{score:.4}"));
    let mark = if example.why.passed { "✓" } else { "✗" };
    html! {
        dl {
            div { dt { "asked" } dd { (marked(&example.asked, &example.cached)) } }
            div { dt { "cached" } dd { (marked(&example.cached, &example.asked)) } }
            @if let Some(expected) = &example.expected {
                div { dt { "expected" } dd { (expected) } }
            }
            div.why {
                dt { "why" }
                dd {
                    span.scores {
                        "similarity " b { (score(example.similarity)) }
                        @if example.score != example.similarity { ", score " b { (score(example.score)) } }
                    }
                    " " (mark) " " (example.why.name) ": " (example.why.detail)
                }
            }
        }
    }
}

/// The words of a question; those that the other question lacks are marked.
fn marked(question: &str, other: &str) -> Markup {
    let bare = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    let known: HashSet<String> = other.split_whitespace().map(bare).collect();
    html! {
        @for (place, word) in question.split_whitespace().enumerate() {
            @if place > 0 { " " }
            @let is_new = !known.contains(&bare(word));
            @if is_new { mark { (word) } } @else { (word) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_the_other_question_lacks_are_marked() {
        let marked = marked("How do I <disable> 2FA?", "how do i enable 2fa").into_string();
        assert_eq!(marked, "How do I <mark>&lt;disable&gt;</mark> 2FA?");
    }
}
