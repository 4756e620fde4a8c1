//! The only writer of files: a reader sees the old content or the new, never a part.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::process::Process;

static SEQUENCE: AtomicU64 = AtomicU64::new(0);

/// Beginning of the names of temporary files; the process that writes them follows, then a number and the target's name.
pub const TEMPORARY: &str = ".tmp-";

/// Whether a file of this name was left by a process of this machine that has ended. What processes of other machines
/// write may still be written.
pub fn is_abandoned(name: &str) -> bool {
    let tag = name
        .strip_prefix(TEMPORARY)
        .and_then(|rest| rest.split('-').next());
    tag.is_some_and(Process::tagged_is_gone)
}

/// Writes `parts`, one after the other, to `path`: temporary file in the same folder, fsync, rename, fsync of the
/// folder.
///
/// On an error nothing of `path` has changed and the temporary file is gone. A process killed in between leaves a
/// file whose name begins with [`TEMPORARY`] and ends with that of `path`.
pub fn write_atomic(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    write_atomic_with(
        path,
        |error| error,
        |file| parts.iter().try_for_each(|part| file.write_all(part)),
    )
}

/// Like [`write_atomic`], for content that does not fit into memory: `write` gets the temporary file, `failed` makes
/// an error of what the system says.
pub fn write_atomic_with<E>(
    path: &Path,
    failed: impl Fn(io::Error) -> E,
    write: impl FnOnce(&mut File) -> Result<(), E>,
) -> Result<(), E> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let sequence = SEQUENCE.fetch_add(1, Ordering::Relaxed);
    let temporary = folder.join(format!(
        "{TEMPORARY}{}-{sequence}-{name}",
        Process::current().tag()
    ));
    let written = File::create_new(&temporary)
        .map_err(&failed)
        .and_then(|mut file| {
            write(&mut file)?;
            file.sync_all().map_err(&failed)
        })
        .and_then(|()| fs::rename(&temporary, path).map_err(&failed));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other_and_replace_what_was_there() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let target = folder.path().join("file");
        write_atomic(&target, &[b"a long first content"]).expect("written");
        write_atomic(&target, &[b"ab", b"", b"c"]).expect("written");
        assert_eq!(fs::read(&target).expect("readable"), b"abc");
    }

    #[test]
    fn a_failed_write_leaves_neither_file_nor_trace() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let target = folder.path().join("occupied");
        fs::create_dir(&target).expect("folder");
        assert!(write_atomic(&target, &[b"x"]).is_err());
        let left: Vec<_> = fs::read_dir(folder.path()).expect("list").collect();
        assert_eq!(left.len(), 1);
    }
}
