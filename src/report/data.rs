//! A table as data: what templates, figures and exports show.

use serde::Serialize;

use super::Metric;

/// One table of one metric. Numbers are as in the records; formats scale and round them.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Table {
    /// Name of the experiment.
    pub experiment: String,
    /// Name of the data set.
    pub dataset: String,
    /// Name of the template.
    pub template: String,
    /// What makes it again, but for `--format`.
    pub command: String,
    /// What the numbers are.
    pub metric: Metric,
    /// The axis of an ablation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub axis: Option<String>,
    /// The row that others are compared with, as asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// Decimals of results, where they are not the metric's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<usize>,
    /// Smallest and largest number of runs behind a cell.
    pub runs: (usize, usize),
    /// From left to right; the two columns of labels are not among them.
    pub columns: Vec<Column>,
    /// From top to bottom.
    pub rows: Vec<Row>,
    /// What has to be said below the table, one sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What is missing, one line each.
    pub warnings: Vec<String>,
}

/// Head of a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Column {
    /// Shared with its neighbours, such as `non-iid`; empty where only the number of models varies.
    pub group: String,
    /// Its own, such as `2 models`.
    pub label: String,
    /// What its numbers are.
    pub metric: Metric,
}

impl Column {
    /// Both in one: `non-iid, 2 models`.
    pub fn title(&self) -> String {
        if self.group.is_empty() {
            self.label.clone()
        } else {
            format!("{}, {}", self.group, self.label)
        }
    }
}

/// One row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// What kind of thing it is about.
    pub section: Section,
    /// Who it is about.
    pub label: String,
    /// Importance score, where the method takes one.
    pub importance: Option<String>,
    /// One per column.
    pub cells: Vec<Cell>,
}

/// What a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Section {
    /// A base model.
    Base,
    /// Several networks that vote.
    Ensemble,
    /// One fused network.
    Network,
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Cell {
    /// A result.
    Value {
        /// Mean over the runs.
        mean: f64,
        /// Unbiased standard deviation; `None` for one run.
        std: Option<f64>,
        /// Number of runs.
        n: usize,
        /// Whether no fused network of the column is better: its mean is printed like that of the best one, or differs
        /// from it by no more than the standard error of the difference.
        best: bool,
        /// Whether only those marked as best are better.
        second: bool,
        /// p of the difference from the baseline, Holm-corrected.
        #[serde(skip_serializing_if = "Option::is_none")]
        p: Option<f64>,
    },
    /// It was to be computed, and is not there; a warning says why.
    Missing,
    /// It cannot be computed from what is there; a note says why.
    Undefined,
    /// The experiment does not have it: impossible or excluded.
    NotApplicable,
    /// A base model that the column does not have.
    Empty,
}
