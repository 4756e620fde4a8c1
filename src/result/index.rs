//! The index of an experiment: which records belong to its last plan, in the manifest's order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Record;

/// Content of `index.json`. It lets `table` and `status` work without the manifest, and tells current records from
/// those of an earlier version of the manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Index {
    /// [`super::SCHEMA`] at the time of writing.
    pub schema: u32,
    /// Name of the experiment.
    pub experiment: String,
    /// Name of the data set.
    pub dataset: String,
    /// The manifest's path, as it was given.
    #[serde(default)]
    pub manifest: String,
    /// blake3 of the resolved manifest.
    pub manifest_hash: String,
    /// Tables the manifest asks for.
    pub tables: Vec<TableRequest>,
    /// Jobs in manifest order; a job that stands at several places of the tables is there once for each.
    pub jobs: Vec<IndexEntry>,
}

/// One `[[report]]` of the manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TableRequest {
    /// Template name without extension.
    pub template: String,
    /// Metrics, one table each.
    pub metrics: Vec<String>,
    /// Further numbers, a column each beside every column.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// Decimals of results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<usize>,
    /// The row that others are compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// How they are compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<String>,
    /// The axis of an ablation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub axis: Option<String>,
}

/// One job of the plan, at one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexEntry {
    /// Readable name; `records/<job>.json` is its record.
    pub job: String,
    /// Identity.
    pub key: String,
    /// `train`, `evaluate`, `fuse` or `finetune`.
    pub kind: super::Kind,
    /// Where its number goes in a table, so that a job without a record can be named as missing there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// What a job's result is about: the fields of its [`Record`] that decide in which cell of a table it counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Place {
    /// As [`Record::axes`].
    pub axes: BTreeMap<String, Value>,
    /// As [`Record::seed`].
    pub seed: u64,
    /// As [`Record::method_seed`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method_seed: Option<u64>,
    /// As [`Record::parts`].
    pub parts: usize,
    /// As [`Record::models`].
    pub models: Vec<String>,
    /// As [`Record::method`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// As [`Record::importance`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub importance: Option<String>,
    /// As [`Record::label`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

impl From<&Record> for Place {
    fn from(record: &Record) -> Self {
        Self {
            axes: record.axes.clone(),
            seed: record.seed,
            method_seed: record.method_seed,
            parts: record.parts,
            models: record.models.clone(),
            method: record.method.clone(),
            importance: record.importance.clone(),
            label: record.label.clone(),
        }
    }
}
