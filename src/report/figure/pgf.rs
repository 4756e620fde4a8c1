//! Figures as pgfplots, for papers: the same numbers, set in the paper's own fonts.

use std::fmt::Write;

use super::model::{Bars, Chart, Curve, Dot, Figure, Lines, Matrix, Sample, Scatter, Ticks};
use super::palette::{BARS, SERIES, lightness, shade};
use super::scene::SHAPES;
use crate::report::filters::latex;

/// Dashes and marks, in the order of those of the pictures.
const DASHES: [&str; 4] = ["solid", "dashed", "dotted", "dashdotted"];
const MARKS: [&str; SHAPES] = [
    "mark=*, mark options={solid}",
    "mark=square*, mark options={solid}",
    "mark=triangle*, mark options={solid}",
    "mark=diamond*, mark options={solid}",
    "mark=pentagon*, mark options={solid}",
    "mark=triangle*, mark options={solid, rotate=180}",
    "mark=|, mark options={solid, very thick}",
];

impl Figure {
    /// A `tikzpicture`, to be `\input`.
    pub fn to_pgf(&self) -> String {
        let across = self.across.clamp(1, self.panels.len().max(1));
        let down = self.panels.len().div_ceil(across);
        let apart = self.panels.iter().map(|panel| names(&panel.chart));
        let apart = apart.fold(2.2, f64::max);
        let mut out = format!("% {}\n", self.title.replace(['\n', '\r'], " "));
        out.push_str(
            "% Needs \\usepackage{pgfplots}\\usepgfplotslibrary{groupplots}\\pgfplotsset{compat=1.16}\n",
        );
        for (name, colours) in [("series", SERIES.as_slice()), ("bar", BARS.as_slice())] {
            for (index, (r, g, b)) in colours.iter().enumerate() {
                let _ = writeln!(out, "\\definecolor{{{name}{index}}}{{RGB}}{{{r},{g},{b}}}");
            }
        }
        out.push_str("\\begin{tikzpicture}\n");
        let _ = writeln!(
            out,
            "\\begin{{groupplot}}[group style={{group size={across} by {down}, horizontal sep={apart:.1}cm, vertical sep=2cm}}, tick align=outside, tick pos=left, tick label style={{font=\\footnotesize}}, label style={{font=\\small}}, title style={{font=\\small}}, legend style={{font=\\footnotesize, draw=none, at={{(0,0)}}, anchor=north west, yshift=-1.1cm}}, legend cell align=left, legend columns={}]",
            // Names of curves are long.
            if self
                .panels
                .iter()
                .any(|panel| matches!(panel.chart, Chart::Lines(_)))
            {
                2
            } else {
                -1
            }
        );
        // One legend, below the last row.
        let with_legend = across * down.saturating_sub(1);
        for (position, panel) in self.panels.iter().enumerate() {
            let _ = write!(out, "\\nextgroupplot[title={{{}}}, ", latex(&panel.title));
            match &panel.chart {
                Chart::Bars(bars) => bars.typeset(&mut out),
                Chart::Lines(lines) => lines.typeset(&mut out),
                Chart::Matrix(matrix) => matrix.typeset(&mut out),
                Chart::Scatter(scatter) => scatter.typeset(&mut out),
            }
            if position == with_legend {
                for (name, sample) in self.legend() {
                    let (image, name) = (image(sample), latex(name));
                    let _ = writeln!(out, "\\addlegendimage{{{image}}}\n\\addlegendentry{{{name}}}");
                }
            }
        }
        out.push_str("\\end{groupplot}\n\\end{tikzpicture}\n");
        out
    }
}

/// Room for the names of bars between panels, in cm.
fn names(chart: &Chart) -> f64 {
    let Chart::Bars(Bars { each: bars, .. }) = chart else {
        return 0.0;
    };
    let longest = bars.iter().map(|bar| bar.label.chars().count()).max();
    1.0 + longest.unwrap_or(0) as f64 * 0.165
}

