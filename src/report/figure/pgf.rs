//! Figures as pgfplots, for papers: the same numbers, set in the paper's own fonts.

use std::fmt::Write;

use super::model::{Bar, Chart, Curve, Figure, Panel, Ticks};
use super::palette::{BARS, SERIES, lightness, shade};
use crate::report::filters::latex;

/// Dashes and marks, in the order of those of the pictures.
const DASHES: [&str; 4] = ["solid", "dashed", "dotted", "dashdotted"];
const MARKS: [&str; 4] = ["*", "square*", "triangle*", "diamond*"];

impl Figure {
    /// A `tikzpicture`, to be `\input`.
    pub fn to_pgf(&self) -> String {
        let across = self.across.clamp(1, self.panels.len().max(1));
        let apart = self
            .panels
            .iter()
            .map(|panel| labels(&panel.chart))
            .fold(2.2, f64::max);
        let down = self.panels.len().div_ceil(across);
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
            "\\begin{{groupplot}}[group style={{group size={across} by {down}, horizontal sep={apart:.1}cm, vertical sep=2cm}}, tick align=outside, tick pos=left, tick label style={{font=\\footnotesize}}, label style={{font=\\small}}, title style={{font=\\small}}]"
        );
        let last = self.panels.len().saturating_sub(1);
        for (position, panel) in self.panels.iter().enumerate() {
            match &panel.chart {
                Chart::Bars { label, bars, .. } => bars_panel(&mut out, panel, label, bars),
                Chart::Lines { x, y, ticks, curves } => {
                    // One legend, below the last panel.
                    let legend = (position == last).then(|| self.legend());
                    lines_panel(&mut out, panel, (x, y), ticks, curves, legend.as_deref());
                }
                chart @ Chart::Matrix { .. } => matrix_panel(&mut out, panel, chart),
            }
        }
        out.push_str("\\end{groupplot}\n\\end{tikzpicture}\n");
        out
    }
}

/// Room for the names of bars between panels, in cm.
fn labels(chart: &Chart) -> f64 {
    match chart {
        Chart::Bars { bars, .. } => {
            let longest = bars
                .iter()
                .map(|bar| bar.label.chars().count())
                .max()
                .unwrap_or(0);
            1.0 + longest as f64 * 0.165
        }
        _ => 0.0,
    }
}

fn bars_panel(out: &mut String, panel: &Panel, label: &str, bars: &[Bar]) {
    let names: Vec<String> = bars
        .iter()
        .map(|bar| format!("{{{}}}", latex(&bar.label)))
        .collect();
    let places: Vec<String> = (0..bars.len()).map(|i| i.to_string()).collect();
    let _ = writeln!(
        out,
        "\\nextgroupplot[title={{{}}}, xbar, bar width=5pt, bar shift=0pt, xmin=0, y dir=reverse, ytick={{{}}}, yticklabels={{{}}}, xlabel={{{}}}, width=6cm, height={:.1}cm, enlarge y limits={{abs=0.7}}]",
        latex(&panel.title),
        places.join(","),
        names.join(","),
        latex(label),
        2.0 + bars.len() as f64 * 0.36,
    );
    for kind in 0..BARS.len() {
        let of_kind = || bars.iter().enumerate().filter(move |(_, bar)| bar.kind == kind);
        if of_kind().all(|(_, bar)| bar.value.is_none()) {
            continue;
        }
        let spread = of_kind().any(|(_, bar)| bar.value.is_some_and(|(_, spread)| spread.is_some()));
        let whiskers = match spread {
            true => ", error bars/.cd, x dir=both, x explicit, error bar style={black}",
            false => "",
        };
        let _ = writeln!(
            out,
            "\\addplot+[draw=none, fill=bar{kind}{whiskers}] coordinates {{"
        );
        for (position, bar) in of_kind() {
            let Some((value, half)) = bar.value else { continue };
            let half = match spread {
                true => format!(" +- ({},0)", half.unwrap_or(0.0)),
                false => String::new(),
            };
            let _ = writeln!(out, "({value},{position}){half}");
        }
        out.push_str("};\n");
    }
}

