//! `runner verify`: an experiment run again in a temporary folder, and compared with its results.

use std::collections::BTreeSet;
use std::io::Write;

use serde_json::{Value, json};

use super::CliError;
use super::args::{Format, Global, StepFormat, VerifyArgs, WorkerKind};
use super::exec::{BACKOFF, resources, stop_flag};
use super::pool::Pool;
use super::progress::Progress;
use super::provenance::provenance;
use super::setup::{self, Experiment};
use super::step::failed;
use crate::job::places;
use crate::report::Metric;
use crate::result::{Index, Record, Status, Store};
use crate::schedule::{Costs, Decision, GRACE, Halt, Options, Selection, decide, dispatch};

/// Runs the command. The results themselves are only read.
pub fn run(args: &VerifyArgs, global: &Global) -> Result<(), CliError> {
    let experiment = setup::experiment(&args.manifest, global)?;
    let path = &args.manifest.manifest;
    let provenance = provenance(path, &experiment.manifest, &experiment.device_name);
    if provenance.manifest_committed != Some(true) && !args.allow_dirty {
        return Err(CliError::usage(
            format!(
                "`{}` is not committed as it is, so there is nothing to hold results to",
                path.display()
            ),
            "commit it, or use `--allow-dirty`",
        ));
    }
    let index = experiment.store.load_index()?;
    let decisions = decide(&experiment.plan, &experiment.store, &Selection::default());
    let recorded: Vec<Option<Record>> = (0..decisions.len())
        .map(|job| recorded(&experiment, &index, &decisions[job], job))
        .collect();
    let chosen = sample(&recorded, args.sample);
    if chosen.is_empty() {
        return Err(CliError::NothingSelected);
    }
    let folder = tempfile::tempdir()?;
    let store = Store::open(folder.path())?;
    let todo = closure(&experiment, &chosen);
    let resources = resources(&experiment, &store, &provenance, global);
    let limits = &experiment.manifest.resources;
    let pool = Pool::new(args.jobs, limits, !experiment.device.is_cpu());
    let mut executor = pool.start(
        todo.len(),
        WorkerKind::Threads,
        limits,
        global.log_format,
        &resources,
    )?;
    let costs = Costs::of_store(&experiment.store);
    let stop = stop_flag()?;
    let mut progress = Progress::new(todo.len(), Format::Human);
    let options = Options {
        max_fail: None,
        retries: 0,
        backoff: BACKOFF,
        costs: &costs,
        stop: &stop,
        grace: GRACE,
        store: &store,
        provenance: &provenance,
    };
    let outcome = dispatch(&experiment.plan, &todo, &mut *executor, &options, &mut |event| {
        progress.show(&event);
    });
    progress.finish();
    match outcome.halt {
        Some(Halt::Interrupted) => return Err(CliError::Interrupted),
        Some(Halt::Broken(error)) => return Err(failed(&error)),
        None => {}
    }
    let verdicts: Vec<Verdict> = chosen
        .iter()
        .map(|&job| {
            let name = &experiment.plan.jobs[job].name;
            if let Some(record) = recorded[job]
                .as_ref()
                .filter(|record| is_damaged(&experiment.store, record))
            {
                return Verdict {
                    job: name.clone(),
                    same: false,
                    text: format!(
                        "has a damaged checkpoint: `runner exec --force={}` makes it anew",
                        record.job
                    ),
                };
            }
            judge(
                name,
                recorded[job].as_ref(),
                store.load(name).ok().as_ref(),
                args.tolerance,
            )
        })
        .collect();
    show(&verdicts, &experiment, args.format)?;
    if verdicts.iter().all(|verdict| verdict.same) {
        Ok(())
    } else {
        Err(CliError::JobsFailed)
    }
}

/// What became of one job.
struct Verdict {
    job: String,
    same: bool,
    text: String,
}

/// The record of a job: that of its key, or, made on another kind of device, that of its place.
fn recorded(experiment: &Experiment, index: &Index, decision: &Decision, job: usize) -> Option<Record> {
    let store = &experiment.store;
    if let Some(name) = &decision.recorded_as {
        return store.load(name).ok();
    }
    let spec = &experiment.plan.jobs[job];
    let places = places(spec);
    let here = |place: &crate::result::Place| places.contains(place);
    let entry = index
        .jobs
        .iter()
        .find(|entry| entry.kind == spec.kind() && entry.place.as_ref().is_some_and(here))?;
    let record = store.load(&entry.job).ok()?;
    (record.key == entry.key && record.status == Status::Ok).then_some(record)
}