/// What a legend shows beside a name.
fn image(sample: Sample) -> String {
    match sample {
        Sample::Curve { colour, dash, mark } => style(colour, dash, mark),
        Sample::Shade(value) => {
            let (r, g, b) = shade(value.sqrt());
            format!("area legend, draw=gray, fill={{rgb,255:red,{r};green,{g};blue,{b}}}")
        }
        Sample::Bar(kind) => format!("area legend, draw=none, fill=bar{kind}"),
        Sample::Shape(shape) => format!("only marks, gray, {}", MARKS[shape % SHAPES]),
        Sample::Cross => "only marks, mark=x, black, thick".to_string(),
    }
}

fn style(colour: usize, dash: usize, mark: Option<usize>) -> String {
    format!(
        "color=series{}, thick, {}, {}",
        colour % SERIES.len(),
        DASHES[dash % DASHES.len()],
        mark.map_or("mark=none", |mark| MARKS[mark % SHAPES])
    )
}

/// Places and names of the ticks that have a name.
fn ticks(axis: char, names: &[String]) -> String {
    let shown = names.iter().enumerate().filter(|(_, name)| !name.is_empty());
    let (places, names): (Vec<String>, Vec<String>) = shown
        .map(|(i, name)| (i.to_string(), format!("{{{}}}", latex(name))))
        .unzip();
    format!(
        "{axis}tick={{{}}}, {axis}ticklabels={{{}}}",
        places.join(","),
        names.join(",")
    )
}

fn coordinates(points: impl IntoIterator<Item = (f64, f64)>) -> String {
    let points = points.into_iter().map(|(x, y)| format!("({x},{y})"));
    points.collect::<Vec<_>>().join(" ")
}

impl Bars {
    fn typeset(&self, out: &mut String) {
        let names: Vec<String> = self.each.iter().map(|bar| bar.label.clone()).collect();
        let _ = writeln!(
            out,
            "xbar, bar width=5pt, bar shift=0pt, xmin=0, xmax={}, y dir=reverse, {}, width=6cm, height={:.1}cm, enlarge y limits={{abs=0.7}}]",
            self.axis().high,
            ticks('y', &names),
            2.0 + self.each.len() as f64 * 0.36,
        );
        for kind in 0..BARS.len() {
            let of_kind = self.each.iter().enumerate().filter(|(_, bar)| bar.kind == kind);
            let values = of_kind.filter_map(|(position, bar)| Some((position, bar.value?)));
            let values: Vec<(usize, (f64, Option<f64>))> = values.collect();
            if values.is_empty() {
                continue;
            }
            let spread = values.iter().any(|(_, (_, spread))| spread.is_some());
            let whiskers = match spread {
                true => ", error bars/.cd, x dir=both, x explicit, error bar style={black}",
                false => "",
            };
            let _ = writeln!(
                out,
                "\\addplot+[draw=none, fill=bar{kind}, forget plot{whiskers}] coordinates {{"
            );
            for (position, (value, half)) in values {
                let half = match spread {
                    true => format!(" +- ({},0)", half.unwrap_or(0.0)),
                    false => String::new(),
                };
                let _ = writeln!(out, "({value},{position}){half}");
            }
            out.push_str("};\n");
        }
    }
}

