//! Shaded matrices.

use std::fmt::Write;

use super::{Grid, Place, names, number, ticks, wrapped, wrapping};
use crate::report::figure::model::Matrix;
use crate::report::figure::palette::{lightness, shade};
use crate::report::filters::latex;

/// Height of a row with a name of one line and of two, in cm, and of all of them.
const ROW: f64 = 0.34;
const TALL_ROW: f64 = 0.5;
const HEIGHT: f64 = 17.0;
/// About so many classes have a number at their axis, and a decimal where their value is written.
const NUMBERED: usize = 10;
const DECIMALS: usize = 12;

impl Matrix {
    /// Whether rows have names of their own, and not those of the columns.
    fn is_list(&self) -> bool {
        self.y.is_empty()
    }

    /// Whether names of rows have several lines.
    fn is_tall(&self) -> bool {
        self.is_list() && wrapped(self.rows.iter().map(String::as_str))
    }

    pub(super) fn grid(&self, across: usize, count: usize) -> Grid {
        if self.is_list() {
            return Grid {
                across,
                left: names(self.rows.iter().map(String::as_str)),
                between: 0.3,
                right: 0.1,
                below: 1.5,
            };
        }
        Grid {
            // So many that they fit the height of a page.
            across: match count {
                0..=12 => count.min(4),
                13..=30 => 5,
                _ => 6,
            },
            left: 1.0,
            between: 0.25,
            right: 0.1,
            below: 0.9,
        }
    }

    /// Names at the left and at the bottom of the grid alone: panels have the same.
    fn axes(&self, place: Place) -> String {
        let every = self.columns.len().div_ceil(NUMBERED);
        let none = |axis: char| format!("{axis}tick=\\empty");
        let mut y = none('y');
        if self.is_list() {
            y = ticks('y', &self.rows, 1) + &wrapping(self.is_tall());
        } else if place.first {
            y = format!("{}, ylabel={{{}}}", ticks('y', &self.rows, every), latex(&self.y));
        }
        let x = match place.last {
            true => {
                let every = if self.is_list() { 1 } else { every };
                format!(
                    "{}, xlabel={{{}}}",
                    ticks('x', &self.columns, every),
                    latex(&self.x)
                )
            }
            false => none('x'),
        };
        let small = match self.is_list() {
            true => "",
            false => ", tick label style={font=\\tiny}, label style={font=\\tiny}",
        };
        format!("{x}, {y}{small}")
    }

    pub(super) fn typeset(&self, place: Place, out: &mut String) {
        let height = match self.is_list() {
            true => {
                let rows = self.rows.len().max(1) as f64;
                let row = if self.is_tall() { TALL_ROW } else { ROW };
                format!("{:.2}cm", rows * row.min(HEIGHT / rows))
            }
            false => "\\panelwidth".to_string(),
        };
        let stops = (0..4).map(|i| shade(f64::from(i) / 3.0));
        // There is no matrix of a single row or column: a second one is drawn, outside of the axes.
        let single = |axis: char, count: usize| match count {
            1 => format!("{axis}min=-0.5, {axis}max=0.5, "),
            _ => String::new(),
        };
        let limits = single('x', self.columns.len()) + &single('y', self.rows.len());
        let (down, across) = (self.rows.len().max(2), self.columns.len().max(2));
        let stops: Vec<String> = stops.map(|(r, g, b)| format!("rgb255=({r},{g},{b})")).collect();
        let _ = writeln!(
            out,
            "{}, y dir=reverse, {limits}enlargelimits=false, axis on top, height={height}, colormap={{shares}}{{{}}}, point meta min=0, point meta max=100]",
            self.axes(place),
            stops.join(" "),
        );
        let _ = writeln!(
            out,
            "\\addplot[matrix plot*, mesh/cols={across}, point meta=explicit, forget plot] table[meta=share] {{\nx y share"
        );
        let values = &self.values;
        let value = move |row: usize, column: usize| -> Option<f64> { *values.get(row)?.get(column)? };
        let cells = move || {
            let places = (0..down).flat_map(move |row| (0..across).map(move |column| (column, row)));
            places.map(move |(column, row)| (column, row, value(row, column)))
        };
        for (column, row, value) in cells() {
            let share = value.map_or("nan".to_string(), |value| number(self.depth(value) * 100.0));
            let _ = writeln!(out, "{column} {row} {share}");
        }
        out.push_str("};\n");
        let decimals = usize::from(self.columns.len() <= DECIMALS);
        for (column, row, value) in cells().filter(|_| self.written) {
            let Some(value) = value else { continue };
            let light = lightness(shade(value)) > 0.55;
            let _ = writeln!(
                out,
                "\\node[font=\\tiny, inner sep=0pt, text={}] at (axis cs:{column},{row}) {{{:.decimals$}}};",
                if light { "black" } else { "white" },
                value * 100.0
            );
        }
    }
}
