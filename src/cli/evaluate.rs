//! `runner evaluate`: metrics of models from files on the test set, without a manifest.

use serde_json::json;

use super::CliError;
use super::args::{EvaluateArgs, Global, StepFormat};
use super::output;
use super::step::{Step, show_table};
use crate::result::Record;

/// Runs the command.
pub fn run(args: &EvaluateArgs, global: &Global) -> Result<(), CliError> {
    let mut step = Step::new(&args.step, Some(&args.models.patterns()), Vec::new(), global)?;
    let records = step.make()?;
    let files = step.files();
    match args.step.format {
        StepFormat::Json => {
            let models: Vec<_> = files
                .iter()
                .zip(&records)
                .map(|(file, record)| json!({ "file": file, "settings": record.settings, "metrics": record.metrics }))
                .collect();
            Ok(output::out().json(&json!({ "models": models }))?)
        }
        StepFormat::Human => {
            let names = files.iter().map(|file| file.display().to_string());
            let rows: Vec<(String, &Record)> = names.zip(&records).collect();
            show_table(&rows)
        }
    }
}
