//! Studies of base models outside of an experiment: what lies between two, and where their neurons are.

use std::ops::ControlFlow;

use candle_core::{DType, Tensor};

use super::evaluate;
use super::fuse::{Base, FusionSet, bases, fusion_set};
use super::run::{peak_memory, started_now};
use super::{Context, JobError, Resources};
use crate::data::DataSet;
use crate::event::JobEvent;
use crate::fusion::{GitRebasin, Inputs, KfGradient, Method, barrier, interpolate};
use crate::importance::{Importance, Place, Preparation};
use crate::plan::{Fuse, JobSpec, Task};
use crate::result::{
    Findings, Interpolation, Line, Metrics, Neurons, Provenance, SCHEMA, ScoredNeurons, StudiedModel, Study,
};

/// What a study is made of.
struct Material<'a> {
    context: Context<'a>,
    set: std::sync::Arc<DataSet>,
    bases: Vec<Base>,
    fusion_set: Option<FusionSet>,
}

/// Loads the models of the fusion `spec`, whose base models are in the store, and its fusion set where it has one.
fn load<'a>(
    spec: &JobSpec,
    resources: &'a Resources,
    on_event: &'a mut dyn FnMut(JobEvent) -> ControlFlow<()>,
) -> Result<(Material<'a>, Fuse), JobError> {
    let Task::Fuse(task) = &spec.task else {
        return Err(lacks(spec, "a fusion"));
    };
    let mut context = Context::new(resources, on_event);
    context.phase("load")?;
    let set = context.dataset(spec)?;
    let bases = bases(spec, task, &set, &context)?;
    let fusion_set = match task.method.uses_fusion_set() {
        true => Some(fusion_set(spec, task, &bases, &set, &resources.device)?),
        false => None,
    };
    let material = Material {
        context,
        set,
        bases,
        fusion_set,
    };
    Ok((material, (**task).clone()))
}

fn lacks(spec: &JobSpec, what: &'static str) -> JobError {
    JobError::Dependency {
        job: spec.name.clone(),
        what,
    }
}

/// The straight lines between the first two models of the fusion `spec`: as they are, and, where its method is
/// `git-rebasin`, with the second one's neurons in the order that this finds. Each is evaluated on the test set at
/// `points` places, both ends among them.
///
/// # Errors
/// As those of the fusion itself, and a specification that is no fusion of two models.
pub fn interpolation(
    spec: &JobSpec,
    models: Vec<StudiedModel>,
    points: usize,
    resources: &Resources,
    on_event: &mut dyn FnMut(JobEvent) -> ControlFlow<()>,
) -> Result<Study, JobError> {
    let provenance = started_now(&resources.provenance);
    let (mut material, task) = load(spec, resources, on_event)?;
    // Both lines have the same kind of parameters.
    let folded = |base: &Base| base.made.network.folded();
    let networks = material.bases.iter().map(folded).collect::<Result<Vec<_>, _>>()?;
    let [first, second] = networks.as_slice() else {
        return Err(lacks(spec, "two models"));
    };
    let mut ends = vec![(None, second.clone())];
    if let Method::GitRebasin(parameters) = &task.method {
        material.context.phase("align")?;
        let data = material.fusion_set.as_ref();
        let inputs = Inputs {
            models: &networks,
            images: data.map(|data| &data.images),
            labels: data.and_then(|data| data.labels.as_ref()),
            seed: 0,
            class_counts: None,
        };
        let context = &mut material.context;
        let aligned = context.watched(|on_tick| parameters.align(&inputs, on_tick))?;
        ends.push((Some(alignment(parameters)), aligned));
    }
    material.context.phase("evaluate")?;
    let last = points.max(2) - 1;
    let alpha: Vec<f64> = (0..=last).map(|at| at as f64 / last as f64).collect();
    let mut lines = Vec::with_capacity(ends.len());
    for (alignment, end) in ends {
        let mut metrics: Vec<Metrics> = Vec::with_capacity(alpha.len());
        for &alpha in &alpha {
            let network = interpolate(first, &end, alpha)?;
            metrics.push(evaluate::network(&network, &material.set, &mut material.context)?);
        }
        let losses: Vec<(f64, f64)> = alpha
            .iter()
            .copied()
            .zip(metrics.iter().map(|m| m.loss))
            .collect();
        let (barrier, barrier_at) = barrier(&losses).unwrap_or_default();
        lines.push(Line {
            alignment,
            metrics,
            barrier,
            barrier_at,
        });
    }
    let found = Findings::Interpolation(Interpolation { alpha, lines });
    Ok(finished(spec, models, found, material.context, provenance))
}

