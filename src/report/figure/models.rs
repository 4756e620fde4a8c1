//! A metric against the number of models.

use std::collections::BTreeMap;

use super::colours::Colours;
use super::{Chart, Curve, Figure, Lines, Panel, Point, Ticks};
use crate::report::columns::Columns;
use crate::report::data::Section;
use crate::report::layout::Layout;
use crate::report::rows::{Line, rows};
use crate::report::{Metric, Summary};

/// One panel per block of columns, one curve per method, or a mark for what has one number of models; nothing where no method has two numbers of models.
pub fn figure(summary: &Summary, metric: Metric) -> Vec<Figure> {
    let columns = Columns::of(&summary.groups, &Layout::MethodsBySplit, metric);
    let lines = rows(&summary.groups, &columns);
    let colours = Colours::of(summary);
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
        let fused = lines.iter().filter(|line| line.section != Section::Base);
        let mut curves = curves(fused, &colours, |line| points(line, block, metric));
        dodge(&mut curves);
        // What has a value for one number alone stands there as a mark.
        let several = curves.iter().any(|curve| curve.points.len() > 1);
        several.then(|| Panel {
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

/// Moves what stands alone at the same number of models a little apart.
fn dodge(curves: &mut [Curve]) {
    /// Of the way to the next number: between two marks, and between the first and the last.
    const STEP: f64 = 0.06;
    const MOST: f64 = 0.3;
    let mut alone: BTreeMap<i64, Vec<&mut Point>> = BTreeMap::new();
    for curve in curves {
        if let [point] = curve.points.as_mut_slice() {
            alone.entry(point.x as i64).or_default().push(point);
        }
    }
    for points in alone.into_values() {
        let gaps = points.len().saturating_sub(1) as f64;
        let step = STEP.min(MOST / gaps.max(1.0));
        for (position, point) in points.into_iter().enumerate() {
            point.x += (position as f64 - gaps / 2.0) * step;
        }
    }
}

/// Curves of rows.
pub fn curves<'a>(
    lines: impl Iterator<Item = &'a Line<'a>>,
    colours: &Colours,
    points: impl Fn(&Line) -> Vec<Point>,
) -> Vec<Curve> {
    let curve = |line: &'a Line<'a>| Curve {
        name: line.name(),
        style: colours.style(line),
        points: points(line),
    };
    let curves = lines.map(curve);
    curves.filter(|curve| !curve.points.is_empty()).collect()
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

#[cfg(test)]
mod tests {
    use super::super::Style;
    use super::*;

    #[test]
    fn what_stands_alone_is_told_apart() {
        let curve = |at: &[f64]| Curve {
            name: String::new(),
            style: Style {
                colour: 0,
                tint: 0,
                dash: 0,
                mark: None,
            },
            points: at
                .iter()
                .map(|x| Point {
                    x: *x,
                    y: 0.0,
                    spread: None,
                })
                .collect(),
        };
        let mut curves = [curve(&[0.0]), curve(&[0.0, 1.0]), curve(&[1.0]), curve(&[0.0])];
        dodge(&mut curves);
        let first = curves.map(|curve| curve.points[0].x);
        assert_eq!(first, [-0.03, 0.0, 1.0, 0.03]);
        let mut many: Vec<Curve> = (0..31).map(|_| curve(&[0.0])).collect();
        dodge(&mut many);
        let ends = [&many[0], &many[30]].map(|curve| curve.points[0].x);
        assert!(
            (ends[0] + 0.15).abs() < 1e-9 && (ends[1] - 0.15).abs() < 1e-9,
            "{ends:?}"
        );
    }
}
