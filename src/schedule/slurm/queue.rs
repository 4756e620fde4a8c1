//! What is queued and running: the submissions on disk, and Slurm's word about their tasks.

use std::collections::{BTreeMap, BTreeSet};

use super::SlurmError;
use super::command::{self, Row};
use super::submission::{Folder, Member, Submission};
use crate::result::Store;

/// What Slurm says about a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskState {
    /// Queued; why it does not run yet.
    Waiting(String),
    /// Queued, and will not run unless somebody releases it.
    Held(String),
    /// Running, or about to end.
    Running,
    /// Ended, in Slurm's words. Nothing follows from it: the records tell which of its jobs are done.
    Ended(String),
    /// Slurm knows nothing of it, because it was never submitted or ended a while ago.
    Unknown,
}

impl TaskState {
    /// Whether its jobs are still to come.
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Waiting(_) | Self::Held(_) | Self::Running)
    }

    fn of(row: &Row) -> Self {
        let reason = row.reason.to_lowercase();
        match row.state.as_str() {
            "REQUEUE_HOLD" | "SPECIAL_EXIT" => Self::Held(row.reason.clone()),
            // `JobHeldUser`, `launch failed requeued held`.
            "PENDING" if reason.contains("held") => Self::Held(row.reason.clone()),
            "PENDING" | "REQUEUED" | "REQUEUE_FED" => Self::Waiting(row.reason.clone()),
            "RUNNING" | "CONFIGURING" | "COMPLETING" | "SUSPENDED" | "STOPPED" | "SIGNALING" | "RESIZING"
            | "STAGE_OUT" => Self::Running,
            state => Self::Ended(match row.reason.as_str() {
                "None" | "" => state.to_string(),
                reason => format!("{state}, {reason}"),
            }),
        }
    }
}

/// One submission and what Slurm says about it.
#[derive(Debug)]
pub struct Known {
    /// Where it is.
    pub folder: Folder,
    /// What it is.
    pub submission: Submission,
    /// Whether the user has cancelled it.
    pub cancelled: bool,
    /// The arrays' job ids.
    pub ids: Vec<Option<String>>,
    /// State by array and number of the task.
    pub(super) states: BTreeMap<(usize, usize), TaskState>,
    /// Array and number of the tasks that ever began.
    pub(super) started: BTreeSet<(usize, usize)>,
}

/// Where a job of a submission is.
#[derive(Debug, Clone)]
pub struct JobState {
    /// Its task's state.
    pub state: TaskState,
    /// Its array's job id, where there is one.
    pub array: Option<String>,
    /// Its task in Slurm's words, `12_3`; empty where it was never submitted.
    pub task: String,
    /// Hash of the record there was before.
    pub before: Option<String>,
    /// Whether the task ever began.
    pub started: bool,
    /// Whether the user has cancelled it.
    pub cancelled: bool,
}

/// All submissions of a results folder.
#[derive(Debug, Default)]
pub struct Queue {
    /// Oldest first.
    pub submissions: Vec<Known>,
    /// Why Slurm could not be asked; every task is then [`TaskState::Unknown`].
    pub silent: Option<SlurmError>,
}

