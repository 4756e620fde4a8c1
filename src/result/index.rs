//! The index of an experiment: which records belong to its last plan, in the manifest's order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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
    /// The manifest's path as seen from the results folder; before 0.2, as it was given.
    #[serde(default)]
    pub manifest: String,
    /// blake3 of the resolved manifest.
    pub manifest_hash: String,
    /// Tables the manifest asks for.
    pub tables: Vec<TableRequest>,
    /// Jobs in manifest order; a job that stands at several places of the tables is there once for each.
    #[serde(skip_serializing)]
    pub jobs: Vec<IndexEntry>,
}

/// What stands before the checksum of everything above it, on the last line but one.
const CHECKSUM: &[u8] = b",\n  \"checksum\": \"";

impl Index {
    /// Where the manifest is, for an index in the folder `root`.
    pub fn manifest_path(&self, root: &Path) -> PathBuf {
        let seen_from_root = root.join(&self.manifest);
        match seen_from_root.exists() {
            true => seen_from_root,
            false => PathBuf::from(&self.manifest),
        }
    }

    /// The content of `index.json`: a line per job, so that versions of it can be compared, and a checksum.
    pub(super) fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        let mut out = serde_json::to_vec_pretty(self)?;
        // The closing brace, with the line feed before it.
        out.truncate(out.len().saturating_sub(2));
        out.extend_from_slice(b",\n  \"jobs\": [");
        for (position, entry) in self.jobs.iter().enumerate() {
            out.extend_from_slice(if position > 0 { b",\n    " } else { b"\n    " });
            serde_json::to_writer(&mut out, entry)?;
        }
        out.extend_from_slice(b"\n  ]");
        let checksum = blake3::hash(&out).to_hex();
        out.extend_from_slice(CHECKSUM);
        out.extend_from_slice(checksum.as_bytes());
        out.extend_from_slice(b"\"\n}\n");
        Ok(out)
    }

    /// Whether a file's content, of the schema with a checksum, fits it. Line ends may be those of another system.
    pub(super) fn is_sound(bytes: &[u8]) -> bool {
        let bytes: Vec<u8> = bytes.iter().copied().filter(|&byte| byte != b'\r').collect();
        let Some(end) = bytes
            .windows(CHECKSUM.len())
            .rposition(|window| window == CHECKSUM)
        else {
            return false;
        };
        let rest = &bytes[end + CHECKSUM.len()..];
        rest == [blake3::hash(&bytes[..end]).to_hex().as_bytes(), b"\"\n}\n"].concat()
    }
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

impl Place {
    /// Equal for equal places, whatever the order of the models.
    pub fn digest(&self) -> u64 {
        let mut sorted = self.clone();
        sorted.models.sort_unstable();
        let bytes = serde_json::to_vec(&sorted).unwrap_or_default();
        let mut first = [0; 8];
        first.copy_from_slice(&blake3::hash(&bytes).as_bytes()[..8]);
        u64::from_le_bytes(first)
    }
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
