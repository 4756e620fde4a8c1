//! `runner status`: what is finished, failed, skipped, missing.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use rayon::prelude::*;
use serde_json::json;

use super::CliError;
use super::args::{Format, Global, StatusArgs};
use super::{output, setup, slurm, watch};
use crate::result::{Claims, IndexEntry, Lookup, Owner, Status, Store};
use crate::schedule::slurm::{JobState, Queue, TaskState, killed_for_memory};

/// Runs the command.
pub fn run(args: &StatusArgs, global: &Global) -> Result<(), CliError> {
    if args.follow {
        return watch::run(&args.experiment, global);
    }
    let store = setup::store_of(&args.experiment, global)?;
    let index = store.load_index()?;
    let claimed = Claims::owners(&store.claims());
    let running = Claims::is_worked_on(&store.claims());
    let mut queue = Queue::read(&store)?;
    let silent = queue.silent.take();
    let queued = queue.jobs();
    let killed = killed_for_memory(&queue, &store);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut jobs = Vec::with_capacity(index.jobs.len());
    let mut seen = BTreeSet::new();
    // A job may stand at several places of the tables.
    let entries: Vec<&IndexEntry> = index
        .jobs
        .iter()
        .filter(|entry| seen.insert(&entry.job))
        .collect();
    // After the queue: what a task ended with is there by then.
    let recorded = store.recorded();
    let states: Vec<_> = entries
        .par_iter()
        .map(|entry| match recorded.contains(&entry.job) {
            true => state(&store, entry),
            false => ("missing", None),
        })
        .collect();
    for (entry, (state, error)) in entries.into_iter().zip(states) {
        let (state, error) = match queued.get(entry.job.as_str()) {
            _ if state == Status::Ok.as_str() => (state, error),
            _ if let Some(end) = killed.get(&entry.job) => (Status::Failed.as_str(), Some(end.text())),
            job if claimed
                .get(&entry.job)
                .is_some_and(|owner| !has_ended(owner, job)) =>
            {
                ("running", None)
            }
            Some(job) => on_slurm(job, &store, &entry.job, &recorded, (state, error)),
            None => (state, error),
        };
        *counts.entry(state).or_default() += 1;
        jobs.push((&entry.job, state, error));
    }
    if let Some(error) = &silent {
        output::warning(format!("what is queued on Slurm is not known: {error}"));
    }
    let mut out = output::buffered();
    let json = |(job, state, error): &(&String, &str, Option<String>)| json!({ "job": job, "status": state, "error": error });
    match args.format {
        Format::Json => {
            let jobs: Vec<_> = jobs.iter().map(json).collect();
            let document =
                json!({ "experiment": index.experiment, "running": running, "counts": counts, "jobs": jobs });
            out.json(&document)?;
        }
        Format::Jsonl => {
            for job in &jobs {
                out.json_line(&json(job))?;
            }
        }
        Format::Human => {
            for (job, state, error) in &jobs {
                if *state != Status::Ok.as_str() {
                    let error = error
                        .as_deref()
                        .map(|error| format!("  ({error})"))
                        .unwrap_or_default();
                    writeln!(out, "{state:8} {job}{error}")?;
                }
            }
            let counts: Vec<String> = counts.iter().map(|(state, n)| format!("{n} {state}")).collect();
            let running = if running { "; an exec is running" } else { "" };
            writeln!(
                out,
                "{}: {} jobs: {}{running}",
                index.experiment,
                jobs.len(),
                counts.join(", ")
            )?;
        }
    }
    Ok(out.flush()?)
}

/// Whether the owner of a claim is a task of which Slurm says that it has ended.
fn has_ended(owner: &Owner, job: Option<&JobState>) -> bool {
    job.is_some_and(|job| {
        matches!(job.state, TaskState::Ended(_)) && owner.slurm.as_deref() == Some(job.task.as_str())
    })
}

/// The state of a job that was submitted and has no success on record: `before` is what the record says.
fn on_slurm(
    job: &JobState,
    store: &Store,
    name: &str,
    recorded: &HashSet<String>,
    before: (&'static str, Option<String>),
) -> (&'static str, Option<String>) {
    let task = &job.task;
    match &job.state {
        _ if job.cancelled => before,
        state if state.is_live() && !slurm::is_to_come(job, store, name, recorded) => before,
        TaskState::Waiting(reason) => ("waiting", Some(format!("Slurm job {task}: {reason}"))),
        TaskState::Running => ("waiting", Some(format!("Slurm job {task} is running"))),
        TaskState::Held(reason) => (
            "held",
            Some(format!(
                "Slurm job {task}: {reason}; `scontrol release {task}` lets it run"
            )),
        ),
        TaskState::Ended(_) | TaskState::Unknown if before.1.is_some() => before,
        TaskState::Ended(how) if !job.started && !how.starts_with("CANCELLED") => (
            "missing",
            Some(format!(
                "Slurm job {task} ended without having begun: {how}; does its node share this results folder?"
            )),
        ),
        TaskState::Ended(how) => ("missing", Some(format!("Slurm job {task} ended: {how}"))),
        TaskState::Unknown if !job.started && !task.is_empty() => (
            "missing",
            Some(format!(
                "Slurm job {task} is gone and never began; does its node share this results folder?"
            )),
        ),
        TaskState::Unknown => before,
    }
}

/// What is known of a job, and its error. Records that are as the ledger knows them, by size and time, are not read.
fn state(store: &Store, entry: &IndexEntry) -> (&'static str, Option<String>) {
    if store
        .glance(&entry.job, &entry.key)
        .is_some_and(|known| known.status == Status::Ok)
    {
        return (Status::Ok.as_str(), None);
    }
    match store.lookup(&entry.job, &entry.key) {
        Lookup::Found(record) => (
            record.status.as_str(),
            record.error.map(|error| error.chain.join(": ")),
        ),
        Lookup::Corrupt(error) => ("corrupt", Some(error.to_string())),
        Lookup::Missing => ("missing", None),
    }
}
