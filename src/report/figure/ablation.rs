//! A metric along one axis of the manifest.

use super::colours::Colours;
use super::models::{curves, points};
use super::{Chart, Figure, Lines, Panel, Ticks};
use crate::report::columns::Columns;
use crate::report::layout::Layout;
use crate::report::rows::rows;
use crate::report::{Metric, ReportError, Summary, labels};

/// One panel per block of columns, one curve per method.
pub fn figure(summary: &Summary, metric: Metric, axis: Option<&str>) -> Result<Vec<Figure>, ReportError> {
    let layout = Layout::named("ablation", axis, &summary.groups)?;
    let Layout::Ablation { axis } = &layout else {
        return Ok(Vec::new());
    };
    let shown = layout.shown(&summary.groups);
    let columns = Columns::of(&shown, &layout, metric);
    let lines = rows(&shown, &columns);
    let colours = Colours::of(summary);
    let name = labels::axis(axis);
    let mut titles: Vec<&str> = columns.heads.iter().map(|head| head.group.as_str()).collect();
    titles.dedup();
    let panel = |title: &str| {
        let block: Vec<usize> = (0..columns.heads.len())
            .filter(|column| columns.heads[*column].group == title)
            .collect();
        let fused = lines.iter().filter(|line| line.rank.is_none());
        let curves = curves(fused, &colours, |line| points(line, &block, metric));
        let value = |column: &usize| {
            let mut members = lines.iter().filter_map(|line| line.groups[*column]);
            let own = members.find_map(|group| group.axes.get(axis));
            own.map_or_else(|| "default".to_string(), labels::value)
        };
        (!curves.is_empty()).then(|| Panel {
            title: title.to_string(),
            chart: Chart::Lines(Lines {
                x: name.clone(),
                y: metric.title().to_string(),
                ticks: Ticks::Named(block.iter().map(value).collect()),
                logarithmic: false,
                curves,
            }),
        })
    };
    let panels: Vec<Panel> = titles.iter().filter_map(|title| panel(title)).collect();
    if panels.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![Figure {
        name: format!("ablation-{metric}"),
        title: format!(
            "{} on {}: {} by {name}",
            summary.experiment,
            summary.dataset,
            metric.title()
        ),
        across: panels.len().min(2),
        panels,
    }])
}
