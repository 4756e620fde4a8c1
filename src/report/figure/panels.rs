//! The charts of a scene: how much room each takes, and what stands where in it.

mod bars;
mod frame;
mod lines;
mod matrix;
mod scatter;

use super::model::Chart;
use super::scene::Scene;

/// Pixels.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// From left to right.
    pub width: f64,
    /// Without the title.
    pub height: f64,
}

/// Height of what stands below a chart: numbers and the title of the axis.
const BELOW: f64 = 42.0;
/// Height of small words.
const SMALL: f64 = 10.5;

impl Chart {
    /// How much room it takes.
    pub(super) fn size(&self) -> Size {
        match self {
            Self::Bars(bars) => bars.size(),
            Self::Lines(lines) => lines.size(),
            Self::Matrix(matrix) => matrix.size(),
            Self::Scatter(scatter) => scatter.size(),
        }
    }

    /// Draws it, its upper left corner at a place.
    pub(super) fn draw(&self, scene: &mut Scene, at: (f64, f64), width: f64) {
        match self {
            Self::Bars(bars) => bars.draw(scene, at, width),
            Self::Lines(lines) => lines.draw(scene, at, width),
            Self::Matrix(matrix) => matrix.draw(scene, at),
            Self::Scatter(scatter) => scatter.draw(scene, at, width),
        }
    }
}
