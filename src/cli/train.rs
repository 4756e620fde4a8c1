//! `runner train`: base models of one split, without a manifest.

use std::path::PathBuf;

use serde_json::json;

use super::CliError;
use super::args::{Global, StepFormat, TrainArgs};
use super::output;
use super::step::{Step, key, output_folder, show_table};
use crate::result::Record;

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
    output_folder(&args.out)?;
    let mut trained: Vec<(PathBuf, Record)> = Vec::new();
    for (number, job) in step.bases.iter().enumerate() {
        let record = step.run(job)?;
        // One after the other: those that are done stay if a later one fails.
        let file = args.out.join(format!("model_{number}.safetensors"));
        step.export(&record, &file)?;
        trained.push((file, record));
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
