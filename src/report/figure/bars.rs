//! The reference's figure: loss, F1, accuracy and ROC AUC of every model, two by two.

use super::{Bar, Bars, Chart, Figure, Panel};
use crate::report::columns::Columns;
use crate::report::data::Section;
use crate::report::layout::Layout;
use crate::report::rows::rows;
use crate::report::{Metric, Summary};

/// One figure per column of the tables.
pub fn figures(summary: &Summary) -> Vec<Figure> {
    let columns = Columns::of(&summary.groups, &Layout::MethodsBySplit, Metric::Accuracy);
    let lines = rows(&summary.groups, &columns);
    let figure = |column: usize| {
        let shown = || {
            lines
                .iter()
                .filter(move |line| line.groups[column].is_some_and(|group| group.jobs.ok > 0))
        };
        let panel = |metric: Metric| Panel {
            title: metric.title().to_string(),
            chart: Chart::Bars(Bars {
                most: (!metric.lower_is_better()).then_some(100.0),
                decimals: if metric == Metric::Loss { 3 } else { 1 },
                each: shown()
                    .map(|line| {
                        let found = line.groups[column].and_then(|group| group.statistics(metric));
                        let scale = metric.scale();
                        Bar {
                            label: line.name(),
                            value: found.map(|found| (found.mean * scale, found.std.map(|std| std * scale))),
                            kind: match line.section {
                                Section::Base => 0,
                                Section::Ensemble => 1,
                                Section::Network => 2,
                            },
                        }
                    })
                    .collect(),
            }),
        };
        let metrics = [Metric::Loss, Metric::F1Macro, Metric::Accuracy, Metric::RocAuc];
        let defined = |metric: &Metric| {
            shown().any(|line| line.groups[column].is_some_and(|g| g.statistics(*metric).is_some()))
        };
        let head = columns.heads[column].title();
        (shown().next().is_some()).then(|| Figure {
            name: format!("bars-{}", file_name(&head)),
            title: format!(
                "{} on {}, {head}: test metrics of every model",
                summary.experiment, summary.dataset
            ),
            panels: metrics.into_iter().filter(defined).map(panel).collect(),
            across: 2,
        })
    };
    (0..columns.heads.len()).filter_map(figure).collect()
}

/// A title as part of a file's name: `non-iid, 2 models` becomes `non-iid-2-models`.
pub fn file_name(title: &str) -> String {
    let words = title.split(|c: char| !(c.is_ascii_alphanumeric() || ".-_=".contains(c)));
    words
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join("-")
}
