//! Which jobs run, and why: the plan against the records on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use rayon::prelude::*;

use crate::checkpoint;
use crate::job::place;
use crate::plan::key::differences;
use crate::plan::{Filter, JobSpec, Plan};
use crate::result::{Known, Lookup, Place, Record, Status, Store, StoreError};

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
    /// A newer version of this program wrote the record.
    Newer(String),
    /// A job that will run needs its checkpoint, which is gone or damaged.
    CheckpointLost,
    /// What it answered on the test examples is needed, and damaged.
    PredictionsLost,
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
            Self::Corrupt(why) | Self::Newer(why) => write!(f, "record unusable: {why}"),
            Self::CheckpointLost => f.write_str("its checkpoint is needed and missing or damaged"),
            Self::PredictionsLost => f.write_str("its predictions are needed and damaged"),
            Self::Forced => f.write_str("forced"),
        }
    }
}

/// What to do with one job.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Whether the user asked for it.
    pub selected: bool,
    /// Whether it runs.
    pub run: bool,
    /// Why.
    pub reason: Reason,
    /// The job under whose name there is a record of its success: its own, or that of an earlier manifest.
    pub recorded_as: Option<String>,
    /// What the ledger says of that record, where it was found to be true.
    pub known: Option<Known>,
    /// Whether that record says another name, label or place on the axes than the plan, or was set aside; [`adopt`]
    /// corrects it.
    pub moved: bool,
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
    /// Whether tables need what the jobs answered on the test examples. Where that is not kept the jobs stay as they are;
    /// where it is damaged they run again.
    pub predictions: bool,
}

/// Decides for every job, in the plan's order. Reads and checks all records of the plan; writes nothing.
pub fn decide(plan: &Plan, store: &Store, selection: &Selection) -> Vec<Decision> {
    // Only jobs without a record of their own name need it.
    let earlier = OnceLock::new();
    let earlier = || earlier.get_or_init(|| Earlier::read(store));
    let found: Vec<Found> = plan
        .jobs
        .par_iter()
        .map(|job| look(store, &earlier, job))
        .collect();
    let mut selected = 0;
    let mut decisions: Vec<Decision> = Vec::with_capacity(plan.jobs.len());
    for (job, found) in plan.jobs.iter().zip(&found) {
        let mut chosen = selection.filters.is_empty() || selection.filters.iter().any(|f| f.matches(job));
        if let (true, Some(slice)) = (chosen, selection.slice) {
            chosen = selected % slice.of == slice.part - 1;
            selected += 1;
        }
        if selection.only_unfinished {
            chosen &= matches!(found.reason, Reason::Unfinished(_));
        }
        let forced = chosen && selection.force.iter().any(|f| f.matches(job));
        let reason = match &found.reason {
            _ if forced => Reason::Forced,
            Reason::Cached if chosen && selection.predictions && damaged(store, &job.name) => {
                Reason::PredictionsLost
            }
            Reason::Cached => Reason::Cached,
            _ if !chosen => Reason::NotSelected,
            other => other.clone(),
        };
        decisions.push(Decision {
            selected: chosen,
            run: !matches!(reason, Reason::Cached | Reason::NotSelected),
            reason,
            recorded_as: found.success.as_ref().map(|success| success.job.clone()),
            known: found.success.as_ref().and_then(|success| success.known.clone()),
            moved: found.success.as_ref().is_some_and(|success| success.moved),
        });
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
            if found[need].has_checkpoint(store, &plan.jobs[need].name) {
                sound.insert(need);
                continue;
            }
            decisions[need].run = true;
            decisions[need].reason = match &found[need].reason {
                Reason::Cached => Reason::CheckpointLost,
                other => other.clone(),
            };
        }
    }
    decisions
}

/// Brings records that were made under another name or label up to the plan's: a job is known by its key, so renaming
/// an axis or a row, or adding a value to what was none, computes nothing anew.
pub fn adopt(plan: &Plan, store: &Store, decisions: &[Decision]) -> Result<(), StoreError> {
    for (job, decision) in plan.jobs.iter().zip(decisions) {
        let Some(old) = decision
            .recorded_as
            .as_deref()
            .filter(|_| decision.moved && !decision.run)
        else {
            continue;
        };
        let old_record = store.load(old)?;
        let place = current(&old_record, job);
        let record = Record {
            job: job.name.clone(),
            axes: place.axes,
            label: place.label,
            parts: place.parts,
            models: place.models,
            ..old_record
        };
        store.rename(old, record)?;
    }
    Ok(())
}

/// The job's place, with the record's word for the order of its models, and for which they are where accuracy decided
/// that.
fn current(record: &Record, job: &JobSpec) -> Place {
    let mut place = place(job);
    let sorted = |models: &[String]| {
        let mut models = models.to_vec();
        models.sort_unstable();
        models
    };
    if !job.knows_models() || sorted(&place.models) == sorted(&record.models) {
        place.models.clone_from(&record.models);
    }
    place
}

