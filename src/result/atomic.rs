//! [`crate::files`] with the store's errors.

use std::fs;
use std::path::Path;

use super::StoreError;
use crate::files;

/// Writes `content` to `path`: a reader sees the old content or the new, never a part.
///
/// On an error nothing of `path` has changed and no temporary file is left. A process killed in between leaves a
/// `.tmp-` file, which [`super::Store::open`] sweeps.
pub fn write_atomic(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    files::write_atomic(path, &[content]).map_err(|source| StoreError::io("write", path, source))
}

/// Like [`write_atomic`], on the disk after the next [`super::Store::settle`].
pub fn write_soon(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    files::write_soon(path, &[content]).map_err(|source| StoreError::io("write", path, source))
}

/// Like [`write_atomic`], for content that does not fit into memory: `write` gets the temporary file.
pub fn write_atomic_with<E: From<StoreError>>(
    path: &Path,
    write: impl FnOnce(&mut files::Sink) -> Result<(), E>,
) -> Result<(), E> {
    files::write_atomic_with(path, |source| StoreError::io("write", path, source).into(), write)
}

/// Creates a folder and its parents.
pub fn create_dir(path: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(path).map_err(|source| StoreError::io("create", path, source))
}
