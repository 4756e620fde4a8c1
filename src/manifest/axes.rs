//! Axes: a list where a single value belongs multiplies the points.

use std::collections::HashSet;

use figment::value::{Dict, Value};

use super::matching::comparable;
use super::{Layers, Problem};

/// Keys that are lists by nature, and how deeply nested. Only a list of such lists is an axis there.
const LISTS: &[(&str, usize)] = &[
    ("model.hidden", 1),
    ("model.layers", 1),
    ("other-models.hidden", 1),
    ("other-models.layers", 1),
    ("dataset.mean", 1),
    ("dataset.std", 1),
    ("split.classes", 2),
    ("model-set.seeds", 1),
    ("base.augment", 1),
    ("finetune.of", 1),
    ("finetune.lr", 1),
    ("finetune.epochs", 1),
    ("finetune.augment", 1),
    ("fusion-set.indices", 1),
];

/// Keys of fusions that are lists by nature.
const METHOD_LISTS: &[&str] = &["skip-levels", "reset-levels", "levels", "perturbations", "with"];

/// One axis: a key and the values it runs over.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    /// Path from the top, such as `["split", "parts"]`.
    pub path: Vec<String>,
    pub values: Vec<Value>,
}

/// One choice of a value on each axis: the value's index.
pub(super) type Choice = Vec<usize>;

/// Finds the axes below `value`; an empty list is a problem.
pub(super) fn find(
    layers: &Layers,
    path: &[String],
    value: &Value,
    found: &mut Vec<Axis>,
    problems: &mut Vec<Problem>,
) {
    match value {
        Value::Dict(_, dict) => {
            for (key, value) in dict {
                let mut path = path.to_vec();
                path.push(key.clone());
                find(layers, &path, value, found, problems);
            }
        }
        Value::Array(_, items) => {
            let name = path.join(".");
            let natural = natural_depth(path, &name);
            if depth(value) <= natural {
                return;
            }
            if items.is_empty() {
                problems.push(
                    layers
                        .problem(path, false, format!("the axis `{name}` is empty"))
                        .hint("give at least one value, or leave the key out for its default"),
                );
                return;
            }
            found.push(Axis {
                path: path.to_vec(),
                values: items.clone(),
            });
        }
        _ => {}
    }
}

/// How deeply nested a list the key takes by itself.
fn natural_depth(path: &[String], name: &str) -> usize {
    let of_method = path.first().is_some_and(|section| section == "fusion")
        && path
            .last()
            .is_some_and(|key| METHOD_LISTS.contains(&key.as_str()));
    let listed = LISTS.iter().find(|(key, _)| *key == name);
    if of_method {
        1
    } else {
        listed.map_or(0, |(_, depth)| *depth)
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(_, items) => 1 + items.first().map_or(0, depth),
        _ => 0,
    }
}

/// Positions of the values that stand on the axis before.
pub(super) fn repetitions(values: &[Value]) -> Vec<usize> {
    let mut seen = HashSet::new();
    let json = |value: &Value| serde_json::to_value(value).unwrap_or_default();
    let repeated = |(_, value): &(usize, &Value)| !seen.insert(comparable(&json(value)));
    let entries = values.iter().enumerate();
    entries.filter(repeated).map(|(i, _)| i).collect()
}

/// All combinations, the last axis fastest.
pub(super) fn combinations(axes: &[Axis]) -> Vec<Choice> {
    axes.iter().fold(vec![Vec::new()], |choices, axis| {
        choices
            .into_iter()
            .flat_map(|choice| {
                (0..axis.values.len()).map(move |i| {
                    let mut next = choice.clone();
                    next.push(i);
                    next
                })
            })
            .collect()
    })
}

/// `dict` with one value per axis; `skip` leading components of the axes' paths lie outside of it.
pub(super) fn fix(dict: &Dict, axes: &[Axis], choice: &[usize], skip: usize) -> Dict {
    let mut fixed = dict.clone();
    for (axis, &i) in axes.iter().zip(choice) {
        put(&mut fixed, &axis.path[skip..], axis.values[i].clone());
    }
    fixed
}

/// Sets the value at `path`, making tables on the way.
pub(super) fn put(dict: &mut Dict, path: &[String], value: Value) {
    match path {
        [] => {}
        [last] => {
            dict.insert(last.clone(), value);
        }
        [first, rest @ ..] => {
            let entry = dict
                .entry(first.clone())
                .or_insert_with(|| Value::from(Dict::new()));
            if let Value::Dict(_, inner) = entry {
                put(inner, rest, value);
            }
        }
    }
}
