//! The bytes of images, in memory.
//!
//! Kept files are read, not mapped: a file that is cut or written to while jobs use it would end the process by a signal,
//! or change their data after it was checked.

use std::io::{self, Read};
use std::ops::Deref;

/// Bytes that stay as they are.
pub struct Pixels(Vec<u8>);

impl From<Vec<u8>> for Pixels {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Deref for Pixels {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Pixels {
    /// The next `length` bytes of a file, which is known to have as many.
    pub(super) fn read(file: &mut impl Read, length: u64) -> io::Result<Self> {
        let mut bytes = Vec::new();
        let room = usize::try_from(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
        bytes
            .try_reserve_exact(room)
            .map_err(|_| io::ErrorKind::OutOfMemory)?;
        match file.take(length).read_to_end(&mut bytes)? {
            read if read == room => Ok(Self(bytes)),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
