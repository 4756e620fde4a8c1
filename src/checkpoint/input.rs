//! The bytes of a checkpoint, on the disk or in memory.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

/// What a checkpoint is read from. In memory where the caller has to know what the very bytes hash to: a file on the
/// disk can be exchanged between two looks at it.
pub(in crate::checkpoint) enum Input {
    Disk(File),
    Memory(Cursor<Vec<u8>>),
}

impl Input {
    pub(in crate::checkpoint) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self::Disk(crate::files::open(path)?))
    }

    /// Bytes in all.
    pub(in crate::checkpoint) fn length(&self) -> io::Result<u64> {
        match self {
            Self::Disk(file) => Ok(file.metadata()?.len()),
            Self::Memory(bytes) => Ok(bytes.get_ref().len() as u64),
        }
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Disk(file) => file.read(buffer),
            Self::Memory(bytes) => bytes.read(buffer),
        }
    }
}

impl Seek for Input {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::Disk(file) => file.seek(to),
            Self::Memory(bytes) => bytes.seek(to),
        }
    }
}
