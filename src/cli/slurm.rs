//! `runner exec --executor slurm`: submits what is neither done nor queued.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::CliError;
use super::args::{ExecArgs, Format, Global};
use super::output;
use super::provenance::provenance;
use super::setup::Experiment;
use crate::job::{CHECKPOINT_EVERY, ended, skipped};
use crate::result::Store;
use crate::schedule::slurm::{
    JobState, Killed, Order, Outcome, Queue, Setting, TaskState, killed_for_memory, submit as submit_to,
};
use crate::schedule::{Costs, Seen, seen};

/// What there is to do.
pub struct Work<'a> {
    /// The plan.
    pub experiment: &'a Experiment,
    /// Its results.
    pub store: &'a Store,
    /// The jobs to run.
    pub todo: BTreeSet<usize>,
    /// The records there are of them.
    pub before: &'a BTreeMap<usize, Seen>,
}

/// The Slurm job this process runs in, `12_3` for a task of an array.
pub fn own_job() -> Option<String> {
    let variable = |name| std::env::var(name).ok();
    match (variable("SLURM_ARRAY_JOB_ID"), variable("SLURM_ARRAY_TASK_ID")) {
        (Some(array), Some(task)) => Some(format!("{array}_{task}")),
        _ => variable("SLURM_JOB_ID"),
    }
}

/// Options that mean nothing to Slurm are not ignored.
pub fn refuse_local_options(args: &ExecArgs) -> Result<(), CliError> {
    let refuse = |option: &str, hint: &str| {
        let message = format!("`{option}` does not go with `--executor slurm`");
        Err(CliError::usage(message, hint))
    };
    if args.jobs.is_some() {
        return refuse("--jobs", "`slurm.at-once` bounds the tasks that run at a time");
    }
    if args.max_fail.is_some() {
        return refuse("--max-fail", "`--fail-fast` ends the stages after a failure");
    }
    Ok(())
}

/// Submits and returns; does not wait for anything to run.
pub fn submit(work: Work, args: &ExecArgs, global: &Global) -> Result<(), CliError> {
    let (experiment, store) = (work.experiment, work.store);
    let mut queue = Queue::read(store)?;
    // Without knowing what is queued, everything would be submitted again.
    if let Some(error) = queue.silent.take() {
        return Err(error.into());
    }
    let mut todo = work.todo;
    let killed = killed_for_memory(&queue, store);
    let failed = record_killed(experiment, store, &killed, &todo, args)?;
    todo.retain(|job| !failed.contains(job));
    remove_finished(&queue, store);
    let jobs = queue.jobs();
    let (mut queued, mut held) = (0, BTreeSet::new());
    let recorded = store.recorded();
    todo.retain(|&job| {
        let name = &experiment.plan.jobs[job].name;
        let to_come = |job: &&JobState| is_to_come(job, store, name, &recorded);
        let Some(state) = jobs.get(name.as_str()).filter(to_come) else {
            return true;
        };
        queued += 1;
        if let TaskState::Held(reason) = &state.state {
            held.insert((state.task.clone(), reason.clone()));
        }
        false
    });
    let outcome = if todo.is_empty() {
        None
    } else {
        let durations = durations(experiment, store, &todo);
        let provenance = provenance(
            &args.manifest.manifest,
            &experiment.manifest,
            &experiment.device_name,
        );
        let resources = &experiment.manifest.resources;
        let order = Order {
            experiment: &experiment.manifest.name,
            plan: &experiment.plan,
            todo: &todo,
            before: work.before,
            durations: &durations,
            slurm: &experiment.manifest.slurm,
            resources,
            setting: Setting {
                device: experiment.device_name.clone(),
                data_dir: absolute(global.data_dir.clone())?,
                timeout: resources.timeout(),
                workers: resources.per_gpu(),
                memory: resources.memory().map(|bytes| bytes * resources.per_gpu() as u64),
                checkpoint: resources.checkpoint().unwrap_or(CHECKPOINT_EVERY),
                warn: Duration::ZERO,
                retries: args.retries,
                fail_fast: args.fail_fast,
                notify: experiment.manifest.notify.command.clone(),
                provenance,
            },
            program: &std::env::current_exe()?,
            json_logs: output::is_json(),
            directory: &std::env::current_dir()?,
            now: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        };
        let root = store.root().canonicalize()?;
        Some(submit_to(&Store::at(root), &queue, &order)?)
    };
    let name = &experiment.manifest.name;
    if outcome.as_ref().is_none_or(|outcome| !outcome.arrays.is_empty()) {
        show(name, outcome.as_ref(), queued, args.format)?;
    }
    for (task, reason) in &held {
        output::warning(format!(
            "Slurm job {task} is held ({reason}): `scontrol release {task}` lets it run"
        ));
    }
    match outcome.and_then(|outcome| outcome.refused) {
        Some(error) => Err(error.into()),
        None if !failed.is_empty() => Err(CliError::JobsFailed),
        None => Ok(()),
    }
}

