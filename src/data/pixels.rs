//! The bytes of images: in memory of their own, or a stretch of a kept file that is mapped into memory, whose pages all
//! processes of a machine share.

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::sync::Arc;

use memmap2::Mmap;

/// Bytes that stay as they are.
pub struct Pixels(Bytes);

enum Bytes {
    Owned(Vec<u8>),
    Mapped(Arc<Mmap>, Range<usize>),
}

impl From<Vec<u8>> for Pixels {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Bytes::Owned(bytes))
    }
}

impl Deref for Pixels {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Owned(bytes) => bytes,
            Bytes::Mapped(map, range) => &map[range.clone()],
        }
    }
}

/// A file in memory, page by page as it is looked at.
pub(super) fn map(file: &File) -> io::Result<Arc<Mmap>> {
    // SAFETY: kept files are written under a temporary name, renamed when they are whole, and never changed after that;
    // removing or replacing one leaves the file that is mapped as it is. What does truncate one in place kills the process
    // at its next look at the missing pages, and gives it no wrong bytes before: they were hashed.
    #[allow(unsafe_code)]
    let map = unsafe { Mmap::map(file)? };
    Ok(Arc::new(map))
}

/// Bytes of a map; `None` where it ends before them.
pub(super) fn stretch(map: &Arc<Mmap>, range: Range<usize>) -> Option<Pixels> {
    map.get(range.clone())?;
    Some(Pixels(Bytes::Mapped(map.clone(), range)))
}