impl Lines {
    fn typeset(&self, out: &mut String) {
        let ticks = match &self.ticks {
            Ticks::Round => String::new(),
            Ticks::Named(names) => format!(", {}", ticks('x', names)),
        };
        let mode = if self.is_logarithmic() {
            // Left alone, pgfplots marks powers such as 10^-1.5.
            let (_, axis) = self.axes();
            let marks = axis
                .ticks
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(",");
            let names = axis
                .ticks
                .iter()
                .map(|tick| axis.format(*tick))
                .collect::<Vec<_>>()
                .join(",");
            let (low, high) = (axis.low, axis.high);
            format!(
                ", ymode=log, ymin={low}, ymax={high}, ytick={{{marks}}}, yticklabels={{{names}}}, minor tick style={{draw=none}}"
            )
        } else {
            String::new()
        };
        let _ = writeln!(
            out,
            "xlabel={{{}}}, ylabel={{{}}}{ticks}{mode}, grid=major, grid style={{gray!25}}, width=8cm, height=6cm]",
            latex(&self.x),
            latex(&self.y),
        );
        for curve in &self.curves {
            if let Some(corners) = curve.band() {
                let _ = writeln!(
                    out,
                    "\\addplot[draw=none, fill=series{}, fill opacity=0.12, forget plot] coordinates {{{}}} -- cycle;",
                    curve.colour % SERIES.len(),
                    coordinates(corners)
                );
            }
            let Curve {
                colour, dash, mark, ..
            } = *curve;
            let _ = writeln!(
                out,
                "\\addplot[{}, mark size=1.8pt, mark repeat={}, forget plot] coordinates {{{}}};",
                style(colour, dash, mark),
                curve.mark_every(),
                coordinates(curve.points.iter().map(|point| (point.x, point.y)))
            );
        }
    }
}

impl Scatter {
    fn typeset(&self, out: &mut String) {
        let _ = writeln!(
            out,
            "xlabel={{{}}}, ylabel={{{}}}, grid=major, grid style={{gray!25}}, width=6.5cm, height=6.5cm]",
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
                MARKS[dot.shape % SHAPES],
                (dot.size.max(0.0).sqrt() * 5.0).max(1.4),
                dot.colour % SERIES.len(),
                coordinates([dot.at])
            );
        };
        self.dots.iter().for_each(|dot| mark(out, dot));
        let _ = writeln!(
            out,
            "\\addplot[only marks, mark=x, mark size=3pt, black, thick, forget plot] coordinates {{{}}};",
            coordinates(self.dots.iter().map(|dot| dot.to))
        );
    }
}

impl Matrix {
    fn typeset(&self, out: &mut String) {
        let (width, height) = match self.written {
            true => (
                2.0 + self.columns.len() as f64 * 0.85,
                2.0 + self.rows.len() as f64 * 0.4,
            ),
            false => (4.6, 4.6),
        };
        let stops = (0..4).map(|i| shade(f64::from(i) / 3.0));
        let stops: Vec<String> = stops.map(|(r, g, b)| format!("rgb255=({r},{g},{b})")).collect();
        let _ = writeln!(
            out,
            "xlabel={{{}}}, ylabel={{{}}}, {}, {}, y dir=reverse, enlargelimits=false, axis on top, width={width:.1}cm, height={height:.1}cm, scale only axis={}, colormap={{shares}}{{{}}}, point meta min=0, point meta max=100]",
            latex(&self.x),
            latex(&self.y),
            ticks('x', &self.columns),
            ticks('y', &self.rows),
            self.written,
            stops.join(" "),
        );
        let _ = writeln!(
            out,
            "\\addplot[matrix plot*, mesh/cols={}, point meta=explicit, forget plot] table[meta=share] {{\nx y share",
            self.columns.len()
        );
        let cells = || {
            let rows = self.values.iter().enumerate();
            rows.flat_map(|(row, cells)| {
                cells
                    .iter()
                    .enumerate()
                    .map(move |(column, value)| (column, row, value))
            })
        };
        for (column, row, value) in cells() {
            let share = value.map_or("nan".to_string(), |value| (self.depth(value) * 100.0).to_string());
            let _ = writeln!(out, "{column} {row} {share}");
        }
        out.push_str("};\n");
        for (column, row, value) in cells().filter(|_| self.written) {
            let Some(value) = value else { continue };
            let light = lightness(shade(*value)) > 0.55;
            let _ = writeln!(
                out,
                "\\node[font=\\tiny, text={}] at (axis cs:{column},{row}) {{{:.1}}};",
                if light { "black" } else { "white" },
                value * 100.0
            );
        }
    }
}
