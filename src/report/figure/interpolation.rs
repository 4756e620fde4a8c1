//! Loss and a further metric on the straight lines between two networks.

use super::{Chart, Curve, Figure, Lines, Panel, Point, Style, Ticks};
use crate::report::Metric;
use crate::report::number::fixed;
use crate::result::{Interpolation, Line, Study};

/// Two panels: the loss with the straight lines that barriers are measured from, and `metric`.
pub fn figure(study: &Study, found: &Interpolation, metric: Metric) -> Figure {
    let mut shown = vec![Metric::Loss];
    shown.extend((metric != Metric::Loss).then_some(metric));
    let panel = |metric: &Metric| {
        let lines = found.lines.iter().enumerate();
        let mut curves: Vec<Curve> = lines
            .map(|(at, line)| curve(found, (at, line), *metric))
            .collect();
        curves.retain(|curve| !curve.points.is_empty());
        // Both lines have the same losses at their ends.
        let ends = curves
            .first()
            .map(|curve| [curve.points.first(), curve.points.last()]);
        let ends: Vec<Point> = ends.into_iter().flatten().flatten().copied().collect();
        if *metric == Metric::Loss {
            curves.push(Curve {
                name: "straight line between the losses of both ends".to_string(),
                style: Style {
                    colour: 6,
                    tint: 0,
                    dash: 2,
                    mark: None,
                },
                points: ends,
            });
        }
        // An undefined metric has no panel.
        (!curves.is_empty()).then(|| Panel {
            title: String::new(),
            chart: Chart::Lines(Lines {
                x: "alpha, from the first model to the second".to_string(),
                y: format!("test {}", metric.title()),
                ticks: Ticks::Round,
                logarithmic: false,
                curves,
            }),
        })
    };
    Figure {
        name: "interpolation".to_string(),
        title: format!("Between two networks, on {}", study.dataset),
        across: 2,
        panels: shown.iter().filter_map(panel).collect(),
    }
}

fn curve(found: &Interpolation, (at, line): (usize, &Line), metric: Metric) -> Curve {
    let name = match &line.alignment {
        None => "not aligned".to_string(),
        Some(alignment) => format!("aligned ({alignment})"),
    };
    let points = found
        .alpha
        .iter()
        .zip(&line.metrics)
        .filter_map(|(alpha, metrics)| {
            Some(Point {
                x: *alpha,
                y: metric.of_metrics(metrics)? * metric.scale(),
                spread: None,
            })
        });
    Curve {
        name: match line.barrier > 0.0 {
            true => format!(
                "{name}: loss barrier {} at {:.2}",
                fixed(line.barrier, 4),
                line.barrier_at
            ),
            false => format!("{name}: no loss barrier"),
        },
        style: Style {
            colour: at,
            tint: 0,
            dash: at,
            mark: Some(at),
        },
        points: points.collect(),
    }
}
