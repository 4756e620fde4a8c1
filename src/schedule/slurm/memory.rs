//! Jobs that used more memory than their task had.
//!
//! Such a task is killed at once, with no time for a record. Which of its jobs was at it, its claim tells, which is still
//! there; why it ended, Slurm's word (`OUT_OF_MEMORY`) for as long as it remembers, and what its daemon wrote into the
//! task's output.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::queue::{Known, Queue, TaskState};
use crate::result::{Claims, Store};
use crate::schedule::seen;

/// The end of a task's output, in which its death is written.
const END: u64 = 8192;
/// What Slurm's daemon on the node writes, with cgroups of different ages and without.
const WORDS: [&str; 4] = [
    "oom_kill event",
    "oom-kill event",
    "exceeded memory limit",
    "Exceeded job memory limit",
];

/// The end of a job for its memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Killed {
    /// The task, in Slurm's words.
    pub task: String,
    /// The bytes it had asked for.
    pub asked: Option<u64>,
}

impl Killed {
    /// What happened, for the record.
    pub fn text(&self) -> String {
        let asked = match self.asked {
            Some(bytes) => format!("the {} MiB it had asked for (`--mem`)", bytes >> 20),
            None => "the cluster gives to one that asks for none".into(),
        };
        format!(
            "Slurm ended task {} while it ran this job: it used more memory than {asked}",
            self.task
        )
    }

    /// What the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self.asked {
            Some(_) => {
                "raise `resources.memory`, which is also `--mem`; then the same command runs the job again"
            }
            None => "set `resources.memory`, which is also `--mem`; then the same command runs the job again",
        }
    }
}

/// The jobs, by name, that ended this way and have no record since.
pub fn killed_for_memory(queue: &Queue, store: &Store) -> BTreeMap<String, Killed> {
    let mut killed = BTreeMap::new();
    let claims = Claims::of_slurm_jobs(&store.claims());
    if claims.is_empty() {
        return killed;
    }
    for known in queue.submissions.iter().filter(|known| !known.cancelled) {
        for (number, array) in known.submission.arrays.iter().enumerate() {
            let Some(id) = &known.ids[number] else { continue };
            for task in &array.tasks {
                let name = format!("{id}_{}", task.number);
                let Some(jobs) = claims.get(&name) else { continue };
                if !died(known, number, task.number) {
                    continue;
                }
                let members = task.jobs.iter().filter(|member| jobs.contains(&member.job));
                for member in members {
                    let now = seen(store, &member.job).map(|hash| hash.to_hex().to_string());
                    if now == member.before {
                        let end = Killed {
                            task: name.clone(),
                            asked: known.submission.setting.memory,
                        };
                        killed.insert(member.job.clone(), end);
                    }
                }
            }
        }
    }
    killed
}

/// Whether a task has ended for its memory.
fn died(known: &Known, array: usize, task: usize) -> bool {
    let output = known.folder.output(array, task);
    match known.states.get(&(array, task)) {
        Some(state) if state.is_live() => false,
        Some(TaskState::Ended(how)) if how.starts_with("OUT_OF_MEMORY") => true,
        _ => known.started.contains(&(array, task)) && is_written(&output).unwrap_or_default(),
    }
}

/// Whether the daemon wrote so at the end of the output: the job's own words do not count.
fn is_written(output: &Path) -> std::io::Result<bool> {
    let mut file = crate::files::open(output)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(END)))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let mut daemon = text.lines().filter(|line| line.starts_with("slurmstepd"));
    Ok(daemon.any(|line| WORDS.iter().any(|words| line.contains(words))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_of_the_daemon_counts_and_no_other() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("out");
        let says = |text: &str| {
            crate::result::write_atomic(&path, text.as_bytes()).expect("written");
            is_written(&path).expect("readable")
        };
        let long = "epoch=1\n".repeat(10_000);
        // Of Slurm 17, 21, and of 22 without cgroups.
        assert!(says(
            "slurmstepd: error: Detected 1 oom-kill event(s) in step 12.batch cgroup.\n"
        ));
        assert!(says(&format!(
            "{long}slurmstepd-n1: error: Detected 1 oom_kill event in StepId=12.batch. Some of the step tasks have been OOM \
             Killed.\n"
        )));
        assert!(says(
            "slurmstepd-n2: error: StepId=124.batch exceeded memory limit (331575296 > 52428800), being killed\n"
        ));
        assert!(!says(
            "slurmstepd-n1: error: *** JOB 12 ON n1 CANCELLED AT 2026-11-26T22:18:27 DUE TO PREEMPTION ***\n"
        ));
        assert!(!says("warning: exceeded memory limit\n"));
        // Of an earlier try of the same task.
        assert!(!says(&format!(
            "slurmstepd: error: Detected 1 oom_kill event\n{long}"
        )));
        assert!(is_written(&folder.path().join("none")).is_err());
    }
}
