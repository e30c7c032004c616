//! Precision against hit rate: what each policy could serve, and what it does.

use maud::{Markup, html};
use wellspring_eval::curve::CurvePoint;
use wellspring_eval::details::Details;
use wellspring_eval::policy::Policy;

use super::figure::{self, Frame};

const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 400.0;

/// If hits are fewer than this share of all queries, they say nothing about a precision.
const LEAST_HIT_RATE: f64 = 0.02;

/// The room that a label at the end of a line takes.
const LABEL: (f64, f64) = (78.0, 17.0);

pub(super) fn section(details: &[Details], budget: f64, answerable: f64, asked: &str) -> Markup {
    let lines: Vec<(&Details, Vec<CurvePoint>)> = details.iter().map(|one| (one, line(one))).collect();
    let frame = frame(&lines, budget, answerable);
    let mut labels: Vec<(f64, f64)> = lines.iter().map(|(_, line)| end(&frame, line)).collect();
    figure::apart(&mut labels, LABEL.0, LABEL.1);
    let of_x = format!("Hit rate: hits among all {asked}");
    let most = figure::percent(answerable);
    html! {
        section aria-labelledby="precision" {
            h2 #precision { "Precision and hit rate" }
            figure {
                ul.legend {
                    @for one in details {
                        li.(figure::class(one.policy)) { (figure::key(one.policy)) (one.policy.name()) }
                    }
                }
                svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-labelledby="precision-title precision-desc" {
                    title #precision-title { "Precision against hit rate of each policy" }
                    desc #precision-desc { (description(details, budget)) }
                    (frame.axes(&of_x, "Precision: right hits among all hits"))
                    @if answerable <= frame.x.1 {
                        @let x = frame.across(answerable);
                        g.limit {
                            line x1=(x) x2=(x) y1=(frame.top) y2=(frame.bottom) {}
                            text x=(x) y=(frame.bottom - 8.0) dx="-6" text-anchor="end" { (most) " answerable" }
                        }
                    }
                    g.budget {
                        @let y = frame.down(1.0 - budget);
                        line x1=(frame.left) x2=(frame.right) y1=(y) y2=(y) {}
                        text x=(frame.right + 6.0) y=(y) dy="0.33em" { "budget" }
                    }
                    @for (one, line) in &lines {
                        polyline.line.(figure::class(one.policy)) points=(points(&frame, line)) {}
                    }
                    @for (one, _) in &lines {
                        @if let Some(at) = &one.at {
                            g.(figure::class(one.policy)) {
                                title { (summary(one.policy, at)) }
                                (figure::marker(one.policy, frame.across(at.hit_rate), frame.down(at.precision())))
                            }
                        }
                    }
                    @for ((one, line), (x, y)) in lines.iter().zip(&labels) {
                        @if !line.is_empty() {
                            text.label.(figure::class(one.policy)) x=(x) y=(y) dy="0.33em" { (one.policy.name()) }
                        }
                    }
                }
                figcaption {
                    "Each line shows what other thresholds of a policy would give; the marker is at the threshold "
                    "that was set. Lines begin where 2 % of the " (asked) " are hits."
                    @if details.iter().any(|one| one.policy == Policy::VCache) {
                        " The line of vcache shows what other budgets give."
                    }
                }
            }
        }
    }
}

/// The part of a curve that is drawn.
fn line(details: &Details) -> Vec<CurvePoint> {
    details.curve.iter().filter(|point| point.hit_rate >= LEAST_HIT_RATE).copied().collect()
}

/// A frame from zero hits to the most, and from the lowest precision to 1.
fn frame(lines: &[(&Details, Vec<CurvePoint>)], budget: f64, answerable: f64) -> Frame {
    let points = || lines.iter().flat_map(|(one, line)| line.iter().chain(&one.at));
    let most = points().map(|point| point.hit_rate).fold(answerable.min(1.0), f64::max);
    let least = points().map(CurvePoint::precision).fold(1.0 - budget, f64::min);
    let most = (most * 10.0 - 1e-9).ceil().max(1.0) / 10.0;
    let least = (least * 10.0 - 0.2).floor().max(0.0) / 10.0;
    Frame {
        left: 60.0,
        right: WIDTH - 92.0,
        top: 34.0,
        bottom: HEIGHT - 54.0,
        x: (0.0, most),
        y: (least, 1.0),
    }
}

fn points(frame: &Frame, line: &[CurvePoint]) -> String {
    let place =
        |point: &CurvePoint| format!("{},{}", frame.across(point.hit_rate), frame.down(point.precision()));
    line.iter().map(place).collect::<Vec<_>>().join(" ")
}

/// Where the label of a line begins.
fn end(frame: &Frame, line: &[CurvePoint]) -> (f64, f64) {
    line.last().map_or((frame.left, frame.bottom), |last| {
        (frame.across(last.hit_rate) + 8.0, frame.down(last.precision()))
    })
}

fn summary(policy: Policy, at: &CurvePoint) -> String {
    let (hits, right) = (100.0 * at.hit_rate, 100.0 * at.precision());
    format!("{}: {hits:.1} % hits, {right:.1} % of them right", policy.name())
}

fn description(details: &[Details], budget: f64) -> String {
    let summaries = details.iter().map(|one| match &one.at {
        Some(at) => summary(one.policy, at),
        None => format!("{}: no hits", one.policy.name()),
    });
    let summaries: Vec<String> = summaries.collect();
    format!("{}. The budget asks for {:.1} % right.", summaries.join("; "), 100.0 * (1.0 - budget))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(hit_rate: f64, false_hits_per_hit: f64) -> CurvePoint {
        CurvePoint { hit_rate, false_hits_per_hit, threshold: 0.9 }
    }

    #[test]
    fn the_frame_holds_every_point_and_the_budget() {
        let curve = vec![point(0.005, 1.0), point(0.2, 0.0), point(0.61, 0.28)];
        let details = Details::without_scores(Policy::Guards, curve, Some(point(0.3, 0.33)));
        let line = line(&details);
        assert_eq!(line.len(), 2, "what one hit shows is left out");
        let frame = frame(&[(&details, line.clone())], 0.02, 0.5);
        assert_eq!(frame.x, (0.0, 0.7));
        assert!((frame.y.0 - 0.6).abs() < 1e-9, "{:?}", frame.y);
        // (.2, 1) and (.61, .72) in a frame from 60 to 508 across and from 34 to 346 down.
        assert_eq!(points(&frame, &line), "188,34 450.4,252.4");
        assert_eq!(end(&frame, &line), (458.4, 252.4));
    }

    #[test]
    fn readers_who_do_not_see_it_get_the_numbers() {
        let details = [
            Details::without_scores(Policy::Guards, Vec::new(), Some(point(0.3, 0.25))),
            Details::without_scores(Policy::VCache, Vec::new(), None),
        ];
        assert_eq!(
            description(&details, 0.02),
            "guards: 30.0 % hits, 75.0 % of them right; vcache: no hits. The budget asks for 98.0 % right."
        );
    }
}
