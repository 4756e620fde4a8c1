//! `runner status`: what is finished, failed, skipped, missing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use rayon::prelude::*;
use serde_json::json;

use super::CliError;
use super::args::{Format, Global, StatusArgs};
use super::{setup, watch};
use crate::result::{IndexEntry, Lock, Lookup, Status, Store};

/// Runs the command.
pub fn run(args: &StatusArgs, global: &Global) -> Result<(), CliError> {
    if args.follow {
        return watch::run(&args.experiment, global);
    }
    let store = setup::store_of(&args.experiment, global)?;
    let index = store.load_index()?;
    let running = Lock::is_held(&store.lock_path());
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut jobs = Vec::with_capacity(index.jobs.len());
    let mut seen = BTreeSet::new();
    // A job may stand at several places of the tables.
    let entries: Vec<&IndexEntry> = index
        .jobs
        .iter()
        .filter(|entry| seen.insert(&entry.job))
        .collect();
    let states: Vec<_> = entries.par_iter().map(|entry| state(&store, entry)).collect();
    for (entry, (state, error)) in entries.into_iter().zip(states) {
        *counts.entry(state).or_default() += 1;
        jobs.push((&entry.job, state, error));
    }
    let mut out = std::io::stdout().lock();
    let json = |(job, state, error): &(&String, &str, Option<String>)| json!({ "job": job, "status": state, "error": error });
    match args.format {
        Format::Json => {
            let jobs: Vec<_> = jobs.iter().map(json).collect();
            let document =
                json!({ "experiment": index.experiment, "running": running, "counts": counts, "jobs": jobs });
            writeln!(out, "{document:#}")?;
        }
        Format::Jsonl => {
            for job in &jobs {
                writeln!(out, "{}", json(job))?;
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
    Ok(())
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
