//! Jobs as arrays in the queue of a Slurm cluster: submitted, and left alone.
//!
//! ```text
//! exec:  plan -> decide -> stages of tasks (pack) -> files (submission), scripts (script) -> sbatch (submit)
//! node:  runner task FOLDER ARRAY -> claims -> the dispatcher over the task's jobs -> records (task)
//! later: records first, then squeue (queue): what is neither done nor queued is missing
//! ```
//!
//! Slurm's word decides nothing. It may run a task twice, forget one, or say it succeeded; what is done is what has a
//! record. The state of the queue only tells what need not be submitted again.

mod command;
mod error;
mod memory;
mod pack;
mod queue;
mod script;
mod submission;
mod submit;
mod task;

pub use error::SlurmError;
pub use memory::{Killed, killed_for_memory};
pub use pack::{Stage, stages};
pub use queue::{JobState, Known, Queue, TaskState, cancel};
pub use submission::{After, Array, Folder, Member, Setting, Submission, Task};
pub use submit::{Order, Outcome, Submitted, submit};
pub use task::{Next, Report, TaskRun};

/// The part of the time between a warning and the time limit that running jobs have for saving what they have.
const GRACE_SHARE: f64 = 0.7;
