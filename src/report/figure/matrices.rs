//! Confusion matrices, and what each class' accuracy is, pooled over seeds.

use super::bars::file_name;
use super::{Chart, Figure, Matrix, Panel};
use crate::report::columns::Columns;
use crate::report::layout::Layout;
use crate::report::rows::{Line, rows};
use crate::report::{Metric, Summary};
use crate::result::Confusion;

/// More classes than this have no names at their axes.
const MOST_NAMES: usize = 20;

/// One panel per row of the table: the share of each true class that was taken for each class.
pub fn confusion(summary: &Summary) -> Vec<Figure> {
    each(summary, |head, shown| Figure {
        name: format!("confusion-{}", file_name(head)),
        title: format!(
            "{} on {}, {head}: how each true class was classified",
            summary.experiment, summary.dataset
        ),
        across: 4,
        panels: shown
            .iter()
            .map(|(line, matrix)| Panel {
                title: line.name(),
                chart: Chart::Matrix(Matrix {
                    y: "true class".to_string(),
                    x: "predicted class".to_string(),
                    rows: names(matrix.len()),
                    columns: names(matrix.len()),
                    values: matrix.iter().map(|row| shares(row)).collect(),
                    written: false,
                }),
            })
            .collect(),
    })
}

/// One row per row of the table: each class' accuracy.
pub fn classes(summary: &Summary) -> Vec<Figure> {
    each(summary, |head, shown| {
        let classes = shown.iter().map(|(_, matrix)| matrix.len()).max().unwrap_or(0);
        Figure {
            name: format!("classes-{}", file_name(head)),
            title: format!(
                "{} on {}, {head}: accuracy per class (%)",
                summary.experiment, summary.dataset
            ),
            across: 1,
            panels: vec![Panel {
                title: String::new(),
                chart: Chart::Matrix(Matrix {
                    y: String::new(),
                    x: "class".to_string(),
                    rows: shown.iter().map(|(line, _)| line.name()).collect(),
                    columns: names(classes),
                    values: shown
                        .iter()
                        .map(|(_, matrix)| matrix.iter().enumerate().map(|(i, row)| shares(row)[i]).collect())
                        .collect(),
                    written: classes <= MOST_NAMES,
                }),
            }],
        }
    })
}

fn each(summary: &Summary, figure: impl Fn(&str, &[(&Line, &Confusion)]) -> Figure) -> Vec<Figure> {
    let columns = Columns::of(&summary.groups, &Layout::MethodsBySplit, Metric::Accuracy);
    let lines = rows(&summary.groups, &columns);
    let of = |column: usize| {
        let shown: Vec<(&Line, &Confusion)> = lines
            .iter()
            .filter_map(|line| Some((line, line.groups[column]?.confusion.as_ref()?)))
            .filter(|(_, matrix)| matrix.iter().all(|row| row.len() == matrix.len()))
            .collect();
        (!shown.is_empty()).then(|| figure(&columns.heads[column].title(), &shown))
    };
    (0..columns.heads.len()).filter_map(of).collect()
}

fn names(classes: usize) -> Vec<String> {
    (0..classes)
        .map(|class| {
            if classes <= MOST_NAMES {
                class.to_string()
            } else {
                String::new()
            }
        })
        .collect()
}

/// Each count over the row's sum; nothing for a class without a sample.
fn shares(row: &[u64]) -> Vec<Option<f64>> {
    let sum: u64 = row.iter().sum();
    row.iter()
        .map(|count| (sum > 0).then(|| *count as f64 / sum as f64))
        .collect()
}
