//! Fusing the base models of one point and seed.

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use serde_json::json;

use super::context::unchanged;
use super::models::Model;
use super::outcome::{Outcome, checkpoint_entry};
use super::train::{class_counts, save};
use super::{Context, JobError, evaluate};
use crate::arch::Network;
use crate::data::{self, DataSet};
use crate::event::JobEvent;
use crate::fusion::{self, Compat, Fused, Inputs, Method};
use crate::manifest::{FusionPool, ModelOrder};
use crate::plan::{Fuse, JobSpec};
use crate::seed;

/// A base model as fusion sees it.
pub(super) struct Base {
    pub name: String,
    pub made: Arc<Model>,
    accuracy: f64,
}

/// Loads, fuses, evaluates, saves.
pub(super) fn fuse(spec: &JobSpec, task: &Fuse, context: &mut Context) -> Result<Outcome, JobError> {
    context.phase("load")?;
    let set = context.dataset(spec)?;
    let bases = bases(spec, task, &set, context)?;
    let counts: Vec<Vec<u64>> = bases
        .iter()
        .map(|base| {
            let all = base
                .made
                .meta
                .train_indices
                .iter()
                .chain(&base.made.meta.val_indices);
            class_counts(&set, all.map(|&i| i as usize))
        })
        .collect();
    let known = counts.iter().all(|counts| counts.iter().any(|&n| n > 0));
    let data = match task.method.uses_fusion_set() {
        true => Some(fusion_set(spec, task, &bases, &set, &context.resources.device)?),
        false => None,
    };
    let models: Vec<String> = bases.iter().map(|base| base.name.clone()).collect();
    let networks: Vec<Network> = bases.iter().map(|base| base.made.network.clone()).collect();

    context.phase("fuse")?;
    let inputs = Inputs {
        models: &networks,
        images: data.as_ref().map(|data| &data.images),
        labels: data.as_ref().and_then(|data| data.labels.as_ref()),
        class_counts: known.then_some(counts.as_slice()),
        seed: spec.method_seed.unwrap_or_default(),
    };
    let fused = context.watched(|on_tick| fusion::fuse(&task.method, &inputs, on_tick))?;
    if matches!(fused, Fused::Network { .. }) {
        context.report(JobEvent::Computed)?;
    }

    context.phase("evaluate")?;
    match fused {
        Fused::Ensemble { weights } => {
            let reference = matches!(&task.method, Method::Ensemble(e) if e.compat == Compat::Reference);
            let metrics = evaluate::ensemble(&networks, weights.as_deref(), reference, &set, context)?;
            Ok(Outcome {
                metrics,
                models,
                diagnostics: weights.map_or(
                    serde_json::Value::Null,
                    |weights| json!({ "head-weights": weights }),
                ),
            })
        }
        Fused::Network { network, diagnostics } => {
            let metrics = evaluate::network(&network, &set, context)?;
            context.phase("save")?;
            let hash = save(spec, &network, &set, (&[], &[]), context)?;
            let mut all = json!({ "checkpoint": checkpoint_entry(&hash) });
            if !diagnostics.is_null() {
                all["fusion"] = diagnostics;
            }
            if let Some(data) = &data {
                all["fusion-samples"] = json!(data.images.dim(0)?);
                if let Some(pool) = data.instead {
                    all["fusion-set-from"] = json!(pool);
                }
                if !data.indices.is_empty() {
                    all["fusion-indices"] = json!(data.indices);
                }
            }
            Ok(Outcome {
                metrics,
                models,
                diagnostics: all,
            })
        }
    }
}

/// A fusion set.
pub(super) struct FusionSet {
    pub images: Tensor,
    pub labels: Option<Tensor>,
    /// In the training set; empty where the set was recorded as images.
    indices: Vec<usize>,
    /// What it is a sample of, where the file of model 0 does not list what that was trained on.
    instead: Option<FusionPool>,
}

