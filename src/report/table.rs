//! A table as data: what stands in which cell, before any format.

use serde::Serialize;

use super::columns::Columns;
use super::layout::Layout;
use super::rows::{Line, rows};
use super::significance::{self, Comparison, LEVEL, compare};
use super::{Group, Metric, ReportError, Statistics, Summary, TableOptions, marks};

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

impl Table {
    /// The table asked for.
    pub fn of(summary: &Summary, options: &TableOptions) -> Result<Self, ReportError> {
        let metric = options.metric;
        let empty = |what: String| ReportError::Empty {
            experiment: summary.experiment.clone(),
            what,
        };
        if summary.groups.iter().all(|group| group.jobs.ok == 0) {
            return Err(empty("finished record".to_string()));
        }
        let layout = Layout::named(&options.layout, options.axis.as_deref(), &summary.groups)?;
        let shown = layout.shown(&summary.groups);
        let is_about = |group: &Group| group.method.as_deref() == Some("kf-gradient");
        if layout == Layout::KfGradientOnly && !shown.iter().any(is_about) {
            return Err(empty("result of `kf-gradient`".to_string()));
        }
        let numbers = shown.iter().filter_map(|group| group.statistics(metric));
        let runs = numbers.map(|statistics| (statistics.n, statistics.n));
        let runs = runs.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        // Without any value: how many there would be.
        let finished = || shown.iter().map(|group| group.jobs.ok).filter(|ok| *ok > 0);
        let without = (finished().min().unwrap_or(1), finished().max().unwrap_or(1));
        let runs = runs.unwrap_or(without);
        let sharing = shown
            .iter()
            .filter_map(|group| group.statistics(metric))
            .any(Statistics::shares_models);
        let sharing =
            sharing.then(|| "Some groups have models in common; n counts them as independent.".to_string());

        let columns = Columns::of(&shown, &layout, metric);
        let lines = rows(&shown, &columns);
        let warnings = lines.iter().flat_map(|line| {
            let present = line.groups.iter().zip(&columns.heads);
            present.filter_map(|(group, column)| shortfall(line, (*group)?, &column.title(), metric))
        });
        let unplaced = summary
            .unplaced
            .iter()
            .map(|job| format!("`{job}` has no record"));
        let warnings: Vec<String> = warnings.chain(unplaced).collect();
        let comparison = match &options.baseline {
            Some(name) => compare(&lines, &columns, metric, name, options.test)?,
            None => Comparison {
                p: vec![vec![None; columns.heads.len()]; lines.len()],
                notes: Vec::new(),
                warnings: Vec::new(),
            },
        };
        let metrics: Vec<Metric> = std::iter::once(metric)
            .chain(options.columns.iter().copied())
            .collect();
        let row = |(line, p): (&Line, &Vec<Option<f64>>)| Row {
            section: line.section,
            label: line.label.clone(),
            importance: line.importance.clone(),
            cells: (0..columns.heads.len())
                .flat_map(|column| metrics.iter().map(move |metric| (column, *metric)))
                .map(|(column, shown)| {
                    cell(
                        line,
                        column,
                        &columns,
                        shown,
                        p[column].filter(|_| shown == metric),
                    )
                })
                .collect(),
        };
        let mut rows: Vec<Row> = lines.iter().zip(&comparison.p).map(row).collect();
        let columns = expanded(&columns.heads, &metrics);
        marks::mark_best(&mut rows, &columns, options.precision);
        let axis = match layout {
            Layout::Ablation { axis } => Some(axis),
            _ => None,
        };
        Ok(Self {
            experiment: summary.experiment.clone(),
            dataset: summary.dataset.clone(),
            template: options.template.clone(),
            command: options.command(&summary.experiment, axis.as_deref()),
            metric,
            axis,
            baseline: options.baseline.clone(),
            precision: options.precision,
            runs,
            columns,
            rows,
            notes: comparison
                .notes
                .into_iter()
                .chain(sharing)
                .chain(undefined(&shown, &metrics))
                .collect(),
            warnings: warnings.into_iter().chain(comparison.warnings).collect(),
        })
    }
}

/// Whether the rows and the axis that are asked for will be there, by what is known before there are results.
pub fn check_request(summary: &Summary, options: &TableOptions) -> Result<(), ReportError> {
    let layout = Layout::named(&options.layout, options.axis.as_deref(), &summary.groups)?;
    let Some(baseline) = &options.baseline else {
        return Ok(());
    };
    let shown = layout.shown(&summary.groups);
    let columns = Columns::of(&shown, &layout, options.metric);
    significance::check(&rows(&shown, &columns), baseline)
}

/// With several metrics each column becomes a block of one column per metric.
fn expanded(heads: &[Column], metrics: &[Metric]) -> Vec<Column> {
    if metrics.len() == 1 {
        return heads.to_vec();
    }
    let blocks = heads.iter().flat_map(|head| {
        metrics.iter().map(|metric| Column {
            group: head.title(),
            label: metric.short().to_string(),
            metric: *metric,
        })
    });
    blocks.collect()
}

fn cell(line: &Line, column: usize, columns: &Columns, metric: Metric, p: Option<f64>) -> Cell {
    let Some(group) = line.groups[column] else {
        return match line.rank {
            Some(rank) if rank >= columns.models(column) => Cell::Empty,
            // Single models have columns of their own.
            Some(_) if *columns.layout() == Layout::FullData => Cell::Empty,
            _ => Cell::NotApplicable,
        };
    };
    match group.statistics(metric) {
        Some(statistics) => Cell::Value {
            mean: statistics.mean,
            std: statistics.std,
            n: statistics.n,
            best: false,
            second: false,
            p,
        },
        // Not every job has every cost: imported models were not trained, averaging takes no samples.
        None if group.jobs.ok > 0 && !metric.is_result() => Cell::NotApplicable,
        None if group.undefined.contains_key(&metric) => Cell::Undefined,
        None => Cell::Missing,
    }
}

/// Why cells have no value, a sentence for each reason; and which metrics no row has.
fn undefined(shown: &[Group], metrics: &[Metric]) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    for metric in metrics {
        for why in shown.iter().filter_map(|group| group.undefined.get(metric)) {
            let note = format!("--: the {} cannot be computed, as {why}.", metric.name());
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
        if !metric.is_result() && shown.iter().all(|group| group.statistics(*metric).is_none()) {
            notes.push(format!("N/A: no row has {}.", metric.name()));
        }
    }
    notes
}

/// Whether a difference is to be marked.
pub(super) fn is_significant(p: Option<f64>) -> bool {
    p.is_some_and(|p| p < LEVEL)
}

/// Says what a cell lacks, if it lacks anything.
fn shortfall(line: &Line, group: &Group, column: &str, metric: Metric) -> Option<String> {
    let name = line.name();
    let (ok, total) = (group.jobs.ok, group.jobs.total());
    let defined = group.statistics(metric).map_or(0, |statistics| statistics.n);
    if ok < total {
        let why = group.jobs.shortfall();
        Some(format!("{name}, {column}: {ok} of {total} results ({why})"))
    } else if defined < ok && metric.is_result() {
        let why = group.undefined.get(&metric).map(|why| format!(": {why}"));
        Some(format!(
            "{name}, {column}: `{metric}` is undefined in {} of {ok} results{}",
            ok - defined,
            why.unwrap_or_default()
        ))
    } else {
        None
    }
}
