//! Reports from results: `table`, `plot`, `report`, `compare`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::format::StepFormat;
use super::step::OutputArgs;

/// Arguments of `table`.
#[derive(Debug, Args)]
pub struct TableArgs {
    /// A manifest, or the name of an experiment with results
    pub experiment: String,
    /// Template [default: those of the manifest]
    #[arg(long)]
    pub template: Option<String>,
    /// Metric: accuracy, f1, loss, `roc_auc`, or a cost, see --columns [default: those of the manifest]
    #[arg(long, value_delimiter = ',')]
    pub metric: Vec<String>,
    /// Further numbers beside each: metrics, `normalised_accuracy`, `fuse_seconds`, `peak_memory`, samples
    #[arg(long, value_name = "METRIC", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// Decimals; significant digits of seconds and memory [default: 4 for the loss, 2 for what is in percent, 3 digits]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(..=15))]
    pub precision: Option<u8>,
    /// Row to test all others against, across seeds: its label, a method, or METHOD/IMPORTANCE
    #[arg(long, value_name = "ROW")]
    pub baseline: Option<String>,
    /// The test: t (paired), wilcoxon, or mcnemar over the test examples of a single run
    #[arg(long, value_name = "TEST")]
    pub test: Option<String>,
    /// Axis of the template `ablation` [default: the one that varies]
    #[arg(long, value_name = "KEY")]
    pub axis: Option<String>,
    /// Only results of jobs that pass the filter, as that of `exec`: `method=kf-*,parts=2`; several filters add up
    #[arg(short = 'E', long = "filter", value_name = "FILTER")]
    pub filters: Vec<String>,
    /// Form of the output
    #[arg(long, value_name = "FORM", default_value = "markdown")]
    pub format: TableFormat,
    /// Write text into CSV as it is; without, text that a spreadsheet would take for a formula begins with an apostrophe
    #[arg(long)]
    pub raw: bool,
}

/// Form of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    /// For a terminal or a README.
    Markdown,
    /// For a paper.
    Latex,
    /// For a spreadsheet.
    Csv,
    /// For a program.
    Json,
    /// One LaTeX macro per cell, for running text.
    Macros,
}

/// Arguments of `plot`.
#[derive(Debug, Args)]
pub struct PlotArgs {
    /// A manifest, the name of an experiment with results, or a JSON file of `interpolate` or `importance`
    pub experiment: String,
    /// Figures: bars, models, confusion, classes, training, ablation [default: all that the results allow]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub figure: Vec<String>,
    /// Metric of the figures models, ablation and of interpolations
    #[arg(long, default_value = "accuracy")]
    pub metric: String,
    /// Axis of the figure ablation [default: the one that varies]
    #[arg(long, value_name = "KEY")]
    pub axis: Option<String>,
    /// Forms of the files: svg, png, tex (pgfplots)
    #[arg(
        long,
        value_name = "FORM",
        value_delimiter = ',',
        default_value = "svg,png,tex"
    )]
    pub format: Vec<PlotFormat>,
    /// Pixels of a PNG for each of the SVG
    #[arg(long, value_name = "N", default_value_t = 2.0)]
    pub scale: f64,
    /// Where to write [default: plots/ in the experiment's results, the folder of a JSON file]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Whether files are replaced.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Form of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlotFormat {
    /// For the web and for vector programs.
    Svg,
    /// For everything else.
    Png,
    /// For LaTeX: pgfplots.
    Tex,
}

impl PlotFormat {
    /// What files of this form end in.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Svg => "svg",
            Self::Png => "png",
            Self::Tex => "tex",
        }
    }
}

/// Arguments of `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// A manifest, or the name of an experiment with results
    pub experiment: String,
    /// Where to write, an .html file [default: report.html in the experiment's results]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Whether files are replaced.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Arguments of `compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// A folder of results, the name of an experiment, or REV:PATH of git
    pub first: String,
    /// The same
    pub second: String,
    /// Form of the output
    #[arg(long, value_name = "FORM", default_value = "human")]
    pub format: StepFormat,
}
