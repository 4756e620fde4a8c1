//! `runner exec`: plan, run what is missing, aggregate, render.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::CliError;
use super::args::{ExecArgs, Format, Global, Rerun, Where, WorkerKind};
use super::clock;
use super::kept::{self, Shown};
use super::notify::notify;
use super::output;
use super::planned::{index, relative};
use super::pool::Pool;
use super::progress::Progress;
use super::provenance::provenance;
use super::setup::{self, Experiment};
use super::slurm;
use super::step::failed;
use super::stop;
use super::summary::Summary;
use super::warnings;
use crate::job::{CHECKPOINT_EVERY, DataCache, Resources};
use crate::plan::Plan;
use crate::report::render_all;
use crate::result::{Claims, Guard, Provenance, Status, Store, Timing};
use crate::schedule::{
    Claiming, Costs, Decision, GRACE, Halt, Options, Outcome, Reason, Seen, Selection, adopt, decide,
    dispatch, seen,
};

/// How long a failed job waits before it is tried again for the first time.
pub(super) const BACKOFF: Duration = Duration::from_secs(1);

/// Runs the command.
pub fn run(args: &ExecArgs, global: &Global) -> Result<(), CliError> {
    let mode = setup::Mode {
        place: args.executor,
        reread: args.force.is_some(),
        writes_nothing: false,
    };
    let experiment = setup::experiment_with(&args.manifest, global, mode)?;
    let mut selection = selection(args)?;
    warnings::show(&experiment.manifest.warnings);
    if args.executor == Where::Slurm {
        slurm::refuse_local_options(args)?;
    }
    let reports = &experiment.manifest.reports;
    selection.predictions = reports
        .iter()
        .any(|report| report.test.as_deref() == Some("mcnemar"));
    if args.dry_run {
        let store = experiment.store.clone().with_ledger();
        let decisions = decide(&experiment.plan, &store, &selection);
        require_some(&decisions, &selection)?;
        return show_plan(&experiment, &decisions, args.format);
    }
    let mut summary = Summary::new(&experiment);
    let end = run_all(&experiment, &selection, &mut summary, args, global);
    // What was submitted has not ended.
    if !matches!(end, Err(CliError::NothingSelected)) && args.executor == Where::Local {
        notify(
            &experiment.manifest.notify,
            &experiment.manifest.name,
            &summary,
            &end,
        );
    }
    end
}

/// The claims of a results folder, and the one on working on it. Slices of one plan work beside each other: they claim
/// the jobs themselves.
fn begin(store: &Store, selection: &Selection, wait: bool) -> Result<(Arc<Claims>, Guard, Guard), CliError> {
    let claims = Arc::new(Claims::open(
        &store.claims(),
        slurm::own_job(),
        Timing::default(),
    )?);
    let mut waiting = |owner: &str| {
        let root = store.root().display();
        output::info(format!("`{root}` is worked on by {owner}; waiting"));
    };
    let work = match selection.slice {
        None => "exec".to_string(),
        Some(slice) => format!("exec-slice-{}-of-{}", slice.part, slice.of),
    };
    let working = claims.guard(&work, wait, &mut waiting)?;
    let preparing = claims.guard("exec-prepares", true, &mut |_| ())?;
    Ok((claims, working, preparing))
}

fn run_all(
    experiment: &Experiment,
    selection: &Selection,
    summary: &mut Summary,
    args: &ExecArgs,
    global: &Global,
) -> Result<(), CliError> {
    let (claims, _working, preparing) = begin(&experiment.store, selection, args.wait)?;
    let root = experiment.store.root();
    let store = match selection.slice {
        None => Store::open(root)?,
        Some(_) => Store::open_beside(root)?,
    };
    let path = &args.manifest.manifest;
    let decisions = decide(&experiment.plan, &store, selection);
    require_some(&decisions, selection)?;
    refuse_newer(&decisions)?;
    if selection.slice.is_none() {
        store.save_replaced(&BTreeMap::new())?;
    }
    summary.cached = decisions.iter().filter(|d| d.reason == Reason::Cached).count();
    summary.left_out = decisions.iter().filter(|d| !d.selected).count();
    let todo: BTreeSet<usize> = (0..decisions.len()).filter(|&job| decisions[job].run).collect();
    if todo.is_empty()
        && let Some(kept) =
            kept::fingerprint(experiment, path, &decisions).and_then(|f| kept::recall(&store, &f))
    {
        return show_outcome(experiment, &store, summary, &kept.tables, args.format);
    }
    if !todo.is_empty() {
        clock::warn_if_wrong(&store);
    }
    adopt(&experiment.plan, &store, &decisions)?;
    setup::refuse_foreign_results(&store, path, &experiment.manifest.name)?;
    // Before the jobs, so that `status` and `table` know while they run what is still to come.
    store.retire(&experiment.plan.jobs.iter().map(|job| job.name.as_str()).collect())?;
    let seen_from_there = relative(root, path);
    store.save_index(&index(&experiment.manifest, &experiment.plan, seen_from_there))?;
    let before = before(&experiment.plan, &store, &decisions);
    if selection.slice.is_none() {
        let name = |job: usize| experiment.plan.jobs[job].name.clone();
        let hashes = before
            .iter()
            .map(|(&job, hash)| (name(job), hash.to_hex().to_string()));
        store.save_replaced(&hashes.collect())?;
    }
    if args.executor == Where::Slurm && !todo.is_empty() {
        let work = slurm::Work {
            experiment,
            store: &store,
            todo,
            before: &before,
        };
        return slurm::submit(work, args, global);
    }
    drop(preparing);

    let outcome = if todo.is_empty() {
        Outcome::default()
    } else {
        run_jobs(experiment, &store, &todo, (claims, before), args, global)?
    };
    summary.ok = outcome.count(Status::Ok);
    summary.failed = outcome.count(Status::Failed);
    summary.skipped = outcome.count(Status::Skipped);
    summary.not_started = todo.len() - outcome.finished.len();
    match outcome.halt {
        Some(Halt::Interrupted) => {
            let left = todo.len() - outcome.finished.len();
            output::info(format!(
                "interrupted: {} jobs finished, {left} left. Run the same command again to go on.",
                outcome.finished.len()
            ));
            return Err(CliError::Interrupted);
        }
        Some(Halt::Broken(error)) => return Err(failed(&error)),
        None => {}
    }
    if selection.slice.is_none() {
        store.save_replaced(&BTreeMap::new())?;
    }
    // With what the jobs have written since.
    let store = store.with_ledger();
    // With nothing but failures there is no table to make; the failures have been shown.
    let tables: Vec<Shown> = match render_all(&store, &experiment.templates) {
        Ok(rendered) => {
            let shown = rendered.into_iter().map(|table| Shown::of(table, store.root()));
            shown.collect()
        }
        Err(error) if summary.failed > 0 => {
            output::warning(format!("no table: {error}"));
            Vec::new()
        }
        Err(error) => return Err(error.into()),
    };
    let now = decide(&experiment.plan, &store, &Selection::default());
    if let Some(fingerprint) = kept::fingerprint(experiment, path, &now) {
        kept::keep(&store, fingerprint, &tables);
    }
    match show_outcome(experiment, &store, summary, &tables, args.format) {
        // A reader that has seen enough does not turn failures into a success.
        Ok(()) | Err(CliError::ClosedPipe) if summary.failed > 0 => Err(CliError::JobsFailed),
        other => other,
    }
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
        predictions: false,
    })
}

