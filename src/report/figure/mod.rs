//! Figures: from results to charts, from charts to SVG, PNG and pgfplots.
//!
//! | step | file | in -> out |
//! | --- | --- | --- |
//! | choose | `bars.rs`, `models.rs`, `matrices.rs`, `curves.rs`, `ablation.rs` | [`Results`] -> [`Figure`]s: what is shown |
//! | choose | `interpolation.rs`, `neurons.rs` | [`Study`] -> [`Figure`] |
//! | colour | `colours.rs`, `palette.rs` | a method has the same colour in all figures of an experiment |
//! | lay out | `layout.rs`, `panels/`, `axis.rs`, `text.rs` | figure -> [`Scene`]: lines, boxes and words at places in pixels |
//! | draw | `svg.rs`, `png.rs` | scene -> file; both show the same |
//! | typeset | `pgf.rs`, `pgf/` | figure -> pgfplots, which lays out itself |
//!
//! Colours are those of Okabe and Ito, told apart with any kind of colour blindness; what a colour says, a dash, a mark
//! or a word says too, so that a grey print loses nothing.

mod ablation;
mod axis;
mod bars;
mod colours;
mod curves;
mod interpolation;
mod layout;
mod matrices;
mod model;
mod models;
mod neurons;
mod palette;
mod panels;
mod pgf;
mod png;
mod scene;
mod svg;
mod text;

pub use model::{Bar, Bars, Chart, Curve, Dot, Figure, Lines, Matrix, Panel, Point, Scatter, Style, Ticks};
pub use svg::Theme;

use super::error::nearest;
use super::{Metric, ReportError, Results};
use crate::result::{Findings, Study};

/// Names of the figures.
pub const FIGURES: [&str; 6] = ["bars", "models", "confusion", "classes", "training", "ablation"];

/// What can be asked of figures.
#[derive(Debug, Clone, PartialEq)]
pub struct FigureOptions {
    /// The metric of `models` and `ablation`.
    pub metric: Metric,
    /// The axis of `ablation`.
    pub axis: Option<String>,
}

impl Default for FigureOptions {
    fn default() -> Self {
        Self {
            metric: Metric::Accuracy,
            axis: None,
        }
    }
}

/// The figures called `name`: one per column of the tables where a figure shows one column only.
pub fn figures(results: &Results, name: &str, options: &FigureOptions) -> Result<Vec<Figure>, ReportError> {
    let summary = &results.summary;
    let made = match name {
        "bars" => bars::figures(summary),
        "models" => models::figure(summary, options.metric),
        "confusion" => matrices::confusion(summary),
        "classes" => matrices::classes(summary),
        "training" => curves::figures(results),
        "ablation" => ablation::figure(summary, options.metric, options.axis.as_deref())?,
        _ => {
            return Err(ReportError::UnknownFigure {
                name: name.to_string(),
                nearest: nearest(name, FIGURES),
                known: FIGURES.map(str::to_string).to_vec(),
            });
        }
    };
    if made.is_empty() {
        let what = match name {
            "bars" => "finished job",
            "models" => "method with results for several numbers of models",
            "confusion" | "classes" => "confusion matrix",
            "training" => "training history",
            _ => "value along the axis",
        };
        return Err(ReportError::NoFigure {
            experiment: summary.experiment.clone(),
            figure: name.to_string(),
            what: what.to_string(),
        });
    }
    Ok(made)
}

/// The figure of a study.
pub fn study_figure(study: &Study, options: &FigureOptions) -> Figure {
    match &study.found {
        Findings::Interpolation(found) => interpolation::figure(study, found, options.metric),
        Findings::Neurons(found) => neurons::figure(study, found),
    }
}
