//! Which jobs run, and why: the plan against the records on disk.

use std::collections::{BTreeMap, BTreeSet};

use crate::checkpoint;
use crate::plan::key::differences;
use crate::plan::{Filter, Plan};
use crate::result::{Lookup, Record, Status, Store};

/// Why a job runs, or does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It has a sound record.
    Cached,
    /// It was not asked for.
    NotSelected,
    /// There is no record.
    New,
    /// There is a record of other settings or inputs.
    Changed(Vec<String>),
    /// It failed, or was skipped, before.
    Unfinished(Status),
    /// The record cannot be trusted.
    Corrupt(String),
    /// A job that will run needs its checkpoint, which is gone or damaged.
    CheckpointLost,
    /// The user wants it.
    Forced,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cached => f.write_str("up to date"),
            Self::NotSelected => f.write_str("not selected"),
            Self::New => f.write_str("no record yet"),
            Self::Changed(what) => write!(f, "changed: {}", what.join("; ")),
            Self::Unfinished(status) => write!(f, "{} before", status.as_str()),
            Self::Corrupt(why) => write!(f, "record unusable: {why}"),
            Self::CheckpointLost => f.write_str("its checkpoint is needed and missing or damaged"),
            Self::Forced => f.write_str("forced"),
        }
    }
}

/// What to do with one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether it runs.
    pub run: bool,
    /// Why.
    pub reason: Reason,
}

/// Every n-th of the selected jobs, starting with the m-th.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// From 1.
    pub part: usize,
    /// Number of slices.
    pub of: usize,
}

/// What the user asked for.
#[derive(Debug, Default)]
pub struct Selection {
    /// A job has to pass one of them; none means all jobs.
    pub filters: Vec<Filter>,
    /// A share of the jobs.
    pub slice: Option<Slice>,
    /// Only jobs that failed, or were skipped, before.
    pub only_unfinished: bool,
    /// Jobs to run although they have a record.
    pub force: Vec<Filter>,
}

/// Decides for every job, in the plan's order. Reads all records of the plan; writes nothing.
pub fn decide(plan: &Plan, store: &Store, selection: &Selection) -> Vec<Decision> {
    let earlier = earlier_names(store);
    let mut selected = 0;
    let mut decisions: Vec<Decision> = Vec::with_capacity(plan.jobs.len());
    let mut records: Vec<Option<Box<Record>>> = Vec::with_capacity(plan.jobs.len());
    for job in &plan.jobs {
        let (reason, record) = match store.lookup(&job.name, &job.key) {
            Lookup::Found(record) if record.status == Status::Ok => (Reason::Cached, Some(record)),
            Lookup::Found(record) => (Reason::Unfinished(record.status), None),
            Lookup::Corrupt(error) => (Reason::Corrupt(error.to_string()), None),
            Lookup::Missing => (missing(store, &earlier, job), None),
        };
        let mut chosen = selection.filters.is_empty() || selection.filters.iter().any(|f| f.matches(job));
        if let (true, Some(slice)) = (chosen, selection.slice) {
            chosen = selected % slice.of == slice.part - 1;
            selected += 1;
        }
        if selection.only_unfinished {
            chosen &= matches!(reason, Reason::Unfinished(_));
        }
        let forced = chosen && selection.force.iter().any(|f| f.matches(job));
        let reason = match reason {
            _ if forced => Reason::Forced,
            Reason::Cached => Reason::Cached,
            _ if !chosen => Reason::NotSelected,
            other => other,
        };
        let run = !matches!(reason, Reason::Cached | Reason::NotSelected);
        decisions.push(Decision { run, reason });
        records.push(record);
    }
    // Looking at a checkpoint once is enough for all that need it.
    let mut sound: BTreeSet<usize> = BTreeSet::new();
    // Backwards, so that what a needed job needs is seen too: jobs come after those they need.
    for job in (0..plan.jobs.len()).rev() {
        if !decisions[job].run {
            continue;
        }
        for &need in &plan.needs[job] {
            if decisions[need].run || sound.contains(&need) {
                continue;
            }
            let name = &plan.jobs[need].name;
            let is_sound = records[need].as_ref().is_some_and(|record| {
                let hash = record.diagnostics["checkpoint"]["blake3"].as_str();
                hash.is_some() && checkpoint::load(&store.checkpoint_path(name), hash).is_ok()
            });
            if is_sound {
                sound.insert(need);
                continue;
            }
            let reason = match decisions[need].reason {
                Reason::Cached => Reason::CheckpointLost,
                _ => missing(store, &earlier, &plan.jobs[need]),
            };
            decisions[need] = Decision { run: true, reason };
        }
    }
    decisions
}

/// Record names on disk, by what stands before the short hash.
fn earlier_names(store: &Store) -> BTreeMap<String, BTreeSet<String>> {
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in std::fs::read_dir(store.records()).into_iter().flatten().flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        if let Some((stem, hash)) = file.strip_suffix(".json").and_then(|name| name.rsplit_once('-')) {
            names
                .entry(stem.to_string())
                .or_default()
                .insert(format!("{stem}-{hash}"));
        }
    }
    names
}

/// Why there is no record: never made, or made for other settings.
fn missing(
    store: &Store,
    earlier: &BTreeMap<String, BTreeSet<String>>,
    job: &crate::plan::JobSpec,
) -> Reason {
    let stem = job.name.rsplit_once('-').map_or("", |(stem, _)| stem);
    let old = earlier
        .get(stem)
        .into_iter()
        .flatten()
        .find_map(|name| store.load(name).ok());
    let Some(old) = old else { return Reason::New };
    let mut changes = differences(&old.settings, &job.identity_settings());
    for input in &job.inputs {
        if changes.is_empty() && !old.inputs.contains(input) {
            changes.push(format!("input `{}`", input.role));
        }
    }
    if changes.is_empty() {
        changes.push("the method's version, or the kind of device".to_string());
    }
    Reason::Changed(changes)
}
