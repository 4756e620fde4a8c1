//! Curves with bands.

use std::fmt::Write;

use super::{Place, TEXT, colour, coordinates, longest, number, second_mark, style, ticks};
use crate::report::figure::model::{Lines, Ticks};
use crate::report::filters::latex;

/// Height of a panel beside its width, for one, two and more panels beside each other.
const HEIGHTS: [f64; 3] = [0.55, 0.75, 0.95];

impl Lines {
    pub(super) fn typeset(&self, place: Place, out: &mut String) {
        let (across, _) = place.grid;
        let ticks = match &self.ticks {
            Ticks::Round => String::new(),
            Ticks::Named(names) => {
                let room = TEXT / across as f64 - 1.5;
                let needed =
                    names.len() as f64 * (longest(names.iter().map(String::as_str)) as f64 * 0.14 + 0.2);
                let turned = match needed > room {
                    true => ", x tick label style={rotate=35, anchor=north east, inner sep=1pt}",
                    false => "",
                };
                let (axis, _) = self.axes();
                format!(
                    ", {}, xmin={}, xmax={}{turned}",
                    ticks('x', names, 1),
                    axis.low,
                    axis.high
                )
            }
        };
        let mode = if self.is_logarithmic() {
            // Left alone, pgfplots marks powers such as 10^-1.5.
            let (_, axis) = self.axes();
            let join = |texts: Vec<String>| texts.join(",");
            let marks = join(axis.ticks.iter().map(|tick| number(*tick)).collect());
            let names = join(axis.ticks.iter().map(|tick| axis.latex(*tick)).collect());
            let (low, high) = (number(axis.low), number(axis.high));
            format!(
                ", ymode=log, ymin={low}, ymax={high}, ytick={{{marks}}}, yticklabels={{{names}}}, minor tick style={{draw=none}}"
            )
        } else {
            String::new()
        };
        let _ = writeln!(
            out,
            "xlabel={{{}}}, ylabel={{{}}}{ticks}{mode}, grid=major, grid style={{gray!25}}, height={}*\\panelwidth]",
            latex(&self.x),
            latex(&self.y),
            HEIGHTS[(across - 1).min(HEIGHTS.len() - 1)],
        );
        for curve in &self.curves {
            if let Some(corners) = curve.band() {
                let _ = writeln!(
                    out,
                    "\\addplot[draw=none, fill={}, fill opacity=0.12, forget plot] coordinates {{{}}} -- cycle;",
                    colour(curve.style),
                    coordinates(corners)
                );
            }
            if let Some(ends) = curve.whisker() {
                let _ = writeln!(
                    out,
                    "\\addplot[color={}, forget plot] coordinates {{{}}};",
                    colour(curve.style),
                    coordinates(ends)
                );
            }
            let points = coordinates(curve.points.iter().map(|point| (point.x, point.y)));
            for style in [Some(style(curve.style)), second_mark(curve.style)]
                .into_iter()
                .flatten()
            {
                let _ = writeln!(
                    out,
                    "\\addplot[{style}, mark repeat={}, forget plot] coordinates {{{points}}};",
                    curve.mark_every(),
                );
            }
        }
    }
}
