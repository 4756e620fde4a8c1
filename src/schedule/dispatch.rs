//! Running a plan: what is ready is started, what fails takes its dependents with it, the rest goes on.
//!
//! Of several jobs that are ready, the one at the head of the longest chain of jobs still to come starts first: it is the
//! one that would keep the end waiting.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::{Costs, Executor, Notice};
use crate::event::Event;
use crate::job::{JobError, skipped};
use crate::plan::Plan;
use crate::result::{Provenance, Record, Status, Store, StoreError};

/// How often the dispatcher looks at the stop flag.
const PATIENCE: Duration = Duration::from_millis(50);
/// How long running jobs have for stopping. Results are written atomically, so those that do not answer lose nothing.
pub const GRACE: Duration = Duration::from_secs(3);
/// How often finished jobs are put on the disk: what a power failure can cost.
const SETTLE: Duration = Duration::from_secs(1);
/// The longest wait before a job is tried again.
const LONGEST_BACKOFF: Duration = Duration::from_mins(2);

/// How to run.
#[derive(Debug)]
pub struct Options<'a> {
    /// Start nothing new after so many failures.
    pub max_fail: Option<usize>,
    /// How often a failed job is tried again.
    pub retries: usize,
    /// How long it waits before the first further try; twice as long before each one after that.
    pub backoff: Duration,
    /// What jobs are likely to take.
    pub costs: &'a Costs,
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

/// Runs the jobs at the positions `todo`; everything else counts as there. When it returns, all that was written is on
/// the disk.
pub fn dispatch(
    plan: &Plan,
    todo: &BTreeSet<usize>,
    executor: &mut dyn Executor,
    options: &Options,
    on_event: &mut dyn FnMut(Event),
) -> Outcome {
    let finished = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (end, ended) = channel::<()>();
        let finished = &finished;
        let settler = std::thread::Builder::new()
            .name("settles".into())
            .spawn_scoped(scope, move || settle(options.store, finished, &ended));
        let settler = match settler {
            Ok(settler) => settler,
            Err(error) => {
                return Outcome {
                    halt: Some(Halt::Broken(JobError::Threads(error))),
                    ..Outcome::default()
                };
            }
        };
        // It ends before it is told to only where it failed.
        let broken = || settler.is_finished();
        let mut outcome = Dispatcher::new(plan, todo, options, finished).run(executor, &broken, on_event);
        drop(end);
        match settler.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => outcome.halt = Some(Halt::Broken(error.into())),
            Err(_) => outcome.halt = Some(Halt::Broken(JobError::Panic("flushing panicked".into()))),
        }
        outcome
    })
}

/// Puts what was written on the disk, now and then and at the end, in a thread of its own: nobody waits for it.
fn settle(store: &Store, finished: &AtomicUsize, ended: &Receiver<()>) -> Result<(), StoreError> {
    let mut settled = 0;
    loop {
        let last = ended.recv_timeout(SETTLE) == Err(RecvTimeoutError::Disconnected);
        let now = finished.load(Ordering::SeqCst);
        if now > settled {
            store.settle()?;
            settled = now;
        }
        if last {
            return Ok(());
        }
    }
}

struct Dispatcher<'a> {
    plan: &'a Plan,
    dependents: Vec<Vec<usize>>,
    options: &'a Options<'a>,
    /// For each job how many of those it needs are still to come.
    waiting: BTreeMap<usize, usize>,
    /// For each job the likely time from its start to the end of the longest chain that hangs on it, in microseconds.
    ahead: Vec<u64>,
    /// Longest chain first, then in manifest order.
    ready: BTreeSet<(Reverse<u64>, usize)>,
    /// Failed jobs, and when they are tried again.
    delayed: BTreeSet<(Instant, usize)>,
    /// The records of these failures, and how long they took.
    failed: BTreeMap<usize, (Box<Record>, f64)>,
    running: BTreeMap<usize, Instant>,
    tries: BTreeMap<usize, usize>,
    failures: usize,
    outcome: Outcome,
    finished: &'a AtomicUsize,
}

