//! What a figure shows, before any place or colour.

/// One figure: a grid of panels.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Name of its files, without the ending.
    pub name: String,
    /// Headline.
    pub title: String,
    /// From left to right, then down.
    pub panels: Vec<Panel>,
    /// Panels in a row.
    pub across: usize,
}

/// One chart with its title.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// What it is about.
    pub title: String,
    /// What is drawn.
    pub chart: Chart,
}

/// Kinds of charts.
#[derive(Debug, Clone, PartialEq)]
pub enum Chart {
    /// Horizontal bars from 0.
    Bars {
        /// Title of the axis of values.
        label: String,
        /// The largest value there can be, such as 100 %; whiskers end there.
        most: Option<f64>,
        /// Decimals of the values beside the bars.
        decimals: usize,
        /// From top to bottom.
        bars: Vec<Bar>,
    },
    /// Curves with bands.
    Lines {
        /// Title of the horizontal axis.
        x: String,
        /// Title of the vertical axis.
        y: String,
        /// Where the horizontal axis is marked.
        ticks: Ticks,
        /// Named curves.
        curves: Vec<Curve>,
    },
    /// A shaded matrix.
    Matrix {
        /// Title of the rows, beside them.
        y: String,
        /// Title of the columns, below them.
        x: String,
        /// Names of the rows.
        rows: Vec<String>,
        /// Names of the columns.
        columns: Vec<String>,
        /// `[row][column]`, in `[0, 1]`; not shaded where there is none.
        values: Vec<Vec<Option<f64>>>,
        /// Whether each value is written into its cell, in percent.
        written: bool,
    },
}

/// One bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// Its name.
    pub label: String,
    /// Its length and half the length of its whisker; `None` where there is no result.
    pub value: Option<(f64, Option<f64>)>,
    /// Which colour: 0 base models, 1 ensembles, 2 networks.
    pub kind: usize,
}

/// Where a horizontal axis is marked.
#[derive(Debug, Clone, PartialEq)]
pub enum Ticks {
    /// At round numbers.
    Round,
    /// At 0, 1, ..., with these names.
    Named(Vec<String>),
}

/// One curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// For the legend.
    pub name: String,
    /// Which colour.
    pub colour: usize,
    /// Which dash and mark.
    pub dash: usize,
    /// Whether points are marked, besides the line.
    pub marked: bool,
    /// From left to right.
    pub points: Vec<Point>,
}

/// One point of a curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Horizontal.
    pub x: f64,
    /// Vertical.
    pub y: f64,
    /// Half the height of the band, where there is one.
    pub spread: Option<f64>,
}

impl Figure {
    /// The curves of all panels, each name once, in order.
    pub(super) fn legend(&self) -> Vec<&Curve> {
        let mut legend: Vec<&Curve> = Vec::new();
        for panel in &self.panels {
            let Chart::Lines { curves, .. } = &panel.chart else {
                continue;
            };
            for curve in curves {
                if legend.iter().all(|known| known.name != curve.name) {
                    legend.push(curve);
                }
            }
        }
        legend
    }
}
