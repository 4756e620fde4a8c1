//! Lines, boxes and words at places, in pixels from the upper left corner.

use super::palette::Rgb;

/// A picture.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scene {
    /// Pixels.
    pub width: f64,
    /// Pixels.
    pub height: f64,
    /// In the order of drawing.
    pub marks: Vec<Mark>,
}

/// What something is drawn with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ink {
    /// Words and axes: dark on a light page, light on a dark one.
    Text,
    /// What is less important.
    Muted,
    /// Grids.
    Grid,
    /// One colour on any page.
    Colour(Rgb),
}

/// The side of a place on which words stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// To the right of it.
    Start,
    /// Around it.
    Middle,
    /// To the left of it.
    End,
}

/// One thing to draw.
#[derive(Debug, Clone, PartialEq)]
pub enum Mark {
    /// A line through points.
    Line {
        /// The points.
        points: Vec<(f64, f64)>,
        /// Its colour.
        ink: Ink,
        /// Its width.
        width: f64,
        /// Pixels on and off.
        dash: &'static [f32],
    },
    /// A filled shape.
    Area {
        /// Its corners.
        points: Vec<(f64, f64)>,
        /// Its colour.
        ink: Ink,
        /// From 0, nothing, to 1.
        opacity: f64,
    },
    /// Words; `y` is the middle of their height.
    Text {
        /// Where.
        x: f64,
        /// Where.
        y: f64,
        /// What.
        text: String,
        /// Height of the font.
        size: f64,
        /// Which side.
        anchor: Anchor,
        /// Whether they run upwards.
        upwards: bool,
        /// Their colour.
        ink: Ink,
        /// Whether they are a title.
        strong: bool,
    },
}

impl Scene {
    /// Adds a line.
    pub fn line(&mut self, points: Vec<(f64, f64)>, ink: Ink, width: f64) {
        self.marks.push(Mark::Line {
            points,
            ink,
            width,
            dash: &[],
        });
    }

    /// Adds a filled box.
    pub fn rect(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), ink: Ink) {
        self.marks.push(Mark::Area {
            points: vec![(x, y), (x + width, y), (x + width, y + height), (x, y + height)],
            ink,
            opacity: 1.0,
        });
    }

    /// Adds words.
    pub fn text(&mut self, (x, y): (f64, f64), text: &str, size: f64, anchor: Anchor, ink: Ink) {
        self.marks.push(Mark::Text {
            x,
            y,
            text: text.to_string(),
            size,
            anchor,
            upwards: false,
            ink,
            strong: false,
        });
    }

    /// Adds a title.
    pub fn heading(&mut self, (x, y): (f64, f64), text: &str, size: f64) {
        self.marks.push(Mark::Text {
            x,
            y,
            text: text.to_string(),
            size,
            anchor: Anchor::Start,
            upwards: false,
            ink: Ink::Text,
            strong: true,
        });
    }

    /// Adds words that run upwards, centred.
    pub fn upwards(&mut self, (x, y): (f64, f64), text: &str, size: f64, ink: Ink) {
        self.marks.push(Mark::Text {
            x,
            y,
            text: text.to_string(),
            size,
            anchor: Anchor::Middle,
            upwards: true,
            ink,
            strong: false,
        });
    }

    /// Adds the mark of a curve's point: a disc, a square, a triangle or a diamond.
    pub fn point(&mut self, (x, y): (f64, f64), shape: usize, ink: Ink) {
        let corners: &[(f64, f64)] = match shape % 4 {
            0 => &[
                (3.6, 0.0),
                (2.55, 2.55),
                (0.0, 3.6),
                (-2.55, 2.55),
                (-3.6, 0.0),
                (-2.55, -2.55),
                (0.0, -3.6),
                (2.55, -2.55),
            ],
            1 => &[(-3.2, -3.2), (3.2, -3.2), (3.2, 3.2), (-3.2, 3.2)],
            2 => &[(0.0, -4.4), (4.0, 2.9), (-4.0, 2.9)],
            _ => &[(0.0, -4.6), (4.0, 0.0), (0.0, 4.6), (-4.0, 0.0)],
        };
        self.marks.push(Mark::Area {
            points: corners.iter().map(|(dx, dy)| (x + dx, y + dy)).collect(),
            ink,
            opacity: 1.0,
        });
    }
}
