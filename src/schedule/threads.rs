//! The threads that a job computes on, and the wait for it.
//!
//! A job asks between batches, layers and blocks of samples whether to go on. Some operations take longer than anybody
//! wants to wait: the eigen-decomposition of a wide layer, the decoding of a data set. The thread that waits for the job
//! keeps the time limit and hears the wish to stop; a job that has not answered after [`ANSWER`] is given up, and its
//! threads end after the operation that they are in. Only the waiting thread writes the record: a job that was given up
//! has no say any more.

use std::cell::RefCell;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::JobLog;
use crate::event::JobEvent;
use crate::job::{JobError, Resources, attempt, failed, started_now};
use crate::plan::JobSpec;
use crate::result::Record;

/// How often the waiting thread looks at the clock and asks whether to go on.
const LOOK: Duration = Duration::from_millis(50);
/// How long a job has for noticing that it is to stop. One that has noticed may take longer, to save its state.
const ANSWER: Duration = Duration::from_millis(500);
/// How long a training has, whose batches may take longer: it then saves its state.
const BATCH: Duration = Duration::from_secs(3);

/// Go on.
const GO: u8 = 0;
/// The time limit has passed: stop, unless the result is there already.
const LATE: u8 = 1;
/// Stop in any case.
const STOP: u8 = 2;

/// Whom a job reports to.
pub type Listener<'a> = dyn FnMut(JobEvent) -> ControlFlow<()> + 'a;

/// Threads for one job at a time.
#[derive(Debug)]
pub struct JobThreads {
    cores: usize,
    /// `None` after a job was given up: its threads are not ours any more.
    pool: RefCell<Option<ThreadPool>>,
}

enum News<T> {
    Event(JobEvent),
    Done(Result<T, JobError>),
}

impl JobThreads {
    /// Starts so many threads; 0 for as many as `RAYON_NUM_THREADS` or the machine has.
    pub fn new(cores: usize) -> io::Result<Self> {
        let pool = RefCell::new(Some(start(cores)?));
        Ok(Self { cores, pool })
    }

    /// Runs a job and saves its record, be it a success or a failure.
    ///
    /// # Errors
    /// [`JobError::Cancelled`], which leaves no record, and results that cannot be written: that is no fault of the job,
    /// and no other job would fare better.
    pub fn execute(
        &self,
        spec: &Arc<JobSpec>,
        resources: &Resources,
        on_event: &mut Listener,
    ) -> Result<Record, JobError> {
        let started = Instant::now();
        let provenance = started_now(&resources.provenance);
        let (job, own) = (spec.clone(), resources.clone());
        let work = move |on_event: &mut Listener| {
            let _log = JobLog::open(&own.store.log_path(&job.name));
            attempt(&job, &own, on_event)
        };
        let record = match self.run(resources.timeout, work, on_event) {
            Err(error @ (JobError::Timeout { .. } | JobError::Panic(_) | JobError::Threads(_))) => {
                failed(spec, &error, started.elapsed(), &provenance)
            }
            other => other?,
        };
        Ok(resources.store.save(record)?)
    }

    /// Runs `work` on the threads and waits for it, at most `limit` and the time it takes to stop. A result that is there
    /// when the limit passes ([`JobEvent::Computed`]) is evaluated and kept.
    pub fn run<T: Send + 'static>(
        &self,
        limit: Option<Duration>,
        work: impl FnOnce(&mut Listener) -> Result<T, JobError> + Send + 'static,
        on_event: &mut Listener,
    ) -> Result<T, JobError> {
        let (tell, told) = channel();
        let wish = Arc::new(AtomicU8::new(GO));
        let heard = Arc::new(AtomicBool::new(false));
        let (its_wish, its_answer) = (wish.clone(), heard.clone());
        self.spawn(move || {
            let mut computed = false;
            let mut ask = |event| {
                computed |= event == JobEvent::Computed;
                if event != JobEvent::Tick {
                    // Nobody listens to a job that was given up.
                    let _ = tell.send(News::Event(event));
                }
                match its_wish.load(Ordering::SeqCst) {
                    GO => ControlFlow::Continue(()),
                    LATE if computed => ControlFlow::Continue(()),
                    _ => {
                        its_answer.store(true, Ordering::SeqCst);
                        ControlFlow::Break(())
                    }
                }
            };
            let result = work(&mut ask);
            let _ = tell.send(News::Done(result));
        })?;
        let started = Instant::now();
        let (mut computed, mut answer) = (false, ANSWER);
        let mut cancelled: Option<Instant> = None;
        loop {
            let event = match told.recv_timeout(LOOK) {
                Ok(News::Event(event)) => event,
                Ok(News::Done(Err(JobError::Cancelled))) => return Err(why(cancelled, limit)),
                Ok(News::Done(result)) => return result,
                Err(RecvTimeoutError::Timeout) => JobEvent::Tick,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(JobError::Panic("the job's thread ended without a result".into()));
                }
            };
            computed |= event == JobEvent::Computed;
            if let JobEvent::Phase { name } = &event {
                answer = if name == "train" { BATCH } else { ANSWER };
            }
            if on_event(event).is_break() {
                wish.store(STOP, Ordering::SeqCst);
                cancelled.get_or_insert_with(Instant::now);
            }
            let over = limit.and_then(|limit| started.elapsed().checked_sub(limit));
            let over = over.filter(|_| !computed);
            if over.is_some() && cancelled.is_none() {
                wish.store(LATE, Ordering::SeqCst);
            }
            let waited = cancelled.map(|since| since.elapsed()).or(over);
            if waited.is_some_and(|waited| waited > answer) && !heard.load(Ordering::SeqCst) {
                wish.store(STOP, Ordering::SeqCst);
                self.pool.take();
                return Err(why(cancelled, limit));
            }
        }
    }

    fn spawn(&self, work: impl FnOnce() + Send + 'static) -> Result<(), JobError> {
        let mut pool = self.pool.borrow_mut();
        if pool.is_none() {
            *pool = Some(start(self.cores).map_err(JobError::Threads)?);
        }
        if let Some(pool) = &*pool {
            pool.spawn(work);
        }
        Ok(())
    }
}

