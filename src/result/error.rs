//! Errors of the store.

use std::path::{Path, PathBuf};

/// What to do where the system gives no more threads.
pub const THREADS_HINT: &str = "raise the limit on processes (`ulimit -u`) or on memory (`ulimit -v`), or use fewer threads: `--jobs 1` with `RAYON_NUM_THREADS=1`";

/// A result could not be written, read or trusted.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried: `write`, `read`, `create`, ...
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// Not JSON, or not of the expected shape.
    #[error("`{}` is not a valid {what}", path.display())]
    Json {
        /// `record` or `index`.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Line and column, and what was expected.
        source: serde_json::Error,
    },
    /// The content does not fit its checksum.
    #[error("`{}` was changed after it was written: its checksum does not fit", path.display())]
    Checksum {
        /// Which file.
        path: PathBuf,
    },
    /// Written by another version of this program.
    #[error("`{}` has schema version {found}, this program reads versions 1 to {expected}", path.display())]
    Schema {
        /// Which file.
        path: PathBuf,
        /// The version found.
        found: u64,
        /// The newest version understood.
        expected: u32,
    },
    /// Another process works on the same results.
    #[error("another `runner exec` is working on `{}` ({owner})", path.display())]
    Locked {
        /// The results folder.
        path: PathBuf,
        /// What the other process wrote about itself.
        owner: String,
    },
}

impl StoreError {
    pub(super) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_path_buf(),
            source,
        }
    }

    /// Whether results cannot be written, whatever job they are of.
    pub fn is_unwritable(&self) -> bool {
        matches!(
            self,
            Self::Io {
                action: "write" | "create" | "remove" | "claim",
                ..
            }
        )
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Io { source, .. } => match source.kind() {
                std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                    Some("choose a writable folder with `--results DIR`")
                }
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                    Some("free some space, then run the same command again: finished jobs are kept")
                }
                std::io::ErrorKind::NotADirectory | std::io::ErrorKind::AlreadyExists => {
                    Some("a file is in the way: remove it, or choose another folder with `--results DIR`")
                }
                std::io::ErrorKind::FileTooLarge => Some(
                    "raise the limit on the size of files (`ulimit -f`), then run the same command again",
                ),
                std::io::ErrorKind::WouldBlock => Some(THREADS_HINT),
                _ => None,
            },
            Self::Json { .. } | Self::Checksum { .. } => {
                Some("restore the file from version control, or run the command that wrote it again")
            }
            Self::Schema { found, expected, .. } if *found > u64::from(*expected) => Some(
                "a newer version of this program wrote it: update, or run the command that wrote it again",
            ),
            Self::Schema { .. } => Some("run the command that wrote it again"),
            Self::Locked { .. } => Some("wait for it to finish, or use `--wait`"),
        }
    }
}
