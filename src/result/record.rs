//! The record of one job: the unit of results, one JSON file each.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Version of the format of records and indices; raised when a field changes its meaning or disappears, or is needed. 2 has
/// [`Record::seal`] and the index's checksum.
pub const SCHEMA: u32 = 2;
/// The oldest version that is read.
pub const OLDEST_SCHEMA: u32 = 1;

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Trains one base model and evaluates it.
    Train,
    /// Imports one base model from a file and evaluates it.
    Evaluate,
    /// Fuses base models and evaluates the outcome.
    Fuse,
    /// Trains a fused or base model further, or fuses base models that were.
    Finetune,
}

impl Kind {
    /// The spelling used in records, filters and job names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Evaluate => "evaluate",
            Self::Fuse => "fuse",
            Self::Finetune => "finetune",
        }
    }
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It finished and its numbers stand.
    Ok,
    /// It stopped with an error, kept in [`Record::error`].
    Failed,
    /// It never ran, because a job it needs failed.
    Skipped,
}

impl Status {
    /// The spelling used in records and on the terminal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }

    /// The reverse.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Ok, Self::Failed, Self::Skipped]
            .into_iter()
            .find(|status| status.as_str() == name)
    }
}

/// Test-set metrics of one model or ensemble; definitions in [`crate::metrics`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Mean cross-entropy in nats.
    pub loss: f64,
    /// Share of correct predictions, in `[0, 1]`.
    pub accuracy: f64,
    /// Unweighted mean over classes of the F1 score.
    pub f1_macro: f64,
    /// One-vs-rest ROC AUC weighted by support; `None` where a class is missing or a score is not finite.
    pub roc_auc: Option<f64>,
    /// Row = true class, column = predicted class.
    pub confusion_matrix: Confusion,
}

/// Counts, row = true class, column = predicted class.
pub type Confusion = Vec<Vec<u64>>;

/// One input of a job, by content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// What it is to the job: `dataset`, `model_0`, `fusion-set`, ...
    pub role: String,
    /// blake3 of a file's content, or the key of the job that makes it.
    pub hash: String,
}

/// Why a job failed: the error, then its causes, outermost first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The whole chain; the first line says what failed.
    pub chain: Vec<String>,
    /// What the user can do about it, where we know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// What stands for the results folder in messages on the disk: a folder that holds its own path could not be moved.
const ROOT: &str = "{results}/";

impl Failure {
    pub(super) fn without_root(&mut self, root: &Path) {
        self.replace(&below(root), ROOT);
    }

    pub(super) fn with_root(&mut self, root: &Path) {
        self.replace(ROOT, &below(root));
    }

    fn replace(&mut self, from: &str, to: &str) {
        for text in self.chain.iter_mut().chain(&mut self.hint) {
            *text = text.replace(from, to);
        }
    }
}

fn below(root: &Path) -> String {
    format!("{}{}", root.display(), std::path::MAIN_SEPARATOR)
}

/// Where and when a record was made. Two runs of the same job may differ here and in `seconds`, nowhere else.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Provenance {
    /// Version of this program.
    pub runner: String,
    /// The commit it was built from, where that was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Whether its sources differed from that commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dirty: Option<bool>,
    /// Its optional parts, such as `cuda`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// Start, RFC 3339, UTC.
    pub started: String,
    /// Host name, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The device that computed, such as `cpu` or `cuda:0`.
    pub device: String,
    /// Kind of the CPU: its architecture and the vector instructions that it has, such as `x86_64: avx2 fma`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Peak resident memory of the whole process so far, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory: Option<u64>,
    /// Commit of the repository that the manifest is in.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "git-commit")]
    pub manifest_commit: Option<String>,
    /// Whether the manifest is committed and unchanged; `None` outside a repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_committed: Option<bool>,
    /// blake3 of the resolved manifest.
    pub manifest_hash: String,
}