impl Queue {
    /// Reads the submissions and asks Slurm about them, unless there are none.
    pub fn read(store: &Store) -> Result<Self, SlurmError> {
        let all = Folder::all(store)?;
        if all.is_empty() {
            return Ok(Self::default());
        }
        let names: Vec<String> = all
            .iter()
            .flat_map(|(_, submission)| submission.arrays.iter().map(|array| array.name.clone()))
            .collect();
        let users: Option<BTreeSet<u32>> = all.iter().map(|(_, submission)| submission.user).collect();
        let (rows, silent) = match command::squeue(&names, users.as_ref()) {
            Ok(rows) => (rows, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let mut by_name: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
        for row in &rows {
            by_name.entry(&row.name).or_default().push(row);
        }
        let mut submissions = Vec::with_capacity(all.len());
        for (folder, submission) in all {
            submissions.push(Known::of(folder, submission, &by_name)?);
        }
        Ok(Self { submissions, silent })
    }

    /// Where each job is, by name; of several submissions of a job the one that is live, or else the last.
    pub fn jobs(&self) -> BTreeMap<&str, JobState> {
        let mut jobs: BTreeMap<&str, JobState> = BTreeMap::new();
        for known in &self.submissions {
            for (member, state) in known.jobs() {
                let better = jobs
                    .get(member.job.as_str())
                    .is_none_or(|other| !other.state.is_live() || state.state.is_live());
                if better {
                    jobs.insert(&member.job, state);
                }
            }
        }
        jobs
    }
}

impl Known {
    fn of(
        folder: Folder,
        submission: Submission,
        rows: &BTreeMap<&str, Vec<&Row>>,
    ) -> Result<Self, SlurmError> {
        let mut ids = Vec::with_capacity(submission.arrays.len());
        let mut states = BTreeMap::new();
        for (number, array) in submission.arrays.iter().enumerate() {
            let rows = rows
                .get(array.name.as_str())
                .map(Vec::as_slice)
                .unwrap_or_default();
            let mut id = folder.id(number);
            // Submitted, but whoever did it ended before the id was written down.
            if let (None, Some(row)) = (&id, rows.first()) {
                folder.save_id(number, &row.array)?;
                id = Some(row.array.clone());
            }
            ids.push(id);
            for row in rows {
                if let Some(task) = row.task {
                    states.insert((number, task), TaskState::of(row));
                }
            }
        }
        Ok(Self {
            cancelled: folder.is_cancelled(),
            started: folder.started(),
            folder,
            submission,
            ids,
            states,
        })
    }

    /// Whether any of its tasks is still to come.
    pub fn is_live(&self) -> bool {
        self.states.values().any(TaskState::is_live)
    }

    /// The job ids of arrays with tasks that are still to come.
    pub fn live_ids(&self) -> Vec<String> {
        let live = |array: usize| {
            let mut tasks = self.states.range((array, 0)..(array + 1, 0));
            tasks.any(|(_, state)| state.is_live())
        };
        let ids = self.ids.iter().enumerate();
        ids.filter(|(array, _)| live(*array))
            .filter_map(|(_, id)| id.clone())
            .collect()
    }

    /// The names of its jobs and of those they need. What cannot be read names none.
    pub fn needed(&self) -> impl Iterator<Item = String> {
        let tasks = self.submission.arrays.iter().enumerate();
        let tasks =
            tasks.flat_map(|(number, array)| array.tasks.iter().map(move |task| (number, task.number)));
        let specs = tasks.flat_map(|(array, task)| self.folder.jobs(array, task).unwrap_or_default());
        specs.flat_map(|spec| {
            let needs = spec.needs.iter().map(|need| need.job.clone());
            needs.chain([spec.name.clone()]).collect::<Vec<String>>()
        })
    }

    /// Its jobs, and where each of them is.
    pub fn jobs(&self) -> impl Iterator<Item = (&Member, JobState)> {
        self.submission
            .arrays
            .iter()
            .enumerate()
            .flat_map(move |(number, array)| {
                array.tasks.iter().flat_map(move |task| {
                    let id = self.ids[number].as_deref();
                    let state = JobState {
                        state: self
                            .states
                            .get(&(number, task.number))
                            .cloned()
                            .unwrap_or(TaskState::Unknown),
                        array: id.map(String::from),
                        task: id.map(|id| format!("{id}_{}", task.number)).unwrap_or_default(),
                        before: None,
                        started: self.started.contains(&(number, task.number)),
                        cancelled: self.cancelled,
                    };
                    task.jobs.iter().map(move |member| {
                        let before = member.before.clone();
                        (
                            member,
                            JobState {
                                before,
                                ..state.clone()
                            },
                        )
                    })
                })
            })
    }
}

/// Cancels everything of an experiment that is still to come; returns how many tasks that were. The mark on disk comes
/// first, so that a task that is ended by it does not ask to be queued again.
pub fn cancel(queue: &Queue) -> Result<usize, SlurmError> {
    let mut tasks = 0;
    for known in &queue.submissions {
        let ids = known.live_ids();
        if ids.is_empty() {
            continue;
        }
        known.folder.save_cancelled()?;
        tasks += known.states.values().filter(|state| state.is_live()).count();
        command::scancel(&ids)?;
    }
    Ok(tasks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(state: &str, reason: &str) -> TaskState {
        TaskState::of(&Row {
            array: "1".into(),
            task: Some(0),
            state: state.into(),
            reason: reason.into(),
            name: "n".into(),
        })
    }

    #[test]
    fn a_held_task_is_not_one_that_waits() {
        assert_eq!(
            state("PENDING", "Resources"),
            TaskState::Waiting("Resources".into())
        );
        assert_eq!(
            state("PENDING", "JobHeldUser"),
            TaskState::Held("JobHeldUser".into())
        );
        assert!(matches!(
            state("PENDING", "launch failed requeued held"),
            TaskState::Held(_)
        ));
        assert_eq!(state("COMPLETING", "None"), TaskState::Running);
        assert_eq!(
            state("FAILED", "NonZeroExitCode"),
            TaskState::Ended("FAILED, NonZeroExitCode".into())
        );
        assert!(!state("CANCELLED", "None").is_live() && state("PENDING", "JobHeldAdmin").is_live());
    }
}
