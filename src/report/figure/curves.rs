//! Losses by epoch: of the base models, and of the levels of gradient fusions.

use std::collections::BTreeMap;

use serde_json::Value;

use super::bars::file_name;
use super::colours::{Colours, importance};
use super::{Chart, Curve, Figure, Lines, Panel, Point, Style, Ticks};
use crate::report::columns::Columns;
use crate::report::data::Section;
use crate::report::layout::Layout;
use crate::report::rows::{Line, rows};
use crate::report::{Metric, Results};
use crate::result::Record;

/// One figure of the base models, with a panel per column, and one of fusions per column, with a panel per level.
pub fn figures(results: &Results) -> Vec<Figure> {
    let summary = &results.summary;
    let records: BTreeMap<&str, &Record> = results.records.iter().map(|r| (r.key.as_str(), r)).collect();
    let columns = Columns::of(&summary.groups, &Layout::MethodsBySplit, Metric::Loss);
    let lines = rows(&summary.groups, &columns);
    let colours = Colours::of(summary);
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
        let curves = bases.map(|(index, line)| Curve {
            name: line.label.clone(),
            style: Style {
                colour: index,
                tint: 0,
                dash: index,
                mark: Some(index),
            },
            points: histories(line, column, &base_losses),
        });
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
        // Some methods train all levels, others the last one alone: a panel shows one level of the network.
        let shown = tuned.iter().filter_map(|line| line.groups[column]);
        let keys = shown.flat_map(|group| &group.keys);
        let trained = keys.filter_map(|key| Some(level_names(records.get(key.as_str())?)));
        let levels = trained.max_by_key(Vec::len).unwrap_or_default();
        let mut panels: Vec<Panel> = Vec::new();
        for (number, level) in levels.iter().enumerate() {
            let read = |part: &'static str| move |record: &Record| level_losses(record, level, part);
            let pairs = tuned.iter().flat_map(|line| {
                let parts = [("training", "train-loss"), ("held out", "val-loss")];
                let curve = |(dash, (name, part))| Curve {
                    name: format!("{}: {name}", line.name()),
                    style: style(&colours, line, dash),
                    points: histories(line, column, &read(part)),
                };
                (0..).zip(parts).map(curve).collect::<Vec<_>>()
            });
            let title = format!("level {}, {level}", number + 1);
            panels.extend(panel(title, "loss", pairs.collect()));
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

/// Dashes tell training from held out samples here, so that tints and marks tell importances.
fn style(colours: &Colours, line: &Line, dash: usize) -> Style {
    let style = colours.style(line);
    let importance = importance(line);
    Style {
        tint: style.tint + importance,
        dash,
        mark: style.mark.map(|mark| mark + importance),
        ..style
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

fn level_losses(record: &Record, level: &str, part: &str) -> Option<Vec<f64>> {
    let position = level_names(record).iter().position(|name| name == level)?;
    let losses = record.diagnostics["fusion"]["levels"][position]["training"][part].as_array()?;
    losses.iter().map(Value::as_f64).collect()
}

fn level_names(record: &Record) -> Vec<String> {
    let levels = record.diagnostics["fusion"]["levels"].as_array();
    let name = |level: &Value| {
        let name = level.get("layer").or_else(|| level.get("name"));
        Some(name?.as_str()?.to_string())
    };
    levels.into_iter().flatten().filter_map(name).collect()
}
