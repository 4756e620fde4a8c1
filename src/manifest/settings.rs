//! The typed sections of a manifest, with their defaults.
//!
//! Every scalar of `dataset`, `split`, `model`, `base` and `fusion-set` may be given as a list: an axis, which
//! multiplies the jobs. By the time a section is read into these types, its axes are expanded.

use std::sync::Arc;

use figment::value::{Dict, Value};
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use super::FinetuneSettings;
use crate::arch::Architecture;
pub use crate::data::DatasetSettings;
use crate::data::{Augmentation, SplitKind};
use crate::train::{OptimizerSettings, Precision, Schedule, Select};

/// How the training set is divided among the base models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SplitSettings {
    /// Rule of the split.
    pub kind: SplitKind,
    /// Number of parts, one base model each. With `[model-set]` it is the number of seeds there and need not be given.
    #[schemars(range(min = 1))]
    pub parts: usize,
    /// Share of each part held out for validation.
    #[schemars(range(min = 0.0, max = 0.9))]
    pub val_ratio: f64,
    /// The classes of each part, for `kind = "classes"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<Vec<u32>>>,
}

impl Default for SplitSettings {
    fn default() -> Self {
        Self {
            kind: SplitKind::Full,
            parts: 2,
            val_ratio: 0.05,
            classes: None,
        }
    }
}

/// Base models of the full split that differ by seeds of their own, one model per seed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ModelSetSettings {
    /// Seed of each model: its validation samples, initialisation and batches. A model depends on its own seed alone,
    /// so a longer list adds models and keeps the others. `seeds` at the top then concerns the fusion set only.
    pub seeds: Vec<u64>,
}

/// In which order the base models are numbered for fusion. Model 0 is the one others are aligned to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ModelOrder {
    /// By the number of the part, or of the imported file.
    Index,
    /// By test accuracy, best first, as the reference does; ties by index.
    TestAccuracy,
}

/// How the base models come to be: trained here, or imported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct BaseSettings {
    /// Import instead of training: a glob pattern of PyTorch files or safetensors, one file per part, relative to the
    /// working directory; or several patterns, one a line. `{parts}`, `{seed}` and `{kind}` are filled in. A path that
    /// exists as it is written is taken as it is. The files of a pattern are in natural order: where two paths first
    /// differ, numbers compare as numbers, `part2-mnist` before `part10-mnist`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<String>,
    /// Epochs of training.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub epochs: usize,
    /// Samples per batch.
    #[schemars(range(min = 1))]
    pub batch_size: usize,
    /// Batches per step: their gradients are averaged.
    #[schemars(range(min = 1))]
    #[serde(skip_serializing_if = "is_one")]
    pub accumulate: usize,
    /// The optimiser.
    pub optimizer: OptimizerSettings,
    /// Epochs over which the learning rate rises linearly from 0 (epoch 0 has learning rate 0); `schedule` afterwards.
    /// Default: a tenth of `epochs`, at most 5.
    #[schemars(transform = without_default)]
    pub warmup_epochs: usize,
    /// How the learning rate goes on after the warm-up.
    #[serde(skip_serializing_if = "is_default")]
    pub schedule: Schedule,
    /// Where the cosine schedule would end after all epochs.
    #[schemars(range(min = 0.0))]
    pub min_lr: f64,
    /// Largest norm of a step's gradients, taken as one vector; larger ones are scaled down to it.
    #[schemars(range(min = 0.0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// How training images are varied: names, or tables with a name and keys. They are applied in the order `random-crop`,
    /// `flip`, `auto-augment`, `random-crop-paste`, then one of `cutmix` and `mixup`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub augment: Vec<Augmentation>,
    /// Probability mass that is spread over the other classes.
    #[schemars(range(min = 0.0, max = 0.99))]
    pub label_smoothing: f64,
    /// In what products are computed on a GPU: `tf32` and `bf16` round their factors, which is faster. Weights, sums and
    /// everything else stay `f32`; fusion is always `f32` or `f64`.
    #[serde(skip_serializing_if = "is_default")]
    pub precision: Precision,
    /// Which epoch's weights are kept.
    pub select: Select,
    /// In which order the models are numbered.
    pub order: ModelOrder,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_one(n: &usize) -> bool {
    *n == 1
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Epochs of training by default.
const EPOCHS: usize = 25;

/// Most epochs of warm-up by default: in a training of less than 50 epochs they would be a good part of it, or all.
const WARMUP: usize = 5;

/// `[base]` with the epochs of warm-up that its epochs ask for, where it does not say.
pub(super) fn with_warmup(mut base: Dict) -> Dict {
    // Imported models are not trained: their manifests mean what they always did.
    if base.contains_key("models") {
        return base;
    }
    let epochs = match base.get("epochs") {
        None => Some(EPOCHS),
        // What is no number is reported when the section is read.
        Some(epochs) => epochs.deserialize::<usize>().ok(),
    };
    if let Some(epochs) = epochs {
        let default = || Value::from(WARMUP.min(epochs / 10));
        base.entry("warmup-epochs".to_string()).or_insert_with(default);
    }
    base
}

/// The default depends on another key: the text tells it.
fn without_default(schema: &mut Schema) {
    schema.remove("default");
}

impl Default for BaseSettings {
    fn default() -> Self {
        Self {
            models: None,
            epochs: EPOCHS,
            batch_size: 128,
            accumulate: 1,
            optimizer: OptimizerSettings::default(),
            warmup_epochs: WARMUP,
            schedule: Schedule::default(),
            min_lr: 1e-5,
            clip_norm: None,
            augment: Vec::new(),
            label_smoothing: 0.0,
            precision: Precision::F32,
            select: Select::Validation,
            order: ModelOrder::Index,
        }
    }
}

/// What fusion sets are samples of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FusionPool {
    /// The training and validation samples of model 0; of a model whose file does not list them, the whole training set.
    #[default]
    #[serde(rename = "model-0")]
    Model0,
    /// The whole training set.
    TrainingSet,
}

