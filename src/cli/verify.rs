//! `runner verify`: an experiment run again in a temporary folder, and compared with its results.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::CliError;
use super::args::{Format, Global, StepFormat, VerifyArgs, WorkerKind};
use super::exec::{BACKOFF, resources};
use super::output;
use super::pool::Pool;
use super::progress::Progress;
use super::provenance::{is_changed, provenance};
use super::setup::{self, Experiment};
use super::step::failed;
use super::stop;
use crate::job::places;
use crate::plan::key::differences;
use crate::report::{Metric, exact};
use crate::result::{Index, IndexEntry, Lookup, Record, Status, Store};
use crate::schedule::{Costs, Decision, GRACE, Halt, Options, Reason, Selection, decide, dispatch};

/// Runs the command. The results themselves are only read.
pub fn run(args: &VerifyArgs, global: &Global) -> Result<(), CliError> {
    let mode = setup::Mode {
        reread: true,
        ..setup::Mode::default()
    };
    let experiment = setup::experiment_with(&args.manifest, global, mode)?;
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
    if !experiment.store.root().join("index.json").is_file() {
        return Err(CliError::usage(
            format!(
                "there are no results of `{}` to compare with",
                experiment.manifest.name
            ),
            "`runner exec` makes them",
        ));
    }
    if !args.allow_dirty && is_changed(&experiment.store.root().join("records")) {
        return Err(CliError::usage(
            format!(
                "records of `{}` differ from those that are committed",
                experiment.manifest.name
            ),
            format!(
                "see `git diff {}`; commit or restore them, or use `--allow-dirty`",
                experiment.store.root().display()
            ),
        ));
    }
    let index = experiment.store.load_index()?;
    let decisions = decide(&experiment.plan, &experiment.store, &Selection::default());
    let recorded: Vec<Recorded> = (0..decisions.len())
        .map(|job| recorded(&experiment, &index, &decisions[job], job))
        .collect();
    let chosen = sample(&recorded, args.sample);
    if chosen.is_empty() {
        return Err(CliError::NothingSelected);
    }
    // What there is nothing to hold to does not run.
    let comparable = |job: &&usize| matches!(recorded[**job], Recorded::Found(_));
    let again: Vec<usize> = chosen.iter().filter(comparable).copied().collect();
    let folder = tempfile::tempdir()?;
    let store = Store::open(folder.path())?;
    let todo = closure(&experiment, &again);
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
    let stop = stop::on_signal()?;
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
            compare(name, &recorded[job], (&experiment.store, &store), args.tolerance)
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
    /// What was held to what, where both are there.
    criterion: Option<Criterion>,
}

impl Verdict {
    /// There is nothing to compare.
    fn not(job: &str, text: String) -> Self {
        Self {
            job: job.to_string(),
            same: false,
            text,
            criterion: None,
        }
    }
}

/// What became of a job: its record before, and that in the second store.
fn compare(name: &str, recorded: &Recorded, (before, after): (&Store, &Store), tolerance: f64) -> Verdict {
    let record = match recorded {
        Recorded::Found(record) => record,
        Recorded::Damaged(why) => {
            return Verdict::not(name, format!("its record is damaged: {why}"));
        }
        Recorded::Changed(what) => {
            let what = what.join("; ");
            return Verdict::not(name, format!("settings changed since it was recorded: {what}"));
        }
        Recorded::Failed(status) => {
            return Verdict::not(name, format!("its record says {}", status.as_str()));
        }
        Recorded::Nothing => return Verdict::not(name, "has no record to compare with".into()),
    };
    if is_damaged(before, record) {
        let mend = format!("`runner exec --force={}` makes it anew", record.job);
        return Verdict::not(name, format!("has a damaged checkpoint: {mend}"));
    }
    match after.load(name) {
        Ok(after) => judge(name, record, &after, tolerance),
        Err(_) => Verdict::not(name, "did not run".into()),
    }
}

/// When two records count as the same.
#[derive(Debug, Clone, PartialEq)]
enum Criterion {
    /// All metrics and the confusion matrix are, bit for bit: made on one kind of device.
    Bits(String),
    /// No metric differs by more: made on these kinds.
    Within(f64, String, String),
    /// The same, made on these kinds of CPU.
    OtherCpu(f64, String, String),
}

impl std::fmt::Display for Criterion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bits(kind) => write!(f, "equal bit for bit (recorded and run on {kind})"),
            Self::Within(tolerance, was, is) => {
                write!(f, "within {tolerance} (recorded on {was}, run on {is})")
            }
            Self::OtherCpu(tolerance, was, is) => write!(
                f,
                "within {tolerance} (recorded on another kind of CPU, {was}; run on {is})"
            ),
        }
    }
}

/// What there is to hold a job to.
enum Recorded {
    /// Its record: that of its key, or, made on another kind of device, that of its place.
    Found(Box<Record>),
    /// A file that cannot be trusted, and why.
    Damaged(String),
    /// A record of other settings, or inputs; which.
    Changed(Vec<String>),
    /// A record of a job that did not succeed.
    Failed(Status),
    /// None.
    Nothing,
}

