//! `runner finetune`: models from files trained further on the whole training set, without a manifest.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::json;

use super::CliError;
use super::args::{FinetuneArgs, Global, StepFormat};
use super::outfile::{self, Content, Output};
use super::output;
use super::step::{Step, key, show_table};
use crate::result::Record;

/// Runs the command.
pub fn run(args: &FinetuneArgs, global: &Global) -> Result<(), CliError> {
    let mut keys = vec![key("finetune.", "of=base", "")?];
    if !args.lr.is_empty() {
        keys.push(key("finetune.", &format!("lr={:?}", args.lr), "--")?);
    }
    if !args.epochs.is_empty() {
        keys.push(key("finetune.", &format!("epochs={:?}", args.epochs), "--")?);
    }
    let mut step = Step::new(&args.step, Some(&args.models.patterns()), keys, global)?;
    let files = step.files();
    let targets: Vec<PathBuf> = files
        .iter()
        .map(|file| {
            let name = file.file_stem().unwrap_or_default().to_string_lossy();
            args.out.join(format!("{name}.safetensors"))
        })
        .collect();
    if targets.iter().collect::<BTreeSet<_>>().len() < targets.len() {
        return Err(CliError::usage(
            "several of the files have the same name, so that one would overwrite another in `--out`",
            "fine-tune them one by one, each into a folder of its own",
        ));
    }
    outfile::folder(&args.out, "models")?;
    let outputs = step.outputs(args.output.force);
    let targets: Vec<Output> = step
        .others
        .iter()
        .zip(&targets)
        .map(|(job, target)| outputs.check("--out", target, Content::Model(&job.key)))
        .collect::<Result<_, _>>()?;
    let before = step.make()?;
    let mut tuned: Vec<Record> = Vec::new();
    for (job, target) in step.others.iter().zip(&targets) {
        let record = step.run(job)?;
        step.export(&record, target)?;
        tuned.push(record);
    }
    match args.step.format {
        StepFormat::Json => {
            let pairs = before.iter().zip(&tuned);
            let models: Vec<_> = pairs
                .zip(files.iter().zip(&targets))
                .map(|((before, tuned), (file, target))| {
                    json!({
                        "file": target.path,
                        "of": { "file": file, "metrics": before.metrics },
                        "settings": tuned.settings,
                        "metrics": tuned.metrics,
                        "diagnostics": tuned.diagnostics,
                        "seconds": tuned.seconds,
                    })
                })
                .collect();
            Ok(output::out().json(&json!({ "models": models }))?)
        }
        StepFormat::Human => {
            let written = targets.iter().map(|target| &target.path);
            let names = files.iter().chain(written).map(|file| file.display().to_string());
            let rows: Vec<(String, &Record)> = names.zip(before.iter().chain(&tuned)).collect();
            show_table(&rows)
        }
    }
}