/// The alignment in words: what tells it from others.
fn alignment(parameters: &GitRebasin) -> String {
    match parameters.importance {
        Importance::Uniform => "git-rebasin".to_string(),
        other => format!("git-rebasin, {}", other.as_str()),
    }
}

/// The neurons of level `level` of the models of the fusion `spec` in the plane of their activations on two images of the
/// test set. Scores are those on the fusion set; the clusters are KF gradient's, of the neurons in that plane.
///
/// # Errors
/// As those of the fusion itself; a level or an image that there is not; a fusion set without labels.
pub fn neurons(
    spec: &JobSpec,
    models: Vec<StudiedModel>,
    (kinds, prepare): (&[Importance], Preparation),
    (level, images): (usize, [usize; 2]),
    resources: &Resources,
    on_event: &mut dyn FnMut(JobEvent) -> ControlFlow<()>,
) -> Result<Study, JobError> {
    let provenance = started_now(&resources.provenance);
    let (mut material, _) = load(spec, resources, on_event)?;
    let Some(FusionSet {
        images: samples,
        labels: Some(labels),
        ..
    }) = &material.fusion_set
    else {
        return Err(lacks(spec, "labels of the fusion set"));
    };
    material.context.phase("activations")?;
    let test = &material.set.test;
    if let Some(image) = images.iter().find(|image| **image >= test.len()) {
        return Err(JobError::NoSuch {
            what: "test image",
            at: *image,
            count: test.len(),
        });
    }
    let pair = test.images(Some(&images), &resources.device)?;
    let mut planes = Vec::with_capacity(material.bases.len());
    let mut name = String::new();
    for base in &material.bases {
        let levels = base.made.network.levels();
        let Some(found) = levels.get(level) else {
            return Err(JobError::NoSuch {
                what: "level",
                at: level,
                count: levels.len(),
            });
        };
        name.clone_from(&found.name);
        planes.push(plane(&base.made.network.level_outputs(&pair)?[level])?);
    }
    let activations = planes
        .iter()
        .map(points)
        .collect::<candle_core::Result<Vec<_>>>()?;

    material.context.phase("score")?;
    let mut scored = Vec::with_capacity(kinds.len());
    for &kind in kinds {
        let mut scores = Vec::with_capacity(planes.len());
        for base in &material.bases {
            let network = &base.made.network;
            let all = material
                .context
                .watched(|on_tick| kind.scores(network, samples, labels, Place::Level, on_tick))?;
            let mut own = all.get(level).cloned().unwrap_or_default();
            prepare.apply(&mut own);
            scores.push(own);
            material.context.report(JobEvent::Tick)?;
        }
        let width = scores.first().map_or(0, Vec::len);
        let found = KfGradient::default().cluster(&name, width, &planes, &scores, 0)?;
        scored.push(ScoredNeurons {
            importance: kind.as_str().to_string(),
            scores,
            clusters: found.clusters,
            centres: points(&found.target)?,
        });
    }
    let found = Findings::Neurons(Neurons {
        level: name,
        images,
        activations,
        scored,
    });
    Ok(finished(spec, models, found, material.context, provenance))
}

/// A level's output on two images as `[2, n]`: the mean over positions, where there are several.
fn plane(output: &Tensor) -> candle_core::Result<Tensor> {
    match output.rank() {
        0..=2 => Ok(output.clone()),
        _ => output.flatten_from(2)?.mean(2),
    }
}

/// `[2, n]` as n points.
fn points(plane: &Tensor) -> candle_core::Result<Vec<[f64; 2]>> {
    let rows = plane.t()?.to_dtype(DType::F64)?.to_vec2::<f64>()?;
    Ok(rows.into_iter().map(|row| [row[0], row[1]]).collect())
}

fn finished(
    spec: &JobSpec,
    models: Vec<StudiedModel>,
    found: Findings,
    mut context: Context,
    provenance: Provenance,
) -> Study {
    context.finish();
    Study {
        schema: SCHEMA,
        dataset: spec.settings.dataset.name.clone(),
        models,
        settings: spec.identity_settings(),
        seed: spec.seed,
        found,
        seconds: context.seconds,
        provenance: Provenance {
            peak_memory: peak_memory("self"),
            ..provenance
        },
        checksum: String::new(),
    }
}
