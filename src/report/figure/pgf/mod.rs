//! Figures as pgfplots, for papers: the same numbers, set in the paper's own fonts, as wide as its text.

mod bars;
mod legend;
mod lines;
mod matrix;
mod scatter;

use std::fmt::Write;

use super::model::{Chart, Figure, Style};
use super::palette::{BARS, SERIES, TINTS};
use super::scene::{CORE, FILLS, RIM, SHAPES, corners};
use crate::report::escape::is_hidden;
use crate::report::filters::latex;
use crate::report::number::exact;
use crate::report::symbols::width;

/// Dashes and marks, in the order of those of the pictures.
const DASHES: [&str; 4] = ["solid", "dashed", "dotted", "dashdotted"];
const MARKS: [&str; SHAPES] = [
    "mark=*, mark options={solid",
    "mark=square*, mark options={solid",
    "mark=triangle*, mark options={solid",
    "mark=diamond*, mark options={solid",
    "mark=pentagon*, mark options={solid",
    "mark=triangle*, mark options={solid, rotate=180",
    "mark=square*, mark options={solid, xscale=0.4",
    "mark=plus*, mark options={solid",
];
/// Size of the mark of a curve's point, in points, and of a hollow one, which is to show what is in it.
const MARK: f64 = 1.8;
const OPEN_MARK: f64 = 2.6;
const HOLLOW: &str = ", fill=white, line width=0.5pt";

/// The text of a paper in one column, in cm: what does not fit this is broken or turned.
const TEXT: f64 = 12.0;
/// What names at a vertical axis may take of it, in cm: longer ones have several lines.
const NAMES: f64 = 3.9;
/// Width of a character of a name, in cm.
const CHARACTER: f64 = 0.135;

/// How panels stand beside and below each other. In cm, what is not the panels themselves.
struct Grid {
    across: usize,
    /// Before the first panel, between two, and behind the last.
    left: f64,
    between: f64,
    right: f64,
    /// Between two rows.
    below: f64,
}

/// Where a panel stands.
#[derive(Clone, Copy)]
struct Place {
    /// Whether nothing is to its left.
    first: bool,
    /// Whether nothing is below it.
    last: bool,
    /// Panels beside and below each other.
    grid: (usize, usize),
}

impl Figure {
    /// A `tikzpicture`, to be `\input`.
    pub fn to_pgf(&self) -> String {
        let count = self.panels.len();
        let mut out = format!("% {}\n", self.title.replace(is_hidden, " "));
        out.push_str(
            "% Needs \\usepackage{pgfplots}\\usepgfplotslibrary{groupplots}\\pgfplotsset{compat=1.16}; is as wide as the text.\n",
        );
        let Some(first) = self.panels.first() else {
            return out;
        };
        let Grid {
            across,
            left,
            between,
            right,
            below,
        } = first.chart.grid(self.across.clamp(1, count), count);
        let down = count.div_ceil(across);
        // Outside of the picture, an end of a line would be a space in a paragraph.
        for (name, colours) in [("series", SERIES.as_slice()), ("bar", BARS.as_slice())] {
            for (index, (r, g, b)) in colours.iter().enumerate() {
                let _ = writeln!(out, "\\definecolor{{{name}{index}}}{{RGB}}{{{r},{g},{b}}}%");
            }
        }
        let head = std::mem::replace(&mut out, "\\begin{tikzpicture}\n".to_string());
        let beside = left + between * (across - 1) as f64 + right;
        let _ = writeln!(
            out,
            "\\pgfmathsetlengthmacro{{\\panelwidth}}{{max(1cm,(\\linewidth-{beside:.2}cm)/{across})}}"
        );
        let _ = writeln!(
            out,
            "\\begin{{groupplot}}[group style={{group size={across} by {down}, horizontal sep={between:.2}cm, vertical sep={below:.2}cm}}, width=\\panelwidth, scale only axis, tick align=outside, tick pos=left, tick label style={{font=\\scriptsize, /pgf/number format/fixed, /pgf/number format/precision=3}}, label style={{font=\\scriptsize}}, title style={{font=\\scriptsize, align=center, text width=\\panelwidth, inner xsep=0pt, yshift=-1ex}}]"
        );
        for (position, panel) in self.panels.iter().enumerate() {
            let _ = write!(out, "\\nextgroupplot[title={{{}}}, ", latex(&panel.title));
            let place = Place {
                first: position % across == 0,
                last: position + across >= count,
                grid: (across, down),
            };
            match &panel.chart {
                Chart::Bars(bars) => bars.typeset(place, &mut out),
                Chart::Lines(lines) => lines.typeset(place, &mut out),
                Chart::Matrix(matrix) => matrix.typeset(place, &mut out),
                Chart::Scatter(scatter) => scatter.typeset(&mut out),
            }
        }
        out.push_str("\\end{groupplot}\n");
        self.typeset_legend(&mut out);
        out.push_str("\\end{tikzpicture}%\n");
        match out.contains("mark=plus*") {
            true => head + &plus() + &out,
            false => head + &out,
        }
    }
}

