//! Two sets of results of one experiment, job by job.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::{Metric, Results};
use crate::result::{Place, Record, Status, canonical_json};

/// What differs between two sets of results.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Comparison {
    /// Places with the same metrics in both.
    pub equal: usize,
    /// Places with other metrics, settings or inputs.
    pub differing: Vec<Difference>,
    /// Places with a record in the first only, by the job's name.
    pub only_first: Vec<String>,
    /// Places with a record in the second only.
    pub only_second: Vec<String>,
}

/// One place of the tables.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The job in the first set.
    pub first: String,
    /// The job in the second set.
    pub second: String,
    /// How the jobs ended, where not alike.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<(Status, Status)>,
    /// Metrics that are not bit for bit the same: in the first and in the second.
    pub metrics: BTreeMap<Metric, (Option<f64>, Option<f64>)>,
    /// Whether the confusion matrices are not the same, be the metrics or not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub confusion: bool,
    /// Settings and inputs that are not the same, as `fusion.lr: 0.1 -> 0.01`.
    pub changed: Vec<String>,
}

/// Matches records by what they are about, whatever their settings: kind, axes, seeds, models, method, importance and
/// label. Where several places of one set are alike, the first counts.
pub fn compare(first: &Results, second: &Results) -> Comparison {
    let (ours, theirs) = (by_place(first), by_place(second));
    let mut comparison = Comparison {
        equal: 0,
        differing: Vec::new(),
        only_first: Vec::new(),
        only_second: Vec::new(),
    };
    for (place, record) in &ours.records {
        let Some(other) = theirs.positions.get(place).map(|&at| theirs.records[at].1) else {
            comparison.only_first.push(record.job.clone());
            continue;
        };
        let difference = difference(record, other);
        if difference.is_none() {
            comparison.equal += 1;
        } else {
            comparison.differing.push(difference);
        }
    }
    for (place, record) in &theirs.records {
        if !ours.positions.contains_key(place) {
            comparison.only_second.push(record.job.clone());
        }
    }
    comparison
}

impl Difference {
    fn is_none(&self) -> bool {
        self.metrics.is_empty() && !self.confusion && self.changed.is_empty() && self.status.is_none()
    }
}

#[derive(Default)]
struct Placed<'a> {
    /// In the index's order.
    records: Vec<(String, &'a Record)>,
    positions: BTreeMap<String, usize>,
}

fn by_place(results: &Results) -> Placed<'_> {
    let by_key: BTreeMap<&str, &Record> = results.records.iter().map(|r| (r.key.as_str(), r)).collect();
    let mut placed = Placed::default();
    for entry in &results.index.jobs {
        let Some(record) = by_key.get(entry.key.as_str()) else {
            continue;
        };
        let place = entry.place.clone().unwrap_or_else(|| Place::from(*record));
        let identity = canonical_json(&json!([entry.kind, place]));
        if !placed.positions.contains_key(&identity) {
            placed.positions.insert(identity.clone(), placed.records.len());
            placed.records.push((identity, record));
        }
    }
    placed
}

fn difference(first: &Record, second: &Record) -> Difference {
    let metric = |metric: Metric| {
        let values = (metric.of(first), metric.of(second));
        (values.0.map(f64::to_bits) != values.1.map(f64::to_bits)).then_some((metric, values))
    };
    let mut changed = Vec::new();
    differences("", &first.settings, &second.settings, &mut changed);
    let hashes = |record: &Record| -> BTreeMap<String, String> {
        record
            .inputs
            .iter()
            .map(|input| (input.role.clone(), input.hash.clone()))
            .collect()
    };
    let (ours, theirs) = (hashes(first), hashes(second));
    let roles = ours
        .keys()
        .chain(theirs.keys().filter(|role| !ours.contains_key(*role)));
    changed.extend(
        roles
            .filter(|role| ours.get(*role) != theirs.get(*role))
            .map(|role| format!("input {role}")),
    );
    let metrics: BTreeMap<Metric, _> = Metric::ALL.into_iter().filter_map(metric).collect();
    // Of what makes a key this is not among the settings.
    if changed.is_empty() && !metrics.is_empty() && first.key != second.key {
        let kind = |record: &Record| record.provenance.device.split(':').next().map(str::to_string);
        changed.push(match (kind(first), kind(second)) {
            (Some(before), Some(after)) if before != after => format!("device: {before} -> {after}"),
            _ => "version of the method's arithmetic".to_string(),
        });
    }
    let matrix = |record: &Record| record.metrics.as_ref().map(|m| m.confusion_matrix.clone());
    Difference {
        confusion: matrix(first) != matrix(second),
        first: first.job.clone(),
        second: second.job.clone(),
        status: (first.status != second.status).then_some((first.status, second.status)),
        metrics,
        changed,
    }
}

/// The leaves that differ, by their paths.
fn differences(path: &str, first: &Value, second: &Value, into: &mut Vec<String>) {
    match (first, second) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
            for key in keys {
                let path = format!("{path}.{key}");
                let absent = Value::Null;
                let value = |fields: &serde_json::Map<String, Value>| {
                    fields.get(key).cloned().unwrap_or(absent.clone())
                };
                differences(&path, &value(a), &value(b), into);
            }
        }
        (a, b) if a != b => {
            let name = path.trim_start_matches('.');
            let text = |value: &Value| {
                if value.is_null() {
                    "none".to_string()
                } else {
                    value.to_string()
                }
            };
            into.push(format!("{name}: {} -> {}", text(a), text(b)));
        }
        _ => {}
    }
}
