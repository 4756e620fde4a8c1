//! Scenes as PNG, through tiny-skia.

use ab_glyph::{Font, OutlineCurve};
use tiny_skia::{Color, FillRule, LineCap, Paint, Path, PathBuilder, Pixmap, Stroke, StrokeDash, Transform};

use super::model::Figure;
use super::palette::bar;
use super::scene::{Anchor, Ink, Mark};
use super::text;
use crate::report::ReportError;

/// Pictures with more pixels on a side are refused: a mistake, and 400 MB.
const LARGEST: f64 = 10_000.0;

impl Figure {
    /// The picture on white, with `scale` pixels for each pixel of the SVG.
    pub fn to_png(&self, scale: f64) -> Result<Vec<u8>, ReportError> {
        let scene = self.scene();
        let fail = |reason: String| ReportError::Draw {
            figure: self.name.clone(),
            reason,
        };
        let (width, height) = ((scene.width * scale).ceil(), (scene.height * scale).ceil());
        if !(1.0..=LARGEST).contains(&width) || !(1.0..=LARGEST).contains(&height) {
            return Err(fail(format!(
                "{width} x {height} pixels are too many for a PNG; the SVG has no limit"
            )));
        }
        let (width, height) = (width as u32, height as u32);
        let mut pixels = Pixmap::new(width, height).ok_or_else(|| fail("out of memory".to_string()))?;
        pixels.fill(Color::WHITE);
        let transform = Transform::from_scale(scale as f32, scale as f32);
        for mark in &scene.marks {
            draw(mark, &mut pixels, transform);
        }
        // Nothing is transparent on white, so that premultiplied is plain.
        let rgb: Vec<u8> = pixels
            .data()
            .chunks_exact(4)
            .flat_map(|pixel| [pixel[0], pixel[1], pixel[2]])
            .collect();
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let written = encoder
            .add_text_chunk("Software".to_owned(), "runner".to_owned())
            .and_then(|()| encoder.write_header())
            .and_then(|mut writer| writer.write_image_data(&rgb));
        written.map_err(|error| fail(error.to_string()))?;
        Ok(bytes)
    }
}

fn draw(mark: &Mark, pixels: &mut Pixmap, transform: Transform) {
    match mark {
        Mark::Line {
            points,
            ink,
            width,
            dash,
        } => {
            let Some(path) = polygon(points, false) else {
                return;
            };
            let stroke = Stroke {
                width: *width as f32,
                line_cap: LineCap::Butt,
                dash: if dash.is_empty() {
                    None
                } else {
                    StrokeDash::new(dash.to_vec(), 0.0)
                },
                ..Stroke::default()
            };
            pixels.stroke_path(&path, &paint(*ink, 1.0), &stroke, transform, None);
        }
        Mark::Area { points, ink, opacity } => {
            let Some(path) = polygon(points, true) else { return };
            pixels.fill_path(&path, &paint(*ink, *opacity), FillRule::Winding, transform, None);
        }
        Mark::Text {
            x,
            y,
            text,
            size,
            anchor,
            upwards,
            ink,
            strong,
        } => {
            let Some(path) = outline(text, *size) else { return };
            let shift = match anchor {
                Anchor::Start => 0.0,
                Anchor::Middle => -text::width(text, *size) / 2.0,
                Anchor::End => -text::width(text, *size),
            };
            let local = Transform::from_translate(shift as f32, (size * 0.36) as f32);
            let turned = if *upwards { local.post_rotate(-90.0) } else { local };
            let placed = turned.post_translate(*x as f32, *y as f32).post_concat(transform);
            pixels.fill_path(&path, &paint(*ink, 1.0), FillRule::Winding, placed, None);
            if *strong {
                // There is one font: titles are drawn with a rim.
                let rim = Stroke {
                    width: (*size * 0.05) as f32,
                    ..Stroke::default()
                };
                pixels.stroke_path(&path, &paint(*ink, 1.0), &rim, placed, None);
            }
        }
    }
}

fn paint(ink: Ink, opacity: f64) -> Paint<'static> {
    let (r, g, b) = match ink {
        Ink::Text => (26, 26, 26),
        Ink::Muted => (89, 89, 89),
        Ink::Paper => (255, 255, 255),
        Ink::Grid => (221, 221, 221),
        Ink::Colour(colour) | Ink::Series(colour) => colour,
        Ink::Bar(kind) => bar(kind),
    };
    let mut paint = Paint::default();
    paint.set_color_rgba8(r, g, b, (opacity * 255.0).round() as u8);
    paint
}

fn polygon(points: &[(f64, f64)], closed: bool) -> Option<Path> {
    let mut path = PathBuilder::new();
    for (position, (x, y)) in points.iter().enumerate() {
        let (x, y) = (*x as f32, *y as f32);
        if position == 0 {
            path.move_to(x, y);
        } else {
            path.line_to(x, y);
        }
    }
    if closed {
        path.close();
    }
    path.finish()
}

/// The glyphs of a text, its baseline at 0, one em being `size`.
fn outline(text: &str, size: f64) -> Option<Path> {
    let font = text::font()?;
    let factor = size as f32 / font.units_per_em()?;
    let mut path = PathBuilder::new();
    let mut x = 0.0;
    for c in text.chars() {
        let glyph = font.glyph_id(c);
        let at = |point: ab_glyph::Point| (x + point.x * factor, -point.y * factor);
        let mut end: Option<(f32, f32)> = None;
        for curve in font
            .outline(glyph)
            .map(|outline| outline.curves)
            .unwrap_or_default()
        {
            let from = match curve {
                OutlineCurve::Line(a, _) | OutlineCurve::Quad(a, ..) | OutlineCurve::Cubic(a, ..) => at(a),
            };
            if end != Some(from) {
                path.move_to(from.0, from.1);
            }
            let to = match curve {
                OutlineCurve::Line(_, b) => {
                    path.line_to(at(b).0, at(b).1);
                    b
                }
                OutlineCurve::Quad(_, b, c) => {
                    path.quad_to(at(b).0, at(b).1, at(c).0, at(c).1);
                    c
                }
                OutlineCurve::Cubic(_, b, c, d) => {
                    path.cubic_to(at(b).0, at(b).1, at(c).0, at(c).1, at(d).0, at(d).1);
                    d
                }
            };
            end = Some(at(to));
        }
        x += font.h_advance_unscaled(glyph) * factor;
    }
    path.finish()
}