/// The samples whose activations fusion works on; one set for all methods of an experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct FusionSetSettings {
    /// Size of a class-balanced sample.
    #[schemars(range(min = 1))]
    pub samples: usize,
    /// What it is a sample of. Default: `model-0`.
    #[serde(skip_serializing_if = "is_default")]
    pub from: FusionPool,
    /// A recorded set instead: a safetensors file with `fusion.images` (normalised, [N, C, H, W]) and
    /// `fusion.labels`. `{parts}`, `{seed}` and `{kind}` are filled in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// A recorded set instead: indices into the training set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub indices: Option<Vec<usize>>,
}

impl Default for FusionSetSettings {
    fn default() -> Self {
        Self {
            samples: 400,
            from: FusionPool::Model0,
            file: None,
            indices: None,
        }
    }
}

/// One table to render.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ReportSettings {
    /// Template name: `templates/<name>.tex` and `.md`, or a built-in one.
    #[serde(default = "default_template")]
    pub template: String,
    /// Metrics, one table each: `accuracy`, `f1`, `loss`, `roc_auc`.
    #[serde(default = "default_metric")]
    pub metric: Vec<String>,
    /// Further numbers beside each: metrics, `normalised_accuracy`, `fuse_seconds`, `peak_memory`, `samples`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// Decimals, significant digits of seconds and memory; by default 4 for the loss, 2 for what is in percent, 3 digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<usize>,
    /// A row that all others are tested against, across seeds: its label, a method, or `METHOD/IMPORTANCE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// The test: `t` (paired, the default), `wilcoxon`, or `mcnemar` over the test examples of a single run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<String>,
    /// The axis of the template `ablation`, where several vary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub axis: Option<String>,
}

fn default_template() -> String {
    "methods-by-split".to_string()
}

fn default_metric() -> Vec<String> {
    vec!["accuracy".to_string()]
}

impl Default for ReportSettings {
    fn default() -> Self {
        Self {
            template: default_template(),
            metric: default_metric(),
            columns: Vec::new(),
            precision: None,
            baseline: None,
            test: None,
            axis: None,
        }
    }
}

impl FinetuneSettings {
    /// One pair as the settings of a training.
    pub fn recipe(&self, lr: f64, epochs: usize) -> BaseSettings {
        BaseSettings {
            epochs,
            batch_size: self.batch_size,
            accumulate: self.accumulate,
            optimizer: self.optimizer(lr),
            warmup_epochs: self.warmup_epochs,
            schedule: self.schedule.clone(),
            min_lr: self.min_lr,
            clip_norm: self.clip_norm,
            augment: self.augment.clone(),
            label_smoothing: self.label_smoothing,
            select: self.select,
            ..BaseSettings::default()
        }
    }
}

/// One point of the expanded manifest: everything a base model and its fusion set depend on, except the seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Settings {
    /// The data.
    pub dataset: DatasetSettings,
    /// Its division.
    pub split: SplitSettings,
    /// Models by their own seeds, in place of parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_set: Option<ModelSetSettings>,
    /// The network.
    pub model: Architecture,
    /// The networks of all models but the first, where they are others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_models: Option<Architecture>,
    /// Training or import of base models.
    pub base: BaseSettings,
    /// The fusion set.
    pub fusion_set: FusionSetSettings,
    /// What is trained further, and how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finetune: Option<FinetuneSettings>,
}

impl Settings {
    /// The network of one of the models.
    pub fn network(&self, model: usize) -> &Architecture {
        let others = self.other_models.as_ref().filter(|_| model > 0);
        others.unwrap_or(&self.model)
    }

    /// The settings of one of the models: of all networks only its own.
    pub fn of_model(self: &Arc<Self>, model: usize) -> Arc<Self> {
        if self.other_models.is_none() {
            return self.clone();
        }
        Arc::new(Self {
            model: self.network(model).clone(),
            other_models: None,
            ..(**self).clone()
        })
    }
}
