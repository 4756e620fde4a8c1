//! Marks in a plane, tied to crosses.

use std::fmt::Write;

use super::{coordinates, mark as shape};
use crate::report::figure::model::{Dot, Scatter};
use crate::report::figure::palette::SERIES;
use crate::report::filters::latex;

impl Scatter {
    pub(super) fn typeset(&self, out: &mut String) {
        let _ = writeln!(
            out,
            "xlabel={{{}}}, ylabel={{{}}}, grid=major, grid style={{gray!25}}, height=\\panelwidth]",
            latex(&self.x),
            latex(&self.y),
        );
        for dot in &self.dots {
            let _ = writeln!(
                out,
                "\\addplot[series{}, forget plot] coordinates {{{}}};",
                dot.colour % SERIES.len(),
                coordinates([dot.at, dot.to])
            );
        }
        let mark = |out: &mut String, dot: &Dot| {
            let _ = writeln!(
                out,
                "\\addplot[only marks, {}, mark size={:.2}pt, series{}, fill opacity=0.75, forget plot] coordinates {{{}}};",
                shape(dot.shape, ""),
                (dot.size.max(0.0).sqrt() * 3.0).max(1.0),
                dot.colour % SERIES.len(),
                coordinates([dot.at])
            );
        };
        self.dots.iter().for_each(|dot| mark(out, dot));
        let _ = writeln!(
            out,
            "\\addplot[only marks, mark=x, mark size=2pt, black, thick, forget plot] coordinates {{{}}};",
            coordinates(self.dots.iter().map(|dot| dot.to))
        );
    }
}
