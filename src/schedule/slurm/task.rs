//! One task of an array: its jobs one after the other, on the node Slurm gave it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use super::command;
use super::submission::{Folder, Submission};
use super::{GRACE_SHARE, SlurmError};
use crate::event::Event;
use crate::job::{ended, saved_states, skipped};
use crate::plan::{JobSpec, Plan};
use crate::result::{Claims, Lookup, Provenance, Status, Store};
use crate::schedule::{Claiming, Costs, Executor, Halt, Options, Outcome, Seen, dispatch};

/// How long a failed job waits before it is tried again for the first time.
const BACKOFF: Duration = Duration::from_secs(1);
/// How much earlier than asked for the warning before a time limit may come.
const SLACK: Duration = Duration::from_secs(90);

/// A task, read and checked.
#[derive(Debug)]
pub struct TaskRun {
    folder: Folder,
    /// The submission it belongs to.
    pub submission: Submission,
    plan: Plan,
    before: BTreeMap<usize, Seen>,
}

/// What became of a task.
#[derive(Debug)]
pub struct Report {
    /// Of the jobs that could run.
    pub outcome: Outcome,
    /// Jobs that could not, because one they need has no record: its task was killed, or is yet to run.
    pub unmet: Vec<(String, String)>,
    /// Jobs that were running when the task was stopped.
    running: BTreeSet<usize>,
    /// Whether anything was kept that another try goes on from.
    progressed: bool,
}

/// What a task that was stopped does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It was queued again, and goes on from where it was.
    Queued,
    /// It has ended; what it did not do is missing.
    Ended,
}

impl TaskRun {
    /// Reads the jobs of a task, on its node.
    ///
    /// # Errors
    /// A folder that this node does not see, or sees another content of.
    pub fn read(folder: Folder, array: usize, number: usize) -> Result<Self, SlurmError> {
        let submission = match folder.load() {
            Ok(submission) => submission,
            Err(_) if !folder.token().exists() => {
                return Err(SlurmError::NotShared { path: folder.token() });
            }
            Err(error) => return Err(error),
        };
        let specs = folder.jobs(array, number)?;
        let members = submission
            .arrays
            .get(array)
            .and_then(|array| array.tasks.iter().find(|task| task.number == number))
            .map(|task| task.jobs.as_slice())
            .unwrap_or_default();
        let before: BTreeMap<&str, Seen> = members
            .iter()
            .filter_map(|member| Some((member.job.as_str(), Seen::from_hex(member.before.as_ref()?).ok()?)))
            .collect();
        let before = specs
            .iter()
            .enumerate()
            .filter_map(|(position, spec)| Some((position, *before.get(spec.name.as_str())?)))
            .collect();
        Ok(Self {
            plan: plan(specs),
            folder,
            submission,
            before,
        })
    }

    /// How many jobs it has.
    pub fn len(&self) -> usize {
        self.plan.jobs.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.plan.jobs.is_empty()
    }

    /// Notes on disk that it has begun.
    pub fn begin(&self, array: usize, number: usize, by: &str) -> Result<(), SlurmError> {
        Ok(self.folder.save_started(array, number, by)?)
    }

    /// Runs its jobs. Those that an earlier try of the task has done, or anybody else, are not run again.
    pub fn run(
        &self,
        executor: impl Executor,
        claims: Arc<Claims>,
        store: &Store,
        provenance: &Provenance,
        stop: &AtomicBool,
        on_event: &mut dyn FnMut(&Event),
    ) -> Result<Report, SlurmError> {
        let (todo, unmet) = self.sort_out(store, provenance)?;
        let mut executor = Claiming::new(executor, claims, store, self.before.clone());
        let setting = &self.submission.setting;
        let options = Options {
            max_fail: setting.fail_fast.then_some(1),
            retries: setting.retries,
            backoff: BACKOFF,
            costs: &Costs::default(),
            stop,
            grace: setting.warn.mul_f64(GRACE_SHARE),
            store,
            provenance,
        };
        let names: BTreeMap<&str, usize> = self
            .plan
            .jobs
            .iter()
            .enumerate()
            .map(|(position, job)| (job.name.as_str(), position))
            .collect();
        // Of the jobs that run here; those that others run, or have run, report nothing on their way.
        let mut running: BTreeMap<usize, Vec<(PathBuf, SystemTime)>> = BTreeMap::new();
        let mut progressed = false;
        let outcome = dispatch(&self.plan, &todo, &mut executor, &options, &mut |event| {
            match &event {
                Event::Job { job, .. } => {
                    if let Some(&position) = names.get(job.as_str()) {
                        running
                            .entry(position)
                            .or_insert_with(|| saved_states(store, &self.plan.jobs[position]));
                    }
                }
                Event::Finished { job, .. } => {
                    let position = names.get(job.as_str());
                    progressed |= position.is_some_and(|position| running.remove(position).is_some());
                }
                Event::Started { .. } => {}
            }
            on_event(&event);
        });
        for (&position, before) in &running {
            let now = saved_states(store, &self.plan.jobs[position]);
            progressed |= !now.is_empty() && now != *before;
        }
        Ok(Report {
            outcome,
            unmet,
            running: running.into_keys().collect(),
            progressed,
        })
    }

