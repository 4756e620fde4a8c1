//! Shaded matrices.

use super::{BELOW, SMALL, Size};
use crate::report::figure::model::Matrix;
use crate::report::figure::palette::{lightness, shade};
use crate::report::figure::scene::{Anchor, Ink, Scene};
use crate::report::figure::text;

/// A cell into which its value is written.
const WRITTEN: (f64, f64) = (42.0, 19.0);

impl Matrix {
    pub(super) fn size(&self) -> Size {
        let (wide, high) = self.cell();
        Size {
            width: (self.names() + self.columns.len() as f64 * wide).max(190.0),
            height: self.rows.len() as f64 * high + BELOW,
        }
    }

    /// Room for the names of rows, and their title.
    fn names(&self) -> f64 {
        let title = if self.y.is_empty() { 0.0 } else { 18.0 };
        text::widest(self.rows.iter().map(String::as_str), SMALL) + 8.0 + title
    }

    /// Width and height of a cell.
    fn cell(&self) -> (f64, f64) {
        if self.written {
            return WRITTEN;
        }
        let side = (170.0 / self.columns.len().max(1) as f64).clamp(1.0, 22.0);
        (side, side)
    }

    pub(super) fn draw(&self, scene: &mut Scene, (left, top): (f64, f64)) {
        let (wide, high) = self.cell();
        let x0 = left + self.names();
        for (row, cells) in self.values.iter().enumerate() {
            let y = top + row as f64 * high;
            if let Some(name) = self.rows.get(row).filter(|name| !name.is_empty()) {
                scene.text((x0 - 5.0, y + high / 2.0), name, SMALL, Anchor::End, Ink::Text);
            }
            for (column, value) in cells.iter().enumerate() {
                let x = x0 + column as f64 * wide;
                let middle = (x + wide / 2.0, y + high / 2.0);
                let Some(value) = value else {
                    scene.text(middle, "\u{2013}", SMALL, Anchor::Middle, Ink::Muted);
                    continue;
                };
                let colour = shade(self.depth(*value));
                scene.rect((x, y), (wide, high), Ink::Colour(colour));
                if self.written {
                    let light = lightness(colour) > 0.55;
                    let ink = Ink::Colour(if light { (20, 20, 20) } else { (255, 255, 255) });
                    scene.text(
                        middle,
                        &format!("{:.1}", value * 100.0),
                        SMALL,
                        Anchor::Middle,
                        ink,
                    );
                }
            }
        }
        let right = x0 + self.columns.len() as f64 * wide;
        let bottom = top + self.values.len() as f64 * high;
        let border = vec![(x0, top), (right, top), (right, bottom), (x0, bottom), (x0, top)];
        scene.line(border, Ink::Muted, 1.0);
        for (column, name) in self
            .columns
            .iter()
            .enumerate()
            .filter(|(_, name)| !name.is_empty())
        {
            let x = x0 + (column as f64 + 0.5) * wide;
            scene.text((x, bottom + 11.0), name, SMALL, Anchor::Middle, Ink::Text);
        }
        let below = ((x0 + right) / 2.0, bottom + 27.0);
        scene.text(below, &self.x, SMALL + 0.5, Anchor::Middle, Ink::Muted);
        if !self.y.is_empty() {
            let middle = (left + 7.0, (top + bottom) / 2.0);
            scene.upwards(middle, &self.y, SMALL + 0.5, Ink::Muted);
        }
    }
}
