//! From jobs to arrays in Slurm's queue.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use super::command;
use super::queue::{JobState, Queue};
use super::script::Script;
use super::submission::{After, Array, Folder, Member, Setting, Submission, Task};
use super::{SlurmError, Stage, stages};
use crate::manifest::{ResourceSettings, SlurmSettings};
use crate::plan::{JobSpec, Plan};
use crate::process::Process;
use crate::result::Store;
use crate::schedule::Seen;

/// What a task takes where earlier results tell how long its jobs take.
const TASK: Duration = Duration::from_mins(10);
/// What a task takes at most where only a limit is known.
const TASK_BY_LIMIT: Duration = Duration::from_hours(1);
/// How long before the time limit a task is told, at most.
const WARN: Duration = Duration::from_mins(2);
/// What a task has beside its jobs' limits, for starting and loading.
const START: Duration = Duration::from_mins(1);

/// What is to be submitted.
#[derive(Debug)]
pub struct Order<'a> {
    /// The experiment's name.
    pub experiment: &'a str,
    /// Its jobs.
    pub plan: &'a Plan,
    /// Those to submit.
    pub todo: &'a BTreeSet<usize>,
    /// The records there are of some of them.
    pub before: &'a BTreeMap<usize, Seen>,
    /// How long jobs take by earlier results.
    pub durations: &'a BTreeMap<usize, Duration>,
    /// How.
    pub slurm: &'a SlurmSettings,
    /// What each job needs.
    pub resources: &'a ResourceSettings,
    /// What they run with; the time of the warning is filled in.
    pub setting: Setting,
    /// This program.
    pub program: &'a Path,
    /// Whether it logs JSON.
    pub json_logs: bool,
    /// Where it runs.
    pub directory: &'a Path,
    /// The time now, for people.
    pub now: String,
}

/// An array that Slurm has taken.
#[derive(Debug)]
pub struct Submitted {
    /// Its job id.
    pub id: String,
    /// How many tasks it has.
    pub tasks: usize,
    /// How many jobs they have.
    pub jobs: usize,
}

/// What became of a submission.
#[derive(Debug)]
pub struct Outcome {
    /// The arrays that were taken, in order.
    pub arrays: Vec<Submitted>,
    /// Why there are no more of them.
    pub refused: Option<SlurmError>,
}

/// Submits. The description is on disk before Slurm is asked for anything, and each array has a name of its own: whatever
/// ends this process, the next one finds what was submitted.
///
/// # Errors
/// Files that cannot be written. What Slurm refuses is part of the outcome; what was taken before goes on.
pub fn submit(store: &Store, queue: &Queue, order: &Order) -> Result<Outcome, SlurmError> {
    let time = order.slurm.time();
    let share = |job: usize| order.share(job, time);
    let stages = stages(order.todo, &order.plan.needs, &share);
    let time = time.or_else(|| order.time_of(&stages));
    let warn = order.slurm.warn().unwrap_or(match time {
        Some(time) => WARN.min(time / 4),
        None => WARN,
    });
    let setting = Setting {
        warn,
        ..order.setting.clone()
    };
    let host = Process::current().host.clone();
    let mut submission = Submission::new(Process::unique(), host, order.now.clone(), setting);
    let live: BTreeMap<&str, JobState> = queue
        .jobs()
        .into_iter()
        .filter(|(_, job)| job.state.is_live() && !job.cancelled)
        .collect();
    submission.arrays = order.arrays(&stages, &submission.id, &live, command::max_array_size());

    let folder = Folder::create(store, &submission)?;
    let script = Script {
        slurm: order.slurm,
        resources: order.resources,
        time,
        warn,
        folder: &folder,
        token: &submission.id,
        experiment: order.experiment,
        program: order.program,
        json_logs: order.json_logs,
        directory: order.directory,
    };
    order.save_jobs(&folder, &submission)?;
    store.settle()?;
    let mut outcome = Outcome {
        arrays: Vec::new(),
        refused: None,
    };
    for (number, array) in submission.arrays.iter().enumerate() {
        let ids: Vec<&str> = outcome.arrays.iter().map(|array| array.id.as_str()).collect();
        let dependency = dependency(&array.after, &ids, submission.setting.fail_fast);
        let text = script.text(number, array, dependency.as_deref());
        crate::result::write_atomic(&folder.script(number), text.as_bytes())?;
        match command::sbatch(&folder.script(number)) {
            Ok(id) => {
                folder.save_id(number, &id)?;
                outcome.arrays.push(Submitted {
                    id,
                    tasks: array.tasks.len(),
                    jobs: array.tasks.iter().map(|task| task.jobs.len()).sum(),
                });
            }
            Err(error) => {
                outcome.refused = Some(error);
                break;
            }
        }
    }
    if submission.setting.notify.is_some() && outcome.refused.is_none() {
        let ids: Vec<&str> = outcome.arrays.iter().map(|array| array.id.as_str()).collect();
        let name = format!("{}.{}.ended", order.experiment, submission.id);
        let text = script.end(&name, &format!("afterany:{}", ids.join(":")));
        crate::result::write_atomic(&folder.end_script(), text.as_bytes())?;
        outcome.refused = command::sbatch(&folder.end_script()).err();
    }
    if outcome.arrays.is_empty() {
        folder.remove();
    }
    Ok(outcome)
}

