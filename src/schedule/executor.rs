//! The seam between the dispatcher and where jobs run.

use std::sync::Arc;
use std::time::Duration;

use crate::event::JobEvent;
use crate::job::JobError;
use crate::plan::JobSpec;
use crate::result::Record;

/// News of a job, by the number it was started under.
#[derive(Debug)]
pub enum Notice {
    /// It reports.
    Event(usize, JobEvent),
    /// It has ended: a saved record (of a success or a failure), or no record at all.
    Done(usize, Result<Box<Record>, JobError>),
}

/// A place where jobs run.
pub trait Executor {
    /// How many jobs it takes at a time.
    fn capacity(&self) -> usize;
    /// Starts a job; called while fewer than `capacity` are running.
    fn start(&mut self, id: usize, job: Arc<JobSpec>);
    /// Waits for news, at most so long.
    fn next(&mut self, patience: Duration) -> Option<Notice>;
    /// Asks all running jobs to stop.
    fn cancel(&mut self);
}

impl<E: Executor + ?Sized> Executor for Box<E> {
    fn capacity(&self) -> usize {
        (**self).capacity()
    }

    fn start(&mut self, id: usize, job: Arc<JobSpec>) {
        (**self).start(id, job);
    }

    fn next(&mut self, patience: Duration) -> Option<Notice> {
        (**self).next(patience)
    }

    fn cancel(&mut self) {
        (**self).cancel();
    }
}
