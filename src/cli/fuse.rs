//! `runner fuse`: one fusion of models from files, without a manifest. The job is the one of `exec`.

use std::path::Path;

use serde_json::json;

use super::CliError;
use super::args::{FuseArgs, Global, StepFormat};
use super::outfile::{Content, Output, Outputs};
use super::step::{Step, key, show_table};
use super::{output, plot};
use crate::fusion::Method;
use crate::plan::{JobSpec, Task};
use crate::report::{FigureOptions, Results, figures};
use crate::result::{Index, IndexEntry, Record, SCHEMA};

/// Runs the command.
pub fn run(args: &FuseArgs, global: &Global) -> Result<(), CliError> {
    let mut keys = vec![key("fusion.0.", &format!("method={}", args.method), "--")?];
    for text in &args.parameters {
        keys.push(key("fusion.0.", text, "--param ")?);
    }
    if let Some(seed) = args.method_seed {
        keys.push(key("", &format!("method-seeds={seed}"), "--")?);
    }
    if let Some(samples) = args.samples {
        keys.push(key("fusion-set.", &format!("samples={samples}"), "--")?);
    }
    let mut step = Step::new(&args.step, Some(&args.models.patterns()), keys, global)?;
    let fusion = step.fusion()?;
    let outputs = step.outputs(args.output.force);
    let out = args
        .out
        .as_deref()
        .map(|out| check_out(fusion, out, &outputs))
        .transpose()?;
    let picture = args.plot.as_deref();
    let picture = picture
        .map(|path| outputs.check("--plot", path, Content::Picture))
        .transpose()?;
    let bases = step.make()?;
    let fusion = step.fusion()?;
    let fused = step.run(fusion)?;
    if let Some(out) = &out {
        step.export(&fused, out)?;
    }
    if let Some(picture) = &picture {
        let dataset = &fusion.settings.dataset.name;
        for figure in figures(
            &results(dataset, &bases, &fused)?,
            "bars",
            &FigureOptions::default(),
        )? {
            picture.write(&plot::drawn(&figure, &picture.path)?)?;
        }
    }
    match args.step.format {
        StepFormat::Json => show_json(&step, &bases, &fused, args.out.as_deref()),
        StepFormat::Human => show_rows(&step, &bases, &fused),
    }
}

/// What would only turn out after the fusion.
fn check_out(fusion: &JobSpec, out: &Path, outputs: &Outputs) -> Result<Output, CliError> {
    if matches!(&fusion.task, Task::Fuse(fuse) if matches!(fuse.method, Method::Ensemble(_))) {
        return Err(CliError::usage(
            "an ensemble is several networks: there is none to write to `--out`",
            "leave out `--out`",
        ));
    }
    outputs.check("--out", out, Content::Model(&fusion.key))
}

/// The records as an experiment's.
fn results(dataset: &str, bases: &[Record], fused: &Record) -> Result<Results, CliError> {
    let records: Vec<Record> = bases.iter().chain([fused]).cloned().collect();
    let entry = |record: &Record| IndexEntry {
        job: record.job.clone(),
        key: record.key.clone(),
        kind: record.kind,
        place: None,
    };
    let index = Index {
        schema: SCHEMA,
        experiment: fused.method.clone().unwrap_or_default(),
        dataset: dataset.to_string(),
        manifest: String::new(),
        manifest_hash: String::new(),
        tables: Vec::new(),
        jobs: records.iter().map(entry).collect(),
    };
    Ok(Results::new(index, records)?)
}

fn show_json(step: &Step, bases: &[Record], fused: &Record, out: Option<&Path>) -> Result<(), CliError> {
    let models: Vec<_> = step
        .files()
        .iter()
        .zip(bases)
        .map(|(file, record)| json!({ "model": record.models.first(), "file": file, "metrics": record.metrics }))
        .collect();
    let document = json!({
        "method": fused.method,
        "importance": fused.importance,
        "seed": fused.seed,
        "method-seed": fused.method_seed,
        "settings": fused.settings,
        "models": models,
        "fused": fused.models,
        "metrics": fused.metrics,
        "diagnostics": fused.diagnostics,
        "seconds": fused.seconds,
        "out": out,
    });
    Ok(output::out().json(&document)?)
}

/// A line per model and one for what became of them.
fn show_rows(step: &Step, bases: &[Record], fused: &Record) -> Result<(), CliError> {
    let words = [fused.method.as_deref(), fused.importance.as_deref()];
    let name = words.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let files = step.files();
    let names = files.iter().map(|file| file.display().to_string());
    let rows: Vec<(String, &Record)> = names.zip(bases).chain([(name, fused)]).collect();
    show_table(&rows)
}
