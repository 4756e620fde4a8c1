//! One writer per results folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::Duration;

use super::StoreError;

/// How often, and how long apart, a lock is tried before it counts as taken: [`Lock::is_held`] takes it for a moment.
const TRIES: (usize, Duration) = (5, Duration::from_millis(20));

/// Holds a results folder for one `exec`; released when dropped, and by the system when the process dies.
///
/// An advisory lock of the local file system: it does not reach across the nodes of a cluster.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock file `path`, or fails with [`StoreError::Locked`] when somebody else has it.
    pub fn acquire(path: &Path) -> Result<Self, StoreError> {
        let mut file = open(path)?;
        for _ in 0..TRIES.0 {
            match file.try_lock() {
                Ok(()) => return Ok(Self::signed(file)),
                Err(TryLockError::WouldBlock) => std::thread::sleep(TRIES.1),
                Err(TryLockError::Error(source)) => return Err(StoreError::io("lock", path, source)),
            }
        }
        let mut owner = String::new();
        let _ = file.read_to_string(&mut owner);
        Err(StoreError::Locked {
            path: path.parent().and_then(Path::parent).unwrap_or(path).to_path_buf(),
            owner: owner.trim().to_string(),
        })
    }

    /// Takes the lock file `path` as soon as it is free.
    pub fn wait(path: &Path) -> Result<Self, StoreError> {
        let file = open(path)?;
        file.lock()
            .map_err(|source| StoreError::io("lock", path, source))?;
        Ok(Self::signed(file))
    }

    /// Whether somebody has the lock file `path`. Leaves no trace in it.
    pub fn is_held(path: &Path) -> bool {
        File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Who holds it is a courtesy to the reader of the message; the lock holds without it.
    fn signed(mut file: File) -> Self {
        let _ = file.set_len(0);
        let _ = file.rewind();
        let _ = write!(file, "process {}", std::process::id());
        Self { _file: file }
    }
}

fn open(path: &Path) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options
        .open(path)
        .map_err(|source| StoreError::io("lock", path, source))
}
