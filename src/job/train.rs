//! Base models: trained here, or imported.

use std::path::Path;

use serde_json::json;

use super::context::unchanged;
use super::outcome::{Outcome, checkpoint_entry};
use super::progress::{StateFile, Watch};
use super::samples::{Resident, Samples, Variation};
use super::{Context, JobError, evaluate, model_file};
use crate::arch::Network;
use crate::checkpoint::{self, Meta};
use crate::data::{self, Augmenter, DataError, DataSet, SplitOptions};
use crate::event::JobEvent;
use crate::gpu;
use crate::manifest::{BaseSettings, SplitSettings};
use crate::plan::{Base, JobSpec};
use crate::seed;
use crate::train::{Data, Fit, Fitted, Precision, Select, Source, TrainError, fit};
use rand_chacha::ChaCha8Rng;

/// Trains the model of one part.
pub(super) fn train(spec: &JobSpec, base: &Base, context: &mut Context) -> Result<Outcome, JobError> {
    context.phase("load")?;
    let settings = &spec.settings;
    let device = context.resources.device.clone();
    let set = context.dataset(spec)?;
    let (train, val) = part(spec, base, &set)?;

    context.phase("train")?;
    let model = base.stream(settings);
    let mut rng = seed::generator(spec.seed, "initialisation", &[model]);
    let fresh = Network::initialise(&settings.model, &set.shape, set.classes, &mut rng, &device)?;
    let course = Course {
        spec,
        recipe: &settings.base,
        indices: (&train, &val),
        vary: Variation {
            augmenter: Augmenter::new(&settings.base.augment),
            purpose: "augment",
            seed: spec.seed,
            stream: model,
        },
        rng: seed::generator(spec.seed, "batches", &[model]),
    };
    let file = StateFile::of(spec, 0, context);
    let fitted = course.run(&fresh, &set, Watch::new(context, &file, settings.base.epochs))?;
    context.report(JobEvent::Computed)?;

    context.phase("evaluate")?;
    let metrics = evaluate::network(&fitted.network, &set, context)?;
    context.phase("save")?;
    let hash = save(spec, &fitted.network, &set, (&train, &val), context)?;
    file.remove();
    Ok(Outcome {
        metrics,
        models: spec.models(),
        diagnostics: json!({
            "checkpoint": checkpoint_entry(&hash),
            "train-samples": train.len(),
            "val-samples": val.len(),
            "class-counts": class_counts(&set, train.iter().chain(&val).copied()),
            "selected-epoch": fitted.epoch,
            "selected-on": selected_on(settings.base.select, &fitted),
            "epochs": fitted.history,
        }),
    })
}

/// One training of a job.
pub(super) struct Course<'a> {
    /// Whose it is.
    pub spec: &'a JobSpec,
    /// How.
    pub recipe: &'a BaseSettings,
    /// Training and validation samples.
    pub indices: (&'a [usize], &'a [usize]),
    /// How images are varied.
    pub vary: Variation,
    /// For the order of samples, and for dropout.
    pub rng: ChaCha8Rng,
}

impl Course<'_> {
    /// Trains from `start`, or goes on where an earlier try of the job was interrupted.
    pub fn run(mut self, start: &Network, set: &DataSet, mut watch: Watch) -> Result<Fitted, JobError> {
        let device = watch.context.resources.device.clone();
        if self.recipe.precision != Precision::F32 && !device.is_cuda() {
            return Err(JobError::Precision);
        }
        let (train, val) = self.indices;
        let resident = Resident::of(&set.train, &device)?;
        if resident.is_some() && self.vary.augmenter.moves_only().is_none() {
            gpu::note("augmentation");
        }
        let source = Samples::varied(&set.train, train, &device, self.vary).at(resident.as_ref());
        let held_out = match self.recipe.select {
            Select::Test => Some(Samples::plain(&set.test, None, &device)),
            Select::Validation | Select::Last if val.is_empty() => None,
            Select::Validation | Select::Last => {
                Some(Samples::plain(&set.train, Some(val), &device).at(resident.as_ref()))
            }
        };
        let data = Data {
            train: &source,
            measure: held_out.as_ref().map(|held_out| held_out as &dyn Source),
        };
        let recipe = self.recipe;
        let options = Fit {
            epochs: recipe.epochs,
            batch_size: recipe.batch_size,
            accumulate: recipe.accumulate,
            optimizer: &recipe.optimizer,
            schedule: &recipe.schedule,
            warmup_epochs: recipe.warmup_epochs,
            min_lr: recipe.min_lr,
            clip_norm: recipe.clip_norm,
            label_smoothing: recipe.label_smoothing,
            select: recipe.select,
            precision: recipe.precision,
            // Half of the threads: the others have the steps to do.
            workers: (rayon::current_num_threads() / 2).clamp(1, 8),
        };
        let saved = watch.file.load();
        let mut result = fit(start, data, &options, &mut self.rng, saved, &mut watch);
        if let Err(TrainError::Snapshot(problem)) = &result {
            tracing::warn!(%problem, "the saved training does not fit: starting anew");
            result = fit(start, data, &options, &mut self.rng, None, &mut watch);
        }
        match result {
            Ok(fitted) => Ok(fitted),
            Err(TrainError::Stopped) => Err(watch.stopped.unwrap_or(JobError::Cancelled)),
            Err(source) => {
                // From there it would diverge again.
                watch.file.forget();
                let left = watch.good.take().and_then(|network| {
                    let path = watch.file.left();
                    save_as(&path, self.spec, &network, set, (train, val)).ok()?;
                    Some(path)
                });
                Err(JobError::Train { source, left })
            }
        }
    }
}