fn lines_panel(
    out: &mut String,
    panel: &Panel,
    (x, y): (&str, &str),
    ticks: &Ticks,
    curves: &[Curve],
    legend: Option<&[&Curve]>,
) {
    let ticks = match ticks {
        Ticks::Round => String::new(),
        Ticks::Named(names) => {
            let places: Vec<String> = (0..names.len()).map(|i| i.to_string()).collect();
            let names: Vec<String> = names.iter().map(|name| format!("{{{}}}", latex(name))).collect();
            format!(
                ", xtick={{{}}}, xticklabels={{{}}}",
                places.join(","),
                names.join(",")
            )
        }
    };
    let _ = writeln!(
        out,
        "\\nextgroupplot[title={{{}}}, xlabel={{{}}}, ylabel={{{}}}{ticks}, grid=major, grid style={{gray!25}}, width=8cm, height=6cm, legend columns=2, legend cell align=left, legend style={{font=\\footnotesize, draw=none, at={{(0.5,-0.28)}}, anchor=north}}]",
        latex(&panel.title),
        latex(x),
        latex(y),
    );
    for curve in curves {
        if curve.points.len() > 1 && curve.points.iter().all(|point| point.spread.is_some()) {
            let edge = |sign: f64| {
                curve
                    .points
                    .iter()
                    .map(move |point| (point.x, point.y + sign * point.spread.unwrap_or(0.0)))
            };
            let around = edge(1.0).chain(edge(-1.0).collect::<Vec<_>>().into_iter().rev());
            let corners: Vec<String> = around.map(|(x, y)| format!("({x},{y})")).collect();
            let _ = writeln!(
                out,
                "\\addplot[draw=none, fill={}, fill opacity=0.12, forget plot] coordinates {{{}}} -- cycle;",
                colour(curve),
                corners.join(" ")
            );
        }
        let points: Vec<String> = curve
            .points
            .iter()
            .map(|point| format!("({},{})", point.x, point.y))
            .collect();
        let _ = writeln!(
            out,
            "\\addplot[{}, forget plot] coordinates {{{}}};",
            style(curve),
            points.join(" ")
        );
    }
    for curve in legend.unwrap_or_default() {
        let _ = writeln!(
            out,
            "\\addlegendimage{{{}}}\n\\addlegendentry{{{}}}",
            style(curve),
            latex(&curve.name)
        );
    }
}

fn colour(curve: &Curve) -> String {
    format!("series{}", curve.colour % SERIES.len())
}

fn style(curve: &Curve) -> String {
    let mark = if curve.marked {
        MARKS[curve.dash % MARKS.len()]
    } else {
        "none"
    };
    let dash = DASHES[curve.dash % DASHES.len()];
    format!(
        "color={}, thick, {dash}, mark={mark}, mark options={{solid}}",
        colour(curve)
    )
}

fn matrix_panel(out: &mut String, panel: &Panel, chart: &Chart) {
    let Chart::Matrix {
        y,
        x,
        rows,
        columns,
        values,
        written,
    } = chart
    else {
        return;
    };
    let named = |names: &[String]| -> (String, String) {
        let shown = names.iter().enumerate().filter(|(_, name)| !name.is_empty());
        let (places, names): (Vec<String>, Vec<String>) = shown
            .map(|(i, name)| (i.to_string(), format!("{{{}}}", latex(name))))
            .unzip();
        (places.join(","), names.join(","))
    };
    let ((x_at, x_names), (y_at, y_names)) = (named(columns), named(rows));
    let (width, height) = match written {
        true => (2.0 + columns.len() as f64 * 0.85, 2.0 + rows.len() as f64 * 0.4),
        false => (4.6, 4.6),
    };
    let stops: Vec<String> = (0..4)
        .map(|i| shade(f64::from(i) / 3.0))
        .map(|(r, g, b)| format!("rgb255=({r},{g},{b})"))
        .collect();
    let _ = writeln!(
        out,
        "\\nextgroupplot[title={{{}}}, xlabel={{{}}}, ylabel={{{}}}, xtick={{{x_at}}}, xticklabels={{{x_names}}}, ytick={{{y_at}}}, yticklabels={{{y_names}}}, y dir=reverse, enlargelimits=false, axis on top, width={width:.1}cm, height={height:.1}cm, scale only axis={}, colormap={{shares}}{{{}}}, point meta min=0, point meta max=100]",
        latex(&panel.title),
        latex(x),
        latex(y),
        written,
        stops.join(" "),
    );
    let _ = writeln!(
        out,
        "\\addplot[matrix plot*, mesh/cols={}, point meta=explicit] table[meta=share] {{\nx y share",
        columns.len()
    );
    for (row, cells) in values.iter().enumerate() {
        for (column, value) in cells.iter().enumerate() {
            let share = value.map_or("nan".to_string(), |value| (value * 100.0).to_string());
            let _ = writeln!(out, "{column} {row} {share}");
        }
    }
    out.push_str("};\n");
    if !written {
        return;
    }
    for (row, cells) in values.iter().enumerate() {
        for (column, value) in cells.iter().enumerate() {
            let Some(value) = value else { continue };
            let ink = if lightness(shade(*value)) > 0.55 {
                "black"
            } else {
                "white"
            };
            let _ = writeln!(
                out,
                "\\node[font=\\tiny, text={ink}] at (axis cs:{column},{row}) {{{:.1}}};",
                value * 100.0
            );
        }
    }
}
