//! `[finetune]`: training base and fused models further.

use figment::value::{Dict, Value};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::Augmentation;
use crate::train::{OptimizerKind, OptimizerSettings, Schedule, ScheduleKind, Select};

/// Keys that take one value or a list of them.
pub(super) const LISTS: [&str; 3] = ["of", "lr", "epochs"];

/// Most pairs of a learning rate and a number of epochs.
const MAX_PAIRS: usize = 10_000;

/// Which models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tuned {
    /// the base models; averages and ensembles that the manifest lists are then made of the fine-tuned models, too
    Base,
    /// what the listed fusions give, ensembles excepted
    Fused,
}

/// The optimiser; its learning rates are `finetune.lr`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct FinetuneOptimizer {
    /// Which optimiser.
    pub name: OptimizerKind,
    /// L2 penalty, added to the gradient; of `adamw`, the share of the weights that a step of learning rate 1 takes away.
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// Momentum of `sgd`; `adam` has none to set.
    #[schemars(range(min = 0.0, max = 1.0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f64>,
    /// Nesterov's momentum of `sgd`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub nesterov: bool,
}

impl Default for FinetuneOptimizer {
    fn default() -> Self {
        Self {
            name: OptimizerKind::Adam,
            weight_decay: 5e-5,
            momentum: None,
            nesterov: false,
        }
    }
}

/// Trains models further, on the whole training set, whatever part of it they come from. Of all pairs of a learning rate
/// and a number of epochs the best one counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct FinetuneSettings {
    /// Which models.
    pub of: Vec<Tuned>,
    /// Peak learning rates to try.
    #[schemars(inner(range(min = 0.0)))]
    pub lr: Vec<f64>,
    /// Numbers of epochs to try.
    #[schemars(inner(range(min = 1, max = 10_000_000)))]
    pub epochs: Vec<usize>,
    /// Share of the training set held out for validation. Base models may have learned from these samples.
    #[schemars(range(min = 0.0, max = 0.9))]
    pub val_ratio: f64,
    /// Samples per batch.
    #[schemars(range(min = 1))]
    pub batch_size: usize,
    /// Batches per step: their gradients are averaged.
    #[schemars(range(min = 1))]
    pub accumulate: usize,
    /// The optimiser.
    pub optimizer: FinetuneOptimizer,
    /// Epochs over which the learning rate rises linearly from 0 (epoch 0 has learning rate 0); `schedule` afterwards.
    pub warmup_epochs: usize,
    /// How the learning rate goes on after the warm-up.
    pub schedule: Schedule,
    /// Where cosines end.
    #[schemars(range(min = 0.0))]
    pub min_lr: f64,
    /// Largest norm of a step's gradients, taken as one vector; larger ones are scaled down to it.
    #[schemars(range(min = 0.0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// Probability mass that is spread over the other classes.
    #[schemars(range(min = 0.0, max = 0.99))]
    pub label_smoothing: f64,
    /// How training images are varied, as `base.augment`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub augment: Vec<Augmentation>,
    /// What decides which epoch's weights are kept, and which pair of learning rate and epochs.
    pub select: Select,
}

impl Default for FinetuneSettings {
    fn default() -> Self {
        Self {
            of: vec![Tuned::Base, Tuned::Fused],
            lr: vec![1e-4],
            epochs: vec![200],
            val_ratio: 0.1,
            batch_size: 128,
            accumulate: 1,
            optimizer: FinetuneOptimizer::default(),
            warmup_epochs: 0,
            schedule: Schedule {
                name: ScheduleKind::Restarts,
                period: Some(10),
                factor: Some(2),
                ..Schedule::default()
            },
            min_lr: 1e-6,
            clip_norm: None,
            label_smoothing: 0.1,
            augment: Vec::new(),
            select: Select::Validation,
        }
    }
}

impl FinetuneSettings {
    /// All pairs to try: learning rate, epochs.
    pub fn grid(&self) -> Vec<(f64, usize)> {
        let pairs = |&lr: &f64| self.epochs.iter().map(move |&epochs| (lr, epochs));
        self.lr.iter().flat_map(pairs).collect()
    }

    /// The optimiser with this learning rate.
    pub fn optimizer(&self, lr: f64) -> OptimizerSettings {
        OptimizerSettings {
            name: self.optimizer.name,
            lr,
            weight_decay: self.optimizer.weight_decay,
            momentum: self.optimizer.momentum,
            nesterov: self.optimizer.nesterov,
        }
    }

    /// Keys that do not go with each other: the key at fault, what is wrong, what to do.
    pub(super) fn problem(&self) -> Option<(&'static str, &'static str, &'static str)> {
        let empty = [
            ("of", self.of.is_empty()),
            ("lr", self.lr.is_empty()),
            ("epochs", self.epochs.is_empty()),
        ];
        if let Some((key, _)) = empty.into_iter().find(|(_, empty)| *empty) {
            return Some((
                key,
                "is empty",
                "give at least one value, or leave the key out for its default",
            ));
        }
        let pairs = self.lr.len().saturating_mul(self.epochs.len());
        if pairs > MAX_PAIRS {
            return Some((
                "lr",
                "and `finetune.epochs` make more than 10,000 pairs to try, each of them a training",
                "give fewer values",
            ));
        }
        if pairs > 1 {
            if self.select == Select::Last {
                let hint = "`validation` and `test` tell which pair of `lr` and `epochs` is the best";
                return Some((
                    "select",
                    "cannot be `last` where there is something to choose",
                    hint,
                ));
            }
            if self.select == Select::Validation && self.val_ratio == 0.0 {
                let hint = "give a share, for example 0.1, or one value each for `lr` and `epochs`";
                return Some((
                    "val-ratio",
                    "is 0, so there is nothing to choose the best pair by",
                    hint,
                ));
            }
        }
        None
    }
}

/// One value where a list belongs becomes a list of it, and a schedule without a name is the default one but for what is
/// given.
pub(super) fn completed(mut dict: Dict) -> Dict {
    if let Some(Value::Dict(_, given)) = dict.get_mut("schedule")
        && !given.contains_key("name")
        && let Ok(Value::Dict(_, default)) = Value::serialize(FinetuneSettings::default().schedule)
    {
        for (key, value) in default {
            given.entry(key).or_insert(value);
        }
    }
    for key in LISTS {
        if let Some(value) = dict.get(key).filter(|value| !matches!(value, Value::Array(..))) {
            let list = Value::from(vec![value.clone()]);
            dict.insert(key.to_string(), list);
        }
    }
    dict
}
