//! The two axes of a plane: grid, numbers and titles.

use super::SMALL;
use crate::report::figure::axis::Axis;
use crate::report::figure::layout::SIZE;
use crate::report::figure::scene::{Anchor, Ink, Scene};
use crate::report::figure::text;

/// A plane of values and where it is.
pub struct Frame {
    horizontal: Axis,
    vertical: Axis,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Frame {
    /// Draws the axes into a box whose upper left corner is given, and as wide as it is; the plane has a height of
    /// `height`. The horizontal axis is marked with `names` where they are given.
    pub fn draw(
        scene: &mut Scene,
        (horizontal, vertical): (Axis, Axis),
        names: Option<&[String]>,
        (x, y): (&str, &str),
        (left, top): (f64, f64),
        (width, height): (f64, f64),
    ) -> Self {
        let written: Vec<String> = vertical.ticks.iter().map(|tick| vertical.format(*tick)).collect();
        let frame = Self {
            left: left + 24.0 + text::widest(written.iter().map(String::as_str), SMALL),
            right: left + width - 6.0,
            top,
            bottom: top + height,
            horizontal,
            vertical,
        };
        let Self {
            left: x0,
            right,
            bottom,
            ..
        } = frame;
        for (tick, text) in frame.vertical.ticks.iter().zip(&written) {
            let (_, y) = frame.place((frame.horizontal.low, *tick));
            scene.line(vec![(x0, y), (right, y)], Ink::Grid, 1.0);
            scene.text((x0 - 6.0, y), text, SMALL, Anchor::End, Ink::Muted);
        }
        for (position, tick) in frame.horizontal.ticks.iter().enumerate() {
            let (x, _) = frame.place((*tick, frame.vertical.low));
            scene.line(vec![(x, bottom), (x, bottom + 4.0)], Ink::Text, 1.0);
            let name = names.and_then(|names| names.get(position).cloned());
            let text = name.unwrap_or_else(|| frame.horizontal.format(*tick));
            scene.text((x, bottom + 13.0), &text, SMALL, Anchor::Middle, Ink::Muted);
        }
        let below = ((x0 + right) / 2.0, bottom + 30.0);
        scene.text(below, x, SIZE, Anchor::Middle, Ink::Text);
        scene.upwards((left + 8.0, (top + bottom) / 2.0), y, SIZE, Ink::Text);
        frame
    }

    /// Where a value is; what is above or below the plane is at its edge.
    pub fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let y = y.clamp(self.vertical.low, self.vertical.high);
        (
            self.left + self.horizontal.share(x) * (self.right - self.left),
            self.bottom - self.vertical.share(y) * (self.bottom - self.top),
        )
    }

    /// The lines of both axes, over what was drawn on the plane.
    pub fn close(&self, scene: &mut Scene) {
        let corners = vec![
            (self.left, self.top),
            (self.left, self.bottom),
            (self.right, self.bottom),
        ];
        scene.line(corners, Ink::Text, 1.0);
    }
}
