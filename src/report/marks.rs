//! Which numbers of a table stand out.

use super::Metric;
use super::data::{Cell, Column, Row, Section};

/// Marks, in each column of results, the best networks and the second best.
///
/// The best are those whose mean is printed like the largest one (the smallest, where less is better), or differs from it
/// by no more than the standard error of the difference, `sqrt(s1^2 / n1 + s2^2 / n2)`: that says nothing. A single run has
/// no known spread and adds none. The second best are the best of the rest.
/// Costs are not marked, nor a column with a single network.
pub fn mark_best(rows: &mut [Row], columns: &[Column], precision: Option<usize>) {
    for (column, head) in columns.iter().enumerate() {
        let metric = head.metric;
        let networks = rows.iter().filter(|row| row.section == Section::Network);
        let count = networks
            .filter(|row| matches!(row.cells[column], Cell::Value { .. }))
            .count();
        if count < 2 || !(metric.is_result() || metric == Metric::NormalisedAccuracy) {
            continue;
        }
        let near = leaders(rows, column, metric, precision, &|_| true);
        let rest = leaders(rows, column, metric, precision, &|row| !near.contains(&row));
        for (position, row) in rows.iter_mut().enumerate() {
            if let Cell::Value { best, second, .. } = &mut row.cells[column] {
                *best = near.contains(&position);
                *second = rest.contains(&position);
            }
        }
    }
}

/// The rows, among those asked for, that cannot be told from the best of them.
fn leaders(
    rows: &[Row],
    column: usize,
    metric: Metric,
    precision: Option<usize>,
    among: &dyn Fn(usize) -> bool,
) -> Vec<usize> {
    let value = |row: &Row| match row.cells[column] {
        Cell::Value { mean, std, n, .. } if row.section == Section::Network => Some((mean, std, n)),
        _ => None,
    };
    let candidates = || {
        let all = rows.iter().enumerate().filter(|(position, _)| among(*position));
        all.filter_map(|(position, row)| value(row).map(|found| (position, found)))
    };
    let better = |a: f64, b: f64| if metric.lower_is_better() { a < b } else { a > b };
    let top = candidates()
        .map(|(_, found)| found)
        .reduce(|a, b| if better(b.0, a.0) { b } else { a });
    let Some((top, std, n)) = top else {
        return Vec::new();
    };
    let variance = |std: Option<f64>, n: usize| std.unwrap_or(0.0).powi(2) / n as f64;
    let printed = metric.format(top, precision);
    let close = |(mean, other, m): (f64, Option<f64>, usize)| {
        let error = (variance(std, n) + variance(other, m)).sqrt();
        metric.format(mean, precision) == printed || (mean - top).abs() <= error
    };
    let near = candidates().filter(|(_, found)| close(*found));
    near.map(|(position, _)| position).collect()
}