fn damaged(store: &Store, job: &str) -> bool {
    store.predictions_path(job).exists() && store.load_predictions(job).is_none()
}

/// What the disk says about one job.
struct Found {
    reason: Reason,
    success: Option<Success>,
}

/// A sound record of a success.
struct Success {
    /// The name it has there.
    job: String,
    /// Whether it says another name, label or place on the axes than the plan.
    moved: bool,
    known: Option<Known>,
}

impl Success {
    fn of(store: &Store, record: &Record, job: &JobSpec) -> Self {
        let moved = record.job != job.name
            || Place::from(record) != current(record, job)
            || !store.record_path(&record.job).exists();
        Self {
            job: record.job.clone(),
            moved,
            known: None,
        }
    }
}

impl Found {
    /// Whether its checkpoint is there and is the one the record speaks of.
    fn has_checkpoint(&self, store: &Store, name: &str) -> bool {
        let Some(record) = self
            .success
            .as_ref()
            .and_then(|success| store.load(&success.job).ok())
        else {
            return false;
        };
        let hash = record.diagnostics["checkpoint"]["blake3"].as_str();
        // Under the new name where adopting the record was interrupted.
        let paths = [store.checkpoint_path(&record.job), store.checkpoint_path(name)];
        hash.is_some() && paths.iter().any(|path| checkpoint::load(path, hash).is_ok())
    }
}

fn look<'a>(store: &Store, earlier: &dyn Fn() -> &'a Earlier, job: &JobSpec) -> Found {
    let of = |status: Status, success: &dyn Fn() -> Success| match status {
        Status::Ok => Found {
            reason: Reason::Cached,
            success: Some(success()),
        },
        status => Found {
            reason: Reason::Unfinished(status),
            success: None,
        },
    };
    // The same file as when it was last read and checked, at the same place in the plan: nothing more to know.
    if let Some(known) = store.recall(&job.name, &job.key)
        && known.place == place(job).digest()
    {
        return of(known.status, &|| Success {
            job: job.name.clone(),
            moved: false,
            known: Some(known.clone()),
        });
    }
    let reason = match store.lookup(&job.name, &job.key) {
        Lookup::Found(record) => return of(record.status, &|| Success::of(store, &record, job)),
        Lookup::Corrupt(error) => match error {
            StoreError::Schema { found, expected, .. } if found > u64::from(expected) => {
                Reason::Newer(error.to_string())
            }
            _ => Reason::Corrupt(error.to_string()),
        },
        Lookup::Missing => match earlier().same_key(store, job) {
            Some(record) => return of(record.status, &|| Success::of(store, &record, job)),
            None => earlier().changed(store, job),
        },
    };
    Found {
        reason,
        success: None,
    }
}

/// Digits of the key in the names of versions before 0.2; later ones have more.
const DIGITS: usize = 8;

/// What names of records are looked up by: the first digits of the key, or all there is.
fn digits(hash: &str) -> &str {
    hash.get(..DIGITS).unwrap_or(hash)
}

/// Names of the records on disk, for jobs that have none under their own name.
struct Earlier {
    /// By what stands before the digits of the key.
    by_stem: BTreeMap<String, BTreeSet<String>>,
    /// By the first [`DIGITS`] of them.
    by_hash: BTreeMap<String, BTreeSet<String>>,
}

impl Earlier {
    fn read(store: &Store) -> Self {
        let mut earlier = Self {
            by_stem: BTreeMap::new(),
            by_hash: BTreeMap::new(),
        };
        for name in store.recorded().into_iter().chain(store.retired()) {
            if let Some((stem, hash)) = name.rsplit_once('-') {
                let (stem, hash) = (stem.to_string(), digits(hash).to_string());
                earlier.by_stem.entry(stem).or_default().insert(name.clone());
                earlier.by_hash.entry(hash).or_default().insert(name);
            }
        }
        earlier
    }

    /// A record of the same job under another name.
    fn same_key(&self, store: &Store, job: &JobSpec) -> Option<Box<Record>> {
        let (_, hash) = job.name.rsplit_once('-')?;
        let names = self.by_hash.get(digits(hash)).into_iter().flatten();
        names
            .filter(|name| **name != job.name)
            .find_map(|name| match store.lookup(name, &job.key) {
                Lookup::Found(record) => Some(record),
                _ => None,
            })
    }

    /// Why there is no record: never made, or made for other settings.
    fn changed(&self, store: &Store, job: &JobSpec) -> Reason {
        let stem = job.name.rsplit_once('-').map_or("", |(stem, _)| stem);
        let old = self
            .by_stem
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
}
