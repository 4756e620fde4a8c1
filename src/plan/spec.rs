//! The specification of one job: serialised, it is the whole contract between the schedule and a worker.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::fusion::Method;
use crate::manifest::Settings;
use crate::metrics;
use crate::result::{Input, Kind};

/// Version of training's arithmetic; raised when it changes.
pub const VERSION_TRAIN: u32 = 1;
/// Version of import and evaluation; raised when they change.
pub const VERSION_EVALUATE: u32 = 1;

/// Version of fine-tuning's arithmetic, what it adds to that of training; raised when it changes.
pub const VERSION_FINETUNE: u32 = 1;

/// One job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct JobSpec {
    /// Readable name, ending in the first 16 digits of the key.
    pub name: String,
    /// Identity.
    pub key: String,
    /// What to do.
    pub task: Task,
    /// Settings of the point it belongs to.
    pub settings: Arc<Settings>,
    /// Seed of the base models.
    pub seed: u64,
    /// Seed of the method.
    pub method_seed: Option<u64>,
    /// Coordinates on the manifest's axes.
    pub axes: BTreeMap<String, Value>,
    /// Row label.
    pub label: Option<String>,
    /// Where else the manifest has the same job, such as a group of all models beside their fusion.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Cell>,
    /// Inputs by content.
    pub inputs: Vec<Input>,
    /// Jobs whose checkpoints it reads, model 0 first.
    pub needs: Vec<Dependency>,
}

/// Where a job's number stands, besides what the job is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Coordinates on the manifest's axes.
    pub axes: BTreeMap<String, Value>,
    /// Row label.
    pub label: Option<String>,
}

/// A job that another one needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// Its name.
    pub job: String,
    /// Its key.
    pub key: String,
}

/// What a job does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Train the base model of one part.
    Train(Base),
    /// Import the base model of one part.
    Evaluate(Base),
    /// Fuse.
    Fuse(Box<Fuse>),
    /// Train further what another job has made.
    Finetune(Box<Source>),
    /// Fuse fine-tuned base models.
    FuseTuned(Box<Fuse>),
}

/// What is trained further.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A base model.
    Base(Base),
    /// A fused model.
    Fused(Fuse),
}

/// One base model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Index of its part, or of its seed in `[model-set]`.
    pub model: usize,
    /// The file to import.
    pub file: Option<PathBuf>,
}

/// One fusion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fuse {
    /// Method and parameters.
    pub method: Method,
    /// File of the fusion set, where it is a recorded one.
    pub fusion_set: Option<PathBuf>,
    /// Index of the model that each of [`JobSpec::needs`] makes.
    pub models: Vec<usize>,
    /// Fuse only so many of them: the first ones by accuracy, which is known when they are there.
    pub first: Option<usize>,
}

impl Fuse {
    /// The indices of its models as job names have them: `0-3`.
    pub fn group(&self) -> String {
        let members: Vec<String> = self.models.iter().map(ToString::to_string).collect();
        members.join("-")
    }
}

impl Base {
    /// What tells the model's random streams from those of other models with the same seed: its part. Models with
    /// seeds of their own need nothing else.
    pub fn stream(&self, settings: &Settings) -> u64 {
        match settings.model_set {
            Some(_) => 0,
            None => self.model as u64,
        }
    }
}

impl JobSpec {
    /// What the record calls it.
    pub fn kind(&self) -> Kind {
        self.task.kind()
    }

    /// Names of the models it is about, by part. Which are the first by accuracy is not known before the job runs:
    /// then these are as many names as there will be.
    pub fn models(&self) -> Vec<String> {
        let name = |index: usize| format!("model_{index}");
        let base = self.task.base().map(|base| vec![name(base.model)]);
        let fused = self.task.fusion().map(|fuse| match fuse.first {
            Some(first) => (0..first).map(name).collect(),
            None => fuse.models.iter().copied().map(name).collect(),
        });
        base.or(fused).unwrap_or_default()
    }

    /// Whether [`JobSpec::models`] are those models, if not in that order.
    pub fn knows_models(&self) -> bool {
        self.task.fusion().is_none_or(|fuse| fuse.first.is_none())
    }

    /// The content hash, or the job's key, that its key holds for the input of this role.
    pub fn input(&self, role: &str) -> Option<&str> {
        let input = self.inputs.iter().find(|input| input.role == role)?;
        Some(&input.hash)
    }

    /// The settings that determine its numbers; paths are left out, their content is among the inputs.
    pub fn identity_settings(&self) -> Value {
        self.task.settings(&self.settings)
    }
}

