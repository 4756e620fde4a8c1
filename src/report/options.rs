//! What can be asked of a table.

use std::str::FromStr;

use super::error::nearest;
use super::{Metric, ReportError};
use crate::result::TableRequest;

/// What a table shows, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct TableOptions {
    /// Name of the layout, see [`super::LAYOUTS`].
    pub layout: String,
    /// The number in each cell.
    pub metric: Metric,
    /// Further numbers, a column each beside every column.
    pub columns: Vec<Metric>,
    /// Decimals of results; the metric's own without.
    pub precision: Option<usize>,
    /// The row that others are compared with, by its label, its method, or method and importance as in
    /// `kf-gradient/uniform`.
    pub baseline: Option<String>,
    /// How they are compared.
    pub test: Test,
    /// The axis of an ablation.
    pub axis: Option<String>,
}

/// A test across seeds, or across test examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Test {
    /// The paired t-test.
    #[default]
    T,
    /// Wilcoxon's signed-rank test.
    Wilcoxon,
    /// McNemar's exact test over the test examples of a single run.
    McNemar,
}

/// The largest number of decimals: an f64 has no more.
const MOST_DECIMALS: usize = 17;

impl TableOptions {
    /// One metric by numbers of models.
    pub fn new(metric: Metric) -> Self {
        Self {
            layout: "methods-by-split".to_string(),
            metric,
            columns: Vec::new(),
            precision: None,
            baseline: None,
            test: Test::default(),
            axis: None,
        }
    }

    /// What a `[[report]]` of the manifest asks for, of one of its metrics.
    pub fn requested(request: &TableRequest, metric: &str, layout: String) -> Result<Self, ReportError> {
        let columns = request.columns.iter().map(|name| name.parse());
        Ok(Self {
            layout,
            columns: columns.collect::<Result<_, _>>()?,
            precision: request.precision.map(|digits| digits.min(MOST_DECIMALS)),
            baseline: request.baseline.clone(),
            test: request.test.as_deref().map_or(Ok(Test::default()), str::parse)?,
            axis: request.axis.clone(),
            ..Self::new(metric.parse()?)
        })
    }
}

impl Test {
    /// Its name in captions.
    pub fn title(self) -> &'static str {
        match self {
            Self::T => "paired t-test",
            Self::Wilcoxon => "Wilcoxon signed-rank test",
            Self::McNemar => "McNemar's exact test over the test examples",
        }
    }
}

impl FromStr for Test {
    type Err = ReportError;

    fn from_str(name: &str) -> Result<Self, ReportError> {
        match name {
            "t" => Ok(Self::T),
            "wilcoxon" => Ok(Self::Wilcoxon),
            "mcnemar" => Ok(Self::McNemar),
            _ => Err(ReportError::UnknownTest {
                name: name.to_string(),
                nearest: nearest(name, ["t", "wilcoxon", "mcnemar"]),
            }),
        }
    }
}
