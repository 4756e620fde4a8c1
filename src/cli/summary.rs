//! What became of an experiment's jobs.

use std::time::Instant;

use super::setup::Experiment;

/// What became of the jobs.
pub(super) struct Summary {
    pub jobs: usize,
    pub cached: usize,
    pub ok: usize,
    pub failed: usize,
    pub skipped: usize,
    /// Those that were not started after so many failures.
    pub not_started: usize,
    /// Those that were not selected.
    pub left_out: usize,
    pub since: Instant,
}

impl Summary {
    pub fn new(experiment: &Experiment) -> Self {
        Self {
            jobs: experiment.plan.jobs.len(),
            cached: 0,
            ok: 0,
            failed: 0,
            skipped: 0,
            not_started: 0,
            left_out: 0,
            since: Instant::now(),
        }
    }
}
