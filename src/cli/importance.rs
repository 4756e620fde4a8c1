//! `runner importance`: importance scores of models from files, without a manifest.

use std::io::Write;

use serde_json::{Map, Value, json};

use super::CliError;
use super::args::{Global, ImportanceArgs, PlaceArg, StepFormat};
use super::step::{Step, failed, key};
use crate::importance::{Importance, Place, Preparation};
use crate::job::{ModelScores, scores};
use crate::plan::JobSpec;

/// Runs the command.
pub fn run(args: &ImportanceArgs, global: &Global) -> Result<(), CliError> {
    // A method that takes a score, so that models and fusion set are checked as for a fusion by it.
    let mut keys = vec![
        key("fusion.0.", "method=kf-linear", "--")?,
        key("fusion.0.", &format!("importance={}", args.kind), "--kind: ")?,
        key(
            "fusion.0.",
            &format!("normalize-importance={}", args.normalize),
            "--normalize: ",
        )?,
    ];
    if let Some(lowest) = args.rescale {
        keys.push(key(
            "fusion.0.",
            &format!("rescale-importance={lowest}"),
            "--rescale: ",
        )?);
    }
    let prepare = Preparation {
        normalise: args.normalize,
        rescale: args.rescale,
    };
    if let Some(samples) = args.samples {
        keys.push(key("fusion-set.", &format!("samples={samples}"), "--")?);
    }
    let step = Step::new(&args.step, Some(&args.models.models), keys, global)?;
    let fusion = step.fusion()?;
    let kind = fusion
        .task
        .fusion()
        .and_then(|fuse| fuse.method.importance())
        .unwrap_or_default();
    let place = match args.place {
        PlaceArg::Layer => Place::Layer,
        PlaceArg::Level => Place::Level,
    };
    step.make()?;
    let what = (kind, place, prepare);
    let scored =
        scores(fusion, what, &step.resources, &mut step.listener()).map_err(|error| failed(&error))?;
    match args.step.format {
        StepFormat::Json => show_json(&step, fusion, args.place, &scored),
        StepFormat::Human => show_table(kind, &scored),
    }
}

fn show_json(step: &Step, fusion: &JobSpec, place: PlaceArg, scored: &[ModelScores]) -> Result<(), CliError> {
    let files = step.files();
    // Ordered by accuracy, models keep the numbers of their files.
    let file = |model: &str| files.get(model.strip_prefix("model_")?.parse::<usize>().ok()?);
    let scores = |model: &ModelScores| -> Map<String, Value> {
        let layers = model.layers.iter();
        layers
            .map(|(name, scores)| (name.clone(), json!(scores)))
            .collect()
    };
    let models: Vec<Value> = scored
        .iter()
        .map(|model| json!({ "model": model.model, "file": file(&model.model), "scores": scores(model) }))
        .collect();
    let place = match place {
        PlaceArg::Layer => "layer",
        PlaceArg::Level => "level",
    };
    let document = json!({
        "importance": fusion.task.fusion().and_then(|fuse| fuse.method.importance()),
        "place": place,
        "seed": fusion.seed,
        "settings": fusion.identity_settings(),
        "models": models,
    });
    writeln!(std::io::stdout(), "{document:#}")?;
    Ok(())
}

/// A line per model and layer: how many neurons, and the range of their scores.
fn show_table(kind: Importance, scored: &[ModelScores]) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    let widest =
        |names: &mut dyn Iterator<Item = &String>| names.map(|name| name.chars().count()).max().unwrap_or(0);
    let model = widest(&mut scored.iter().map(|model| &model.model)).max("model".len());
    let names = scored.iter().flat_map(|model| &model.layers);
    let layer = widest(&mut names.map(|(name, _)| name)).max("layer".len());
    writeln!(
        out,
        "{:model$}  {:layer$}  {:>7}  {:>12}  {:>12}  {:>12}  highest ({})",
        "model",
        "layer",
        "neurons",
        "lowest",
        "mean",
        "highest",
        kind.as_str()
    )?;
    for scores in scored {
        for (name, values) in &scores.layers {
            let (lowest, highest) = (
                values.iter().copied().fold(f64::INFINITY, f64::min),
                values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            );
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let neuron = values
                .iter()
                .position(|value| *value == highest)
                .unwrap_or_default();
            writeln!(
                out,
                "{:model$}  {name:layer$}  {:>7}  {lowest:>12.6}  {mean:>12.6}  {highest:>12.6}  neuron {neuron}",
                scores.model,
                values.len(),
            )?;
        }
    }
    Ok(())
}