fn start(cores: usize) -> io::Result<ThreadPool> {
    ThreadPoolBuilder::new()
        .num_threads(cores)
        // A job catches its own panics; what comes after it shows as a job without a result.
        .panic_handler(|_| ())
        .build()
        .map_err(io::Error::other)
}

/// Why a job stopped that was told to.
fn why(cancelled: Option<Instant>, limit: Option<Duration>) -> JobError {
    match (cancelled, limit) {
        (None, Some(limit)) => JobError::Timeout { limit },
        _ => JobError::Cancelled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Option<Duration> = Some(Duration::from_millis(100));

    fn deaf(for_: Duration) -> impl FnOnce(&mut Listener) -> Result<u32, JobError> {
        move |_: &mut Listener| {
            std::thread::sleep(for_);
            Ok(7)
        }
    }

    fn go(_: JobEvent) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    #[test]
    fn a_job_that_does_not_hear_is_given_up_and_the_next_one_runs() {
        let threads = JobThreads::new(1).expect("threads");
        let since = Instant::now();
        let long = threads.run(LIMIT, deaf(Duration::from_mins(1)), &mut go);
        assert!(matches!(long, Err(JobError::Timeout { .. })), "{long:?}");
        let mut stop = |_| ControlFlow::Break(());
        let long = threads.run(None, deaf(Duration::from_mins(1)), &mut stop);
        assert!(matches!(long, Err(JobError::Cancelled)), "{long:?}");
        assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
        let next = threads.run(LIMIT, deaf(Duration::ZERO), &mut go);
        assert!(matches!(next, Ok(7)), "{next:?}");
    }

    #[test]
    fn a_result_that_is_there_before_the_limit_is_heard_is_kept() {
        let threads = JobThreads::new(1).expect("threads");
        let late = |computed: bool| {
            move |tell: &mut Listener| {
                std::thread::sleep(Duration::from_millis(250));
                if computed {
                    let _ = tell(JobEvent::Computed);
                }
                // Evaluation, which takes longer than a job has for answering.
                for _ in 0..10 {
                    if tell(JobEvent::Tick).is_break() {
                        return Err(JobError::Cancelled);
                    }
                    std::thread::sleep(Duration::from_millis(100));
                }
                Ok(7)
            }
        };
        let kept = threads.run(LIMIT, late(true), &mut go);
        assert!(matches!(kept, Ok(7)), "{kept:?}");
        let ended = threads.run(LIMIT, late(false), &mut go);
        assert!(matches!(ended, Err(JobError::Timeout { .. })), "{ended:?}");
    }

    #[test]
    fn a_job_that_has_heard_may_save_its_state() {
        let threads = JobThreads::new(1).expect("threads");
        let saved = Arc::new(AtomicBool::new(false));
        let flag = saved.clone();
        let work = move |tell: &mut Listener| -> Result<(), JobError> {
            while tell(JobEvent::Tick).is_continue() {
                std::thread::sleep(Duration::from_millis(10));
            }
            std::thread::sleep(2 * ANSWER);
            flag.store(true, Ordering::SeqCst);
            Err(JobError::Cancelled)
        };
        let ended = threads.run(LIMIT, work, &mut go);
        assert!(matches!(ended, Err(JobError::Timeout { .. })), "{ended:?}");
        assert!(saved.load(Ordering::SeqCst));
    }

    #[test]
    fn a_panic_is_an_error() {
        let threads = JobThreads::new(1).expect("threads");
        let work = |_: &mut Listener| -> Result<(), JobError> { panic!("expected by a test") };
        let ended = threads.run(None, work, &mut go);
        assert!(matches!(ended, Err(JobError::Panic(_))), "{ended:?}");
    }
}
