//! `runner exec`: plan, run what is missing, aggregate, render.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::CliError;
use super::args::{ExecArgs, Format, Global, Rerun, Where};
use super::progress::Progress;
use super::provenance::{manifest_hash, provenance};
use super::setup::{self, Experiment};
use super::slurm;
use crate::job::{CHECKPOINT_EVERY, DataCache, Resources, places};
use crate::manifest::Resolved;
use crate::plan::Plan;
use crate::report::{Rendered, render_all};
use crate::result::{Claims, Index, IndexEntry, Provenance, SCHEMA, Status, Store, TableRequest, Timing};
use crate::schedule::{
    Claiming, Decision, GRACE, Halt, Local, Options, Outcome, Reason, Seen, Selection, adopt, decide,
    dispatch, seen,
};

/// Runs the command.
pub fn run(args: &ExecArgs, global: &Global) -> Result<(), CliError> {
    let experiment = setup::experiment_on(&args.manifest, global, args.executor)?;
    let selection = selection(args)?;
    if args.executor == Where::Slurm {
        slurm::refuse_local_options(args)?;
    }
    if args.dry_run {
        let decisions = decide(&experiment.plan, &experiment.store, &selection);
        require_some(&decisions, &selection)?;
        return show_plan(&experiment, &decisions, args.format);
    }
    let claims = Arc::new(Claims::open(
        &experiment.store.claims(),
        slurm::own_job(),
        Timing::default(),
    )?);
    let mut waiting = |owner: &str| {
        let root = experiment.store.root().display();
        let _ = writeln!(std::io::stderr(), "`{root}` is worked on by {owner}; waiting");
    };
    // Slices of one plan run beside each other: they claim the jobs themselves.
    let work = match selection.slice {
        None => "exec".to_string(),
        Some(slice) => format!("exec-slice-{}-of-{}", slice.part, slice.of),
    };
    let _work = claims.guard(&work, args.wait, &mut waiting)?;
    let preparing = claims.guard("exec-prepares", true, &mut |_| ())?;
    let store = Store::open(experiment.store.root())?;
    let decisions = decide(&experiment.plan, &store, &selection);
    require_some(&decisions, &selection)?;
    adopt(&experiment.plan, &store, &decisions)?;
    setup::refuse_foreign_results(&store, &args.manifest.manifest, &experiment.manifest.name)?;
    // Before the jobs, so that `status` and `table` know while they run what is still to come.
    store.save_index(&index(&experiment, &args.manifest.manifest))?;
    let cached = decisions.iter().filter(|d| d.reason == Reason::Cached).count();

    let todo: BTreeSet<usize> = (0..decisions.len()).filter(|&job| decisions[job].run).collect();
    let before = before(&experiment.plan, &store, &decisions);
    if args.executor == Where::Slurm && !todo.is_empty() {
        let work = slurm::Work {
            experiment: &experiment,
            store: &store,
            todo,
            before: &before,
            decisions: &decisions,
        };
        return slurm::submit(work, args, global);
    }
    drop(preparing);
    let outcome = if todo.is_empty() {
        Outcome::default()
    } else {
        run_jobs(&experiment, &store, &todo, (claims, before), args, global)?
    };
    let summary = Summary {
        jobs: experiment.plan.jobs.len(),
        cached,
        ok: outcome.count(Status::Ok),
        failed: outcome.count(Status::Failed),
        skipped: outcome.count(Status::Skipped),
    };
    match outcome.halt {
        Some(Halt::Interrupted) => {
            let left = todo.len() - outcome.finished.len();
            let _ = writeln!(
                std::io::stderr(),
                "interrupted: {} jobs finished, {left} left. Run the same command again to go on.",
                outcome.finished.len()
            );
            return Err(CliError::Interrupted);
        }
        Some(Halt::Broken(error)) => {
            let failure = error.failure();
            let mut problem = crate::manifest::Problem::new(failure.chain.join(": "));
            problem.hint = failure.hint;
            return Err(problem.into());
        }
        None => {}
    }
    // With nothing but failures there is no table to make; the failures have been shown.
    let rendered = match render_all(&store, &experiment.templates) {
        Ok(rendered) => rendered,
        Err(error) if summary.failed > 0 => {
            let _ = writeln!(std::io::stderr(), "warning: no table: {error}");
            Vec::new()
        }
        Err(error) => return Err(error.into()),
    };
    match show_outcome(&experiment, &store, &summary, &rendered, args.format) {
        // A reader that has seen enough does not turn failures into a success.
        Ok(()) | Err(CliError::ClosedPipe) if summary.failed > 0 => Err(CliError::JobsFailed),
        other => other,
    }
}