impl<'a> Dispatcher<'a> {
    fn new(
        plan: &'a Plan,
        todo: &BTreeSet<usize>,
        options: &'a Options<'a>,
        finished: &'a AtomicUsize,
    ) -> Self {
        let dependents = plan.dependents();
        let mut ahead = vec![0u64; plan.jobs.len()];
        // Backwards: jobs come after those they need.
        for &job in todo.iter().rev() {
            let after = dependents[job].iter().map(|&next| ahead[next]).max();
            let own = (options.costs.of(&plan.jobs[job]) * 1e6) as u64;
            ahead[job] = own.saturating_add(after.unwrap_or_default());
        }
        let needed = |job: usize| plan.needs[job].iter().filter(|need| todo.contains(need)).count();
        let waiting: BTreeMap<usize, usize> = todo.iter().map(|&job| (job, needed(job))).collect();
        let free = waiting.iter().filter(|(_, n)| **n == 0);
        Self {
            ready: free.map(|(&job, _)| (Reverse(ahead[job]), job)).collect(),
            plan,
            dependents,
            options,
            waiting,
            ahead,
            delayed: BTreeSet::new(),
            failed: BTreeMap::new(),
            running: BTreeMap::new(),
            tries: BTreeMap::new(),
            failures: 0,
            outcome: Outcome::default(),
            finished,
        }
    }
}

impl Dispatcher<'_> {
    fn run(
        mut self,
        executor: &mut dyn Executor,
        broken: &dyn Fn() -> bool,
        on_event: &mut dyn FnMut(Event),
    ) -> Outcome {
        let mut stopping: Option<Instant> = None;
        loop {
            let broken = broken();
            if stopping.is_none() && self.options.stop.load(Ordering::SeqCst) {
                self.outcome.halt = Some(Halt::Interrupted);
            }
            if stopping.is_none() && (broken || self.outcome.halt.is_some()) {
                executor.cancel();
                stopping = Some(Instant::now());
            }
            let enough = self.options.max_fail.is_some_and(|max| self.failures >= max);
            if enough && stopping.is_none() {
                self.give_up_retries(on_event);
            }
            let starting = stopping.is_none() && !enough;
            if starting {
                self.end_delays();
                while self.running.len() < executor.capacity()
                    && let Some((_, job)) = self.ready.pop_first()
                {
                    on_event(Event::Started {
                        job: self.plan.jobs[job].name.clone(),
                    });
                    self.failed.remove(&job);
                    self.running.insert(job, Instant::now());
                    executor.start(job, self.plan.jobs[job].clone());
                }
            }
            let waits = starting && !self.delayed.is_empty();
            let late = stopping.is_some_and(|since| since.elapsed() > self.options.grace);
            if late || (self.running.is_empty() && !waits) {
                return self.outcome;
            }
            if self.running.is_empty() {
                std::thread::sleep(PATIENCE);
                continue;
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
                let backoff = self.options.backoff.saturating_mul(1 << (*tries).min(16));
                *tries += 1;
                self.delayed
                    .insert((Instant::now() + backoff.min(LONGEST_BACKOFF), job));
                self.failed.insert(job, (record, seconds));
                return;
            }
        }
        self.finish(job, &record, seconds, on_event);
        if record.status == Status::Ok {
            for &next in &self.dependents[job] {
                if let Some(left) = self.waiting.get_mut(&next) {
                    *left -= 1;
                    if *left == 0 {
                        self.ready.insert((Reverse(self.ahead[next]), next));
                    }
                }
            }
        } else {
            self.skip_dependents(job, on_event);
        }
    }

    fn end_delays(&mut self) {
        let now = Instant::now();
        while let Some(&(due, job)) = self.delayed.first()
            && due <= now
        {
            self.delayed.pop_first();
            self.ready.insert((Reverse(self.ahead[job]), job));
        }
    }

    /// Nothing starts any more: jobs that would have been tried again have failed.
    fn give_up_retries(&mut self, on_event: &mut dyn FnMut(Event)) {
        let tried_again = self.ready.iter().map(|&(_, job)| job);
        let waiting = self.delayed.iter().map(|&(_, job)| job).chain(tried_again);
        for job in waiting.collect::<Vec<_>>() {
            if let Some((record, seconds)) = self.failed.remove(&job) {
                self.finish(job, &record, seconds, on_event);
                self.skip_dependents(job, on_event);
            }
        }
        self.delayed.clear();
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
        self.failures += usize::from(record.status == Status::Failed);
        self.finished.fetch_add(1, Ordering::SeqCst);
        on_event(Event::Finished {
            job: record.job.clone(),
            status: record.status,
            seconds,
            error: record.error.as_ref().map(|error| error.chain.join(": ")),
        });
    }
}