impl Task {
    /// The base model it is about, if it is about one.
    pub fn base(&self) -> Option<&Base> {
        match self {
            Self::Train(base) | Self::Evaluate(base) => Some(base),
            Self::Finetune(source) => match &**source {
                Source::Base(base) => Some(base),
                Source::Fused(_) => None,
            },
            Self::Fuse(_) | Self::FuseTuned(_) => None,
        }
    }

    /// The fusion it does, or whose outcome it is about.
    pub fn fusion(&self) -> Option<&Fuse> {
        match self {
            Self::Fuse(fuse) | Self::FuseTuned(fuse) => Some(fuse),
            Self::Finetune(source) => match &**source {
                Source::Base(_) => None,
                Source::Fused(fuse) => Some(fuse),
            },
            Self::Train(_) | Self::Evaluate(_) => None,
        }
    }

    /// What the record calls it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Train(_) => Kind::Train,
            Self::Evaluate(_) => Kind::Evaluate,
            Self::Fuse(_) => Kind::Fuse,
            Self::Finetune(_) | Self::FuseTuned(_) => Kind::Finetune,
        }
    }

    /// Seconds that it may take, where nothing is known: right in their order at most.
    pub fn likely_seconds(&self) -> f64 {
        match self {
            Self::Train(_) | Self::Finetune(_) => 10.0,
            Self::Evaluate(_) => 1.0,
            Self::Fuse(fuse) | Self::FuseTuned(fuse) => fuse.method.info().seconds,
        }
    }

    /// Version of its arithmetic.
    pub fn version(&self) -> u32 {
        match self {
            Self::Train(_) => VERSION_TRAIN,
            Self::Evaluate(_) => VERSION_EVALUATE,
            Self::Fuse(fuse) | Self::FuseTuned(fuse) => fuse.method.info().version,
            Self::Finetune(_) => VERSION_TRAIN + VERSION_FINETUNE,
        }
    }

    /// Versions of the arithmetic that tasks share, by name; only those above 1.
    pub fn shared_versions(&self) -> BTreeMap<&'static str, u32> {
        let mut versions = BTreeMap::from([("metrics", metrics::VERSION)]);
        if let Self::Fuse(fuse) | Self::FuseTuned(fuse) = self {
            versions.extend(fuse.method.shared_versions());
        }
        versions.retain(|_, version| *version > 1);
        versions
    }

    /// The settings that determine the task's numbers.
    pub fn settings(&self, settings: &Settings) -> Value {
        let mut all = serde_json::to_value(settings).unwrap_or(Value::Null);
        let imported = settings.base.models.is_some();
        let split = json!({ "kind": settings.split.kind, "parts": settings.split.parts });
        if settings.model_set.is_some() {
            // A model depends on its own seed, and a fusion on its models, which are among the inputs.
            all["split"] = without(all["split"].take(), &["parts"]);
        }
        let mut chosen = json!({ "dataset": settings.dataset.identity(), "model": all["model"].take() });
        match self {
            Self::Train(_) => {
                chosen["split"] = all["split"].take();
                chosen["base"] = without(all["base"].take(), &["models", "order"]);
            }
            Self::Evaluate(_) => {}
            Self::Finetune(source) => {
                chosen["finetune"] = without(all["finetune"].take(), &["of"]);
                if let Source::Fused(fuse) = &**source {
                    // The model is among the inputs; this is for tables, which tell rows by the method's parameters.
                    chosen["fusion"] = serde_json::to_value(&fuse.method).unwrap_or(Value::Null);
                }
            }
            Self::FuseTuned(fuse) => {
                chosen["base"] = json!({ "order": settings.base.order });
                chosen["tuned"] = json!(true);
                if let Some(first) = fuse.first {
                    chosen["first"] = json!(first);
                }
                chosen["fusion"] = serde_json::to_value(&fuse.method).unwrap_or(Value::Null);
            }
            Self::Fuse(fuse) => {
                chosen["split"] = if imported { split } else { all["split"].take() };
                chosen["base"] = if imported {
                    json!({ "order": settings.base.order })
                } else {
                    without(all["base"].take(), &["models"])
                };
                if fuse.method.uses_fusion_set() {
                    chosen["fusion-set"] = match settings.fusion_set.file {
                        Some(_) => json!({ "recorded": true }),
                        None => all["fusion-set"].take(),
                    };
                }
                if let Some(first) = fuse.first {
                    chosen["first"] = json!(first);
                }
                chosen["fusion"] = serde_json::to_value(&fuse.method).unwrap_or(Value::Null);
            }
        }
        chosen
    }
}

fn without(mut value: Value, keys: &[&str]) -> Value {
    if let Value::Object(fields) = &mut value {
        fields.retain(|key, _| !keys.contains(&key.as_str()));
    }
    value
}
