//! Horizontal bars with whiskers, their values beside them.

use super::{SMALL, Size};
use crate::report::figure::axis::Axis;
use crate::report::figure::layout::SIZE;
use crate::report::figure::model::{Bar, Bars};
use crate::report::figure::scene::{Anchor, Ink, Scene};
use crate::report::figure::text;
use crate::report::number::fixed;

/// Height of a bar with the room around it.
const BAR: f64 = 17.0;
/// Length of the longest bar.
const WIDTH: f64 = 250.0;
/// Height of the numbers below.
const BELOW: f64 = 22.0;

impl Bars {
    pub(super) fn size(&self) -> Size {
        Size {
            width: self.labels() + WIDTH + self.values(),
            height: self.each.len() as f64 * BAR + BELOW,
        }
    }

    /// Room for the names.
    fn labels(&self) -> f64 {
        text::widest(self.each.iter().map(|bar| bar.label.as_str()), SIZE) + 8.0
    }

    /// Room for the values beside the bars.
    fn values(&self) -> f64 {
        let texts: Vec<String> = self.each.iter().map(|bar| self.written(bar)).collect();
        text::widest(texts.iter().map(String::as_str), SMALL) + 8.0
    }

    /// What stands beside a bar.
    pub(in crate::report::figure) fn written(&self, bar: &Bar) -> String {
        let decimals = self.decimals;
        match bar.value {
            None => "\u{2013}".to_string(),
            Some((value, None)) => fixed(value, decimals),
            Some((value, Some(spread))) => {
                format!("{} \u{b1} {}", fixed(value, decimals), fixed(spread, decimals))
            }
        }
    }

    /// The axis of values.
    pub(in crate::report::figure) fn axis(&self) -> Axis {
        let ends = self.each.iter().filter_map(|bar| bar.value);
        let longest = ends
            .map(|(value, spread)| value + spread.unwrap_or(0.0))
            .fold(0.0, f64::max)
            .min(self.most.unwrap_or(f64::INFINITY));
        Axis::round(0.0, longest, 5)
    }

    pub(super) fn draw(&self, scene: &mut Scene, (left, top): (f64, f64), width: f64) {
        let axis = self.axis();
        let (labels, values) = (self.labels(), self.values());
        let (x0, room) = (left + labels, width - labels - values);
        let at = |value: f64| x0 + axis.share(value).clamp(0.0, 1.0) * room;
        let bottom = top + self.each.len() as f64 * BAR;
        for tick in &axis.ticks {
            let (x, text) = (at(*tick), axis.format(*tick));
            scene.line(vec![(x, top), (x, bottom)], Ink::Grid, 1.0);
            scene.text((x, bottom + 11.0), &text, SMALL, Anchor::Middle, Ink::Muted);
        }
        for (position, bar) in self.each.iter().enumerate() {
            let y = top + position as f64 * BAR;
            let middle = y + BAR / 2.0;
            scene.text((x0 - 6.0, middle), &bar.label, SIZE, Anchor::End, Ink::Text);
            if let Some((value, spread)) = bar.value {
                let ink = Ink::Bar(bar.kind);
                scene.rect((x0, y + 3.0), (at(value) - x0, BAR - 6.0), ink);
                if let Some(spread) = spread {
                    let (low, high) = (at(value - spread), at(value + spread));
                    scene.line(vec![(low, middle), (high, middle)], Ink::Text, 1.2);
                    for end in [low, high] {
                        scene.line(vec![(end, middle - 3.0), (end, middle + 3.0)], Ink::Text, 1.2);
                    }
                }
            }
            let right = (x0 + room + values, middle);
            scene.text(right, &self.written(bar), SMALL, Anchor::End, Ink::Muted);
        }
        scene.line(vec![(x0, top), (x0, bottom)], Ink::Text, 1.0);
    }
}
