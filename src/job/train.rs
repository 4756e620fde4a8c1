//! Base models: trained here, or imported.

use std::ops::ControlFlow;

use serde_json::json;

use super::run::{Outcome, checkpoint_entry};
use super::{Context, JobError, evaluate, model_file};
use crate::arch::Network;
use crate::checkpoint::{self, Meta};
use crate::data::{self, DataError, DataSet, SplitOptions};
use crate::event::JobEvent;
use crate::manifest::SplitSettings;
use crate::plan::{Base, JobSpec};
use crate::seed;
use crate::train::{Fit, Progress, TrainError, fit};

/// Trains the model of one part.
pub(super) fn train(spec: &JobSpec, base: &Base, context: &mut Context) -> Result<Outcome, JobError> {
    context.phase("load")?;
    let settings = &spec.settings;
    let device = context.resources.device.clone();
    let set = context.dataset(&settings.dataset)?;
    let (train, val) = part(spec, base, &set)?;
    let images = set.train.images(Some(&train), &device)?;
    let labels = set.train.labels_tensor(Some(&train), &device)?;
    let held_out = match val.as_slice() {
        [] => None,
        val => Some((
            set.train.images(Some(val), &device)?,
            set.train.labels_tensor(Some(val), &device)?,
        )),
    };

    context.phase("train")?;
    let model = base.stream(settings);
    let mut rng = seed::generator(spec.seed, "initialisation", &[model]);
    let fresh = Network::initialise(&settings.model, &set.shape, set.classes, &mut rng, &device)?;
    let epochs = settings.base.epochs;
    let options = Fit {
        epochs,
        batch_size: settings.base.batch_size,
        optimizer: &settings.base.optimizer,
        warmup_epochs: settings.base.warmup_epochs,
        min_lr: settings.base.min_lr,
        label_smoothing: settings.base.label_smoothing,
        select: settings.base.select,
    };
    let mut rng = seed::generator(spec.seed, "batches", &[model]);
    let mut stopped = None;
    let mut on_progress = |progress: Progress| {
        let event = match progress {
            Progress::Step => JobEvent::Tick,
            Progress::Epoch(done) => {
                tracing::info!(
                    epoch = done.epoch,
                    loss = done.train_loss,
                    val_accuracy = done.val_accuracy,
                    "epoch"
                );
                JobEvent::Epoch {
                    epoch: done.epoch + 1,
                    of: epochs,
                    loss: done.train_loss,
                }
            }
        };
        match context.report(event) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                stopped = Some(error);
                ControlFlow::Break(())
            }
        }
    };
    let validation = held_out.as_ref().map(|(x, y)| (x, y));
    let fitted = match fit(
        &fresh,
        (&images, &labels),
        validation,
        &options,
        &mut rng,
        &mut on_progress,
    ) {
        Ok(fitted) => fitted,
        Err(TrainError::Stopped) => return Err(stopped.unwrap_or(JobError::Cancelled)),
        Err(error) => return Err(JobError::Train(error)),
    };

    context.phase("evaluate")?;
    let metrics = evaluate::network(&fitted.network, &set, context)?;
    context.phase("save")?;
    let hash = save(spec, &fitted.network, &set, (&train, &val), context)?;
    Ok(Outcome {
        metrics,
        models: spec.models(),
        diagnostics: json!({
            "checkpoint": checkpoint_entry(&hash),
            "train-samples": train.len(),
            "val-samples": val.len(),
            "class-counts": class_counts(&set, train.iter().chain(&val).copied()),
            "selected-epoch": fitted.epoch,
            "epochs": fitted.history,
        }),
    })
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
    let set = context.dataset(&spec.settings.dataset)?;
    let path = base.file.as_deref().ok_or_else(|| JobError::Dependency {
        job: spec.name.clone(),
        what: "the file of the base model",
    })?;
    let file = model_file::read(path).map_err(JobError::Import)?;
    let device = &context.resources.device;
    let network = Network::from_state(
        &spec.settings.model,
        &set.shape,
        set.classes,
        &file.tensors,
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

/// Writes the checkpoint of a job.
pub(super) fn save(
    spec: &JobSpec,
    network: &Network,
    set: &DataSet,
    (train, val): (&[usize], &[usize]),
    context: &Context,
) -> Result<String, JobError> {
    let wide = |indices: &[usize]| indices.iter().map(|&i| i as u64).collect();
    let meta = Meta {
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
    Ok(checkpoint::save(
        &context.resources.store.checkpoint_path(&spec.name),
        &network.state(),
        &meta,
    )?)
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
