//! The only writer of files: a reader sees the old content or the new, never a part.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::StoreError;

static SEQUENCE: AtomicU64 = AtomicU64::new(0);

/// Writes `content` to `path`: temporary file in the same folder, fsync, rename, fsync of the folder.
///
/// On an error nothing of `path` has changed and the temporary file is gone. A process killed in between leaves a
/// `.tmp-` file, which [`super::Store::open`] sweeps.
pub fn write_atomic(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    write_atomic_with(path, |file| {
        file.write_all(content)
            .map_err(|source| StoreError::io("write", path, source))
    })
}

/// Like [`write_atomic`], for content that does not fit into memory: `write` gets the temporary file.
pub fn write_atomic_with<E: From<StoreError>>(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<(), E>,
) -> Result<(), E> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let sequence = SEQUENCE.fetch_add(1, Ordering::Relaxed);
    let temporary = folder.join(format!(".tmp-{}-{sequence}-{name}", std::process::id()));
    let failed = |source| E::from(StoreError::io("write", path, source));
    let written = File::create_new(&temporary)
        .map_err(failed)
        .and_then(|mut file| {
            write(&mut file)?;
            file.sync_all().map_err(failed)
        })
        .and_then(|()| fs::rename(&temporary, path).map_err(failed));
    if let Err(error) = written {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    // The rename itself lasts only once the folder is on disk; not every file system can sync a folder.
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// Creates a folder and its parents.
pub fn create_dir(path: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(path).map_err(|source| StoreError::io("create", path, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_neither_file_nor_trace() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let target = folder.path().join("occupied");
        fs::create_dir(&target).expect("folder");
        assert!(write_atomic(&target, b"x").is_err());
        let left: Vec<_> = fs::read_dir(folder.path()).expect("list").collect();
        assert_eq!(left.len(), 1);
    }
}