/// Whether the job's checkpoint is in the cache, but not as the record says.
fn is_damaged(store: &Store, record: &Record) -> bool {
    let hash = record.diagnostics["checkpoint"]["blake3"].as_str();
    let bytes = std::fs::read(store.checkpoint_path(&record.job));
    hash.zip(bytes.ok())
        .is_some_and(|(hash, bytes)| blake3::hash(&bytes).to_hex().as_str() != hash)
}

/// All jobs, or `n` that have a record, spread over the plan.
fn sample(recorded: &[Option<Record>], n: Option<u32>) -> Vec<usize> {
    let Some(n) = n.map(|n| n as usize) else {
        return (0..recorded.len()).collect();
    };
    let with: Vec<usize> = (0..recorded.len())
        .filter(|&job| recorded[job].is_some())
        .collect();
    let n = n.min(with.len());
    (0..n).map(|i| with[(2 * i + 1) * with.len() / (2 * n)]).collect()
}

/// The jobs, and all that they need.
fn closure(experiment: &Experiment, chosen: &[usize]) -> BTreeSet<usize> {
    let mut todo: BTreeSet<usize> = BTreeSet::new();
    let mut left = chosen.to_vec();
    while let Some(job) = left.pop() {
        if todo.insert(job) {
            left.extend(&experiment.plan.needs[job]);
        }
    }
    todo
}

/// `cpu` of `cpu`, `cuda` of `cuda:1`.
fn kind(device: &str) -> &str {
    device.split(':').next().unwrap_or(device)
}

fn judge(job: &str, before: Option<&Record>, after: Option<&Record>, tolerance: f64) -> Verdict {
    let verdict = |same: bool, text: String| Verdict {
        job: job.to_string(),
        same,
        text,
    };
    let Some(before) = before else {
        return verdict(false, "has no record to compare with".into());
    };
    let Some(after) = after else {
        return verdict(false, "did not run".into());
    };
    let (Some(old), Some(new)) = (&before.metrics, &after.metrics) else {
        let why = after
            .error
            .iter()
            .flat_map(|error| &error.chain)
            .cloned()
            .collect::<Vec<_>>()
            .join(": ");
        let text = format!(
            "was {}, is {}: {why}",
            before.status.as_str(),
            after.status.as_str()
        );
        return verdict(false, text);
    };
    if old == new {
        let text = if before.checksum == after.checksum {
            "same record"
        } else {
            "same metrics"
        };
        return verdict(true, text.into());
    }
    let changes = Metric::ALL.into_iter().filter_map(|metric| {
        let (a, b) = (metric.of(before), metric.of(after));
        let text = |value: Option<f64>| value.map_or("--".to_string(), |value| value.to_string());
        (a != b).then(|| format!("{metric} {} -> {}", text(a), text(b)))
    });
    let changes: Vec<String> = changes.collect();
    let changes = if changes.is_empty() {
        "confusion matrix".to_string()
    } else {
        changes.join(", ")
    };
    let (was, is) = (kind(&before.provenance.device), kind(&after.provenance.device));
    if was == is {
        return verdict(false, format!("differs: {changes}"));
    }
    let near = Metric::ALL
        .into_iter()
        .all(|metric| match (metric.of(before), metric.of(after)) {
            (Some(a), Some(b)) => (a - b).abs() <= tolerance,
            (a, b) => a.is_none() && b.is_none(),
        });
    let word = if near { "within" } else { "not within" };
    verdict(near, format!("{word} {tolerance} ({was} -> {is}): {changes}"))
}

fn show(verdicts: &[Verdict], experiment: &Experiment, format: StepFormat) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    let same = verdicts.iter().filter(|verdict| verdict.same).count();
    match format {
        StepFormat::Json => {
            let jobs: Vec<Value> = verdicts
                .iter()
                .map(|verdict| json!({"job": verdict.job, "same": verdict.same, "verdict": verdict.text}))
                .collect();
            let document = json!({
                "experiment": experiment.manifest.name,
                "verified": verdicts.len(),
                "same": same,
                "jobs": jobs,
            });
            writeln!(out, "{document:#}")?;
        }
        StepFormat::Human => {
            for verdict in verdicts.iter().filter(|verdict| !verdict.same) {
                writeln!(out, "{}  {}", verdict.job, verdict.text)?;
            }
            let (jobs, name) = (experiment.plan.jobs.len(), &experiment.manifest.name);
            writeln!(
                out,
                "{name}: {same} of {} verified jobs are the same, of {jobs} in all",
                verdicts.len()
            )?;
        }
    }
    Ok(())
}
