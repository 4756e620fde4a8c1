//! Lines, boxes and words at places, in pixels from the upper left corner.

use super::palette::{Rgb, SERIES, TINTS, series};

/// How many marks there are: as many as colours, so that a grey print tells curves apart, too.
pub const SHAPES: usize = 8;

/// How many ways there are to fill a mark, in the order of dashes: full, hollow, hollow with a core, hollow with a rim. A
/// point that stands alone has no line whose dash could be seen.
pub const FILLS: usize = 4;
/// Sizes of hollow marks, and of what is in and around them, beside a full one.
const HOLLOW: f64 = 1.1;
pub const CORE: f64 = 0.5;
pub const RIM: f64 = 1.8;

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
    /// The page itself.
    Paper,
    /// Grids.
    Grid,
    /// One colour on any page.
    Colour(Rgb),
    /// The colour of a curve or a mark: on a dark page a lighter one, where this one would hardly be seen.
    Series(Rgb),
    /// The colour of a kind of bar: that of the palette on paper; a dark page has its own.
    Bar(usize),
}

/// The same, darker or lighter: what shares a colour in one panel.
pub fn tinted(index: usize, tint: usize) -> Ink {
    if index % SERIES.len() == SERIES.len() - 1 && tint.is_multiple_of(TINTS.len()) {
        return Ink::Text;
    }
    let (r, g, b) = series(index);
    let towards = match tint % TINTS.len() {
        0 => return Ink::Series((r, g, b)),
        1 => 0.0,
        _ => 255.0,
    };
    let share = TINTS[tint % TINTS.len()];
    let mix = |part: u8| (f64::from(part) * share + towards * (1.0 - share)).round() as u8;
    Ink::Series((mix(r), mix(g), mix(b)))
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

    /// Adds a mark, `size` times that of a curve's point: a disc, a square, a triangle, a diamond, a pentagon, a triangle on
    /// its tip, a bar or a plus, in the order of the colours.
    pub fn point(&mut self, place: (f64, f64), shape: usize, size: f64, ink: Ink, opacity: f64) {
        self.marks.push(Mark::Area {
            points: corners(place, shape, size),
            ink,
            opacity,
        });
    }

    /// Adds the mark of a curve's point, filled in one of [`FILLS`] ways.
    pub fn filled_point(&mut self, place: (f64, f64), shape: usize, fill: usize, ink: Ink) {
        let fill = fill % FILLS;
        if fill == 0 {
            self.point(place, shape, 1.0, ink, 1.0);
            return;
        }
        self.point(
            place,
            shape,
            if fill == 3 { RIM } else { HOLLOW },
            Ink::Paper,
            1.0,
        );
        self.outline(place, shape, HOLLOW, ink);
        match fill {
            2 => self.point(place, shape, CORE, ink, 1.0),
            3 => self.outline(place, shape, RIM, ink),
            _ => {}
        }
    }

    fn outline(&mut self, place: (f64, f64), shape: usize, size: f64, ink: Ink) {
        let mut points = corners(place, shape, size);
        // The last corner is a corner, too.
        points.extend_from_within(..2);
        self.line(points, ink, 1.3);
    }

    /// Adds a cross.
    pub fn cross(&mut self, (x, y): (f64, f64), ink: Ink) {
        for side in [-3.4, 3.4] {
            self.line(vec![(x - 3.4, y - side), (x + 3.4, y + side)], ink, 1.6);
        }
    }
}

/// The corners of a mark at a place.
pub fn corners((x, y): (f64, f64), shape: usize, size: f64) -> Vec<(f64, f64)> {
    const DISC: usize = 24;
    let corners: Vec<(f64, f64)> = match shape % SHAPES {
        0 => (0..DISC)
            .map(|i| i as f64 / DISC as f64 * std::f64::consts::TAU)
            .map(|angle| (3.6 * angle.cos(), 3.6 * angle.sin()))
            .collect(),
        1 => vec![(-3.2, -3.2), (3.2, -3.2), (3.2, 3.2), (-3.2, 3.2)],
        2 => vec![(0.0, -4.4), (4.0, 2.9), (-4.0, 2.9)],
        3 => vec![(0.0, -4.6), (4.0, 0.0), (0.0, 4.6), (-4.0, 0.0)],
        4 => (0..5)
            .map(|i| f64::from(i) / 5.0 * std::f64::consts::TAU)
            .map(|angle| (4.2 * angle.sin(), -4.2 * angle.cos()))
            .collect(),
        5 => vec![(0.0, 4.4), (4.0, -2.9), (-4.0, -2.9)],
        6 => vec![(-1.4, -4.6), (1.4, -4.6), (1.4, 4.6), (-1.4, 4.6)],
        _ => vec![
            (-1.2, -4.4),
            (1.2, -4.4),
            (1.2, -1.2),
            (4.4, -1.2),
            (4.4, 1.2),
            (1.2, 1.2),
            (1.2, 4.4),
            (-1.2, 4.4),
            (-1.2, 1.2),
            (-4.4, 1.2),
            (-4.4, -1.2),
            (-1.2, -1.2),
        ],
    };
    let placed = corners.into_iter().map(|(dx, dy)| (x + dx * size, y + dy * size));
    placed.collect()
}
