//! Which records are repetitions of each other.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Metric, Statistics};
use crate::result::{Confusion, Kind, Place, Record, Status, canonical_json};

/// How the jobs of a group ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Finished.
    pub ok: usize,
    /// Stopped with an error.
    pub failed: usize,
    /// Not run, because a job they need failed.
    pub skipped: usize,
    /// In the index, but without a record.
    pub missing: usize,
}

impl Counts {
    /// Counts one job by its record's status, `None` where it has no record.
    pub fn add(&mut self, status: Option<Status>) {
        *match status {
            Some(Status::Ok) => &mut self.ok,
            Some(Status::Failed) => &mut self.failed,
            Some(Status::Skipped) => &mut self.skipped,
            None => &mut self.missing,
        } += 1;
    }

    /// Jobs in the index.
    pub fn total(&self) -> usize {
        self.ok + self.failed + self.skipped + self.missing
    }

    /// `1 failed, 2 missing`: what is not ok, in words; empty where all is.
    pub fn shortfall(&self) -> String {
        let named = [
            (self.failed, "failed"),
            (self.skipped, "skipped"),
            (self.missing, "missing"),
        ];
        let words = named
            .iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, word)| format!("{n} {word}"));
        words.collect::<Vec<_>>().join(", ")
    }
}

/// Jobs that differ in their seeds only, and the statistics of their results.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Group {
    /// What the jobs do.
    pub kind: Kind,
    /// The base model it is about, by its position such as `model_0`; `None` for fusions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Fusion method; `None` for base models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Importance score, where the method takes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub importance: Option<String>,
    /// Row label of the manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Number of parts the training set is split into.
    pub parts: usize,
    /// Number of models a job is about.
    pub size: usize,
    /// Coordinates on the manifest's axes, without the seeds.
    pub axes: BTreeMap<String, Value>,
    /// The fusion method's parameters, without seeds.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub parameters: Value,
    /// How the jobs ended.
    pub jobs: Counts,
    /// What came out, for each metric that is defined in at least one of them.
    pub metrics: BTreeMap<Metric, Statistics>,
    /// Why finished jobs have no value of a metric, where there are such.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub undefined: BTreeMap<Metric, String>,
    /// Costs and the accuracy relative to base models. Not in `summary.json`, which equal results make equal.
    #[serde(skip)]
    pub derived: BTreeMap<Metric, Statistics>,
    /// The sum of the confusion matrices of the finished jobs.
    #[serde(skip)]
    pub confusion: Option<Confusion>,
    /// Keys of the finished jobs, in the order of the values.
    #[serde(skip)]
    pub keys: Vec<String>,
    /// Which test examples each of them got right, where that is known and was asked for.
    #[serde(skip)]
    pub correct: Vec<Option<Vec<bool>>>,
}

impl Group {
    /// The statistics of a metric, be it a result or derived.
    pub fn statistics(&self, metric: Metric) -> Option<&Statistics> {
        self.metrics.get(&metric).or_else(|| self.derived.get(&metric))
    }

    /// The empty group to which a job at `place` belongs.
    pub(super) fn at(kind: Kind, place: &Place, parameters: Value) -> Self {
        let is_seed = |key: &str| SEEDS.contains(&key.rsplit('.').next().unwrap_or(key));
        let axes = place.axes.iter().filter(|(key, _)| !is_seed(key));
        let model = place.models.first().filter(|_| place.method.is_none());
        Self {
            kind,
            model: model.map(|name| position(name).to_string()),
            method: place.method.clone(),
            importance: place.importance.clone(),
            label: place.label.clone(),
            parts: place.parts,
            size: place.models.len(),
            axes: axes.map(|(key, value)| (key.clone(), value.clone())).collect(),
            parameters,
            jobs: Counts::default(),
            metrics: BTreeMap::new(),
            undefined: BTreeMap::new(),
            derived: BTreeMap::new(),
            confusion: None,
            keys: Vec::new(),
            correct: Vec::new(),
        }
    }

    /// Equal for two jobs exactly where they belong together; without `parameters` what a job without a record has.
    pub(super) fn identity(&self, with_parameters: bool) -> String {
        let parameters = if with_parameters {
            &self.parameters
        } else {
            &Value::Null
        };
        canonical_json(&json!([
            self.kind,
            self.model,
            self.method,
            self.importance,
            self.label,
            self.parts,
            self.size,
            self.axes,
            parameters
        ]))
    }
}

const SEEDS: [&str; 4] = ["seed", "seeds", "method-seed", "method-seeds"];

/// `model_0` for `model_0`, `model_0.pt` and `some/folder/model_0.pt`.
fn position(name: &str) -> &str {
    let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
    [".pt", ".pth", ".safetensors"]
        .iter()
        .find_map(|ending| file.strip_suffix(ending))
        .unwrap_or(file)
}

/// The parameters of a record's fusion method: `settings.fusion.method` where that is an object, otherwise
/// `settings.fusion`; less what a group holds elsewhere and what may differ within one.
pub(super) fn parameters(record: &Record) -> Value {
    let Some(Value::Object(fusion)) = record.settings.get("fusion") else {
        return Value::Null;
    };
    let mut fields: Map<String, Value> = match fusion.get("method") {
        Some(Value::Object(method)) => method.clone(),
        _ => fusion.clone(),
    };
    if let Some(weights) = fusion.get("head-weights") {
        fields.entry("head-weights").or_insert_with(|| weights.clone());
    }
    let elsewhere = ["name", "method", "importance", "label", "models"];
    fields.retain(|key, _| !elsewhere.contains(&key.as_str()) && !SEEDS.contains(&key.as_str()));
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_position_is_its_file_name() {
        for name in ["model_0", "model_0.pt", "mnist/seed1/model_0.safetensors"] {
            assert_eq!(position(name), "model_0");
        }
    }
}
