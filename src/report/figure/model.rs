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
    Bars(Bars),
    /// Curves with bands.
    Lines(Lines),
    /// A shaded matrix.
    Matrix(Matrix),
    /// Marks in a plane.
    Scatter(Scatter),
}

/// Horizontal bars from 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Bars {
    /// The largest value there can be, such as 100 %; whiskers end there.
    pub most: Option<f64>,
    /// Decimals of the values beside the bars.
    pub decimals: usize,
    /// From top to bottom.
    pub each: Vec<Bar>,
}

/// Curves with bands.
#[derive(Debug, Clone, PartialEq)]
pub struct Lines {
    /// Title of the horizontal axis.
    pub x: String,
    /// Title of the vertical axis.
    pub y: String,
    /// Where the horizontal axis is marked.
    pub ticks: Ticks,
    /// Whether the vertical axis is logarithmic, where all values are above 0 and span a factor of ten.
    pub logarithmic: bool,
    /// Named curves.
    pub curves: Vec<Curve>,
}

/// A shaded matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// Title of the rows, beside them.
    pub y: String,
    /// Title of the columns, below them.
    pub x: String,
    /// Names of the rows.
    pub rows: Vec<String>,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// `[row][column]`, in `[0, 1]`; not shaded where there is none.
    pub values: Vec<Vec<Option<f64>>>,
    /// Whether each value is written into its cell, in percent. Otherwise its shade is that of its square root: all but
    /// the diagonal of a good network would be white.
    pub written: bool,
}

impl Matrix {
    /// What the shade of a value says.
    pub(super) fn depth(&self, value: f64) -> f64 {
        if self.written { value } else { value.sqrt() }
    }
}

/// Marks in a plane, some of them tied together.
#[derive(Debug, Clone, PartialEq)]
pub struct Scatter {
    /// Title of the horizontal axis.
    pub x: String,
    /// Title of the vertical axis.
    pub y: String,
    /// What each shape stands for, from 0.
    pub shapes: Vec<String>,
    /// What a cross stands for.
    pub cross: String,
    /// The marks.
    pub dots: Vec<Dot>,
}

/// One mark of a scatter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dot {
    /// Where.
    pub at: (f64, f64),
    /// Its size beside that of the largest, from 0 to 1: of its area.
    pub size: f64,
    /// Which colour.
    pub colour: usize,
    /// Which shape.
    pub shape: usize,
    /// The cross that it is tied to.
    pub to: (f64, f64),
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
    /// How it looks.
    pub style: Style,
    /// From left to right.
    pub points: Vec<Point>,
}

/// How a curve looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Which colour.
    pub colour: usize,
    /// 0 is the colour itself, 1 a darker and 2 a lighter one.
    pub tint: usize,
    /// Which dash, and how the mark is filled.
    pub dash: usize,
    /// Which mark stands at its points; along many points only here and there.
    pub mark: Option<usize>,
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

/// What a line of the legend shows beside its name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sample {
    /// A piece of a curve.
    Curve(Style),
    /// A filled box: the colour of a kind of bar.
    Bar(usize),
    /// A shape of a scatter.
    Shape(usize),
    /// A shade of a matrix, for a value from 0 to 1.
    Shade(f64),
    /// A cross.
    Cross,
}

/// What kinds of bars are called.
const KINDS: [&str; 3] = ["base model", "ensemble", "fused network"];

/// Shares of which the legend of a matrix shows the shade.
const SHADES: [(&str, f64); 6] = [
    ("0 %", 0.0),
    ("1 %", 0.01),
    ("5 %", 0.05),
    ("20 %", 0.2),
    ("50 %", 0.5),
    ("100 %", 1.0),
];

impl Figure {
    /// What needs a name, in all panels: each name once, in order.
    pub(super) fn legend(&self) -> Vec<(&str, Sample)> {
        let mut legend: Vec<(&str, Sample)> = Vec::new();
        for panel in &self.panels {
            let entries: Vec<(&str, Sample)> = match &panel.chart {
                Chart::Matrix(Matrix { written: true, .. }) => Vec::new(),
                Chart::Matrix(_) => SHADES.map(|(name, value)| (name, Sample::Shade(value))).to_vec(),
                Chart::Bars(bars) => {
                    let shown = |kind: usize| bars.each.iter().any(|bar| bar.kind == kind);
                    let kinds = (0..KINDS.len()).filter(|kind| shown(*kind));
                    kinds.map(|kind| (KINDS[kind], Sample::Bar(kind))).collect()
                }
                Chart::Lines(lines) => lines.curves.iter().map(Curve::entry).collect(),
                Chart::Scatter(scatter) => {
                    let shapes = scatter
                        .shapes
                        .iter()
                        .map(String::as_str)
                        .zip((0..).map(Sample::Shape));
                    shapes.chain([(scatter.cross.as_str(), Sample::Cross)]).collect()
                }
            };
            for entry in entries {
                if legend.iter().all(|(known, _)| *known != entry.0) {
                    legend.push(entry);
                }
            }
        }
        legend
    }

    /// What has to be said below it.
    pub(super) fn note(&self) -> Option<&'static str> {
        let spread = |panel: &Panel| match &panel.chart {
            Chart::Bars(bars) => bars
                .each
                .iter()
                .any(|bar| bar.value.is_some_and(|(_, spread)| spread.is_some()))
                .then_some("Whiskers, and what stands behind \u{b1}: one standard deviation over the runs."),
            Chart::Lines(lines) => lines
                .curves
                .iter()
                .any(|curve| curve.band().is_some() || curve.whisker().is_some())
                .then_some("Bands and whiskers: one standard deviation over the runs."),
            Chart::Matrix(_) | Chart::Scatter(_) => None,
        };
        self.panels.iter().find_map(spread)
    }
}

impl Lines {
    /// Whether its vertical axis is logarithmic: where that is asked for, possible, and of use.
    pub(super) fn is_logarithmic(&self) -> bool {
        let values = || {
            self.curves
                .iter()
                .flat_map(|curve| &curve.points)
                .map(|point| point.y)
        };
        let (least, most) = (
            values().fold(f64::INFINITY, f64::min),
            values().fold(f64::NEG_INFINITY, f64::max),
        );
        self.logarithmic && least > 0.0 && most >= 10.0 * least
    }
}

impl Curve {
    fn entry(&self) -> (&str, Sample) {
        (&self.name, Sample::Curve(self.style))
    }

    /// The ends of the whisker of a point that stands alone; several points have a band instead.
    pub(super) fn whisker(&self) -> Option<[(f64, f64); 2]> {
        let [point] = self.points.as_slice() else {
            return None;
        };
        let spread = point.spread?;
        Some([-spread, spread].map(|spread| (point.x, point.y + spread)))
    }

    /// One in so many points is marked.
    pub(super) fn mark_every(&self) -> usize {
        const MARKS: usize = 25;
        self.points.len().div_ceil(MARKS)
    }

    /// The corners of the band around it; nothing where points have no spread.
    pub(super) fn band(&self) -> Option<Vec<(f64, f64)>> {
        if self.points.len() < 2 {
            return None;
        }
        let spreads: Vec<f64> = self
            .points
            .iter()
            .map(|point| point.spread)
            .collect::<Option<_>>()?;
        let upper = self
            .points
            .iter()
            .zip(&spreads)
            .map(|(point, spread)| (point.x, point.y + spread));
        let lower = self
            .points
            .iter()
            .zip(&spreads)
            .map(|(point, spread)| (point.x, point.y - spread));
        Some(upper.chain(lower.rev()).collect())
    }
}
