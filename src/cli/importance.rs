//! `runner importance`: importance scores of models from files, without a manifest.

use serde_json::{Map, Value, json};

use super::args::{Global, ImportanceArgs, PlaceArg, StepFormat};
use super::step::{Step, key};
use super::{CliError, output, plot};
use crate::importance::{Importance, Place, Preparation};
use crate::job::{ModelScores, neurons, scores};
use crate::manifest::nearest;
use crate::plan::JobSpec;
use crate::report::fixed;

/// Runs the command.
pub fn run(args: &ImportanceArgs, global: &Global) -> Result<(), CliError> {
    let kinds: Vec<Importance> = args
        .kind
        .iter()
        .map(|name| kind(name))
        .collect::<Result<_, _>>()?;
    let first = kinds.first().copied().unwrap_or_default();
    // A method that takes a score, so that models and fusion set are checked as for a fusion by it; one that takes
    // networks of any kind.
    let mut keys = vec![
        key("fusion.0.", "method=kf-gradient", "--")?,
        key("fusion.0.", &format!("importance={}", first.as_str()), "--kind: ")?,
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
    let mut step = Step::new(&args.step, Some(&args.models.patterns()), keys, global)?;
    let files = plot::StudyFiles::check(
        &step.outputs(args.output.force),
        args.out.as_deref(),
        args.plot.as_deref(),
    )?;
    step.fusion()?;
    let place = match args.place {
        PlaceArg::Layer => Place::Layer,
        PlaceArg::Level => Place::Level,
    };
    step.make()?;
    let fusion = step.fusion()?;
    if args.plot.is_some() || args.out.is_some() {
        let (job, models, kinds) = (fusion.clone(), step.studied(), kinds.clone());
        let place = (args.level, args.images);
        let study = step.study(move |resources, on_event| {
            neurons(&job, models, (&kinds, prepare), place, resources, on_event)
        })?;
        files.write(study)?;
    }
    let mut documents = Vec::new();
    for (at, &kind) in kinds.iter().enumerate() {
        let what = (kind, place, prepare);
        let job = fusion.clone();
        let scored = step.study(move |resources, on_event| scores(&job, what, resources, on_event))?;
        match args.step.format {
            StepFormat::Json => documents.push(document(&step, (fusion, kind), args, &scored)),
            StepFormat::Human => show_table(kind, &scored, at > 0)?,
        }
    }
    match documents.as_slice() {
        [] => {}
        [one] => output::out().json(one)?,
        several => output::out().json(&json!(several))?,
    }
    Ok(())
}

fn kind(name: &str) -> Result<Importance, CliError> {
    Importance::named(name).ok_or_else(|| {
        let known: Vec<&str> = Importance::ALL.iter().map(|kind| kind.as_str()).collect();
        let hint = match nearest(name, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known are {}", known.join(", ")),
        };
        CliError::usage(format!("unknown importance `{name}`"), hint)
    })
}

fn document(
    step: &Step,
    (fusion, kind): (&JobSpec, Importance),
    args: &ImportanceArgs,
    scored: &[ModelScores],
) -> Value {
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
    let place = match args.place {
        PlaceArg::Layer => "layer",
        PlaceArg::Level => "level",
    };
    let mut settings = fusion.identity_settings();
    // Of a method that stands in for any that would use the scores.
    if let Value::Object(settings) = &mut settings {
        settings.remove("fusion");
    }
    json!({
        "importance": kind,
        "place": place,
        "seed": fusion.seed,
        "normalize": args.normalize,
        "rescale": args.rescale,
        "settings": settings,
        "models": models,
    })
}

/// A line per model and layer: how many neurons, and the range of their scores.
fn show_table(kind: Importance, scored: &[ModelScores], apart: bool) -> Result<(), CliError> {
    let mut out = output::out();
    if apart {
        writeln!(out)?;
    }
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
            let [lowest, mean, highest] = [lowest, mean, highest].map(|value| fixed(value, 6));
            writeln!(
                out,
                "{:model$}  {name:layer$}  {:>7}  {lowest:>12}  {mean:>12}  {highest:>12}  neuron {neuron}",
                scores.model,
                values.len(),
            )?;
        }
    }
    Ok(())
}
