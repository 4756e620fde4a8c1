//! Importance scores of base models, on the fusion set that a fusion of them would see.

use std::ops::ControlFlow;

use serde::Serialize;

use super::{Context, JobError, Resources, fuse};
use crate::event::JobEvent;
use crate::importance::{Importance, Place, Preparation};
use crate::plan::{JobSpec, Task};

/// One model's scores.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelScores {
    /// `model_0`, ...
    pub model: String,
    /// Name of each layer, and the scores of its neurons.
    pub layers: Vec<(String, Vec<f64>)>,
}

/// Scores the models of the fusion `spec`, whose base models are in the store, on its fusion set; `prepare` is done to
/// each layer's scores.
///
/// # Errors
/// As those of the fusion itself; a fusion set without labels, and a job that is no fusion.
pub fn scores(
    spec: &JobSpec,
    (kind, place, prepare): (Importance, Place, Preparation),
    resources: &Resources,
    on_event: &mut dyn FnMut(JobEvent) -> ControlFlow<()>,
) -> Result<Vec<ModelScores>, JobError> {
    let lacks = |what| JobError::Dependency {
        job: spec.name.clone(),
        what,
    };
    let Task::Fuse(task) = &spec.task else {
        return Err(lacks("a fusion"));
    };
    let mut context = Context::new(resources, on_event);
    context.phase("load")?;
    let set = context.dataset(spec)?;
    let bases = fuse::bases(spec, task, &set, &context)?;
    let data = fuse::fusion_set(spec, task, &bases, &set, &resources.device)?;
    let labels = data
        .labels
        .as_ref()
        .ok_or_else(|| lacks("labels of the fusion set"))?;
    context.phase("score")?;
    let mut scored = Vec::with_capacity(bases.len());
    for base in bases {
        let network = &base.made.network;
        let mut scores =
            context.watched(|on_tick| kind.scores(network, &data.images, labels, place, on_tick))?;
        for scores in &mut scores {
            prepare.apply(scores);
        }
        let names: Vec<String> = match place {
            Place::Layer => base
                .made
                .network
                .layers()
                .iter()
                .map(|layer| layer.name.clone())
                .collect(),
            Place::Level => base
                .made
                .network
                .levels()
                .iter()
                .map(|level| level.name.clone())
                .collect(),
        };
        scored.push(ModelScores {
            model: base.name,
            layers: names.into_iter().zip(scores).collect(),
        });
        context.report(JobEvent::Tick)?;
    }
    Ok(scored)
}