struct Summary {
    jobs: usize,
    cached: usize,
    ok: usize,
    failed: usize,
    skipped: usize,
}

fn selection(args: &ExecArgs) -> Result<Selection, CliError> {
    let (filters, slice) = setup::selection(&args.select)?;
    Ok(Selection {
        filters,
        slice,
        only_unfinished: args.rerun == Some(Rerun::Failed),
        force: args
            .force
            .as_deref()
            .map(setup::filter)
            .transpose()?
            .into_iter()
            .collect(),
    })
}

fn require_some(decisions: &[Decision], selection: &Selection) -> Result<(), CliError> {
    let nothing = !decisions.iter().any(|decision| decision.selected);
    let forces_nothing = !selection.force.is_empty() && !decisions.iter().any(|d| d.reason == Reason::Forced);
    if nothing || forces_nothing {
        Err(CliError::NothingSelected)
    } else {
        Ok(())
    }
}

/// The records there are of jobs that are to run: these are no reason not to.
fn before(plan: &Plan, store: &Store, decisions: &[Decision]) -> BTreeMap<usize, Seen> {
    let jobs = plan.jobs.iter().zip(decisions).enumerate();
    jobs.filter(|(_, (_, decision))| {
        decision.run && !matches!(decision.reason, Reason::New | Reason::Changed(_))
    })
    .filter_map(|(position, (job, _))| Some((position, seen(store, &job.name)?)))
    .collect()
}

fn index(experiment: &Experiment, path: &Path) -> Index {
    let manifest = &experiment.manifest;
    Index {
        schema: SCHEMA,
        experiment: manifest.name.clone(),
        dataset: datasets(manifest),
        manifest: path.display().to_string(),
        manifest_hash: manifest_hash(manifest),
        tables: manifest
            .reports
            .iter()
            .map(|report| TableRequest {
                template: report.template.clone(),
                metrics: report.metric.clone(),
                columns: report.columns.clone(),
                precision: report.precision,
                baseline: report.baseline.clone(),
                test: report.test.clone(),
                axis: report.axis.clone(),
            })
            .collect(),
        jobs: experiment
            .plan
            .jobs
            .iter()
            .flat_map(|job| {
                places(job).into_iter().map(|place| IndexEntry {
                    job: job.name.clone(),
                    key: job.key.clone(),
                    kind: job.kind(),
                    place: Some(place),
                })
            })
            .collect(),
    }
}

