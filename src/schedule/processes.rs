//! A process of its own for each job on this machine, so that what it uses can be bounded and its end harms no other.
//!
//! The process is `runner worker -`: it reads one line with an [`Order`] from its standard input, reports on its
//! standard output, a JSON line per event, and writes the record itself. A second line asks it to stop, for which a
//! training saves its state. It ends at once when its standard input does: whoever started it is gone. Files are written
//! whole or not at all, so it may end at any moment.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Executor, Notice};
use crate::event::JobEvent;
use crate::job::{JobError, Resources, failed, peak_memory, started_now};
use crate::plan::JobSpec;
use crate::result::{Lookup, Provenance, Record};

/// How often the limits are looked after.
const LOOK: Duration = Duration::from_millis(20);
/// How long a job that is out of time has for saying so itself, and for saving the state of a training.
const GRACE: Duration = Duration::from_secs(5);

/// All that a worker process is told.
#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    /// The job.
    pub job: JobSpec,
    /// The experiment's folder.
    pub results: PathBuf,
    /// As [`Resources::data_dir`].
    pub data_dir: Option<PathBuf>,
    /// As [`Resources::timeout`].
    pub timeout: Option<Duration>,
    /// As [`Resources::checkpoint_every`].
    pub checkpoint_every: Duration,
    /// As [`Resources::provenance`].
    pub provenance: Provenance,
}

/// Starts a process for each job.
pub struct Processes {
    workers: usize,
    /// Most bytes a process may hold.
    memory: Option<u64>,
    /// The command line of a worker.
    command: Box<dyn Fn() -> Command>,
    resources: Resources,
    running: BTreeMap<usize, Running>,
    tell: Sender<Told>,
    told: Receiver<Told>,
    looked: Instant,
    cancelled: bool,
}

struct Running {
    job: Arc<JobSpec>,
    process: Child,
    since: Instant,
    provenance: Provenance,
    /// Whether its result is there: then no time limit ends it.
    computed: bool,
    /// Why it was ended.
    over: Option<JobError>,
    complaints: Receiver<String>,
}

/// What the threads that listen to the processes say.
enum Told {
    Event(usize, JobEvent),
    /// Its standard output is closed.
    Ended(usize),
    /// There is none.
    Lost(usize, JobError),
}

impl Processes {
    /// `command` makes the command line of a worker, without what is connected to it.
    pub fn new(
        workers: usize,
        memory: Option<u64>,
        command: Box<dyn Fn() -> Command>,
        resources: &Resources,
    ) -> Self {
        let (tell, told) = channel();
        Self {
            workers,
            memory,
            command,
            resources: resources.clone(),
            running: BTreeMap::new(),
            tell,
            told,
            looked: Instant::now(),
            cancelled: false,
        }
    }

    fn spawn(&self, id: usize, job: &Arc<JobSpec>) -> std::io::Result<Running> {
        let mut command = (self.command)();
        // Ctrl-C is for the one who started us; it tells the workers.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (out, err) = (process.stdout.take(), process.stderr.take());
        let tell = self.tell.clone();
        let listen = move || {
            let lines = out.map(BufReader::new).into_iter().flat_map(BufRead::lines);
            for line in lines.map_while(Result::ok) {
                if let Ok(event) = serde_json::from_str(&line) {
                    let _ = tell.send(Told::Event(id, event));
                }
            }
            let _ = tell.send(Told::Ended(id));
        };
        let (complain, complaints) = channel();
        let keep = move || {
            let mut text = Vec::new();
            let _ = err.map(|mut err| err.read_to_end(&mut text));
            let _ = complain.send(String::from_utf8_lossy(&text).trim().to_string());
        };
        let thread = || std::thread::Builder::new().name(format!("listens to {id}"));
        if let Err(error) = thread().spawn(keep).and_then(|_| thread().spawn(listen)) {
            let _ = process.kill();
            let _ = process.wait();
            return Err(error);
        }
        let order = Order {
            job: (**job).clone(),
            results: self.resources.store.root().to_path_buf(),
            data_dir: self.resources.data_dir.clone(),
            timeout: self.resources.timeout,
            checkpoint_every: self.resources.checkpoint_every,
            provenance: self.resources.provenance.clone(),
        };
        let mut line = serde_json::to_vec(&order)?;
        line.push(b'\n');
        // Left open: its end is a sign, too. A process that does not take its order is noticed by its end.
        let _ = process.stdin.as_mut().map(|stdin| stdin.write_all(&line));
        Ok(Running {
            job: job.clone(),
            process,
            since: Instant::now(),
            provenance: started_now(&self.resources.provenance),
            computed: false,
            over: None,
            complaints,
        })
    }