/// Puts on record, and says, which jobs were killed for their memory, and skips what depends on them. They are not among
/// those to submit this time: with the same memory they would end the same way. As all that failed they are the next time.
fn record_killed(
    experiment: &Experiment,
    store: &Store,
    killed: &BTreeMap<String, Killed>,
    todo: &BTreeSet<usize>,
    args: &ExecArgs,
) -> Result<BTreeSet<usize>, CliError> {
    let mut failed = BTreeSet::new();
    if killed.is_empty() {
        return Ok(failed);
    }
    let provenance = provenance(
        &args.manifest.manifest,
        &experiment.manifest,
        &experiment.device_name,
    );
    let plan = &experiment.plan;
    // Jobs come after those they need.
    for &position in todo {
        let job = &plan.jobs[position];
        let lost = plan.needs[position].iter().find(|need| failed.contains(*need));
        let record = match (killed.get(&job.name), lost) {
            (Some(end), _) => {
                let text = end.text();
                output::failed(&job.name, &text, Some(end.hint()));
                ended(job, &text, Some(end.hint()), &provenance)
            }
            (None, Some(&need)) => skipped(job, &plan.jobs[need].name, &provenance)?,
            (None, None) => continue,
        };
        store.save(record)?;
        failed.insert(position);
    }
    store.settle()?;
    Ok(failed)
}

/// Whether a job is queued or running, and has not been done by its task already. `recorded` has the jobs of which there
/// are records.
pub fn is_to_come(state: &JobState, store: &Store, job: &str, recorded: &HashSet<String>) -> bool {
    let now = || {
        // That of earlier settings is among no others.
        let there = recorded.contains(job) || state.before.is_some();
        let hash = there.then(|| seen(store, job)).flatten();
        hash.map(|hash| hash.to_hex().to_string())
    };
    state.state.is_live() && !state.cancelled && now() == state.before
}

fn absolute(path: Option<std::path::PathBuf>) -> Result<Option<std::path::PathBuf>, CliError> {
    Ok(path.map(std::path::absolute).transpose()?)
}

/// Submissions that have ended, and all of whose jobs have a record since, have nothing to tell any more.
fn remove_finished(queue: &Queue, store: &Store) {
    for known in queue.submissions.iter().filter(|known| !known.is_live()) {
        let done = known.jobs().all(|(member, state)| {
            let now = seen(store, &member.job).map(|hash| hash.to_hex().to_string());
            now.is_some() && now != state.before
        });
        if done {
            known.folder.remove();
        }
    }
}

/// How long jobs take, by what earlier jobs took; nothing where there is nothing to go by.
fn durations(experiment: &Experiment, store: &Store, todo: &BTreeSet<usize>) -> BTreeMap<usize, Duration> {
    let costs = Costs::of_store(store);
    let known = |&job: &usize| {
        let seconds = costs.known(&experiment.plan.jobs[job])?;
        Some((job, Duration::try_from_secs_f64(seconds).ok()?))
    };
    todo.iter().filter_map(known).collect()
}

fn show(experiment: &str, outcome: Option<&Outcome>, queued: usize, format: Format) -> Result<(), CliError> {
    let arrays = outcome
        .map(|outcome| outcome.arrays.as_slice())
        .unwrap_or_default();
    let (tasks, jobs) = arrays.iter().fold((0, 0), |(tasks, jobs), array| {
        (tasks + array.tasks, jobs + array.jobs)
    });
    let document = || {
        json!({
            "experiment": experiment,
            "submitted": jobs,
            "queued-before": queued,
            "arrays": arrays
                .iter()
                .map(|array| json!({ "id": array.id, "tasks": array.tasks, "jobs": array.jobs }))
                .collect::<Vec<_>>(),
        })
    };
    let mut out = output::out();
    match format {
        Format::Json => out.json(&document())?,
        Format::Jsonl => out.json_line(&json!({ "event": "submitted", "submitted": document() }))?,
        Format::Human if arrays.is_empty() => {
            writeln!(
                out,
                "{experiment}: nothing submitted; {queued} jobs are queued or running"
            )?;
        }
        Format::Human => {
            let ids: Vec<&str> = arrays.iter().map(|array| array.id.as_str()).collect();
            let before = match queued {
                0 => String::new(),
                n => format!("; {n} more are queued or running"),
            };
            writeln!(
                out,
                "{experiment}: {jobs} jobs submitted to Slurm as {tasks} tasks, array{} {}{before}",
                if ids.len() == 1 { "" } else { "s" },
                ids.join(", ")
            )?;
            writeln!(
                out,
                "`runner status {experiment}` follows them, `runner cancel {experiment}` ends them; once they are done, the \
                 same command makes the tables"
            )?;
        }
    }
    Ok(())
}
