//! KF gradient: the neurons of all models in clusters, each level of the fused network trained to reproduce them.
//!
//! Starting from a copy of model 0, level by level:
//!
//! 1. k-means over the level outputs of all models' neurons, as many clusters as the level has outputs, starting from
//!    one model's neurons. The target of cluster c is the importance-weighted mean of its members,
//!    `T_c = sum_{i in c} s_i a_i / sum_{i in c} s_i`. In the last level T is the mean of the models' logits, times
//!    head weights if asked for, or of their softmax (`kd-on-head`).
//! 2. The level alone is trained to map its inputs (the output of the fused levels before it) to T, on a random 80 % of
//!    the samples; it stops after `patience` epochs without a better loss on the rest. The last weights are kept.
//!
//! | paper | here | shape |
//! | --- | --- | --- |
//! | X | `inputs.images` | `[N, C, H, W]` |
//! | `a_i`, level outputs of all models | `activations` | `[m, n_k]` each |
//! | T | `target` | `[m, n]` |
//! | s, importance scores | `scores` | `[k][n_k]` |
//!
//! Clustering is in f64 on the Gram matrix, training in f32. Departures from the reference: `kd-on-head` trains the KL
//! divergence to log-softmax at the same temperature (there: to raw outputs, `compat = "reference"`), and with it the
//! loss is the divergence whatever the other options say (there it silently is the squared error without head weights
//! or weighted loss).

use std::ops::ControlFlow;

use candle_core::Tensor;
use faer::Mat;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::layers::{Preparation, matrix, require_equal_depth, scores};
use super::level::{LevelSettings, LevelTrainer, Loss};
use super::report::{LayerReport, errors};
use super::targets::{LevelTarget, mean_logits, tensor, weighted_means};
use super::{Compat, Fused, FusionError, Inputs, head_weights};
use crate::arch::Layer;
use crate::importance::{Importance, Place};
use crate::linalg::{Points, Rule, gram, kmeans};
use crate::seed;

/// Stop when the cost is not below that of 3 iterations ago.
const RULE: Rule = Rule {
    improvement: 0.0,
    steps: 3,
    weighted_repair: false,
};

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
    /// Training of every level.
    pub level: LevelSettings,
    /// Training of the last level, where it is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<LevelSettings>,
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
    /// Weight each neuron's squared error by its cluster's total importance.
    pub weighted_loss: bool,
    /// Weight the models' logits by the share of each class' training samples that they saw.
    pub head_weights: bool,
    /// Train the last level on the models' softmax outputs instead of their logits.
    pub kd_on_head: bool,
    /// Temperature of that softmax.
    #[schemars(range(min = 0.01))]
    pub kd_temperature: f64,
    /// Levels that stay model 0's, from 0.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skip_levels: Vec<usize>,
    /// Levels that start from fresh weights, from 0.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reset_levels: Vec<usize>,
    /// Every level starts from `(1 - e) w + e fresh`.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub perturbation: f64,
    /// `reference`: the divergence of `kd-on-head` takes raw outputs.
    pub compat: Compat,
}

impl Default for KfGradient {
    fn default() -> Self {
        Self {
            importance: Importance::Uniform,
            normalize_importance: false,
            level: LevelSettings::default(),
            head: None,
            batch_size: 32,
            patience: 15,
            cosine: false,
            normalize_rows: false,
            start: Start::First,
            weighted_loss: false,
            head_weights: false,
            kd_on_head: false,
            kd_temperature: 1.0,
            skip_levels: Vec::new(),
            reset_levels: Vec::new(),
            perturbation: 0.0,
            compat: Compat::None,
        }
    }
}

/// The name in errors.
const METHOD: &str = "kf-gradient";