/// What the record says about how the epoch was chosen.
pub(super) fn selected_on(select: Select, fitted: &Fitted) -> &'static str {
    match select {
        _ if fitted.accuracy.is_none() => "last epoch",
        Select::Test => "test accuracy",
        Select::Validation | Select::Last => "validation accuracy",
    }
}

/// The training set's parts. They depend on the seed alone, so that all models of a seed agree on them.
pub(super) fn parts(
    settings: &SplitSettings,
    seed: u64,
    set: &DataSet,
) -> Result<Vec<Vec<usize>>, DataError> {
    let options = SplitOptions {
        classes: settings.classes.clone().unwrap_or_default(),
    };
    let mut rng = seed::generator(seed, "split", &[]);
    data::split(
        set.train.labels(),
        set.classes,
        settings.kind,
        settings.parts,
        &options,
        &mut rng,
    )
}

/// Training and validation indices of one part. What is held out depends on the part, too.
fn part(spec: &JobSpec, base: &Base, set: &DataSet) -> Result<(Vec<usize>, Vec<usize>), JobError> {
    let settings = &spec.settings.split;
    let failed = |source| JobError::Data {
        name: set.name.clone(),
        source,
    };
    let mut parts = parts(settings, spec.seed, set).map_err(failed)?;
    let mut rng = seed::generator(spec.seed, "hold-out", &[base.stream(&spec.settings)]);
    data::hold_out(&parts.swap_remove(base.model), settings.val_ratio, &mut rng).map_err(failed)
}

/// Imports a file as the model of one part.
pub(super) fn import(spec: &JobSpec, base: &Base, context: &mut Context) -> Result<Outcome, JobError> {
    context.phase("load")?;
    let set = context.dataset(spec)?;
    let path = base.file.as_deref().ok_or_else(|| JobError::Dependency {
        job: spec.name.clone(),
        what: "the file of the base model",
    })?;
    let file = model_file::read(path).map_err(JobError::Import)?;
    unchanged(spec, &format!("model_{}", base.model), &file.hash, || {
        format!("the model file `{}`", path.display())
    })?;
    let device = &context.resources.device;
    let network = Network::import(
        &spec.settings.model,
        &set.shape,
        set.classes,
        file.foreign(),
        device,
    )?;
    let (train, val) = (file.train, file.val);
    if let Some(index) = train.iter().chain(&val).find(|&&i| i >= set.train.len()) {
        let what = "training indices that fit the data set";
        tracing::error!(
            index,
            samples = set.train.len(),
            "an index lies outside of the training set"
        );
        return Err(JobError::Dependency {
            job: path.display().to_string(),
            what,
        });
    }
    context.phase("evaluate")?;
    let metrics = evaluate::network(&network, &set, context)?;
    context.report(JobEvent::Computed)?;
    context.phase("save")?;
    let hash = save(spec, &network, &set, (&train, &val), context)?;
    Ok(Outcome {
        metrics,
        models: spec.models(),
        diagnostics: json!({
            "checkpoint": checkpoint_entry(&hash),
            "class": file.class,
            "train-samples": train.len(),
            "val-samples": val.len(),
            "class-counts": class_counts(&set, train.iter().chain(&val).copied()),
        }),
    })
}

/// Writes the checkpoint of a job; gives its hash.
pub(super) fn save(
    spec: &JobSpec,
    network: &Network,
    set: &DataSet,
    indices: (&[usize], &[usize]),
    context: &Context,
) -> Result<String, JobError> {
    let path = context.resources.store.checkpoint_path(&spec.name);
    save_as(&path, spec, network, set, indices)
}

fn save_as(
    path: &Path,
    spec: &JobSpec,
    network: &Network,
    set: &DataSet,
    (train, val): (&[usize], &[usize]),
) -> Result<String, JobError> {
    let wide = |indices: &[usize]| indices.iter().map(|&i| i as u64).collect();
    let meta = Meta {
        schema: Meta::SCHEMA,
        architecture: network.architecture.clone(),
        image: set.shape.to_vec(),
        classes: set.classes,
        train_indices: wide(train),
        val_indices: wide(val),
        // Not the job's full name: it may change without the key, and with it the file's hash would.
        job: format!(
            "{}-{}",
            spec.kind().as_str(),
            spec.key.get(..8).unwrap_or_default()
        ),
        key: spec.key.clone(),
    };
    Ok(checkpoint::save(path, &network.state(), &meta)?)
}

/// How many samples of each class.
pub(super) fn class_counts(set: &DataSet, indices: impl Iterator<Item = usize>) -> Vec<u64> {
    let mut counts = vec![0; set.classes];
    for index in indices {
        if let Some(count) = set
            .train
            .labels()
            .get(index)
            .and_then(|&label| counts.get_mut(label as usize))
        {
            *count += 1;
        }
    }
    counts
}