impl Order<'_> {
    /// The part of a task that a job fills.
    fn share(&self, job: usize, time: Option<Duration>) -> f64 {
        if let Some(pack) = self.slurm.pack {
            return 1.0 / pack as f64;
        }
        // Time for starting, and for jobs that take longer than others did.
        let within = |most: Duration| time.map_or(most, |time| most.min(time * 3 / 4)).as_secs_f64();
        if let Some(duration) = self.durations.get(&job) {
            return duration.as_secs_f64() / within(TASK);
        }
        match self.resources.timeout() {
            Some(timeout) => timeout.as_secs_f64() / within(TASK_BY_LIMIT),
            None => 1.0,
        }
    }

    /// The time limit of a task, where jobs have one.
    fn time_of(&self, stages: &[Stage]) -> Option<Duration> {
        let tasks = stages.iter().flat_map(|stage| stage.tasks.values());
        let longest = tasks.map(Vec::len).max().unwrap_or(1) as u32;
        let tries = 1 + self.setting.retries as u32;
        Some(self.resources.timeout()? * longest * tries + START)
    }

    /// The arrays of all stages, none with more tasks than Slurm allows.
    fn arrays(&self, stages: &[Stage], id: &str, live: &BTreeMap<&str, JobState>, most: usize) -> Vec<Array> {
        let mut arrays: Vec<Array> = Vec::new();
        // By stage: the arrays' positions, and which piece of the stage's numbers each of them is.
        let mut before: Vec<(usize, usize)> = Vec::new();
        for stage in stages {
            let mut pieces: BTreeMap<usize, Vec<Task>> = BTreeMap::new();
            for (number, jobs) in &stage.tasks {
                pieces.entry(number / most).or_default().push(Task {
                    number: number % most,
                    jobs: jobs.iter().map(|&job| self.member(job)).collect(),
                });
            }
            let mut these = Vec::new();
            for (piece, tasks) in pieces {
                let after = before
                    .iter()
                    .filter(|(earlier, _)| !stage.corresponds || *earlier == piece)
                    .map(|&(_, array)| array);
                let after = After {
                    arrays: after.collect(),
                    corresponding: stage.corresponds,
                    others: self.others(&tasks, live),
                };
                these.push((piece, arrays.len()));
                arrays.push(Array {
                    name: format!("{}.{id}.{}", self.experiment, arrays.len()),
                    tasks,
                    after,
                });
            }
            before = these;
        }
        arrays
    }

    fn member(&self, job: usize) -> Member {
        Member {
            job: self.plan.jobs[job].name.clone(),
            before: self.before.get(&job).map(|hash| hash.to_hex().to_string()),
        }
    }

    /// The arrays of other submissions that make what these tasks need.
    fn others(&self, tasks: &[Task], live: &BTreeMap<&str, JobState>) -> Vec<String> {
        if live.is_empty() {
            return Vec::new();
        }
        let names: BTreeSet<&str> = tasks
            .iter()
            .flat_map(|task| task.jobs.iter().map(|member| member.job.as_str()))
            .collect();
        let jobs = self
            .plan
            .jobs
            .iter()
            .filter(|job| names.contains(job.name.as_str()));
        let arrays: BTreeSet<String> = jobs
            .flat_map(|job| &job.needs)
            .filter_map(|need| live.get(need.job.as_str())?.array.clone())
            .collect();
        arrays.into_iter().collect()
    }

    fn save_jobs(&self, folder: &Folder, submission: &Submission) -> Result<(), SlurmError> {
        let specs: BTreeMap<&str, &JobSpec> = self
            .todo
            .iter()
            .map(|&job| (self.plan.jobs[job].name.as_str(), &*self.plan.jobs[job]))
            .collect();
        for (number, array) in submission.arrays.iter().enumerate() {
            for task in &array.tasks {
                let jobs: Vec<&JobSpec> = task
                    .jobs
                    .iter()
                    .filter_map(|member| specs.get(member.job.as_str()).copied())
                    .collect();
                folder.save_jobs(number, task.number, &jobs)?;
            }
        }
        Ok(())
    }
}

/// What an array waits for, in Slurm's words.
///
/// A failed job is a record, not a failure of its task: what depends on it is skipped, and the rest goes on. So tasks
/// wait for the end of others (`afterany`), and look at the records themselves; `afterok` would let one task that was
/// killed take everything after it along, which is what `--fail-fast` asks for. Where tasks correspond, only that of the
/// same number is waited for, and its failure concerns no other (`aftercorr`).
fn dependency(after: &After, ids: &[&str], fail_fast: bool) -> Option<String> {
    let mut terms = Vec::new();
    let own: Vec<&str> = after.arrays.iter().map(|&array| ids[array]).collect();
    if !own.is_empty() {
        let kind = match (after.corresponding, fail_fast) {
            (true, false) => "aftercorr",
            (false, false) => "afterany",
            (_, true) => "afterok",
        };
        terms.push(format!("{kind}:{}", own.join(":")));
    }
    if !after.others.is_empty() {
        terms.push(format!("afterany:{}", after.others.join(":")));
    }
    (!terms.is_empty()).then(|| terms.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for() {
        let after = |arrays: &[usize], corresponding, others: &[&str]| After {
            arrays: arrays.to_vec(),
            corresponding,
            others: others.iter().map(ToString::to_string).collect(),
        };
        let ids = ["10", "11"];
        assert_eq!(dependency(&after(&[], true, &[]), &ids, false), None);
        assert_eq!(
            dependency(&after(&[1], true, &[]), &ids, false).as_deref(),
            Some("aftercorr:11")
        );
        assert_eq!(
            dependency(&after(&[0, 1], false, &["7"]), &ids, false).as_deref(),
            Some("afterany:10:11,afterany:7")
        );
        assert_eq!(
            dependency(&after(&[0, 1], false, &[]), &ids, true).as_deref(),
            Some("afterok:10:11")
        );
    }
}
