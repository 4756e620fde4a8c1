//! One log file per job, through `tracing`.
//!
//! A job runs on one thread; while it does, that thread's events go to the job's file. The subscriber is the
//! program's: it uses [`JobLog`] as a writer.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

thread_local! {
    static CURRENT: RefCell<Option<File>> = const { RefCell::new(None) };
}

/// The log of the job on this thread, as long as the value lives; as a writer, wherever that log goes.
#[derive(Debug, Clone, Copy, Default)]
pub struct JobLog;

/// Closes the log when dropped.
#[derive(Debug)]
pub struct Guard;

impl JobLog {
    /// Directs this thread's events to the file, from its beginning. A log that cannot be opened is no reason for a
    /// job not to run: its events then go nowhere.
    pub fn open(path: &Path) -> Guard {
        CURRENT.with_borrow_mut(|current| *current = File::create(path).ok());
        Guard
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        CURRENT.with_borrow_mut(|current| *current = None);
    }
}

impl Write for JobLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        CURRENT.with_borrow_mut(|current| match current {
            Some(file) => file.write(bytes),
            None => Ok(bytes.len()),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
