//! Losses by epoch: of the base models, and of the levels of gradient fusions.

use std::collections::BTreeMap;

use serde_json::Value;

use super::bars::file_name;
use super::{Chart, Curve, Figure, Lines, Panel, Point, Ticks};
use crate::report::columns::Columns;
use crate::report::layout::Layout;
use crate::report::rows::{Line, rows};
use crate::report::table::Section;
use crate::report::{Metric, Results};
use crate::result::Record;

/// One figure of the base models, with a panel per column, and one of fusions per column, with a panel per level.
pub fn figures(results: &Results) -> Vec<Figure> {
    let summary = &results.summary;
    let records: BTreeMap<&str, &Record> = results.records.iter().map(|r| (r.key.as_str(), r)).collect();
    let columns = Columns::of(&summary.groups, &Layout::MethodsBySplit, Metric::Loss);
    let lines = rows(&summary.groups, &columns);
    let heads = || columns.heads.iter().enumerate();
    let histories = |line: &Line, column: usize, read: &dyn Fn(&Record) -> Option<Vec<f64>>| {
        let keys = line.groups[column]
            .map(|group| group.keys.clone())
            .unwrap_or_default();
        let found = keys.iter().filter_map(|key| read(records.get(key.as_str())?));
        averaged(&found.collect::<Vec<_>>())
    };
    let title = format!(
        "{} on {}: training loss by epoch",
        summary.experiment, summary.dataset
    );

    let mut figures = Vec::new();
    let base = |(column, head): (usize, &crate::report::Column)| {
        let bases = lines
            .iter()
            .filter(|line| line.section == Section::Base)
            .enumerate();
        let curves = bases
            .map(|(index, line)| curve(&line.label, (index, index), histories(line, column, &base_losses)));
        panel(head.title(), "training loss", curves.collect())
    };
    let panels: Vec<Panel> = heads().filter_map(base).collect();
    if !panels.is_empty() {
        figures.push(Figure {
            name: "training-base".to_string(),
            title: format!("{title}, base models"),
            across: 2,
            panels,
        });
    }
    for (column, head) in heads() {
        let tuned: Vec<&Line> = lines
            .iter()
            .filter(|line| line.section == Section::Network)
            .collect();
        let mut panels: Vec<Panel> = Vec::new();
        for level in 0.. {
            let read = |part: &'static str| move |record: &Record| level_losses(record, level, part);
            let pairs = tuned.iter().enumerate().flat_map(|(index, line)| {
                let train = histories(line, column, &read("train-loss"));
                let val = histories(line, column, &read("val-loss"));
                [
                    curve(&format!("{}: training", line.name()), (index, 0), train),
                    curve(&format!("{}: held out", line.name()), (index, 1), val),
                ]
            });
            let name = tuned.iter().find_map(|line| {
                let keys = &line.groups[column]?.keys;
                keys.iter()
                    .find_map(|key| level_name(records.get(key.as_str())?, level))
            });
            let Some(name) = name else { break };
            panels.extend(panel(
                format!("level {}, {name}", level + 1),
                "loss",
                pairs.collect(),
            ));
        }
        if !panels.is_empty() {
            figures.push(Figure {
                name: format!("training-fusion-{}", file_name(&head.title())),
                title: format!("{title}, {}", head.title()),
                across: if panels.len() > 4 { 3 } else { 2 },
                panels,
            });
        }
    }
    figures
}

fn panel(title: String, y: &str, mut curves: Vec<Curve>) -> Option<Panel> {
    curves.retain(|curve| !curve.points.is_empty());
    // Colours are counted again, so that few curves have the colours that are farthest apart.
    let mut colours: Vec<usize> = curves.iter().map(|curve| curve.colour).collect();
    colours.dedup();
    for curve in &mut curves {
        curve.colour = colours
            .iter()
            .position(|colour| *colour == curve.colour)
            .unwrap_or(0);
        curve.mark = Some(curve.colour);
    }
    (!curves.is_empty()).then(|| Panel {
        title,
        chart: Chart::Lines(Lines {
            x: "epoch".to_string(),
            y: y.to_string(),
            ticks: Ticks::Round,
            logarithmic: true,
            curves,
        }),
    })
}

fn curve(name: &str, (colour, dash): (usize, usize), points: Vec<Point>) -> Curve {
    Curve {
        name: name.to_string(),
        colour,
        dash,
        mark: Some(colour),
        points,
    }
}

/// Mean and unbiased standard deviation at each epoch. A run that stopped before keeps its last loss, as it keeps its
/// last weights.
fn averaged(runs: &[Vec<f64>]) -> Vec<Point> {
    let longest = runs.iter().map(Vec::len).max().unwrap_or(0);
    let at = |epoch: usize| {
        let values: Vec<f64> = runs
            .iter()
            .filter_map(|run| run.get(epoch).or(run.last()))
            .copied()
            .collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Point {
            x: (epoch + 1) as f64,
            y: mean,
            spread: (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()),
        }
    };
    (0..longest).map(at).filter(|point| point.y.is_finite()).collect()
}

fn base_losses(record: &Record) -> Option<Vec<f64>> {
    let epochs = record.diagnostics["epochs"].as_array()?;
    let loss = |epoch: &Value| {
        epoch
            .get("train-loss")
            .or_else(|| epoch.get("train_loss"))?
            .as_f64()
    };
    epochs.iter().map(loss).collect()
}

fn level_losses(record: &Record, level: usize, part: &str) -> Option<Vec<f64>> {
    let losses = record.diagnostics["fusion"]["levels"][level]["training"][part].as_array()?;
    losses.iter().map(Value::as_f64).collect()
}

fn level_name(record: &Record, level: usize) -> Option<String> {
    let level = record.diagnostics["fusion"]["levels"].get(level)?;
    let name = level
        .get("layer")
        .or_else(|| level.get("name"))
        .and_then(Value::as_str);
    Some(name.unwrap_or("").to_string())
}