/// Everything known about one finished, failed or skipped job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA`] at the time of writing.
    pub schema: u32,
    /// Identity of the job: blake3 of its settings and inputs, 64 hex digits.
    pub key: String,
    /// Readable name, ending in the first 16 digits of the key; also the file's name.
    pub job: String,
    /// What it did.
    pub kind: Kind,
    /// How it ended.
    pub status: Status,
    /// Coordinates of the job on the manifest's axes, such as `{"split.parts": 2}`.
    pub axes: BTreeMap<String, Value>,
    /// Seed of the base models.
    pub seed: u64,
    /// Seed of the fusion's own randomness.
    #[serde(rename = "method-seed", default, skip_serializing_if = "Option::is_none")]
    pub method_seed: Option<u64>,
    /// Number of parts the training set is split into.
    pub parts: usize,
    /// The base models it is about, `model_0` first.
    pub models: Vec<String>,
    /// Fusion method; `None` for base models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Importance score, where the method takes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub importance: Option<String>,
    /// Row label in tables, where the manifest gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// All settings, defaults included.
    pub settings: Value,
    /// All inputs, by content.
    pub inputs: Vec<Input>,
    /// Test-set metrics; present when `status` is `ok`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
    /// What the job found on its way: losses by epoch, costs, ranks, class counts.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub diagnostics: Value,
    /// Present when `status` is `failed` or `skipped`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// Wall-clock seconds by phase, and `total`.
    pub seconds: BTreeMap<String, f64>,
    /// Where and when.
    pub provenance: Provenance,
    /// blake3 of the record without `seconds`, `provenance`, this field and the next, so that equal results have equal
    /// checksums; filled in by [`Record::seal`].
    #[serde(default)]
    pub checksum: String,
    /// blake3 of all of the record but this field, so that no change of the file goes unnoticed; filled in likewise. Empty
    /// in records of schema 1.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub seal: String,
}

impl Record {
    /// Computes and stores checksum and seal.
    #[must_use]
    pub fn seal(mut self) -> Self {
        self.schema = SCHEMA;
        self.checksum = digest(&self);
        self.seal = String::new();
        self.seal = hash(&value(&self));
        self
    }

    /// Reads and checks a record's file. `None` where its content is not what was written.
    pub(super) fn parse(bytes: &[u8]) -> serde_json::Result<Option<Self>> {
        let mut value: Value = serde_json::from_slice(bytes)?;
        if value["schema"] == 1 {
            let record: Self = serde_json::from_value(value)?;
            return Ok(Some(record).filter(Self::is_sound));
        }
        let seal = value.as_object_mut().and_then(|fields| fields.remove("seal"));
        let sound = seal.as_ref().and_then(Value::as_str) == Some(hash(&value).as_str());
        let record: Self = serde_json::from_value(value)?;
        Ok(sound.then(|| Self {
            seal: seal
                .as_ref()
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_string(),
            ..record
        }))
    }

    /// Whether the checksum fits the content.
    pub fn is_sound(&self) -> bool {
        self.checksum == digest(self)
    }
}

/// blake3 of what a file of results says, without what two equal runs may differ in.
pub(super) fn digest(content: &impl Serialize) -> String {
    let mut value = value(content);
    if let Value::Object(fields) = &mut value {
        fields.retain(|key, _| !matches!(key.as_str(), "seconds" | "provenance" | "checksum" | "seal"));
        // Equal results have equal checksums, whichever version of the format they are written in.
        fields.insert("schema".to_string(), Value::from(1));
    }
    hash(&value)
}

fn value(content: &impl Serialize) -> Value {
    serde_json::to_value(content).unwrap_or(Value::Null)
}

fn hash(value: &Value) -> String {
    blake3::hash(canonical_json(value).as_bytes())
        .to_hex()
        .to_string()
}

/// JSON with sorted keys and no white space: equal values give equal bytes, whatever serde's feature flags are.
pub fn canonical_json(value: &Value) -> String {
    fn write(value: &Value, out: &mut Vec<u8>) -> serde_json::Result<()> {
        match value {
            Value::Object(fields) => {
                let mut ordered: Vec<_> = fields.iter().collect();
                ordered.sort_unstable_by_key(|(key, _)| *key);
                out.push(b'{');
                for (position, (key, value)) in ordered.into_iter().enumerate() {
                    if position > 0 {
                        out.push(b',');
                    }
                    serde_json::to_writer(&mut *out, key)?;
                    out.push(b':');
                    write(value, out)?;
                }
                out.push(b'}');
                Ok(())
            }
            Value::Array(items) => {
                out.push(b'[');
                for (position, item) in items.iter().enumerate() {
                    if position > 0 {
                        out.push(b',');
                    }
                    write(item, out)?;
                }
                out.push(b']');
                Ok(())
            }
            scalar => serde_json::to_writer(out, scalar),
        }
    }
    let mut out = Vec::with_capacity(1024);
    // Writing to memory does not fail, nor does a value, which has no keys but text.
    let _ = write(value, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_json_sorts_at_every_depth() {
        let value: Value =
            serde_json::from_str(r#"{"b": [{"z": 1, "a": 2}], "a": 0.1}"#).expect("valid JSON");
        assert_eq!(canonical_json(&value), r#"{"a":0.1,"b":[{"a":2,"z":1}]}"#);
    }
}
