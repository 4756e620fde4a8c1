//! Curves with bands.

use super::frame::Frame;
use super::{BELOW, Size};
use crate::report::figure::axis::Axis;
use crate::report::figure::model::{Curve, Lines, Point, Ticks};
use crate::report::figure::palette::DASHES;
use crate::report::figure::scene::tinted;
use crate::report::figure::scene::{Ink, Mark, Scene};

const WIDTH: f64 = 462.0;
const HEIGHT: f64 = 250.0;

impl Lines {
    #[expect(clippy::unused_self, reason = "as the other charts")]
    pub(super) fn size(&self) -> Size {
        Size {
            width: WIDTH,
            height: HEIGHT + BELOW,
        }
    }

    pub(super) fn draw(&self, scene: &mut Scene, at: (f64, f64), width: f64) {
        let names = match &self.ticks {
            Ticks::Round => None,
            Ticks::Named(names) => Some(names.as_slice()),
        };
        let titles = (self.x.as_str(), self.y.as_str());
        let frame = Frame::draw(scene, self.axes(), names, titles, at, (width, HEIGHT));
        for curve in &self.curves {
            if let Some(corners) = curve.band() {
                scene.marks.push(Mark::Area {
                    points: corners.into_iter().map(|corner| frame.place(corner)).collect(),
                    ink: ink(curve),
                    opacity: 0.12,
                });
            }
        }
        for curve in &self.curves {
            let points: Vec<(f64, f64)> = curve
                .points
                .iter()
                .map(|point| frame.place((point.x, point.y)))
                .collect();
            if let Some(ends) = curve.whisker() {
                scene.line(ends.map(|end| frame.place(end)).to_vec(), ink(curve), 1.2);
            }
            scene.marks.push(Mark::Line {
                points: points.clone(),
                ink: ink(curve),
                width: 1.8,
                dash: DASHES[curve.style.dash % DASHES.len()],
            });
            // Over the line: hollow marks hide it.
            if let Some(mark) = curve.style.mark {
                for &point in points.iter().step_by(curve.mark_every()) {
                    scene.filled_point(point, mark, curve.style.dash, ink(curve));
                }
            }
        }
        frame.close(scene);
    }

    /// The horizontal and the vertical axis.
    pub(in crate::report::figure) fn axes(&self) -> (Axis, Axis) {
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let spread = |point: &Point| point.spread.unwrap_or(0.0);
        let low = points()
            .map(|point| point.y - spread(point))
            .fold(f64::INFINITY, f64::min);
        let high = points()
            .map(|point| point.y + spread(point))
            .fold(f64::NEG_INFINITY, f64::max);
        let vertical = match self.is_logarithmic() {
            // A band may reach below 0.
            true => Axis::logarithmic(points().map(|point| point.y).fold(f64::INFINITY, f64::min), high),
            false => Axis::round(low, high, 6),
        };
        let horizontal = match &self.ticks {
            Ticks::Round => {
                let first = points().map(|point| point.x).fold(0.0, f64::min);
                let last = points().map(|point| point.x).fold(f64::NEG_INFINITY, f64::max);
                Axis::round(first, last, 6)
            }
            Ticks::Named(names) => Axis {
                low: -0.25,
                high: names.len().max(1) as f64 - 0.75,
                ticks: (0..names.len()).map(|i| i as f64).collect(),
                decimals: 0,
                logarithmic: false,
            },
        };
        (horizontal, vertical)
    }
}

fn ink(curve: &Curve) -> Ink {
    tinted(curve.style.colour, curve.style.tint)
}