/// What a newer version of this program wrote is not overwritten, unless it is told to.
fn refuse_newer(decisions: &[Decision]) -> Result<(), CliError> {
    let newer = decisions.iter().find_map(|decision| match &decision.reason {
        Reason::Newer(why) if decision.run => Some(why),
        _ => None,
    });
    newer.map_or(Ok(()), |why| {
        let hint =
            "a newer version of this program wrote it: update; `--force` writes it anew, as this one does";
        Err(CliError::usage(why.clone(), hint))
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
        output::warning("the manifest is not committed as it is: the results say so in their provenance");
    }
    let resources = resources(experiment, store, &provenance, global);
    let limits = &experiment.manifest.resources;
    let kind = args.workers.unwrap_or(match limits.memory() {
        Some(_) => WorkerKind::Processes,
        None => WorkerKind::Threads,
    });
    if kind == WorkerKind::Threads && limits.memory().is_some() {
        output::warning(
            "threads share their memory: `resources.memory` bounds how many jobs run at a time, but none of them",
        );
    }
    let pool = Pool::new(args.jobs, limits, !experiment.device.is_cpu());
    let local = pool.start(todo.len(), kind, limits, global.log_format, &resources)?;
    let mut executor = Claiming::new(local, claims, store, before);
    let costs = Costs::of_store(store);
    let stop = stop::on_signal()?;
    let mut progress = Progress::new(todo.len(), args.format);
    let options = Options {
        max_fail: if args.fail_fast {
            Some(1)
        } else {
            args.max_fail.map(|n| n as usize)
        },
        retries: args.retries,
        backoff: BACKOFF,
        costs: &costs,
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

fn show_plan(experiment: &Experiment, decisions: &[Decision], format: Format) -> Result<(), CliError> {
    let mut out = output::out();
    let jobs = experiment.plan.jobs.iter().zip(decisions);
    let json = |(job, decision): (&Arc<crate::plan::JobSpec>, &Decision)| json!({ "job": job.name, "key": job.key, "kind": job.kind(), "run": decision.run, "reason": decision.reason.to_string() });
    match format {
        Format::Json => out.json(&jobs.map(json).collect())?,
        Format::Jsonl => {
            for entry in jobs {
                out.json_line(&json(entry))?;
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
    tables: &[Shown],
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
            "not-started": summary.not_started,
            "warnings": warnings::document(&experiment.manifest.warnings),
            "tables": tables.iter().flat_map(|table| &table.files).map(|file| store.root().join(file)).collect::<Vec<_>>(),
        })
    };
    let mut out = output::out();
    match format {
        Format::Json => out.json(&document())?,
        Format::Jsonl => out.json_line(&json!({ "event": "summary", "summary": document() }))?,
        Format::Human => {
            for table in tables.iter().filter(|table| !table.markdown.is_empty()) {
                out.text(&format!("{}\n\n", table.markdown.trim_end()))?;
            }
        }
    }
    let warnings: Vec<&String> = tables.iter().flat_map(|table| &table.warnings).collect();
    if summary.left_out > 0 && !warnings.is_empty() {
        let (cells, jobs) = (warnings.len(), summary.left_out);
        output::warning(format!(
            "the tables have gaps ({cells}): {jobs} jobs were not selected"
        ));
    } else {
        warnings.into_iter().for_each(output::warning);
    }
    output::info(format!(
        "{}: {} jobs, {} up to date, {} run, {} failed, {} skipped{}; results in {}",
        experiment.manifest.name,
        summary.jobs,
        summary.cached,
        summary.ok,
        summary.failed,
        summary.skipped,
        match summary.not_started {
            0 => String::new(),
            n => format!(", {n} not started"),
        },
        store.root().display()
    ));
    if summary.failed > 0 {
        output::hint(
            "`runner logs JOB` shows the log of a job; the same command again tries failed jobs again",
        );
    }
    Ok(())
}
