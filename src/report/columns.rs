//! The columns of a table: which of them a layout has, and which groups belong to each.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::data::Column;
use super::layout::Layout;
use super::{Group, Metric, labels};
use crate::result::Kind;

/// The columns, and which groups belong to each.
pub struct Columns {
    /// In the order of the table.
    pub heads: Vec<Column>,
    keys: Vec<Key>,
    counts: Vec<usize>,
    layout: Layout,
}

/// What the columns of one block share, and what tells them apart within it.
type Key = (Vec<String>, String);

/// The axis that says how many parts there are.
const PARTS: &str = "split.parts";

/// Whether an axis belongs to what is done with the base models, and so distinguishes rows where columns are splits.
pub fn is_method_axis(key: &str) -> bool {
    let first = key.split('.').next().unwrap_or(key);
    first.starts_with("fusion") || ["finetune", "method", "importance", "label"].contains(&first)
}

/// Whether two groups that differ along this axis stand in different rows.
pub fn is_row_axis(key: &str, layout: &Layout) -> bool {
    match layout {
        Layout::MethodsBySplit | Layout::KfGradientOnly => is_method_axis(key),
        Layout::FullData => {
            let selects = [labels::GROUPS, labels::FIRST].map(|name| format!("fusion.{name}"));
            is_method_axis(key) && !key.starts_with("finetune") && !selects.iter().any(|name| name == key)
        }
        Layout::Ablation { axis } => is_method_axis(key) && key != axis,
    }
}

fn is_column_axis(key: &str, layout: &Layout) -> bool {
    !is_row_axis(key, layout) && key.rsplit('.').next() != Some("parts")
}

impl Columns {
    /// Columns that differ in their last coordinate only stand together; both orders are those of the groups.
    pub fn of(groups: &[Group], layout: &Layout, metric: Metric) -> Self {
        let blocks = blocks(groups, layout);
        let mut keys: Vec<Key> = Vec::new();
        for group in groups {
            let key = key(group, layout);
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        let first = |wanted: &dyn Fn(&Key) -> bool| keys.iter().position(wanted);
        let mut ordered = keys.clone();
        ordered.sort_by_key(|key| (first(&|other| other.0 == key.0), first(&|other| other.1 == key.1)));

        let members = |wanted: &Key| {
            let wanted = wanted.clone();
            groups.iter().filter(move |group| key(group, layout) == wanted)
        };
        // One part means that each model saw everything: then the fusions tell how many there are.
        let count = |key: &Key| match members(key).map(|group| group.parts).max() {
            None | Some(0 | 1) => members(key).map(|group| group.size).max().unwrap_or(1),
            Some(parts) => parts,
        };
        let counts: Vec<usize> = ordered.iter().map(count).collect();
        let heads = ordered.iter().zip(&counts).map(|(key, count)| {
            let member = members(key).next();
            Column {
                group: member
                    .map(|group| title(group, &blocks, layout))
                    .unwrap_or_default(),
                label: member
                    .map(|group| label(group, *count, layout))
                    .unwrap_or_default(),
                metric,
            }
        });
        Self {
            heads: heads.collect(),
            keys: ordered,
            counts,
            layout: layout.clone(),
        }
    }

    /// The column of a group.
    pub fn position(&self, group: &Group) -> Option<usize> {
        let wanted = key(group, &self.layout);
        self.keys.iter().position(|key| *key == wanted)
    }

    /// How many base models the column is about.
    pub fn models(&self, column: usize) -> usize {
        self.counts.get(column).copied().unwrap_or_default()
    }

    /// What decides which columns there are.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }
}

/// The column axes that vary, whose values title a block of columns; `parts` among them where it does not make the
/// columns themselves.
fn blocks(groups: &[Group], layout: &Layout) -> Vec<String> {
    let mut values: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let axes: BTreeSet<&str> = groups
        .iter()
        .flat_map(|group| group.axes.keys())
        .map(String::as_str)
        .filter(|key| is_column_axis(key, layout))
        .filter(|key| !matches!(layout, Layout::Ablation { axis } if axis == key))
        .filter(|key| *layout != Layout::FullData || !is_method_axis(key))
        .collect();
    for group in groups {
        for axis in &axes {
            let value = group.axes.get(*axis).map(ToString::to_string).unwrap_or_default();
            values.entry(axis).or_default().insert(value);
        }
    }
    let varying = axes.into_iter().filter(|axis| values[axis].len() > 1);
    let mut varying: Vec<String> = varying.map(str::to_string).collect();
    let parts: BTreeSet<usize> = groups.iter().map(|group| group.parts).collect();
    // An ablation along it has a column for each.
    let apart = match layout {
        Layout::FullData => true,
        Layout::Ablation { axis } => axis != PARTS,
        Layout::MethodsBySplit | Layout::KfGradientOnly => false,
    };
    if apart && parts.len() > 1 {
        varying.push(PARTS.to_string());
    }
    varying
}

fn key(group: &Group, layout: &Layout) -> Key {
    let axes = group.axes.iter().filter(|(key, _)| is_column_axis(key, layout));
    let mut block: Vec<String> = axes
        .filter(|(key, _)| !matches!(layout, Layout::Ablation { axis } if axis == *key))
        .filter(|(key, _)| *layout != Layout::FullData || !is_method_axis(key))
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let own = match layout {
        Layout::MethodsBySplit | Layout::KfGradientOnly => group.parts.to_string(),
        Layout::FullData => {
            block.push(format!("parts={}", group.parts));
            block.push(format!("tuned={}", group.kind == Kind::Finetune));
            group.size.to_string()
        }
        Layout::Ablation { axis } => {
            if axis != PARTS {
                block.push(format!("parts={}", group.parts));
            }
            group.axes.get(axis).map(ToString::to_string).unwrap_or_default()
        }
    };
    (block, own)
}

/// The values of the varying axes: names as they are, numbers with the name of their axis.
fn title(group: &Group, varying: &[String], layout: &Layout) -> String {
    let words = varying.iter().filter_map(|axis| value(group, axis));
    let own = match layout {
        Layout::MethodsBySplit | Layout::KfGradientOnly | Layout::Ablation { .. } => None,
        Layout::FullData if group.kind == Kind::Finetune => Some("after fine-tuning".to_string()),
        Layout::FullData => Some("before fine-tuning".to_string()),
    };
    words.chain(own).collect::<Vec<_>>().join(", ")
}

fn label(group: &Group, models: usize, layout: &Layout) -> String {
    match layout {
        Layout::MethodsBySplit | Layout::KfGradientOnly => labels::models(models),
        Layout::FullData => match group.size {
            1 => "single".to_string(),
            2 => "pairs".to_string(),
            size => format!("groups of {size}"),
        },
        Layout::Ablation { axis } => value(group, axis).unwrap_or_else(|| "default".to_string()),
    }
}

fn value(group: &Group, axis: &str) -> Option<String> {
    if axis == PARTS {
        return Some(labels::models(group.parts));
    }
    match group.axes.get(axis)? {
        Value::String(text) => Some(text.clone()),
        other => labels::setting(axis.rsplit('.').next().unwrap_or(axis), other),
    }
}
