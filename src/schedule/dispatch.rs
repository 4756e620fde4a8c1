//! Running a plan: what is ready is started, what fails takes its dependents with it, the rest goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Executor, Notice};
use crate::event::Event;
use crate::job::{JobError, skipped};
use crate::plan::Plan;
use crate::result::{Provenance, Record, Status, Store};

/// How often the dispatcher looks at the stop flag.
const PATIENCE: Duration = Duration::from_millis(50);
/// How long running jobs have for stopping. Results are written atomically, so those that do not answer lose nothing.
pub const GRACE: Duration = Duration::from_secs(3);

/// How to run.
#[derive(Debug)]
pub struct Options<'a> {
    /// Start nothing new after so many failures.
    pub max_fail: Option<usize>,
    /// How often a failed job is tried again.
    pub retries: usize,
    /// Set from outside to stop.
    pub stop: &'a AtomicBool,
    /// How long running jobs have for stopping, [`GRACE`] for instance.
    pub grace: Duration,
    /// Where records of skipped jobs go.
    pub store: &'a Store,
    /// For records of skipped jobs.
    pub provenance: &'a Provenance,
}

/// Why a run ended before its jobs.
#[derive(Debug)]
pub enum Halt {
    /// The user stopped it.
    Interrupted,
    /// Results cannot be written.
    Broken(JobError),
}

/// What became of the jobs that were to run.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Status of every job that ended, by position.
    pub finished: BTreeMap<usize, Status>,
    /// Why it ended early.
    pub halt: Option<Halt>,
}

impl Outcome {
    /// How many jobs ended so.
    pub fn count(&self, status: Status) -> usize {
        self.finished.values().filter(|&&s| s == status).count()
    }
}

/// Runs the jobs at the positions `todo`; everything else counts as there.
pub fn dispatch(
    plan: &Plan,
    todo: &BTreeSet<usize>,
    executor: &mut dyn Executor,
    options: &Options,
    on_event: &mut dyn FnMut(Event),
) -> Outcome {
    let waiting: BTreeMap<usize, usize> = todo
        .iter()
        .map(|&job| {
            (
                job,
                plan.needs[job].iter().filter(|need| todo.contains(need)).count(),
            )
        })
        .collect();
    let ready = waiting
        .iter()
        .filter(|(_, n)| **n == 0)
        .map(|(&job, _)| job)
        .collect();
    Dispatcher {
        plan,
        dependents: plan.dependents(),
        options,
        waiting,
        ready,
        running: BTreeMap::new(),
        tries: BTreeMap::new(),
        outcome: Outcome::default(),
    }
    .run(executor, on_event)
}

struct Dispatcher<'a> {
    plan: &'a Plan,
    dependents: Vec<Vec<usize>>,
    options: &'a Options<'a>,
    /// For each job how many of those it needs are still to come.
    waiting: BTreeMap<usize, usize>,
    /// In manifest order.
    ready: BTreeSet<usize>,
    running: BTreeMap<usize, Instant>,
    tries: BTreeMap<usize, usize>,
    outcome: Outcome,
}

impl Dispatcher<'_> {
    fn run(mut self, executor: &mut dyn Executor, on_event: &mut dyn FnMut(Event)) -> Outcome {
        let mut stopping: Option<Instant> = None;
        loop {
            if stopping.is_none() && self.options.stop.load(Ordering::SeqCst) {
                self.outcome.halt = Some(Halt::Interrupted);
            }
            if stopping.is_none() && self.outcome.halt.is_some() {
                executor.cancel();
                stopping = Some(Instant::now());
            }
            let enough = self
                .options
                .max_fail
                .is_some_and(|max| self.outcome.count(Status::Failed) >= max);
            if stopping.is_none() && !enough {
                while self.running.len() < executor.capacity()
                    && let Some(job) = self.ready.pop_first()
                {
                    on_event(Event::Started {
                        job: self.plan.jobs[job].name.clone(),
                    });
                    self.running.insert(job, Instant::now());
                    executor.start(job, self.plan.jobs[job].clone());
                }
            }
            if self.running.is_empty() || stopping.is_some_and(|since| since.elapsed() > self.options.grace) {
                return self.outcome;
            }
            match executor.next(PATIENCE) {
                None => {}
                Some(Notice::Event(job, what)) => on_event(Event::Job {
                    job: self.plan.jobs[job].name.clone(),
                    what,
                }),
                Some(Notice::Done(job, result)) => self.done(job, result, on_event),
            }
        }
    }

    fn done(&mut self, job: usize, result: Result<Box<Record>, JobError>, on_event: &mut dyn FnMut(Event)) {
        let seconds = self
            .running
            .remove(&job)
            .map_or(0.0, |since| since.elapsed().as_secs_f64());
        let record = match result {
            Ok(record) => record,
            Err(JobError::Cancelled) => return,
            Err(error) => {
                self.outcome.halt.get_or_insert(Halt::Broken(error));
                return;
            }
        };
        if record.status == Status::Failed {
            let tries = self.tries.entry(job).or_default();
            if *tries < self.options.retries {
                *tries += 1;
                self.ready.insert(job);
                return;
            }
        }
        self.finish(job, &record, seconds, on_event);
        if record.status == Status::Ok {
            for &next in &self.dependents[job] {
                if let Some(left) = self.waiting.get_mut(&next) {
                    *left -= 1;
                    if *left == 0 {
                        self.ready.insert(next);
                    }
                }
            }
        } else {
            self.skip_dependents(job, on_event);
        }
    }

    fn skip_dependents(&mut self, failed: usize, on_event: &mut dyn FnMut(Event)) {
        let mut stack = vec![failed];
        while let Some(job) = stack.pop() {
            for next in self.dependents[job].clone() {
                if !self.waiting.contains_key(&next) || self.outcome.finished.contains_key(&next) {
                    continue;
                }
                let spec = &self.plan.jobs[next];
                let record = skipped(spec, &self.plan.jobs[failed].name, self.options.provenance)
                    .and_then(|record| self.options.store.save(record));
                match record {
                    Ok(record) => self.finish(next, &record, 0.0, on_event),
                    Err(error) => {
                        self.outcome.halt.get_or_insert(Halt::Broken(error.into()));
                        return;
                    }
                }
                stack.push(next);
            }
        }
    }

    fn finish(&mut self, job: usize, record: &Record, seconds: f64, on_event: &mut dyn FnMut(Event)) {
        self.outcome.finished.insert(job, record.status);
        on_event(Event::Finished {
            job: record.job.clone(),
            status: record.status,
            seconds,
            error: record.error.as_ref().map(|error| error.chain.join(": ")),
        });
    }
}
