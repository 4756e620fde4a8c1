//! `runner train`: base models of one split, without a manifest.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::CliError;
use super::args::{Global, StepFormat, TrainArgs};
use super::outfile::{self, Content, Output};
use super::output;
use super::step::{Step, key, show_table};
use crate::result::Record;

/// The file of one model.
fn model(args: &TrainArgs, number: usize) -> PathBuf {
    args.out.join(format!("model_{number}.safetensors"))
}

/// A file of the folder that is called like a model with a higher number than those to be written.
fn model_beyond(folder: &Path, count: usize) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let beyond = entries.filter(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let number = name
            .strip_prefix("model_")
            .and_then(|rest| rest.strip_suffix(".safetensors"));
        number.is_some_and(|number| number.parse().is_ok_and(|number: usize| number >= count))
    });
    beyond.map(|entry| entry.path()).min()
}

/// Runs the command.
pub fn run(args: &TrainArgs, global: &Global) -> Result<(), CliError> {
    let mut keys = vec![
        key("split.", &format!("parts={}", args.parts), "--")?,
        key("split.", &format!("kind={}", args.split), "--split: ")?,
    ];
    if let Some(epochs) = args.epochs {
        keys.push(key("base.", &format!("epochs={epochs}"), "--")?);
    }
    let step = Step::new(&args.step, None, keys, global)?;
    outfile::folder(&args.out, "models")?;
    let outputs = step.outputs(args.output.force);
    let targets: Vec<Output> = step
        .bases
        .iter()
        .enumerate()
        .map(|(number, job)| outputs.check("--out", &model(args, number), Content::Model(&job.key)))
        .collect::<Result<_, _>>()?;
    if let Some(left) = model_beyond(&args.out, targets.len()) {
        let message = format!(
            "`{}` belongs to another run, and a pattern such as `model_*` would take it with the models of this one",
            left.display()
        );
        match args.output.force {
            true => output::warning(message),
            false => return Err(CliError::usage(message, "give another folder, or `--force`")),
        }
    }
    let mut trained: Vec<(PathBuf, Record)> = Vec::new();
    for (job, target) in step.bases.iter().zip(targets) {
        let record = step.run(job)?;
        // One after the other: those that are done stay if a later one fails.
        step.export(&record, &target)?;
        trained.push((target.path, record));
    }
    match args.step.format {
        StepFormat::Json => {
            let models: Vec<_> = trained
                .iter()
                .map(|(file, record)| {
                    json!({
                        "file": file,
                        "seed": record.seed,
                        "settings": record.settings,
                        "metrics": record.metrics,
                        "diagnostics": record.diagnostics,
                        "seconds": record.seconds,
                    })
                })
                .collect();
            Ok(output::out().json(&json!({ "models": models }))?)
        }
        StepFormat::Human => {
            let rows: Vec<(String, &Record)> = trained
                .iter()
                .map(|(file, record)| (file.display().to_string(), record))
                .collect();
            show_table(&rows)
        }
    }
}
