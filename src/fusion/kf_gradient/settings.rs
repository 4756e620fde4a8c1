//! Parameters of KF gradient, as in the manifest.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{Compat, LevelSettings};
use crate::importance::Importance;

/// Whose neurons are the first centroids.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// Model 0's.
    #[default]
    First,
    /// Model 1's; refused where its width is not the target's.
    Second,
}

/// Parameters of `kf-gradient`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct KfGradient {
    /// Score of the neurons.
    pub importance: Importance,
    /// Scale each level's scores to sum 1.
    pub normalize_importance: bool,
    /// Map each level's scores linearly onto `[r, 1]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub rescale_importance: Option<f64>,
    /// Training of every level.
    pub level: LevelSettings,
    /// Training of the last level, where it is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<LevelSettings>,
    /// Training of every level, one entry each with the keys of `level`; instead of `level` and `head`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub levels: Vec<LevelSettings>,
    /// Samples per step.
    #[schemars(range(min = 1))]
    pub batch_size: usize,
    /// Epochs without a better validation loss after which a level stops.
    #[schemars(range(min = 1))]
    pub patience: usize,
    /// Lower the learning rate by a cosine over the level's epochs.
    pub cosine: bool,
    /// Cluster activations of which every row (one sample) of each model has unit norm; targets are made of the raw ones.
    pub normalize_rows: bool,
    /// Whose neurons are the first centroids.
    pub start: Start,
    /// Runs of the k-means, of which the cheapest counts; those after the first start from neurons far apart.
    #[schemars(range(min = 1))]
    pub kmeans_runs: usize,
    /// Model that the fused network starts as, from 0; it has to have the shapes of model 0.
    pub start_model: usize,
    /// Order the clusters of a level whose output has the shape of its input after the input's neurons (for residual
    /// connections).
    pub align_skip_connections: bool,
    /// Weight each neuron's squared error by its cluster's total importance; in the last level only with `head-weights`,
    /// as in the reference.
    pub weighted_loss: bool,
    /// Weight the models' logits by the share of each class' training samples that they saw.
    pub head_weights: bool,
    /// Train the last level on the models' softmax outputs instead of their logits, by the KL divergence whatever the
    /// other options say of the loss.
    pub kd_on_head: bool,
    /// Temperature of that softmax.
    #[schemars(range(min = 0.01))]
    pub kd_temperature: f64,
    /// Levels that stay model 0's, from 0; the record says nothing of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skip_levels: Vec<usize>,
    /// Levels that start from fresh weights, from 0.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reset_levels: Vec<usize>,
    /// Every level starts from `(1 - e) w + e fresh`.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub perturbation: f64,
    /// The same, one entry for each level; instead of `perturbation`.
    #[schemars(inner(range(min = 0.0, max = 1.0)))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub perturbations: Vec<f64>,
    /// `reference`: the divergence of `kd-on-head` takes raw outputs; resets and perturbations reach only the direct
    /// children of a level.
    pub compat: Compat,
}

impl Default for KfGradient {
    fn default() -> Self {
        Self {
            importance: Importance::Uniform,
            normalize_importance: false,
            rescale_importance: None,
            level: LevelSettings::default(),
            head: None,
            levels: Vec::new(),
            batch_size: 32,
            patience: 15,
            cosine: false,
            normalize_rows: false,
            start: Start::First,
            kmeans_runs: 1,
            start_model: 0,
            align_skip_connections: false,
            weighted_loss: false,
            head_weights: false,
            kd_on_head: false,
            kd_temperature: 1.0,
            skip_levels: Vec::new(),
            reset_levels: Vec::new(),
            perturbation: 0.0,
            perturbations: Vec::new(),
            compat: Compat::None,
        }
    }
}

impl KfGradient {
    /// Which parameters name levels that a network of so many levels does not have, and how.
    pub(super) fn missing_levels(&self, levels: usize) -> Vec<(&'static str, String)> {
        let lists = [
            ("levels", self.levels.len()),
            ("perturbations", self.perturbations.len()),
        ];
        let lists = lists
            .into_iter()
            .filter(|(_, given)| *given > 0 && *given != levels);
        let numbers = [
            ("skip-levels", &self.skip_levels),
            ("reset-levels", &self.reset_levels),
        ];
        let numbers = numbers.into_iter().filter_map(|(key, given)| {
            let level = given.iter().find(|&&level| level >= levels)?;
            let last = levels.saturating_sub(1);
            Some((
                key,
                format!("`{key}` has {level}, but the network's levels are 0 to {last}"),
            ))
        });
        lists
            .map(|(key, given)| {
                let message = format!("`{key}` has {given} entries, but the network has {levels} levels");
                (key, message)
            })
            .chain(numbers)
            .collect()
    }

    /// Parameters that do nothing beside the others, and why.
    pub(super) fn idle_parameters(&self) -> Vec<(&'static str, String)> {
        let default = Self::default();
        let skipped = self
            .reset_levels
            .iter()
            .find(|level| self.skip_levels.contains(level));
        let each = |key| format!("`{key}` does nothing beside a list with an entry for each level");
        let found = [
            (
                !self.levels.is_empty() && self.head.is_some(),
                "head",
                each("head"),
            ),
            (
                !self.levels.is_empty() && self.level != default.level,
                "level",
                each("level"),
            ),
            (
                !self.perturbations.is_empty() && self.perturbation > 0.0,
                "perturbation",
                each("perturbation"),
            ),
            (
                !self.kd_on_head && self.kd_temperature != default.kd_temperature,
                "kd-temperature",
                "`kd-temperature` does nothing without `kd-on-head`".to_string(),
            ),
            (
                skipped.is_some(),
                "reset-levels",
                format!(
                    "`reset-levels` has {}, which `skip-levels` leaves out",
                    skipped.unwrap_or(&0)
                ),
            ),
        ];
        let found = found.into_iter().filter(|(is_so, _, _)| *is_so);
        found.map(|(_, key, message)| (key, message)).collect()
    }
}
