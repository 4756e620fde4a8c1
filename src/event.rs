//! What happens while jobs run: the seam between the schedule and whoever shows it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::result::Status;

/// Something a running job reports about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum JobEvent {
    /// A new phase began: `load`, `train`, `fuse`, `evaluate`, `save`.
    Phase {
        /// Its name.
        name: Cow<'static, str>,
    },
    /// An epoch of training is done.
    Epoch {
        /// From 1.
        epoch: usize,
        /// How many there are.
        of: usize,
        /// Mean training loss.
        loss: f64,
    },
    /// The result is there: what is left is to evaluate it, which no time limit ends.
    Computed,
    /// Nothing to say; an occasion to be told to stop.
    Tick,
}

/// Something that happened in the schedule.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A job was given to a worker.
    Started {
        /// Its name.
        job: String,
    },
    /// A running job reports.
    Job {
        /// Its name.
        job: String,
        /// What.
        what: JobEvent,
    },
    /// A job has its record.
    Finished {
        /// Its name.
        job: String,
        /// How it ended.
        status: Status,
        /// Wall-clock seconds.
        seconds: f64,
        /// First line of its error.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
}
