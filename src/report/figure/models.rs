//! A metric against the number of models.

use std::collections::BTreeMap;

use super::palette::SERIES;
use super::{Chart, Curve, Figure, Lines, Panel, Point, Ticks};
use crate::report::columns::Columns;
use crate::report::layout::Layout;
use crate::report::rows::{Line, rows};
use crate::report::table::Section;
use crate::report::{Metric, Summary};

/// One panel per block of columns, one curve per method; nothing where no method has two numbers of models.
pub fn figure(summary: &Summary, metric: Metric) -> Vec<Figure> {
    let columns = Columns::of(&summary.groups, &Layout::MethodsBySplit, metric);
    let lines = rows(&summary.groups, &columns);
    let mut blocks: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (position, head) in columns.heads.iter().enumerate() {
        let first = columns
            .heads
            .iter()
            .position(|other| other.group == head.group)
            .unwrap_or(position);
        blocks.entry(first).or_default().push(position);
    }
    let panel = |block: &Vec<usize>| {
        let several = |line: &&Line| line.section != Section::Base && points(line, block, metric).len() > 1;
        let curves = named(lines.iter().filter(several), |line| points(line, block, metric));
        (!curves.is_empty()).then(|| Panel {
            title: columns.heads[block[0]].group.clone(),
            chart: Chart::Lines(Lines {
                x: "number of models".to_string(),
                y: metric.title().to_string(),
                ticks: Ticks::Named(block.iter().map(|c| columns.models(*c).to_string()).collect()),
                logarithmic: false,
                curves,
            }),
        })
    };
    let panels: Vec<Panel> = blocks.values().filter_map(panel).collect();
    if panels.is_empty() {
        return Vec::new();
    }
    vec![Figure {
        name: format!("models-{metric}"),
        title: format!(
            "{} on {}: {} by number of models",
            summary.experiment,
            summary.dataset,
            metric.title()
        ),
        across: panels.len().min(2),
        panels,
    }]
}

/// Curves of rows: a colour and a mark per label, a dash per importance.
pub fn named<'a>(
    lines: impl Iterator<Item = &'a Line<'a>>,
    points: impl Fn(&Line) -> Vec<Point>,
) -> Vec<Curve> {
    let mut labels: Vec<&str> = Vec::new();
    let mut importances: Vec<&String> = Vec::new();
    let mut curves = Vec::new();
    for line in lines {
        let colour = index(&mut labels, line.label.as_str());
        let dash = line
            .importance
            .as_ref()
            .map_or(0, |importance| index(&mut importances, importance));
        curves.push(Curve {
            name: line.name(),
            colour,
            // Colours come round again, then with other marks and dashes.
            dash: dash + colour / SERIES.len(),
            mark: Some(colour + colour / SERIES.len()),
            points: points(line),
        });
    }
    curves
}

fn index<T: PartialEq>(known: &mut Vec<T>, wanted: T) -> usize {
    known
        .iter()
        .position(|other| *other == wanted)
        .unwrap_or_else(|| {
            known.push(wanted);
            known.len() - 1
        })
}

/// Mean and spread of a row in these columns, at 0, 1, ....
pub fn points(line: &Line, columns: &[usize], metric: Metric) -> Vec<Point> {
    let at = |(x, column): (usize, &usize)| {
        let found = line.groups[*column]?.statistics(metric)?;
        Some(Point {
            x: x as f64,
            y: found.mean * metric.scale(),
            spread: found.std.map(|std| std * metric.scale()),
        })
    };
    columns.iter().enumerate().filter_map(at).collect()
}
