//! Decoded images, kept in a file so that they are decoded once.
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | `RUNIMGS1` |
//! | 4 | length of the header, little-endian |
//! | | the header, JSON: [`Header`] |
//! | 32 | blake3 of the header |
//! | rest | the arrays, one after the other |
//!
//! A file that is not whole, or that was made from other sources or by another decoder, is as good as none. The header
//! is checked whenever it is read, the arrays whenever they are.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::files::{TEMPORARY, write_atomic};

const MAGIC: &[u8; 8] = b"RUNIMGS1";
/// More than a header of any number of source files.
const MOST_HEADER: u64 = 1 << 20;
/// Read by one thread at a time.
const CHUNK: usize = 1 << 22;
/// A temporary file this old has no writer any more.
const ABANDONED: Duration = Duration::from_hours(1);

/// A source file as it was when its images were decoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Source {
    name: String,
    size: u64,
    /// Since 1970; none where the file system does not say.
    modified: Option<Duration>,
    /// blake3 of the content.
    hash: String,
}

impl Source {
    /// To be called before `content` is read, so that a change in between is seen the next time.
    pub(super) fn modified(path: &Path) -> Option<Duration> {
        let modified = fs::metadata(path).and_then(|metadata| metadata.modified()).ok()?;
        modified.duration_since(UNIX_EPOCH).ok()
    }

    pub(super) fn new(path: &Path, modified: Option<Duration>, content: &[u8]) -> Self {
        Self {
            name: name(path),
            size: content.len() as u64,
            modified,
            hash: blake3::Hasher::new()
                .update_rayon(content)
                .finalize()
                .to_hex()
                .to_string(),
        }
    }

    /// Whether the file at `path` still is this one: same size and time, or same content.
    fn is(&self, path: &Path) -> bool {
        let same_size = fs::metadata(path).is_ok_and(|metadata| metadata.len() == self.size);
        if self.name != name(path) || !same_size {
            return false;
        }
        let same_time = self.modified.is_some() && self.modified == Self::modified(path);
        same_time || fs::read(path).is_ok_and(|content| Self::new(path, None, &content).hash == self.hash)
    }
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// What is known of the arrays without reading them.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    /// Changes when the same sources are decoded to other arrays.
    decoder: String,
    sources: Vec<Source>,
    /// Bytes of each array.
    lengths: Vec<u64>,
    /// blake3 of each array.
    hashes: Vec<String>,
}

/// What is kept, read and found whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arrays {
    /// In the order they were stored.
    pub arrays: Vec<Vec<u8>>,
    /// blake3 of each, hexadecimal.
    pub hashes: Vec<String>,
}

/// Arrays that are kept, or to be kept, of some source files.
pub(super) struct Kept<'a> {
    /// Where the file may lie, the preferred place first.
    pub places: Vec<PathBuf>,
    /// See [`Header::decoder`].
    pub decoder: &'a str,
    /// The source files there are now.
    pub sources: Vec<&'a Path>,
    /// Bytes that each array must have.
    pub lengths: &'a [u64],
}

impl Kept<'_> {
    /// The hashes of the arrays, one for each, without reading them.
    pub(super) fn hashes(&self) -> Option<Vec<String>> {
        self.places
            .iter()
            .find_map(|path| Some(self.open(path).ok()??.1.hashes))
    }

    /// The arrays and their hashes.
    pub(super) fn load(&self) -> Option<Arrays> {
        self.places.iter().find_map(|path| self.arrays(path).ok()?)
    }

    /// Keeps arrays in the first place that takes them. That there may be none is no error: they are decoded again.
    pub(super) fn store(&self, sources: Vec<Source>, arrays: &[&[u8]], hashes: &[String]) {
        let header = Header {
            decoder: self.decoder.to_owned(),
            sources,
            lengths: arrays.iter().map(|array| array.len() as u64).collect(),
            hashes: hashes.to_vec(),
        };
        let Ok(header) = serde_json::to_vec(&header) else {
            return;
        };
        let length = (header.len() as u32).to_le_bytes();
        let checksum = blake3::hash(&header);
        let mut parts: Vec<&[u8]> = vec![MAGIC, &length, &header, checksum.as_bytes()];
        parts.extend(arrays);
        for path in &self.places {
            match put(path, &parts) {
                Ok(()) => return,
                Err(error) => {
                    tracing::debug!(path = %path.display(), %error, "decoded images are not kept here");
                }
            }
        }
    }

    /// The file after its header, and the header; `None` where it is not what is looked for.
    fn open(&self, path: &Path) -> io::Result<Option<(File, Header)>> {
        let mut file = File::open(path)?;
        let mut start = [0; 12];
        file.read_exact(&mut start)?;
        let [magic @ .., a, b, c, d] = start;
        let length = u64::from(u32::from_le_bytes([a, b, c, d]));
        if magic != *MAGIC || length > MOST_HEADER {
            return Ok(None);
        }
        let mut header = vec![0; length as usize];
        let mut checksum = [0; 32];
        file.read_exact(&mut header)?;
        file.read_exact(&mut checksum)?;
        if blake3::hash(&header) != checksum {
            return Ok(None);
        }
        let Ok(header) = serde_json::from_slice::<Header>(&header) else {
            return Ok(None);
        };
        let size = start.len() as u64 + length + checksum.len() as u64 + self.lengths.iter().sum::<u64>();
        let fits = header.decoder == self.decoder
            && header.lengths == self.lengths
            && header.hashes.len() == self.lengths.len()
            && header.sources.len() == self.sources.len()
            && file.metadata()?.len() == size
            && header
                .sources
                .iter()
                .zip(&self.sources)
                .all(|(source, path)| source.is(path));
        Ok(fits.then_some((file, header)))
    }

    fn arrays(&self, path: &Path) -> io::Result<Option<Arrays>> {
        let Some((mut file, header)) = self.open(path)? else {
            return Ok(None);
        };
        let mut offset = file.stream_position()?;
        let mut arrays = Vec::with_capacity(header.lengths.len());
        for (&length, hash) in header.lengths.iter().zip(&header.hashes) {
            let array = read_at(path, offset, length as usize)?;
            if hash_of(&array) != *hash {
                tracing::debug!(path = %path.display(), "kept images are damaged");
                return Ok(None);
            }
            offset += length;
            arrays.push(array);
        }
        Ok(Some(Arrays {
            arrays,
            hashes: header.hashes,
        }))
    }
}

/// blake3 of an array, hexadecimal, on all cores.
pub(super) fn hash_of(array: &[u8]) -> String {
    blake3::Hasher::new()
        .update_rayon(array)
        .finalize()
        .to_hex()
        .to_string()
}

/// Reads `length` bytes from `offset` on, on all cores: most of the time goes into the kernel's copying.
fn read_at(path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let chunks = bytes.par_chunks_mut(CHUNK).enumerate();
    chunks.try_for_each(|(index, chunk)| {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset + (index * CHUNK) as u64))?;
        file.read_exact(chunk)
    })?;
    Ok(bytes)
}

/// Writes into a folder that anybody may write to; creates it if its parent is there.
fn put(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    // The superuser can write where nobody is meant to.
    if fs::metadata(folder)?.permissions().readonly() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    sweep(folder, &name(path));
    write_atomic(path, parts)
}

/// Removes what killed writers of `name` left.
fn sweep(folder: &Path, name: &str) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let found = entry.file_name().to_string_lossy().into_owned();
        let age = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .map(|modified| SystemTime::now().duration_since(modified).unwrap_or_default());
        if found.starts_with(TEMPORARY) && found.ends_with(name) && age.is_ok_and(|age| age > ABANDONED) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests;