fn recorded(experiment: &Experiment, index: &Index, decision: &Decision, job: usize) -> Recorded {
    let store = &experiment.store;
    let found = |name: &str| match store.load(name) {
        Ok(record) => Recorded::Found(Box::new(record)),
        Err(error) => Recorded::Damaged(error.to_string()),
    };
    if let Some(name) = &decision.recorded_as {
        return found(name);
    }
    match &decision.reason {
        Reason::Corrupt(why) | Reason::Newer(why) => return Recorded::Damaged(why.clone()),
        Reason::Unfinished(status) => return Recorded::Failed(*status),
        _ => {}
    }
    let spec = &experiment.plan.jobs[job];
    let places = places(spec);
    let here = |entry: &&IndexEntry| {
        entry.kind == spec.kind() && entry.place.as_ref().is_some_and(|place| places.contains(place))
    };
    let Some(entry) = index.jobs.iter().find(here) else {
        return Recorded::Nothing;
    };
    let record = match store.lookup(&entry.job, &entry.key) {
        Lookup::Found(record) => record,
        Lookup::Corrupt(error) => return Recorded::Damaged(error.to_string()),
        Lookup::Missing => return Recorded::Nothing,
    };
    if record.status != Status::Ok {
        return Recorded::Failed(record.status);
    }
    let changed = differences(&record.settings, &spec.identity_settings());
    let elsewhere = kind(&record.provenance.device) != kind(&experiment.device_name);
    match changed.is_empty() {
        // The device is part of the key, and so is what was trained on it.
        true if elsewhere => Recorded::Found(record),
        true => Recorded::Changed(vec![
            "none, but the content of its inputs or the version of its arithmetic".to_string(),
        ]),
        false => Recorded::Changed(changed),
    }
}

/// Whether the job's checkpoint is in the cache, but not as the record says.
fn is_damaged(store: &Store, record: &Record) -> bool {
    let hash = record.diagnostics["checkpoint"]["blake3"].as_str();
    let bytes = crate::files::read(&store.checkpoint_path(&record.job));
    hash.zip(bytes.ok())
        .is_some_and(|(hash, bytes)| blake3::hash(&bytes).to_hex().as_str() != hash)
}

/// All jobs; or `n` that have a record to be held to, spread over the plan, and all that have none: to say so takes no run.
fn sample(recorded: &[Recorded], n: Option<u32>) -> Vec<usize> {
    let Some(n) = n.map(|n| n as usize) else {
        return (0..recorded.len()).collect();
    };
    let (with, mut chosen): (Vec<usize>, Vec<usize>) =
        (0..recorded.len()).partition(|&job| matches!(recorded[job], Recorded::Found(_)));
    let n = n.min(with.len());
    chosen.extend((0..n).map(|i| with[(2 * i + 1) * with.len() / (2 * n)]));
    chosen.sort_unstable();
    chosen
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

/// The kinds of CPU, where both records name one and these differ: the order of sums may then, too.
fn other_cpus<'a>(before: &'a Record, after: &'a Record) -> Option<(&'a str, &'a str)> {
    let (was, is) = (
        before.provenance.cpu.as_deref()?,
        after.provenance.cpu.as_deref()?,
    );
    (was != is).then_some((was, is))
}

fn judge(job: &str, before: &Record, after: &Record, tolerance: f64) -> Verdict {
    let (was, is) = (kind(&before.provenance.device), kind(&after.provenance.device));
    let criterion = match (was == is, other_cpus(before, after)) {
        (false, _) => Criterion::Within(tolerance, was.to_string(), is.to_string()),
        (true, Some((was, is))) => Criterion::OtherCpu(tolerance, was.to_string(), is.to_string()),
        (true, None) => Criterion::Bits(is.to_string()),
    };
    let verdict = |same: bool, text: String| Verdict {
        job: job.to_string(),
        same,
        text,
        criterion: Some(criterion.clone()),
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
        let text = |value: Option<f64>| value.map_or("--".to_string(), exact);
        (a != b).then(|| format!("{metric} {} -> {}", text(a), text(b)))
    });
    let changes: Vec<String> = changes.collect();
    let changes = if changes.is_empty() {
        "confusion matrix".to_string()
    } else {
        changes.join(", ")
    };
    let places = match &criterion {
        Criterion::Bits(_) => return verdict(false, format!("differs: {changes}")),
        Criterion::Within(_, was, is) => format!("{was} -> {is}"),
        Criterion::OtherCpu(_, was, is) => format!("another kind of CPU, {was} -> {is}"),
    };
    let near = Metric::ALL
        .into_iter()
        .all(|metric| match (metric.of(before), metric.of(after)) {
            (Some(a), Some(b)) => (a - b).abs() <= tolerance,
            (a, b) => a.is_none() && b.is_none(),
        });
    let word = if near { "within" } else { "not within" };
    verdict(near, format!("{word} {tolerance} ({places}): {changes}"))
}

fn show(verdicts: &[Verdict], experiment: &Experiment, format: StepFormat) -> Result<(), CliError> {
    let mut out = output::out();
    let same = verdicts.iter().filter(|verdict| verdict.same).count();
    match format {
        StepFormat::Json => {
            let jobs: Vec<Value> = verdicts
                .iter()
                .map(|verdict| {
                    let criterion = verdict.criterion.as_ref().map(ToString::to_string);
                    json!({"job": verdict.job, "same": verdict.same, "verdict": verdict.text, "criterion": criterion})
                })
                .collect();
            let document = json!({
                "experiment": experiment.manifest.name,
                "verified": verdicts.len(),
                "same": same,
                "jobs": jobs,
            });
            out.json(&document)?;
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
            let mut criteria: Vec<(&Criterion, usize)> = Vec::new();
            for criterion in verdicts.iter().filter_map(|verdict| verdict.criterion.as_ref()) {
                match criteria.iter_mut().find(|(known, _)| *known == criterion) {
                    Some((_, count)) => *count += 1,
                    None => criteria.push((criterion, 1)),
                }
            }
            for (criterion, count) in criteria {
                writeln!(out, "the same is: metrics {criterion}; {count} jobs")?;
            }
        }
    }
    Ok(())
}
