//! A table as data: what stands in which cell, before any format.

use serde::Serialize;

use super::columns::Columns;
use super::rows::{Line, rows};
use super::{Group, Metric, ReportError, Summary};

/// One table of one metric. Numbers are as in the records; formats scale and round them.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Table {
    /// Name of the experiment.
    pub experiment: String,
    /// Name of the data set.
    pub dataset: String,
    /// What the numbers are.
    pub metric: Metric,
    /// Smallest and largest number of runs behind a cell.
    pub runs: (usize, usize),
    /// From left to right; the two columns of labels are not among them.
    pub columns: Vec<Column>,
    /// From top to bottom.
    pub rows: Vec<Row>,
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
        /// Whether no fused network of the column has a better mean, as printed.
        best: bool,
    },
    /// It was to be computed, and is not there; a warning says why.
    Missing,
    /// The experiment does not have it: impossible or excluded.
    NotApplicable,
    /// A base model that the column does not have.
    Empty,
}

impl Table {
    /// Rows: base models by rank, then methods; columns: numbers of models, and other axes of the base models.
    pub fn methods_by_split(summary: &Summary, metric: Metric) -> Result<Self, ReportError> {
        let empty = |what: String| ReportError::Empty {
            experiment: summary.experiment.clone(),
            what,
        };
        if summary.groups.iter().all(|group| group.jobs.ok == 0) {
            return Err(empty("finished record".to_string()));
        }
        let numbers = summary
            .groups
            .iter()
            .filter_map(|group| group.metrics.get(&metric));
        let runs = numbers.map(|statistics| (statistics.n, statistics.n));
        let runs = runs.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let Some(runs) = runs else {
            return Err(empty(format!("value of `{metric}`")));
        };

        let columns = Columns::of(&summary.groups);
        let lines = rows(&summary.groups, &columns);
        let warnings = lines.iter().flat_map(|line| {
            let present = line.groups.iter().zip(&columns.heads);
            present.filter_map(|(group, column)| shortfall(line, (*group)?, &column.title(), metric))
        });
        let unplaced = summary
            .unplaced
            .iter()
            .map(|job| format!("`{job}` has no record"));
        let warnings = warnings.chain(unplaced).collect();
        let row = |line: &Line| Row {
            section: line.section,
            label: line.label.clone(),
            importance: line.importance.clone(),
            cells: (0..columns.heads.len())
                .map(|column| cell(line, column, &columns, metric))
                .collect(),
        };
        let mut rows: Vec<Row> = lines.iter().map(row).collect();
        mark_best(&mut rows, metric);
        Ok(Self {
            experiment: summary.experiment.clone(),
            dataset: summary.dataset.clone(),
            metric,
            runs,
            columns: columns.heads,
            rows,
            warnings,
        })
    }
}

fn cell(line: &Line, column: usize, columns: &Columns, metric: Metric) -> Cell {
    let Some(group) = line.groups[column] else {
        return match line.rank {
            Some(rank) if rank >= columns.models(column) => Cell::Empty,
            _ => Cell::NotApplicable,
        };
    };
    group
        .metrics
        .get(&metric)
        .map_or(Cell::Missing, |statistics| Cell::Value {
            mean: statistics.mean,
            std: statistics.std,
            n: statistics.n,
            best: false,
        })
}

/// Says what a cell lacks, if it lacks anything.
fn shortfall(line: &Line, group: &Group, column: &str, metric: Metric) -> Option<String> {
    let name = match &line.importance {
        Some(importance) => format!("{}, {importance}", line.label),
        None => line.label.clone(),
    };
    let (ok, total) = (group.jobs.ok, group.jobs.total());
    let defined = group.metrics.get(&metric).map_or(0, |statistics| statistics.n);
    if ok < total {
        let why = group.jobs.shortfall();
        Some(format!("{name}, {column}: {ok} of {total} results ({why})"))
    } else if defined < ok {
        Some(format!(
            "{name}, {column}: `{metric}` is undefined in {} of {ok} results",
            ok - defined
        ))
    } else {
        None
    }
}

/// Marks the best network of each column; those that print alike are marked together.
fn mark_best(rows: &mut [Row], metric: Metric) {
    let columns = rows.first().map_or(0, |row| row.cells.len());
    for column in 0..columns {
        let better = |a: f64, b: f64| {
            if metric.lower_is_better() {
                a.min(b)
            } else {
                a.max(b)
            }
        };
        let networks = || rows.iter().filter(|row| row.section == Section::Network);
        let means = networks().filter_map(|row| match row.cells[column] {
            Cell::Value { mean, .. } => Some(mean),
            _ => None,
        });
        let Some(top) = means.reduce(better).map(|top| metric.format(top)) else {
            continue;
        };
        for row in rows.iter_mut().filter(|row| row.section == Section::Network) {
            if let Cell::Value { mean, best, .. } = &mut row.cells[column] {
                *best = metric.format(*mean) == top;
            }
        }
    }
}