impl KfGradient {
    pub(super) fn fuse(
        &self,
        inputs: &Inputs,
        on_tick: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Fused, FusionError> {
        require_equal_depth(METHOD, inputs.models)?;
        let images = inputs.images.ok_or(FusionError::Missing {
            method: METHOD,
            what: "a fusion set",
        })?;
        let preparation = Preparation {
            normalise: self.normalize_importance,
            rescale: None,
        };
        let scores = scores(METHOD, inputs, self.importance, Place::Level, preparation)?;
        let outputs: Vec<Vec<Tensor>> = inputs
            .models
            .iter()
            .map(|network| network.level_outputs(images))
            .collect::<candle_core::Result<_>>()?;
        let mut network = inputs.models[0].clone();
        let mut reports = Vec::with_capacity(network.layers.len());
        let last = network.layers.len() - 1;
        let mut x = images.clone();
        for (l, layer) in network.layers.iter_mut().enumerate() {
            let of_level: Vec<Mat<f64>> = outputs
                .iter()
                .map(|model| matrix(&model[l]))
                .collect::<candle_core::Result<_>>()?;
            let scores: Vec<Vec<f64>> = scores.iter().map(|model| model[l].clone()).collect();
            let name = layer.plan.name.clone();
            if !self.skip_levels.contains(&l) {
                let (found, loss) = if l == last {
                    self.head(inputs, &outputs, &of_level, &scores, images)?
                } else {
                    let found = self.cluster(&name, layer.plan.weight[0], &of_level, &scores)?;
                    let loss = Loss::Squared(self.cluster_weights(&found.clusters, &scores, images)?);
                    (found, loss)
                };
                let target = tensor(&found.target, images)?;
                let mut rng = seed::generator(inputs.seed, METHOD, &[l as u64]);
                self.unsettle(layer, l, &mut rng)?;
                let head = self.head.as_ref().filter(|_| l == last);
                let trainer = LevelTrainer {
                    settings: head.unwrap_or(&self.level),
                    batch_size: self.batch_size,
                    patience: self.patience,
                    cosine: self.cosine,
                    loss,
                };
                let training = trainer.train(layer, &x, &target, &mut rng, on_tick)?;
                let fused = layer.output(&layer.linear(&layer.input(&x)?)?)?;
                let (grouping_error, approximation_error) =
                    errors(&of_level, &found.clusters, &scores, &matrix(&fused)?);
                reports.push(LayerReport {
                    grouping_error,
                    approximation_error,
                    training: Some(training),
                    ..LayerReport::new(&name, layer.plan.weight[0], found.clusters, found.cost)
                });
            }
            x = layer.output(&layer.linear(&layer.input(&x)?)?)?;
        }
        Ok(Fused::Network {
            network,
            diagnostics: json!({ "levels": reports }),
        })
    }

    /// Clusters the level outputs of all models, `activations[k] [m, n_k]`, into `width` clusters.
    pub fn cluster(
        &self,
        level: &str,
        width: usize,
        activations: &[Mat<f64>],
        scores: &[Vec<f64>],
    ) -> Result<LevelTarget, FusionError> {
        let widths: Vec<usize> = activations.iter().map(Mat::ncols).collect();
        let first = match self.start {
            Start::First => 0,
            Start::Second if widths.get(1) == Some(&width) => widths[0],
            Start::Second => {
                return Err(FusionError::Start {
                    level: level.to_string(),
                    width,
                    found: widths.get(1).copied(),
                });
            }
        };
        let m = activations.first().map_or(0, Mat::nrows);
        let n: usize = widths.iter().sum();
        let mut points = Mat::<f64>::zeros(m, n);
        let mut at = 0;
        for (model, a) in activations.iter().enumerate() {
            for i in 0..m {
                let norm = if self.normalize_rows {
                    a.row(i).norm_l2().max(f64::MIN_POSITIVE)
                } else {
                    1.0
                };
                for j in 0..a.ncols() {
                    points[(i, at + j)] = a[(i, j)] / norm;
                    if !a[(i, j)].is_finite() {
                        return Err(FusionError::NotFinite {
                            what: "activations",
                            layer: level.to_string(),
                            model,
                        });
                    }
                }
            }
            at += a.ncols();
        }
        let weights: Vec<f64> = scores.concat();
        let gram = gram(points.as_ref());
        let outside = vec![0.0; n];
        let start: Vec<usize> = (first..first + width).collect();
        let found = kmeans(
            &Points {
                gram: &gram,
                outside: &outside,
                weights: &weights,
            },
            &start,
            RULE,
        );
        let clusters = found.groups(&widths);
        Ok(LevelTarget {
            target: weighted_means(activations, &clusters, scores, width),
            clusters,
            cost: found.cost,
        })
    }

    /// Target and loss of the last level.
    fn head(
        &self,
        inputs: &Inputs,
        outputs: &[Vec<Tensor>],
        of_level: &[Mat<f64>],
        scores: &[Vec<f64>],
        images: &Tensor,
    ) -> Result<(LevelTarget, Loss), FusionError> {
        let weights = match (self.head_weights, inputs.class_counts) {
            (false, _) => None,
            (true, Some(counts)) => Some(head_weights(counts)),
            (true, None) => {
                let what = "the training indices of every model for its head weights";
                return Err(FusionError::Missing { method: METHOD, what });
            }
        };
        let softened = self.kd_on_head.then_some(self.kd_temperature);
        let logits: Vec<&Tensor> = outputs.iter().filter_map(|model| model.last()).collect();
        let target = matrix(&mean_logits(&logits, weights.as_deref(), softened)?)?;
        let clusters: Vec<Vec<usize>> = of_level.iter().map(|a| (0..a.ncols()).collect()).collect();
        let loss = match (self.kd_on_head, self.compat) {
            (true, Compat::None) => Loss::Divergence {
                temperature: self.kd_temperature,
            },
            (true, Compat::Reference) if self.weighted_loss && self.head_weights => Loss::RawDivergence,
            (false, _) if self.head_weights => {
                Loss::Squared(self.cluster_weights(&clusters, scores, images)?)
            }
            // As in the reference: without head weights the head's loss is never weighted.
            _ => Loss::Squared(None),
        };
        Ok((
            LevelTarget {
                clusters,
                target,
                cost: 0.0,
            },
            loss,
        ))
    }

    /// Total importance of each cluster, for the weighted loss.
    fn cluster_weights(
        &self,
        clusters: &[Vec<usize>],
        scores: &[Vec<f64>],
        images: &Tensor,
    ) -> candle_core::Result<Option<Tensor>> {
        if !self.weighted_loss {
            return Ok(None);
        }
        let width = clusters.iter().flatten().max().map_or(0, |c| c + 1);
        let mut total = vec![0f32; width];
        for (&c, &s) in clusters.iter().flatten().zip(scores.iter().flatten()) {
            total[c] += s as f32;
        }
        Tensor::from_vec(total, width, images.device()).map(Some)
    }

    /// Reset or perturbation of a level's parameters.
    fn unsettle(
        &self,
        layer: &mut Layer,
        l: usize,
        rng: &mut rand_chacha::ChaCha8Rng,
    ) -> candle_core::Result<()> {
        let share = if self.reset_levels.contains(&l) {
            1.0
        } else {
            self.perturbation
        };
        if share > 0.0 {
            let fresh = Layer::initialise(layer.plan.clone(), rng, layer.weight.device())?;
            let blend = |old: &Tensor, new: &Tensor| (old * (1.0 - share))? + (new * share)?;
            layer.weight = blend(&layer.weight, &fresh.weight)?;
            if let (Some(old), Some(new)) = (&layer.bias, &fresh.bias) {
                layer.bias = Some(blend(old, new)?);
            }
        }
        Ok(())
    }
}
