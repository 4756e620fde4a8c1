//! What a single step outside of an experiment found: one JSON file, from which figures are drawn.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::record::digest;
use super::store::{check_schema, pretty};
use super::{Metrics, Provenance, StoreError, write_atomic};

/// One step's findings, and what they were found with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Study {
    /// [`super::SCHEMA`] at the time of writing.
    pub schema: u32,
    /// Name of the data set.
    pub dataset: String,
    /// The models, in the order in which findings name them.
    pub models: Vec<StudiedModel>,
    /// All settings, defaults included.
    pub settings: Value,
    /// Seed of the fusion set.
    pub seed: u64,
    /// What was found.
    pub found: Findings,
    /// Wall-clock seconds by phase, and `total`.
    pub seconds: BTreeMap<String, f64>,
    /// Where and when.
    pub provenance: Provenance,
    /// blake3 of the study without `seconds`, `provenance` and this field, as a record's; filled in by [`Study::save`].
    #[serde(default)]
    pub checksum: String,
}

/// A model from a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StudiedModel {
    /// Path, as it was given.
    pub file: String,
    /// blake3 of the file.
    pub blake3: String,
}

/// What a study is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Findings {
    /// Networks on the straight line between two.
    Interpolation(Interpolation),
    /// Neurons in the plane of two images.
    Neurons(Neurons),
}

/// Networks on the straight lines between two models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Interpolation {
    /// Where on the line, from 0, the first model, to 1, the second.
    pub alpha: Vec<f64>,
    /// The models as they are, and the second one aligned to the first.
    pub lines: Vec<Line>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Line {
    /// How the second model was aligned; `None` where it was not.
    pub alignment: Option<String>,
    /// Metrics on the test set, one for each alpha.
    pub metrics: Vec<Metrics>,
    /// The loss barrier, in nats: the largest excess of the loss over the straight line between the losses of both ends.
    pub barrier: f64,
    /// The alpha of it.
    pub barrier_at: f64,
}

/// A level's neurons in the plane of their activations on two images, one picture per importance score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Neurons {
    /// The level's name.
    pub level: String,
    /// The two images, by their numbers in the test set.
    pub images: [usize; 2],
    /// `[model][neuron]`: the activations on both images; the mean over positions where there are several.
    pub activations: Vec<Vec<[f64; 2]>>,
    /// By importance score.
    pub scored: Vec<ScoredNeurons>,
}

/// Scores of neurons, and the clusters that they lead to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ScoredNeurons {
    /// Name of the importance score.
    pub importance: String,
    /// `[model][neuron]`.
    pub scores: Vec<Vec<f64>>,
    /// Cluster of each neuron, `[model][neuron]`.
    pub clusters: Vec<Vec<usize>>,
    /// The importance-weighted mean of each cluster.
    pub centres: Vec<[f64; 2]>,
}

impl Study {
    /// Seals and writes.
    pub fn save(mut self, path: &Path) -> Result<Self, StoreError> {
        self.checksum = digest(&self);
        write_atomic(path, &pretty("study", path, &self)?)?;
        Ok(self)
    }

    /// Reads, and checks schema and checksum.
    pub fn load(path: &Path) -> Result<Self, StoreError> {
        let bytes = crate::files::read(path).map_err(|source| StoreError::io("read", path, source))?;
        let parsed = serde_json::from_slice::<Self>(&bytes);
        check_schema(path, parsed.as_ref().ok().map(|study| study.schema), &bytes)?;
        let study = parsed.map_err(|source| StoreError::Json {
            what: "study",
            path: path.to_path_buf(),
            source,
        })?;
        if study.checksum == digest(&study) {
            Ok(study)
        } else {
            Err(StoreError::Checksum {
                path: path.to_path_buf(),
            })
        }
    }
}