/// The names of all data sets.
fn datasets(manifest: &Resolved) -> String {
    let mut names: Vec<&str> = Vec::new();
    for point in &manifest.points {
        let name = point.settings.dataset.name.as_str();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(", ")
}

fn run_jobs(
    experiment: &Experiment,
    store: &Store,
    todo: &BTreeSet<usize>,
    (claims, before): (Arc<Claims>, BTreeMap<usize, Seen>),
    args: &ExecArgs,
    global: &Global,
) -> Result<Outcome, CliError> {
    let provenance = provenance(
        &args.manifest.manifest,
        &experiment.manifest,
        &experiment.device_name,
    );
    if provenance.manifest_committed != Some(true) {
        let _ = writeln!(
            std::io::stderr(),
            "warning: the manifest is not committed as it is: the results say so in their provenance"
        );
    }
    let resources = resources(experiment, store, &provenance, global);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = args.jobs.map_or(cores, usize::from).min(todo.len());
    let local = Local::new(workers, cores, &resources)?;
    let mut executor = Claiming::new(local, claims, store, before);
    let stop = stop_flag()?;
    let mut progress = Progress::new(todo.len(), args.format);
    let options = Options {
        max_fail: if args.fail_fast {
            Some(1)
        } else {
            args.max_fail.map(|n| n as usize)
        },
        retries: args.retries,
        stop: &stop,
        grace: GRACE,
        store,
        provenance: &provenance,
    };
    let outcome = dispatch(&experiment.plan, todo, &mut executor, &options, &mut |event| {
        progress.show(&event);
    });
    progress.finish();
    Ok(outcome)
}

/// What the jobs of an experiment run with.
pub(super) fn resources(
    experiment: &Experiment,
    store: &Store,
    provenance: &Provenance,
    global: &Global,
) -> Resources {
    let limits = &experiment.manifest.resources;
    Resources {
        device: experiment.device.clone(),
        device_name: experiment.device_name.clone(),
        data_dir: global.data_dir.clone(),
        cache_dir: setup::cache_dir(),
        timeout: limits.timeout(),
        checkpoint_every: limits.checkpoint().unwrap_or(CHECKPOINT_EVERY),
        store: store.clone(),
        data: Arc::new(DataCache::default()),
        provenance: provenance.clone(),
    }
}

/// A flag that Ctrl-C and SIGTERM set; the second time they end the program at once.
pub(super) fn stop_flag() -> Result<Arc<AtomicBool>, CliError> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        let _ = writeln!(std::io::stderr(), "\nstopping (once more to stop at once) ...");
    })
    .map_err(|error| CliError::Internal(error.to_string()))?;
    Ok(stop)
}

fn show_plan(experiment: &Experiment, decisions: &[Decision], format: Format) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    let jobs = experiment.plan.jobs.iter().zip(decisions);
    let json = |(job, decision): (&Arc<crate::plan::JobSpec>, &Decision)| json!({ "job": job.name, "key": job.key, "kind": job.kind(), "run": decision.run, "reason": decision.reason.to_string() });
    match format {
        Format::Json => writeln!(out, "{:#}", jobs.map(json).collect::<serde_json::Value>())?,
        Format::Jsonl => {
            for entry in jobs {
                writeln!(out, "{}", json(entry))?;
            }
        }
        Format::Human => {
            for (job, decision) in jobs {
                let action = if decision.run { "run " } else { "keep" };
                writeln!(out, "{action}  {}  ({})", job.name, decision.reason)?;
            }
            let run = decisions.iter().filter(|d| d.run).count();
            writeln!(out, "{run} of {} jobs would run", decisions.len())?;
        }
    }
    Ok(())
}

fn show_outcome(
    experiment: &Experiment,
    store: &Store,
    summary: &Summary,
    rendered: &[Rendered],
    format: Format,
) -> Result<(), CliError> {
    let document = || {
        json!({
            "experiment": experiment.manifest.name,
            "results": store.root(),
            "jobs": summary.jobs,
            "up-to-date": summary.cached,
            "ok": summary.ok,
            "failed": summary.failed,
            "skipped": summary.skipped,
            "tables": rendered.iter().flat_map(|r| &r.files).collect::<Vec<_>>(),
        })
    };
    let mut out = std::io::stdout().lock();
    match format {
        Format::Json => writeln!(out, "{:#}", document())?,
        Format::Jsonl => writeln!(out, "{}", json!({ "event": "summary", "summary": document() }))?,
        Format::Human => {
            for table in rendered {
                writeln!(out, "{}", table.markdown.trim_end())?;
                writeln!(out)?;
            }
        }
    }
    let mut err = std::io::stderr().lock();
    for warning in rendered.iter().flat_map(|table| &table.warnings) {
        let _ = writeln!(err, "warning: {warning}");
    }
    let _ = writeln!(
        err,
        "{}: {} jobs, {} up to date, {} run, {} failed, {} skipped; results in {}",
        experiment.manifest.name,
        summary.jobs,
        summary.cached,
        summary.ok,
        summary.failed,
        summary.skipped,
        store.root().display()
    );
    if summary.failed > 0 {
        let _ = writeln!(
            err,
            "\nhint: `runner logs JOB` shows the log of a job; the same command again tries failed jobs again"
        );
    }
    Ok(())
}
