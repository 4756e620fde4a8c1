//! `runner fuse`: one fusion of models from files, without a manifest. The job is the one of `exec`.

use std::io::Write;
use std::path::Path;

use serde_json::json;

use super::CliError;
use super::args::{FuseArgs, Global, StepFormat};
use super::plot;
use super::step::{Step, check_folder};
use crate::fusion::Method;
use crate::plan::Task;
use crate::report::{FigureOptions, Metric, Results, figures};
use crate::result::{Index, IndexEntry, Record, SCHEMA, write_atomic};

/// Runs the command.
pub fn run(args: &FuseArgs, global: &Global) -> Result<(), CliError> {
    let mut fusion = vec![(format!("method={}", args.method), "--".to_string())];
    for text in &args.parameters {
        fusion.push((text.clone(), "--param ".to_string()));
    }
    if let Some(seed) = args.method_seed {
        fusion.push((format!("method-seeds={seed}"), "--".to_string()));
    }
    let step = Step::new(&args.models, &args.step, &fusion, global)?;
    if let Some(out) = &args.out {
        check_out(&step, out)?;
    }
    args.plot.as_deref().map(plot::check).transpose()?;
    let bases = step.import()?;
    let fused = step.run(&step.fusion)?;
    if let Some(out) = &args.out {
        let bytes = std::fs::read(step.resources.store.checkpoint_path(&fused.job))?;
        write_atomic(out, &bytes)?;
    }
    if let Some(path) = &args.plot {
        let results = results(&step, &bases, &fused)?;
        let options = FigureOptions::default();
        for figure in figures(&results, "bars", &options)? {
            write_atomic(path, &plot::drawn(&figure, path)?)?;
        }
    }
    match args.step.format {
        StepFormat::Json => show_json(&step, &bases, &fused, args.out.as_deref()),
        StepFormat::Human => show_table(&step, &bases, &fused),
    }
}

/// What would only turn out after the fusion.
fn check_out(step: &Step, out: &Path) -> Result<(), CliError> {
    if matches!(&step.fusion.task, Task::Fuse(fuse) if matches!(fuse.method, Method::Ensemble(_))) {
        return Err(CliError::usage(
            "an ensemble is several networks: there is none to write to `--out`",
            "leave out `--out`",
        ));
    }
    check_folder("--out", out)
}

/// The records as an experiment's.
fn results(step: &Step, bases: &[Record], fused: &Record) -> Result<Results, CliError> {
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
        dataset: step.fusion.settings.dataset.name.clone(),
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
    writeln!(std::io::stdout(), "{document:#}")?;
    Ok(())
}

/// A line per model and one for what became of them.
fn show_table(step: &Step, bases: &[Record], fused: &Record) -> Result<(), CliError> {
    let name = |record: &Record| {
        let words = [record.method.as_deref(), record.importance.as_deref()];
        words.into_iter().flatten().collect::<Vec<_>>().join(", ")
    };
    let files = step.files();
    let names = files.iter().map(|file| file.display().to_string());
    let rows: Vec<(String, &Record)> = names.zip(bases).chain([(name(fused), fused)]).collect();
    let widest = rows
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or_default();
    let mut out = std::io::stdout().lock();
    write!(out, "{:widest$}", "")?;
    for metric in Metric::ALL {
        write!(out, "  {:>13}", metric.title())?;
    }
    writeln!(out)?;
    for (name, record) in rows {
        write!(out, "{name:widest$}")?;
        for metric in Metric::ALL {
            let value = metric.of(record);
            let text = value.map_or("--".to_string(), |value| metric.format(value, None));
            write!(out, "  {text:>13}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}
