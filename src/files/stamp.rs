//! What a file system says about a file.

use std::fs::Metadata;
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

/// What tells a file from others, and from itself before it was touched, without reading it. Any program can set a file's
/// size and time of modification to what they were; the time of the last change of the file, or of what is said about it,
/// is the kernel's alone, and so is the inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Bytes.
    pub size: u64,
    /// Nanoseconds since 1970; 0 where the system does not say.
    pub modified: u64,
    /// Of the last change of content, name or attributes (ctime), likewise.
    pub changed: u64,
    /// 0 where there is none.
    pub inode: u64,
}

impl Stamp {
    /// Of a file; `None` where there is none.
    pub fn of(path: &Path) -> Option<Self> {
        Self::read(path).ok()
    }

    /// Of a file.
    pub fn read(path: &Path) -> io::Result<Self> {
        Ok(Self::from(&std::fs::metadata(path)?))
    }
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        let modified = metadata.modified().ok();
        let modified = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let (changed, inode) = of_the_kernel(metadata);
        Self {
            size: metadata.len(),
            modified: modified.map_or(0, |since| since.as_nanos() as u64),
            changed,
            inode,
        }
    }
}

#[cfg(unix)]
fn of_the_kernel(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    let nanoseconds = metadata.ctime().wrapping_mul(1_000_000_000);
    let changed = nanoseconds.wrapping_add(metadata.ctime_nsec());
    (changed as u64, metadata.ino())
}

#[cfg(not(unix))]
fn of_the_kernel(_: &Metadata) -> (u64, u64) {
    (0, 0)
}
