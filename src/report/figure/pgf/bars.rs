//! Horizontal bars with whiskers, their values beside them.

use std::fmt::Write;

use super::{Grid, Place, longest, names, number, ticks, wrapped, wrapping};
use crate::report::figure::model::{Bar, Bars};
use crate::report::figure::palette::BARS;
use crate::report::number::{fixed, math};

/// Height of a bar with the room around it, in cm, beside a name of one line and of two, and of all rows of panels, less
/// what stands between them.
const BAR: f64 = 0.3;
const TALL_BAR: f64 = 0.5;
const HEIGHT: f64 = 15.0;

impl Bars {
    pub(super) fn grid(&self, across: usize) -> Grid {
        // Written in the smallest font.
        let written: Vec<String> = self.each.iter().map(|bar| self.written(bar)).collect();
        let values = 0.25 + longest(written.iter().map(String::as_str)) as f64 * 0.1;
        Grid {
            across,
            left: names(self.each.iter().map(|bar| bar.label.as_str())),
            // All panels of a figure have the same bars.
            between: values + 0.3,
            right: values,
            below: 1.1,
        }
    }

    /// The value, in math mode where there is one.
    fn number(&self, bar: &Bar) -> String {
        let decimals = self.decimals;
        match bar.value {
            None => "--".to_string(),
            Some((value, None)) => math(&fixed(value, decimals)),
            Some((value, Some(spread))) => {
                format!(
                    r"{}\pm{}",
                    math(&fixed(value, decimals)),
                    math(&fixed(spread, decimals))
                )
            }
        }
    }

    pub(super) fn typeset(&self, place: Place, out: &mut String) {
        let labels: Vec<String> = self.each.iter().map(|bar| bar.label.clone()).collect();
        let tall = wrapped(labels.iter().map(String::as_str));
        let labels = match place.first {
            true => ticks('y', &labels, 1) + &wrapping(tall),
            false => "ytick=\\empty".to_string(),
        };
        let (_, down) = place.grid;
        let count = self.each.len().max(1) as f64;
        let most_high = if tall { TALL_BAR } else { BAR };
        let bar = most_high.min(HEIGHT / down as f64 / count);
        let most = self.axis().high;
        let _ = writeln!(
            out,
            "xbar, bar width={:.3}cm, bar shift=0pt, xmin=0, xmax={}, ymin=-0.6, ymax={:.1}, y dir=reverse, {labels}, height={:.2}cm, clip=false]",
            bar * 0.62,
            number(most),
            count - 0.4,
            count * bar,
        );
        for kind in 0..BARS.len() {
            let of_kind = self.each.iter().enumerate().filter(|(_, bar)| bar.kind == kind);
            let values = of_kind.filter_map(|(position, bar)| Some((position, bar.value?)));
            let values: Vec<(usize, (f64, Option<f64>))> = values.collect();
            if values.is_empty() {
                continue;
            }
            let whiskers = match values.iter().any(|(_, (_, spread))| spread.is_some()) {
                true => {
                    ", error bars/.cd, x dir=both, x explicit, error bar style={black}, error mark options={rotate=90, mark size=1.2pt}"
                }
                false => "",
            };
            let _ = writeln!(
                out,
                "\\addplot+[draw=none, fill=bar{kind}, forget plot{whiskers}] coordinates {{"
            );
            for (position, (value, spread)) in values {
                let ends = spread.map_or(String::new(), |spread| {
                    // Whiskers end where the axis does.
                    let (plus, minus) = (spread.min(most - value).max(0.0), spread.min(value));
                    format!(" += ({},0) -= ({},0)", number(plus), number(minus))
                });
                let _ = writeln!(out, "({},{position}){ends}", number(value));
            }
            out.push_str("};\n");
        }
        for (position, bar) in self.each.iter().enumerate() {
            let text = self.number(bar);
            let text = if bar.value.is_some() {
                format!("${text}$")
            } else {
                text
            };
            let _ = writeln!(
                out,
                "\\node[font=\\tiny, anchor=west, inner sep=2pt] at (axis cs:{},{position}) {{{text}}};",
                number(most)
            );
        }
    }
}
