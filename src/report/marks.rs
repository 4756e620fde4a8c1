//! Which numbers of a table stand out.

use super::Metric;
use super::table::{Cell, Column, Row, Section};

/// Marks, in each column of results, the best networks and the second best.
///
/// The best are those whose mean is printed like the largest one (the smallest, where less is better), or lies within
/// one standard error, `std / sqrt(n)`, of it: such a difference says nothing. The second best are the best of the rest.
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
    let error = std.unwrap_or(0.0) / (n as f64).sqrt();
    let printed = metric.format(top, precision);
    let close = |mean: f64| metric.format(mean, precision) == printed || (mean - top).abs() <= error;
    let near = candidates().filter(|(_, found)| close(found.0));
    near.map(|(position, _)| position).collect()
}
