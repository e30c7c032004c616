//! Predicted probabilities against actual results.

use maud::{Markup, html};
use wellspring_eval::details::Details;
use wellspring_eval::reliability::Bin;

use super::figure::{self, Frame};
use crate::commands::units;

const SIZE: f64 = 380.0;
/// The strip below that shows how many predictions there are.
const STRIP: f64 = 46.0;

pub(super) fn section(details: &[Details]) -> Markup {
    let reliable = || details.iter().filter(|one| !one.reliability.is_empty());
    html! {
        @if reliable().next().is_some() {
            section aria-labelledby="reliability" {
                h2 #reliability { "Are the probabilities true?" }
                div.row { @for one in reliable() { (diagram(one)) } }
                p.note {
                    "The best candidate of each question, in ten bins by its probability: the share that was the same "
                    "question, with its 95 % Wilson interval. On the diagonal, probabilities are exact; above it, they "
                    "are too cautious; below it, too confident. Bars count the predictions."
                }
            }
        }
    }
}

fn diagram(details: &Details) -> Markup {
    let (policy, bins) = (details.policy, &details.reliability);
    let frame = Frame {
        left: 56.0,
        right: SIZE - 24.0,
        top: 34.0,
        bottom: SIZE - 34.0,
        x: (0.0, 1.0),
        y: (0.0, 1.0),
    };
    let (title, desc) = (format!("{}-title", policy.name()), format!("{}-desc", policy.name()));
    let error = details.calibration_error.unwrap_or_default();
    html! {
        figure {
            h3.(figure::class(policy)) { (figure::key(policy)) (policy.name()) }
            svg viewBox=(format!("0 0 {SIZE} {}", SIZE + STRIP + 28.0)) role="img" aria-labelledby={ (title) " " (desc) } {
                title id=(title) { "Reliability of the probabilities of " (policy.name()) }
                desc id=(desc) {
                    @for bin in bins { (summary(bin)) ". " }
                }
                (frame.axes("Predicted probability", "Observed: the same question"))
                line.diagonal x1=(frame.left) y1=(frame.bottom) x2=(frame.right) y2=(frame.top) {}
                g.(figure::class(policy)) {
                    @for bin in bins {
                        @let (x, (low, high)) = (frame.across(bin.predicted), bin.interval());
                        g {
                            title { (summary(bin)) }
                            line.interval x1=(x) x2=(x) y1=(frame.down(low)) y2=(frame.down(high)) {}
                            circle.dot cx=(x) cy=(frame.down(bin.observed())) r="4.5" {}
                        }
                    }
                    (counts(&frame, bins))
                }
            }
            figcaption {
                "On average " (format!("{:.1}", 100.0 * error)) " points off, in bins of equal counts."
                details {
                    summary { "The numbers" }
                    (table(bins))
                }
            }
        }
    }
}

/// How many predictions each bin has, by the square root, so that small bins are visible beside large ones.
fn counts(frame: &Frame, bins: &[Bin]) -> Markup {
    let most = bins.iter().map(|bin| bin.count).max().unwrap_or(1) as f64;
    let foot = SIZE + STRIP + 22.0;
    let width = (frame.right - frame.left) / 10.0;
    html! {
        g.counts {
            @for bin in bins {
                @let height = ((bin.count as f64 / most).sqrt() * (STRIP - 16.0) * 10.0).ceil() / 10.0;
                @let left = frame.across((bin.predicted * 10.0).floor().min(9.0) / 10.0);
                rect x=(left + 2.0) width=(width - 4.0) y=(foot - height) height=(height) rx="2" {}
                text x=(left + width / 2.0) y=(foot - height - 4.0) text-anchor="middle" { (short(bin.count)) }
            }
        }
    }
}

fn table(bins: &[Bin]) -> Markup {
    html! {
        table {
            thead { tr {
                th.number scope="col" { "Predicted" }
                th.number scope="col" { "Observed" }
                th.number scope="col" { "95 %" }
                th.number scope="col" { "Count" }
            } }
            tbody {
                @for bin in bins {
                    @let (low, high) = bin.interval();
                    tr {
                        td.number { (format!("{:.3}", bin.predicted)) }
                        td.number { (format!("{:.3}", bin.observed())) }
                        td.number { (format!("{low:.3}–{high:.3}")) }
                        td.number { (units::count(bin.count)) }
                    }
                }
            }
        }
    }
}

fn summary(bin: &Bin) -> String {
    let (low, high) = bin.interval();
    format!(
        "predicted {:.0} %, observed {:.0} % ({:.0}–{:.0} %) of {}",
        100.0 * bin.predicted,
        100.0 * bin.observed(),
        100.0 * low,
        100.0 * high,
        bin.count
    )
}

/// A count in at most four characters.
fn short(count: u64) -> String {
    match count {
        0..10_000 => count.to_string(),
        _ => format!("{}k", count / 1_000),
    }
}