/// The base models in the order asked for.
pub(super) fn bases(
    spec: &JobSpec,
    task: &Fuse,
    set: &DataSet,
    context: &Context,
) -> Result<Vec<Base>, JobError> {
    let mut bases = Vec::with_capacity(spec.needs.len());
    for (model, need) in task.models.iter().zip(&spec.needs) {
        let made = context.model(need, set.classes)?;
        let metrics = made.record.metrics.as_ref().ok_or_else(|| JobError::Dependency {
            job: need.job.clone(),
            what: "metrics",
        })?;
        bases.push(Base {
            name: format!("model_{model}"),
            accuracy: metrics.accuracy,
            made,
        });
    }
    if spec.settings.base.order == ModelOrder::TestAccuracy {
        // A stable sort: equal models stay in the order of their parts.
        bases.sort_by(|a, b| b.accuracy.total_cmp(&a.accuracy));
    }
    bases.truncate(task.first.unwrap_or(usize::MAX));
    Ok(bases)
}

pub(super) fn fusion_set(
    spec: &JobSpec,
    task: &Fuse,
    bases: &[Base],
    set: &DataSet,
    device: &Device,
) -> Result<FusionSet, JobError> {
    if let Some(path) = &task.fusion_set {
        return recorded(path, spec, set, device);
    }
    let settings = &spec.settings.fusion_set;
    let mut whole = false;
    let sample = match (&settings.indices, bases.first()) {
        (Some(indices), _) => indices.clone(),
        (None, Some(first)) => {
            let meta = &first.made.meta;
            let of_first = || meta.train_indices.iter().chain(&meta.val_indices);
            whole = settings.from == FusionPool::TrainingSet || of_first().next().is_none();
            let mut pool: Vec<usize> = match whole {
                false => of_first().map(|&i| i as usize).collect(),
                true => (0..set.train.len()).collect(),
            };
            pool.sort_unstable();
            let mut rng = seed::generator(spec.seed, "fusion-set", &[]);
            data::balanced_sample(&pool, set.train.labels(), set.classes, settings.samples, &mut rng)
                .map_err(JobError::Sample)?
        }
        (None, None) => Vec::new(),
    };
    Ok(FusionSet {
        images: set.train.images(Some(&sample), device)?,
        labels: Some(set.train.labels_tensor(Some(&sample), device)?),
        indices: sample,
        instead: (whole && settings.from == FusionPool::Model0).then_some(FusionPool::TrainingSet),
    })
}

/// A fusion set recorded as a safetensors file: `fusion.images`, normalised, F32 `[N, C, H, W]`, and, for importance
/// scores, `fusion.labels`, I32 `[N]`.
fn recorded(path: &Path, spec: &JobSpec, set: &DataSet, device: &Device) -> Result<FusionSet, JobError> {
    let fail = |problem: String| JobError::FusionSet {
        path: path.to_path_buf(),
        problem,
    };
    let bytes = crate::files::read(path).map_err(|error| fail(error.to_string()))?;
    unchanged(spec, "fusion-set", blake3::hash(&bytes).to_hex().as_str(), || {
        format!("the fusion set `{}`", path.display())
    })?;
    let file = safetensors::SafeTensors::deserialize(&bytes).map_err(|error| fail(error.to_string()))?;
    let view = file
        .tensor("fusion.images")
        .map_err(|error| fail(error.to_string()))?;
    let shape = view.shape();
    if view.dtype() != safetensors::Dtype::F32 || shape.len() != 4 || shape[1..] != set.shape || shape[0] == 0
    {
        let found = format!("{:?} {shape:?}", view.dtype());
        return Err(fail(format!(
            "`fusion.images` is {found}, not F32 [N, {:?}]",
            set.shape
        )));
    }
    let images = Tensor::from_raw_buffer(view.data(), DType::F32, shape, device)?;
    let labels = match file.tensor("fusion.labels") {
        Err(_) => None,
        Ok(view) => {
            let labels: Option<Vec<u32>> = view
                .data()
                .chunks_exact(4)
                .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .map(|label| ((label as usize) < set.classes).then_some(label))
                .collect();
            let fits = view.dtype() == safetensors::Dtype::I32 && view.shape() == [shape[0]];
            let labels = labels.filter(|_| fits).ok_or_else(|| {
                fail(format!(
                    "`fusion.labels` is not I32 [{}] of labels below {}",
                    shape[0], set.classes
                ))
            })?;
            Some(Tensor::new(labels, device)?)
        }
    };
    Ok(FusionSet {
        images,
        labels,
        indices: Vec::new(),
        instead: None,
    })
}
