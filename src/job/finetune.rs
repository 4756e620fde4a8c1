//! Training a base or fused model further, on the whole training set.

use serde_json::json;

use super::outcome::{Outcome, checkpoint_entry};
use super::progress::{StateFile, Watch};
use super::samples::Variation;
use super::train::{Course, save, selected_on};
use super::{Context, JobError, evaluate};
use crate::data::{self, Augmenter, DataError};
use crate::event::JobEvent;
use crate::manifest::FinetuneSettings;
use crate::plan::JobSpec;
use crate::seed;
use crate::train::{Fitted, TrainError};

/// The best training so far.
struct Best {
    fitted: Fitted,
    lr: f64,
    epochs: usize,
}

/// Trains with every pair of a learning rate and a number of epochs, and keeps the best. A pair that diverges is out;
/// that all do is an error.
pub(super) fn finetune(spec: &JobSpec, context: &mut Context) -> Result<Outcome, JobError> {
    context.phase("load")?;
    let missing = |what| JobError::Dependency {
        job: spec.name.clone(),
        what,
    };
    let settings = spec.settings.finetune.as_ref();
    let settings: &FinetuneSettings = settings.ok_or_else(|| missing("settings of `[finetune]`"))?;
    let need = spec.needs.first().ok_or_else(|| missing("a model"))?;
    let set = context.dataset(spec)?;
    let made = context.model(need, set.classes)?;
    let all: Vec<usize> = (0..set.train.len()).collect();
    let mut rng = seed::generator(spec.seed, "finetune-hold-out", &[]);
    let failed = |source: DataError| JobError::Data {
        name: set.name.clone(),
        source,
    };
    let (train, val) = data::hold_out(&all, settings.val_ratio, &mut rng).map_err(failed)?;

    context.phase("train")?;
    let grid = settings.grid();
    let of = grid.iter().map(|(_, epochs)| epochs).sum();
    let files: Vec<StateFile> = (0..grid.len())
        .map(|number| StateFile::of(spec, number, context))
        .collect();
    let (mut best, mut tried, mut diverged): (Option<Best>, _, _) = (None, Vec::new(), None);
    let mut before = 0;
    for (&(lr, epochs), file) in grid.iter().zip(&files) {
        let course = Course {
            spec,
            recipe: &settings.recipe(lr, epochs),
            indices: (&train, &val),
            vary: Variation {
                augmenter: Augmenter::new(&settings.augment),
                purpose: "finetune-augment",
                seed: spec.seed,
                stream: 0,
            },
            // The same for all pairs: they are compared with each other.
            rng: seed::generator(spec.seed, "finetune-batches", &[]),
        };
        let watch = Watch {
            before,
            of,
            // Those that are done need not be done again.
            keep_last: (grid.len() > 1).then_some(epochs),
            ..Watch::new(context, file, epochs)
        };
        before += epochs;
        match course.run(&made.network, &set, watch) {
            Ok(fitted) => {
                tried.push(json!({
                    "lr": lr, "epochs": epochs, "selected-epoch": fitted.epoch, "accuracy": fitted.accuracy,
                }));
                if best
                    .as_ref()
                    .is_none_or(|best| fitted.accuracy > best.fitted.accuracy)
                {
                    best = Some(Best { fitted, lr, epochs });
                }
            }
            Err(JobError::Train {
                source: source @ TrainError::Diverged { .. },
                left,
            }) => {
                tried.push(json!({ "lr": lr, "epochs": epochs, "error": source.to_string() }));
                diverged = Some(JobError::Train { source, left });
            }
            Err(error) => return Err(error),
        }
    }
    let best = match (best, diverged) {
        (Some(best), _) => best,
        (None, Some(error)) => return Err(error),
        (None, None) => return Err(missing("a learning rate and a number of epochs")),
    };

    context.report(JobEvent::Computed)?;
    context.phase("evaluate")?;
    let metrics = evaluate::network(&best.fitted.network, &set, context)?;
    context.phase("save")?;
    let hash = save(spec, &best.fitted.network, &set, (&train, &val), context)?;
    for file in &files {
        file.remove();
    }
    Ok(Outcome {
        metrics,
        models: made.record.models.clone(),
        diagnostics: json!({
            "checkpoint": checkpoint_entry(&hash),
            "of": { "job": need.job, "accuracy": made.record.metrics.as_ref().map(|metrics| metrics.accuracy) },
            "train-samples": train.len(),
            "val-samples": val.len(),
            "lr": best.lr,
            "grid": tried,
            "selected-on": selected_on(settings.select, &best.fitted),
            "selected-epochs": best.epochs,
            "selected-epoch": best.fitted.epoch,
            "epochs": best.fitted.history,
        }),
    })
}
