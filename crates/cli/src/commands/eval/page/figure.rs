//! The parts of the plots: a frame with its scales, axes, and the markers of the policies.

use maud::{Markup, html};
use wellspring_eval::policy::Policy;

/// A plot's area within its drawing, and what its sides stand for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
    pub(super) x: (f64, f64),
    pub(super) y: (f64, f64),
}

impl Frame {
    /// The horizontal position of `value`.
    pub(super) fn across(&self, value: f64) -> f64 {
        round(self.left + (value - self.x.0) / (self.x.1 - self.x.0) * (self.right - self.left))
    }

    /// The vertical position of `value`.
    pub(super) fn down(&self, value: f64) -> f64 {
        round(self.bottom - (value - self.y.0) / (self.y.1 - self.y.0) * (self.bottom - self.top))
    }

    /// The grid with its numbers in percent, and the names of the axes.
    pub(super) fn axes(&self, of_x: &str, of_y: &str) -> Markup {
        let middle = f64::midpoint(self.left, self.right);
        html! {
            g.axes {
                @for value in ticks(self.y) {
                    @let y = self.down(value);
                    line x1=(self.left) x2=(self.right) y1=(y) y2=(y) {}
                    text x=(self.left - 8.0) y=(y) dy="0.33em" text-anchor="end" { (percent(value)) }
                }
                @for value in ticks(self.x) {
                    @let x = self.across(value);
                    line.tick x1=(x) x2=(x) y1=(self.bottom) y2=(self.bottom + 4.0) {}
                    text x=(x) y=(self.bottom + 9.0) dy="0.8em" text-anchor="middle" { (percent(value)) }
                }
                text.of x=(middle) y=(self.bottom + 28.0) dy="0.9em" text-anchor="middle" { (of_x) }
                text.of x=(self.left - 44.0) y=(self.top - 14.0) text-anchor="start" { (of_y) }
            }
        }
    }
}

/// Positions in a drawing need one decimal digit.
fn round(place: f64) -> f64 {
    (place * 10.0).round() / 10.0
}

/// Four to eight round values in `range`, which lies between 0 and 1.
pub(super) fn ticks((from, to): (f64, f64)) -> Vec<f64> {
    let step = [0.01, 0.02, 0.05, 0.1].into_iter().find(|step| (to - from) / step < 7.5).unwrap_or(0.2);
    let first = (from / step - 1e-9).ceil();
    (0..10_u8).map(|n| (first + f64::from(n)) * step).take_while(|value| *value <= to + 1e-9).collect()
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// The class that gives the colour of a policy.
pub(super) fn class(policy: Policy) -> &'static str {
    match policy {
        Policy::Threshold => "of-threshold",
        Policy::Guards => "of-guards",
        Policy::Verifier => "of-verifier",
        Policy::Learned => "of-learned",
        Policy::VCache => "of-vcache",
    }
}

/// The marker of a policy, which differs in shape as well as in colour.
pub(super) fn marker(policy: Policy, x: f64, y: f64) -> Markup {
    let path = match policy {
        Policy::Threshold => "M-5.5-5.5h11v11h-11z",
        Policy::Guards => "M0-7.5 7 5.5H-7z",
        Policy::Verifier => "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0z",
        Policy::Learned => "M0-8 8 0 0 8-8 0z",
        Policy::VCache => "M-7-3h4v-4h6v4h4v6h-4v4h-6v-4h-4z",
    };
    html! { path.marker d=(path) transform=(format!("translate({x} {y})")) {} }
}

/// A policy's marker, before its name.
pub(super) fn key(policy: Policy) -> Markup {
    html! {
        svg.key.(class(policy)) viewBox="-10 -10 20 20" width="14" height="14" aria-hidden="true" {
            (marker(policy, 0.0, 0.0))
        }
    }
}

/// Moves labels apart; each is given by its horizontal and vertical start. Afterwards, no label is less than
/// `height` below another one that starts less than `width` beside it.
pub(super) fn apart(places: &mut [(f64, f64)], width: f64, height: f64) {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by(|&a, &b| places[a].1.total_cmp(&places[b].1));
    for (rank, &at) in order.iter().enumerate() {
        for &above in &order[..rank] {
            let is_beside = (places[at].0 - places[above].0).abs() < width;
            if is_beside && places[at].1 < places[above].1 + height {
                places[at].1 = places[above].1 + height;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_their_places() {
        let frame =
            Frame { left: 50.0, right: 250.0, top: 10.0, bottom: 110.0, x: (0.0, 0.5), y: (0.5, 1.0) };
        assert_eq!((frame.across(0.0), frame.across(0.25), frame.across(0.5)), (50.0, 150.0, 250.0));
        assert_eq!((frame.down(0.5), frame.down(1.0)), (110.0, 10.0));
    }

    #[test]
    fn ticks_are_round_and_few() {
        for (range, count) in
            [((0.0, 1.0), 6), ((0.5, 1.0), 6), ((0.0, 0.3), 7), ((0.9, 1.0), 6), ((0.97, 1.0), 4)]
        {
            let ticks = ticks(range);
            assert_eq!(ticks.len(), count, "{ticks:?}");
            assert!((ticks[count - 1] - range.1).abs() < 1e-9 && ticks[0] >= range.0 - 1e-9, "{ticks:?}");
        }
    }

    #[test]
    fn labels_make_way_for_each_other() {
        let mut places = [(100.0, 20.0), (110.0, 15.0), (300.0, 16.0), (105.0, 22.0)];
        apart(&mut places, 80.0, 14.0);
        assert_eq!(places, [(100.0, 29.0), (110.0, 15.0), (300.0, 16.0), (105.0, 43.0)]);
    }
}
