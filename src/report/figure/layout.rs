//! From a figure to a scene: the panels in a grid, the legend below.

use super::model::{Figure, Sample, Style};
use super::palette::{DASHES, shade};
use super::panels::Size;
use super::scene::{Anchor, Ink, Mark, Scene, tinted};
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
        let sizes: Vec<Size> = self.panels.iter().map(|panel| panel.chart.size()).collect();
        let rows: Vec<&[Size]> = sizes.chunks(across).collect();
        // The titles of panels must fit, too.
        let column = |at: usize| {
            let panels = self.panels.iter().zip(&sizes).skip(at).step_by(across);
            panels
                .map(|(panel, size)| size.width.max(text::bold_width(&panel.title, SIZE)))
                .fold(0.0, f64::max)
        };
        let widths: Vec<f64> = (0..across).map(column).collect();
        let title = text::bold_width(&self.title, SIZE + 2.0);
        let inner = (widths.iter().sum::<f64>() + GAP * (across - 1) as f64).max(title);
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
                panel.chart.draw(&mut scene, (x, y + head), *width);
                x += width + GAP;
            }
            y += row.iter().map(|size| size.height).fold(0.0, f64::max) + 16.0 + GAP;
        }
        y = self.draw_legend(&mut scene, y - GAP + 16.0, inner);
        if let Some(note) = self.note() {
            y += LEGEND_LINE;
            scene.text((MARGIN, y - 4.0), note, SIZE - 1.0, Anchor::Start, Ink::Muted);
        }
        scene.height = (y + MARGIN).ceil();
        scene
    }

    /// The names in columns; returns where it ends.
    fn draw_legend(&self, scene: &mut Scene, mut y: f64, width: f64) -> f64 {
        let legend = self.legend();
        if legend.is_empty() {
            return y - 16.0;
        }
        let entry = SAMPLE + 8.0 + text::widest(legend.iter().map(|(name, _)| *name), SIZE) + 20.0;
        let across = ((width / entry) as usize).max(1);
        for (position, (name, sample)) in legend.into_iter().enumerate() {
            let x = MARGIN + (position % across) as f64 * entry;
            if position > 0 && position % across == 0 {
                y += LEGEND_LINE;
            }
            draw_sample(scene, sample, (x, y));
            scene.text((x + SAMPLE + 8.0, y), name, SIZE, Anchor::Start, Ink::Text);
        }
        y + 8.0
    }
}

/// What a name stands for, [`SAMPLE`] wide.
fn draw_sample(scene: &mut Scene, sample: Sample, (x, y): (f64, f64)) {
    let middle = (x + SAMPLE / 2.0, y);
    match sample {
        Sample::Curve(Style {
            colour,
            tint,
            dash,
            mark,
        }) => {
            let ink = tinted(colour, tint);
            scene.marks.push(Mark::Line {
                points: vec![(x, y), (x + SAMPLE, y)],
                ink,
                width: 1.8,
                dash: DASHES[dash % DASHES.len()],
            });
            if let Some(mark) = mark {
                scene.filled_point(middle, mark, dash, ink);
            }
        }
        Sample::Bar(kind) => draw_box(scene, (x, y), Ink::Bar(kind)),
        Sample::Shade(value) => draw_box(scene, (x, y), Ink::Colour(shade(value.sqrt()))),
        Sample::Shape(shape) => scene.point(middle, shape, 1.4, Ink::Muted, 1.0),
        Sample::Cross => scene.cross(middle, Ink::Text),
    }
}

fn draw_box(scene: &mut Scene, (x, y): (f64, f64), ink: Ink) {
    let (left, right, high, low) = (x + 12.0, x + SAMPLE, y - 6.0, y + 6.0);
    scene.rect((left, high), (right - left, low - high), ink);
    let border = vec![
        (left, high),
        (right, high),
        (right, low),
        (left, low),
        (left, high),
    ];
    scene.line(border, Ink::Muted, 0.6);
}
