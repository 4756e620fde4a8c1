//! The columns of a table by splits: one per combination of the axes that the base models are made along.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::table::Column;
use super::{Group, labels};

/// The columns, and which groups belong to each.
pub struct Columns {
    /// In the order of the table.
    pub heads: Vec<Column>,
    keys: Vec<Key>,
    counts: Vec<usize>,
}

type Key = (Vec<String>, usize);

/// Whether an axis belongs to what is done with the base models, and so distinguishes rows.
pub fn is_row_axis(key: &str) -> bool {
    let first = key.split('.').next().unwrap_or(key);
    first.starts_with("fusion") || ["finetune", "method", "importance", "label"].contains(&first)
}

fn is_column_axis(key: &str) -> bool {
    !is_row_axis(key) && key.rsplit('.').next() != Some("parts")
}

impl Columns {
    /// Columns that differ in `parts` only stand together; both orders are those of the groups.
    pub fn of(groups: &[Group]) -> Self {
        let mut values: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        let axes: BTreeSet<&str> = groups
            .iter()
            .flat_map(|group| group.axes.keys())
            .map(String::as_str)
            .filter(|key| is_column_axis(key))
            .collect();
        for group in groups {
            for axis in &axes {
                let value = group.axes.get(*axis).map(ToString::to_string).unwrap_or_default();
                values.entry(axis).or_default().insert(value);
            }
        }
        let varying: Vec<&str> = axes.into_iter().filter(|axis| values[axis].len() > 1).collect();

        let mut keys: Vec<Key> = Vec::new();
        for group in groups {
            let key = key(group);
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        let first = |wanted: &dyn Fn(&Key) -> bool| keys.iter().position(wanted);
        let mut ordered = keys.clone();
        ordered.sort_by_key(|key| (first(&|other| other.0 == key.0), first(&|other| other.1 == key.1)));

        let members = |wanted: &Key| {
            let wanted = wanted.clone();
            groups.iter().filter(move |group| key(group) == wanted)
        };
        // One part means that each model saw everything: then the fusions tell how many there are.
        let count = |key: &Key| match key.1 {
            0 | 1 => members(key).map(|group| group.size).max().unwrap_or(1),
            parts => parts,
        };
        let counts: Vec<usize> = ordered.iter().map(count).collect();
        let heads = ordered.iter().zip(&counts).map(|(key, count)| Column {
            group: members(key)
                .next()
                .map(|group| title(group, &varying))
                .unwrap_or_default(),
            label: labels::models(*count),
        });
        Self {
            heads: heads.collect(),
            keys: ordered,
            counts,
        }
    }

    /// The column of a group.
    pub fn position(&self, group: &Group) -> Option<usize> {
        let wanted = key(group);
        self.keys.iter().position(|key| *key == wanted)
    }

    /// How many base models the column is about.
    pub fn models(&self, column: usize) -> usize {
        self.counts.get(column).copied().unwrap_or_default()
    }
}

fn key(group: &Group) -> Key {
    let axes = group.axes.iter().filter(|(key, _)| is_column_axis(key));
    (
        axes.map(|(key, value)| format!("{key}={value}")).collect(),
        group.parts,
    )
}

/// The values of the varying axes: names as they are, numbers with the name of their axis.
fn title(group: &Group, varying: &[&str]) -> String {
    let words = varying.iter().filter_map(|axis| match group.axes.get(*axis)? {
        Value::String(text) => Some(text.clone()),
        other => labels::setting(axis.rsplit('.').next().unwrap_or(axis), other),
    });
    words.collect::<Vec<_>>().join(", ")
}
