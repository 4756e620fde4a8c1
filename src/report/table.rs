//! Makes tables: what stands in which cell, before any format.

use super::columns::Columns;
use super::data::{Cell, Column, Row, Table};
use super::layout::Layout;
use super::rows::{Line, rows};
use super::significance::{self, Comparison, compare};
use super::{Group, Metric, ReportError, Statistics, Summary, TableOptions, marks};

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
