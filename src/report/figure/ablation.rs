//! A metric along one axis of the manifest.

use super::models::{named, points};
use super::{Chart, Figure, Lines, Panel, Ticks};
use crate::report::columns::Columns;
use crate::report::layout::Layout;
use crate::report::rows::rows;
use crate::report::{Group, Metric, ReportError, Summary};

/// One panel per block of columns, one curve per method.
pub fn figure(summary: &Summary, metric: Metric, axis: Option<&str>) -> Result<Vec<Figure>, ReportError> {
    let layout = Layout::named("ablation", axis, &summary.groups)?;
    let Layout::Ablation { axis } = &layout else {
        return Ok(Vec::new());
    };
    let shown: Vec<Group> = summary
        .groups
        .iter()
        .filter(|group| layout.shows(group))
        .cloned()
        .collect();
    let columns = Columns::of(&shown, &layout, metric);
    let lines = rows(&shown, &columns);
    let mut titles: Vec<&str> = columns.heads.iter().map(|head| head.group.as_str()).collect();
    titles.dedup();
    let panel = |title: &str| {
        let block: Vec<usize> = (0..columns.heads.len())
            .filter(|column| columns.heads[*column].group == title)
            .collect();
        let mut curves = named(lines.iter().filter(|line| line.rank.is_none()), |line| {
            points(line, &block, metric)
        });
        curves.retain(|curve| !curve.points.is_empty());
        let name = axis.rsplit('.').next().unwrap_or(axis).replace(['-', '_'], " ");
        let short = |label: &str| label.strip_prefix(&name).unwrap_or(label).trim().to_string();
        (!curves.is_empty()).then(|| Panel {
            title: title.to_string(),
            chart: Chart::Lines(Lines {
                x: name.clone(),
                y: metric.title().to_string(),
                ticks: Ticks::Named(
                    block
                        .iter()
                        .map(|column| short(&columns.heads[*column].label))
                        .collect(),
                ),
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
            "{} on {}: {} by {axis}",
            summary.experiment,
            summary.dataset,
            metric.title()
        ),
        across: panels.len().min(2),
        panels,
    }])
}
