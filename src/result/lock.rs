//! One writer per results folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::StoreError;

/// Holds a results folder for one `exec`; released when dropped, and by the system when the process dies.
///
/// An advisory lock of the local file system: it does not reach across the nodes of a cluster.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock file `path`; with `wait` blocks until it is free, otherwise fails when somebody else has it.
    pub fn acquire(path: &Path, wait: bool) -> Result<Self, StoreError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|source| StoreError::io("lock", path, source))?;
        if wait {
            file.lock()
                .map_err(|source| StoreError::io("lock", path, source))?;
        } else {
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let mut owner = String::new();
                    let _ = file.read_to_string(&mut owner);
                    return Err(StoreError::Locked {
                        path: path.parent().and_then(Path::parent).unwrap_or(path).to_path_buf(),
                        owner: owner.trim().to_string(),
                    });
                }
                Err(TryLockError::Error(source)) => return Err(StoreError::io("lock", path, source)),
            }
        }
        // Who holds it is a courtesy to the reader of the message; the lock holds without it.
        let _ = file.set_len(0);
        let _ = file.rewind();
        let _ = write!(file, "process {}", std::process::id());
        Ok(Self { _file: file })
    }
}
