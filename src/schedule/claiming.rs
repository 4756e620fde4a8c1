//! Several processes, on one machine or on many, working on one plan.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Executor, Notice};
use crate::plan::JobSpec;
use crate::result::{Claim, Claims, Lookup, Record, Store};

/// How often claims of others are looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Hash of a record's file: what a record is known by before it is read.
pub type Seen = blake3::Hash;

/// Claims each job before another executor runs it. A job that somebody else runs is waited for, and its record taken,
/// whatever it says; so is one whose record appeared after the decision to run it.
#[derive(Debug)]
pub struct Claiming<E> {
    inner: E,
    claims: Arc<Claims>,
    store: Store,
    /// The records that were there when the jobs were chosen: these do not count.
    before: BTreeMap<usize, Seen>,
    running: BTreeMap<usize, String>,
    theirs: VecDeque<(usize, Arc<JobSpec>)>,
    ended: VecDeque<Notice>,
    looked: Instant,
}

impl<E: Executor> Claiming<E> {
    /// `before` holds, by position, the records that do not make a job unnecessary.
    pub fn new(inner: E, claims: Arc<Claims>, store: &Store, before: BTreeMap<usize, Seen>) -> Self {
        Self {
            inner,
            claims,
            store: store.clone(),
            before,
            running: BTreeMap::new(),
            theirs: VecDeque::new(),
            ended: VecDeque::new(),
            looked: Instant::now(),
        }
    }

    /// Runs the job, or finds that it has been run, or waits for whoever runs it.
    fn try_start(&mut self, id: usize, job: Arc<JobSpec>) {
        match self.claims.take(&job.name) {
            Ok(Claim::Ours) => {
                if let Some(record) = self.made(id, &job) {
                    self.claims.release(&job.name);
                    self.ended.push_back(Notice::Done(id, Ok(record)));
                } else {
                    self.running.insert(id, job.name.clone());
                    self.inner.start(id, job);
                }
            }
            Ok(Claim::Theirs { .. }) => self.theirs.push_back((id, job)),
            Err(error) => self.ended.push_back(Notice::Done(id, Err(error.into()))),
        }
    }

    /// The job's record, if one was made since the job was chosen.
    fn made(&self, id: usize, job: &JobSpec) -> Option<Box<Record>> {
        let now = seen(&self.store, &job.name)?;
        if self.before.get(&id) == Some(&now) {
            return None;
        }
        match self.store.lookup(&job.name, &job.key) {
            Lookup::Found(record) => Some(record),
            Lookup::Missing | Lookup::Corrupt(_) => None,
        }
    }

    fn look(&mut self) {
        self.looked = Instant::now();
        for (id, job) in std::mem::take(&mut self.theirs) {
            if let Some(record) = self.made(id, &job) {
                self.ended.push_back(Notice::Done(id, Ok(record)));
            } else if self.running.len() < self.inner.capacity() {
                self.try_start(id, job);
            } else {
                self.theirs.push_back((id, job));
            }
        }
    }
}

/// What the record's file of a job is now, also where the job is one of earlier settings.
pub fn seen(store: &Store, job: &str) -> Option<Seen> {
    let (_, bytes) = store.bytes(job).ok()?;
    Some(blake3::hash(&bytes))
}

impl<E: Executor> Executor for Claiming<E> {
    /// Jobs of others take no place.
    fn capacity(&self) -> usize {
        self.inner.capacity() + self.theirs.len()
    }

    fn start(&mut self, id: usize, job: Arc<JobSpec>) {
        self.try_start(id, job);
    }

    fn next(&mut self, patience: Duration) -> Option<Notice> {
        if !self.theirs.is_empty() && self.looked.elapsed() >= LOOK {
            self.look();
        }
        if let Some(notice) = self.ended.pop_front() {
            return Some(notice);
        }
        let notice = self.inner.next(patience)?;
        if let Notice::Done(id, _) = &notice
            && let Some(name) = self.running.remove(id)
        {
            // Tried again, it is not its own record that makes it unnecessary.
            if let Some(now) = seen(&self.store, &name) {
                self.before.insert(*id, now);
            }
            self.claims.release(&name);
        }
        Some(notice)
    }

    fn cancel(&mut self) {
        for (id, _) in std::mem::take(&mut self.theirs) {
            self.ended
                .push_back(Notice::Done(id, Err(crate::job::JobError::Cancelled)));
        }
        self.inner.cancel();
    }
}
