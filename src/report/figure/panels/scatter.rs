//! Marks in a plane, tied to crosses.

use super::frame::Frame;
use super::{BELOW, Size};
use crate::report::figure::axis::Axis;
use crate::report::figure::model::{Dot, Scatter};
use crate::report::figure::scene::tinted;
use crate::report::figure::scene::{Ink, Scene};

const WIDTH: f64 = 372.0;
const HEIGHT: f64 = 310.0;
/// The largest mark beside the mark of a curve, and the smallest: what matters little is still seen.
const SIZES: (f64, f64) = (2.6, 0.7);

impl Scatter {
    #[expect(clippy::unused_self, reason = "as the other charts")]
    pub(super) fn size(&self) -> Size {
        Size {
            width: WIDTH,
            height: HEIGHT + BELOW,
        }
    }

    pub(super) fn draw(&self, scene: &mut Scene, at: (f64, f64), width: f64) {
        let places = || self.dots.iter().flat_map(|dot| [dot.at, dot.to]);
        let axis = |of: fn((f64, f64)) -> f64| {
            let low = places().map(of).fold(f64::INFINITY, f64::min);
            let high = places().map(of).fold(f64::NEG_INFINITY, f64::max);
            let room = (high - low) * 0.05;
            Axis::round(low - room, high + room, 6)
        };
        let axes = (axis(|(x, _)| x), axis(|(_, y)| y));
        let titles = (self.x.as_str(), self.y.as_str());
        let frame = Frame::draw(scene, axes, None, titles, at, (width, HEIGHT));
        for dot in &self.dots {
            scene.line(vec![frame.place(dot.at), frame.place(dot.to)], ink(dot), 1.0);
        }
        for dot in &self.dots {
            // Sizes are those of areas.
            let size = (dot.size.max(0.0).sqrt() * SIZES.0).max(SIZES.1);
            scene.point(frame.place(dot.at), dot.shape, size, ink(dot), 0.75);
        }
        for dot in &self.dots {
            scene.cross(frame.place(dot.to), Ink::Text);
        }
        frame.close(scene);
    }
}

fn ink(dot: &Dot) -> Ink {
    tinted(dot.colour, 0)
}