    /// After a signal: queues the task again where its time is running out. The job that gets nowhere within the limit is
    /// recorded as failed, so that it does not come again for ever and those after it get their turn.
    pub fn after_signal(
        &self,
        report: &Report,
        slurm_job: Option<&str>,
        store: &Store,
        provenance: &Provenance,
    ) -> Result<Next, SlurmError> {
        let Some(id) = slurm_job.filter(|_| matches!(report.outcome.halt, Some(Halt::Interrupted))) else {
            return Ok(Next::Ended);
        };
        // A task that was cancelled, or that is preempted and queued again by Slurm, is completing by now.
        let (state, left) = command::state(id)?;
        if self.folder.is_cancelled() || !matches!(state.as_str(), "RUNNING" | "SIGNALING") {
            return Ok(Next::Ended);
        }
        // Slurm may be a minute early. With more time left than that, it was no time limit but a preemption.
        let is_limit = left.is_some_and(|left| left <= self.submission.setting.warn + SLACK);
        if !report.progressed && is_limit {
            for &position in &report.running {
                let text = "the time limit of the Slurm task was reached before anything of the job was done that could be kept";
                let hint = "raise `slurm.time`, or let trainings save their state more often with `resources.checkpoint`";
                let record = ended(&self.plan.jobs[position], text, Some(hint), provenance);
                store.save(record)?;
            }
        }
        command::requeue(id)?;
        Ok(Next::Queued)
    }

    /// The jobs that can run. Those that need a job that failed are skipped; those that need one without a record wait
    /// for another submission.
    fn sort_out(
        &self,
        store: &Store,
        provenance: &Provenance,
    ) -> Result<(BTreeSet<usize>, Vec<Unmet>), SlurmError> {
        let mut todo = BTreeSet::new();
        let mut unmet: Vec<Unmet> = Vec::new();
        let mut out: BTreeSet<&str> = BTreeSet::new();
        for (position, job) in self.plan.jobs.iter().enumerate() {
            let inside: BTreeSet<&str> = self.plan.needs[position]
                .iter()
                .map(|&need| self.plan.jobs[need].name.as_str())
                .collect();
            let mut runs = true;
            for need in &job.needs {
                if inside.contains(need.job.as_str()) && !out.contains(need.job.as_str()) {
                    continue;
                }
                match store.lookup(&need.job, &need.key) {
                    Lookup::Found(record) if record.status == Status::Ok => continue,
                    Lookup::Found(_) => {
                        store.save(skipped(job, &need.job, provenance)?)?;
                    }
                    Lookup::Missing | Lookup::Corrupt(_) => {
                        unmet.push((job.name.clone(), need.job.clone()));
                    }
                }
                runs = false;
                break;
            }
            if runs {
                todo.insert(position);
            } else {
                out.insert(&job.name);
            }
        }
        Ok((todo, unmet))
    }
}

/// A job, and one it needs that has no record.
type Unmet = (String, String);

/// The jobs of a task as a plan: what they need is known by name, inside the task.
fn plan(specs: Vec<JobSpec>) -> Plan {
    let positions: BTreeMap<String, usize> = specs
        .iter()
        .enumerate()
        .map(|(position, spec)| (spec.name.clone(), position))
        .collect();
    let needs = specs
        .iter()
        .map(|spec| {
            let inside = spec
                .needs
                .iter()
                .filter_map(|need| positions.get(&need.job).copied());
            inside.collect()
        })
        .collect();
    Plan {
        jobs: specs.into_iter().map(Arc::new).collect(),
        needs,
    }
}
