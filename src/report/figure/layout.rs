//! From a figure to a scene: the panels in a grid, the legend below.

use super::model::{Chart, Figure};
use super::palette::{DASHES, series};
use super::panels::{Size, draw, size};
use super::scene::{Anchor, Ink, Mark, Scene};
use super::text;

/// Height of words.
pub const SIZE: f64 = 12.0;
/// Room around everything.
const MARGIN: f64 = 14.0;
/// Room between panels.
const GAP: f64 = 26.0;
/// Height of a line of the legend.
const LEGEND_LINE: f64 = 19.0;
/// Length of the sample of a curve in the legend.
const SAMPLE: f64 = 34.0;

impl Figure {
    /// Everything at its place.
    pub(super) fn scene(&self) -> Scene {
        let across = self.across.clamp(1, self.panels.len().max(1));
        let sizes: Vec<Size> = self.panels.iter().map(|panel| size(&panel.chart)).collect();
        let rows: Vec<&[Size]> = sizes.chunks(across).collect();
        let column = |at: usize| {
            rows.iter()
                .filter_map(|row| row.get(at))
                .map(|size| size.width)
                .fold(0.0, f64::max)
        };
        let widths: Vec<f64> = (0..across).map(column).collect();
        // The titles of panels must fit, too.
        let title = text::width(&self.title, SIZE + 2.0);
        let inner = (widths.iter().sum::<f64>() + GAP * (across - 1) as f64).max(title * 1.08);
        let mut scene = Scene {
            width: (inner + 2.0 * MARGIN).ceil(),
            ..Scene::default()
        };
        scene.heading((MARGIN, MARGIN + 8.0), &self.title, SIZE + 2.0);
        let mut y = MARGIN + 34.0;
        for (row, panels) in rows.iter().zip(self.panels.chunks(across)) {
            let mut x = MARGIN;
            for (panel, width) in panels.iter().zip(&widths) {
                if !panel.title.is_empty() {
                    scene.heading((x, y), &panel.title, SIZE);
                }
                let head = if panel.title.is_empty() { 0.0 } else { 16.0 };
                draw(&mut scene, &panel.chart, (x, y + head), *width);
                x += width + GAP;
            }
            y += row.iter().map(|size| size.height).fold(0.0, f64::max) + 16.0 + GAP;
        }
        y = self.draw_legend(&mut scene, y - GAP + 8.0, inner);
        scene.height = (y + MARGIN).ceil();
        scene
    }

    /// The curves' names in columns, or the kinds of bars; returns where it ends.
    fn draw_legend(&self, scene: &mut Scene, mut y: f64, width: f64) -> f64 {
        if self
            .panels
            .iter()
            .any(|panel| matches!(panel.chart, Chart::Bars { .. }))
        {
            let mut x = MARGIN;
            for (kind, name) in ["base model", "ensemble", "fused network"]
                .into_iter()
                .enumerate()
            {
                scene.rect(
                    (x, y - 5.0),
                    (18.0, 10.0),
                    Ink::Colour(super::palette::BARS[kind]),
                );
                scene.text((x + 24.0, y), name, SIZE, Anchor::Start, Ink::Text);
                x += 24.0 + text::width(name, SIZE) + 22.0;
            }
            return y + 8.0;
        }
        let legend = self.legend();
        if legend.is_empty() {
            return y - 8.0;
        }
        let entry = SAMPLE + 8.0 + text::widest(legend.iter().map(|curve| curve.name.as_str()), SIZE) + 20.0;
        let across = ((width / entry) as usize).max(1);
        for (position, curve) in legend.iter().enumerate() {
            let x = MARGIN + (position % across) as f64 * entry;
            if position > 0 && position % across == 0 {
                y += LEGEND_LINE;
            }
            let ink = Ink::Colour(series(curve.colour));
            scene.marks.push(Mark::Line {
                points: vec![(x, y), (x + SAMPLE, y)],
                ink,
                width: 1.8,
                dash: DASHES[curve.dash % DASHES.len()],
            });
            if curve.marked {
                scene.point((x + SAMPLE / 2.0, y), curve.dash, ink);
            }
            scene.text((x + SAMPLE + 8.0, y), &curve.name, SIZE, Anchor::Start, Ink::Text);
        }
        y + 8.0
    }
}