impl Chart {
    fn grid(&self, across: usize, count: usize) -> Grid {
        match self {
            Self::Bars(bars) => bars.grid(across),
            Self::Matrix(matrix) => matrix.grid(across, count),
            Self::Lines(_) | Self::Scatter(_) => Grid {
                across,
                left: 1.55,
                between: 1.6,
                right: 0.3,
                below: 1.75,
            },
        }
    }
}

/// Room for names at a vertical axis, in cm.
fn names<'a>(names: impl Iterator<Item = &'a str>) -> f64 {
    0.4 + (longest(names) as f64 * CHARACTER).min(NAMES)
}

/// Whether a name is too long for one line.
fn wrapped<'a>(names: impl Iterator<Item = &'a str>) -> bool {
    longest(names) as f64 * CHARACTER > NAMES
}

/// How names of several lines are set: small, so that two lines are as high as a row.
fn wrapping(wrapped: bool) -> String {
    match wrapped {
        true => format!(
            ", yticklabel style={{font=\\fontsize{{6}}{{7}}\\selectfont, align=right, text width={NAMES}cm}}"
        ),
        false => String::new(),
    }
}

fn longest<'a>(names: impl Iterator<Item = &'a str>) -> usize {
    names
        .map(|name| name.chars().map(width).sum::<usize>())
        .max()
        .unwrap_or(0)
}

fn colour(style: Style) -> String {
    let Style { colour, tint, .. } = style;
    let tint = tint % TINTS.len();
    let towards = match tint {
        0 => String::new(),
        1 => format!("!{:.0}!black", TINTS[1] * 100.0),
        _ => format!("!{:.0}!white", TINTS[2] * 100.0),
    };
    format!("series{}{towards}", colour % SERIES.len())
}

fn style(curve: Style) -> String {
    let (size, fill) = match curve.dash % FILLS {
        0 => (MARK, ""),
        3 => (OPEN_MARK * RIM, HOLLOW),
        _ => (OPEN_MARK, HOLLOW),
    };
    let mark = curve
        .mark
        .map_or("mark=none".to_string(), |shape| mark(shape, fill));
    format!(
        "color={}, thick, {}, {mark}, mark size={size:.2}pt",
        colour(curve),
        DASHES[curve.dash % DASHES.len()],
    )
}

/// What stands in the hollow marks of a curve: a core, or the hollow mark whose rim they are.
fn second_mark(curve: Style) -> Option<String> {
    let shape = curve.mark?;
    let (size, fill) = match curve.dash % FILLS {
        2 => (OPEN_MARK * CORE, ", line width=0pt"),
        3 => (OPEN_MARK, HOLLOW),
        _ => return None,
    };
    Some(format!(
        "color={}, only marks, {}, mark size={size:.2}pt",
        colour(curve),
        mark(shape, fill)
    ))
}

fn mark(shape: usize, options: &str) -> String {
    format!("{}{options}}}", MARKS[shape % SHAPES])
}

/// The plus as a shape that can be filled: pgf's own are lines.
fn plus() -> String {
    let corners = corners((0.0, 0.0), SHAPES - 1, 1.0);
    let far = corners.iter().map(|(x, _)| *x).fold(0.0, f64::max);
    let mut path = String::new();
    for (position, (x, y)) in corners.into_iter().enumerate() {
        let to = if position == 0 { "move" } else { "line" };
        let (x, y) = (x / far, y / far);
        let _ = write!(
            path,
            "\\pgfpath{to}to{{\\pgfpoint{{{x:.2}\\pgfplotmarksize}}{{{y:.2}\\pgfplotmarksize}}}}"
        );
    }
    format!("\\pgfdeclareplotmark{{plus*}}{{{path}\\pgfpathclose\\pgfusepathqfillstroke}}%\n")
}

/// Places and names of the ticks that have a name; one in `every`.
fn ticks(axis: char, names: &[String], every: usize) -> String {
    let shown = names.iter().enumerate().filter(|(_, name)| !name.is_empty());
    let (places, names): (Vec<String>, Vec<String>) = shown
        .step_by(every.max(1))
        .map(|(i, name)| (i.to_string(), format!("{{{}}}", latex(name))))
        .unzip();
    format!(
        "{axis}tick={{{}}}, {axis}ticklabels={{{}}}",
        places.join(","),
        names.join(",")
    )
}

fn coordinates(points: impl IntoIterator<Item = (f64, f64)>) -> String {
    let points = points
        .into_iter()
        .map(|(x, y)| format!("({},{})", number(x), number(y)));
    points.collect::<Vec<_>>().join(" ")
}

/// Six digits are more than can be seen.
fn number(value: f64) -> String {
    let rounded: f64 = format!("{value:.5e}").parse().unwrap_or(value);
    exact(rounded)
}
