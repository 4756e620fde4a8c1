//! A pool of worker threads on this machine.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Executor, JobThreads, Notice};
use crate::job::Resources;
use crate::plan::JobSpec;

/// Threads that take jobs from one queue.
#[derive(Debug)]
pub struct Local {
    workers: usize,
    queue: Sender<(usize, Arc<JobSpec>)>,
    notices: Receiver<Notice>,
    stop: Arc<AtomicBool>,
}

impl Local {
    /// Starts `workers` threads. Each has an own pool of `cores` threads for the tensor library, so that all together
    /// never use more than `workers * cores`.
    pub fn new(workers: usize, cores: usize, resources: &Resources) -> std::io::Result<Self> {
        let (queue, jobs) = channel();
        let jobs = Arc::new(Mutex::new(jobs));
        let (tell, notices) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        for worker in 0..workers {
            let (jobs, tell, stop, resources) = (jobs.clone(), tell.clone(), stop.clone(), resources.clone());
            let threads = JobThreads::new(cores)?;
            std::thread::Builder::new()
                .name(format!("worker-{worker}"))
                .spawn(move || work(&threads, &jobs, &tell, &stop, &resources))?;
        }
        Ok(Self {
            workers,
            queue,
            notices,
            stop,
        })
    }
}

fn work(
    threads: &JobThreads,
    jobs: &Mutex<Receiver<(usize, Arc<JobSpec>)>>,
    tell: &Sender<Notice>,
    stop: &AtomicBool,
    resources: &Resources,
) {
    loop {
        // The lock is held while waiting: the others wait for the lock instead, with the same effect.
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((id, spec)) = next else { return };
        let mut on_event = |event| {
            // Nobody listening means the program is ending.
            if tell.send(Notice::Event(id, event)).is_err() || stop.load(Ordering::Relaxed) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let result = threads.execute(&spec, resources, &mut on_event).map(Box::new);
        if tell.send(Notice::Done(id, result)).is_err() {
            return;
        }
    }
}

impl Executor for Local {
    fn capacity(&self) -> usize {
        self.workers
    }

    fn start(&mut self, id: usize, job: Arc<JobSpec>) {
        // The workers live as long as `self`: they cannot have hung up.
        let _ = self.queue.send((id, job));
    }

    fn next(&mut self, patience: Duration) -> Option<Notice> {
        self.notices.recv_timeout(patience).ok()
    }

    fn cancel(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