    /// Ends what uses more than it may.
    fn look(&mut self) {
        self.looked = Instant::now();
        for running in self.running.values_mut().filter(|running| running.over.is_none()) {
            let used = self
                .memory
                .and_then(|_| peak_memory(&running.process.id().to_string()));
            running.provenance.peak_memory = used.or(running.provenance.peak_memory);
            let over = match (self.memory, used, self.resources.timeout) {
                (Some(limit), Some(used), _) if used > limit => JobError::Memory { used, limit },
                (_, _, Some(limit)) if !running.computed && running.since.elapsed() > limit + GRACE => {
                    JobError::Timeout { limit }
                }
                _ => continue,
            };
            running.over = Some(over);
            let _ = running.process.kill();
        }
    }

    /// What became of a job whose process has closed its standard output.
    fn ended(&mut self, id: usize) -> Option<Notice> {
        let mut running = self.running.remove(&id)?;
        drop(running.process.stdin.take());
        let status = running.process.wait();
        let result = self.result(&running, status).map(Box::new);
        Some(Notice::Done(id, result))
    }

    fn result(&self, running: &Running, status: std::io::Result<ExitStatus>) -> Result<Record, JobError> {
        let job = &running.job;
        let store = &self.resources.store;
        let (code, how) = match status {
            Ok(status) => (status.code(), ended_how(status)),
            Err(error) => (None, format!("was lost: {error}")),
        };
        let error = match (&running.over, code) {
            (Some(JobError::Memory { used, limit }), _) => JobError::Memory {
                used: *used,
                limit: *limit,
            },
            (Some(_), _) => JobError::Timeout {
                limit: self.resources.timeout.unwrap_or_default(),
            },
            (None, _) if self.cancelled => return Err(JobError::Cancelled),
            // As `runner`'s exit codes are: the record is written, or nothing can be.
            (None, Some(0 | 100)) => match store.lookup(&job.name, &job.key) {
                Lookup::Found(record) => return Ok(*record),
                _ => JobError::Worker {
                    how: format!("{how}, but there is no record"),
                },
            },
            (None, Some(130)) => return Err(JobError::Cancelled),
            (None, code) => {
                let said = running.complaints.recv_timeout(GRACE).unwrap_or_default();
                let error = JobError::Worker {
                    how: format!("{how}{}{said}", if said.is_empty() { "" } else { ": " }),
                };
                if code == Some(2) {
                    return Err(error);
                }
                error
            }
        };
        let record = failed(job, &error, running.since.elapsed(), &running.provenance);
        Ok(store.save(record)?)
    }
}

fn ended_how(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return format!("was ended by signal {signal}");
    }
    format!("ended with {status}")
}

impl Executor for Processes {
    fn capacity(&self) -> usize {
        self.workers
    }

    fn start(&mut self, id: usize, job: Arc<JobSpec>) {
        match self.spawn(id, &job) {
            Ok(running) => {
                self.running.insert(id, running);
            }
            Err(error) => {
                let error = match error.kind() {
                    std::io::ErrorKind::WouldBlock => JobError::Threads(error),
                    _ => JobError::Worker {
                        how: format!("cannot be started: {error}"),
                    },
                };
                // The receiver is ours.
                let _ = self.tell.send(Told::Lost(id, error));
            }
        }
    }

    fn next(&mut self, patience: Duration) -> Option<Notice> {
        let until = Instant::now() + patience;
        loop {
            if self.looked.elapsed() >= LOOK {
                self.look();
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.told.recv_timeout(left.min(LOOK)) {
                Ok(Told::Event(id, event)) => {
                    if event == JobEvent::Computed
                        && let Some(running) = self.running.get_mut(&id)
                    {
                        running.computed = true;
                    }
                    return Some(Notice::Event(id, event));
                }
                Ok(Told::Lost(id, error)) => return Some(Notice::Done(id, Err(error))),
                Ok(Told::Ended(id)) => {
                    if let Some(notice) = self.ended(id) {
                        return Some(notice);
                    }
                }
                Err(_) if left.is_zero() => return None,
                Err(_) => {}
            }
        }
    }

    fn cancel(&mut self) {
        self.cancelled = true;
        for running in self.running.values_mut() {
            // One that has ended meanwhile need not be told.
            let _ = running
                .process
                .stdin
                .as_mut()
                .map(|stdin| stdin.write_all(b"stop\n"));
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for running in self.running.values_mut() {
            let _ = running.process.kill();
            let _ = running.process.wait();
        }
    }
}
