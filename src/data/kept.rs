//! Decoded images, kept in a file so that they are decoded once.
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | `RUNIMGS3` |
//! | 4 | length of the header, little-endian |
//! | | the header, JSON: [`Header`] |
//! | 32 | blake3 of the header |
//! | rest | the arrays, one after the other |
//!
//! A file that is not whole, or that was made from other sources or by another decoder, is as good as none. Sources are
//! the same while the kernel says that nobody has touched them (see [`Stamp`]), or else while their content is: then they
//! are hashed (some 10 ms for MNIST, 0.1 s for CIFAR-10) and the file is written again with what the kernel says now.
//! [`Keeping::reread`] has them hashed in any case.
//!
//! The header is checked whenever it is read, and so are the arrays, piece by piece on all cores. The hashes of the pieces
//! are in the header, and so under its checksum.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::{Duration, SystemTime};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::pixels::Pixels;
use crate::files::{Stamp, TEMPORARY, write_atomic};

const MAGIC: &[u8; 8] = b"RUNIMGS3";
/// More than a header of any number of source files, and of pieces of arrays of 200 GB.
const MOST_HEADER: u64 = 1 << 24;
/// Bytes of a piece: hashed by one thread, and small enough for its core's own cache.
const PIECE: usize = 1 << 20;
/// That there is no place is said once.
static SAID: Once = Once::new();
/// A temporary file this old has no writer any more.
const ABANDONED: Duration = Duration::from_hours(1);

/// Where images come from: a file, or more files than are worth a line each.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// One file.
    File(PathBuf),
    /// Many small ones, such as one for each image.
    Listing {
        /// The folder above all of them.
        root: PathBuf,
        /// The files, in a fixed order.
        files: Vec<PathBuf>,
    },
}

/// An origin as it was when its images were decoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Source {
    name: String,
    /// Of all files together.
    size: u64,
    /// None of a listing.
    stamp: Option<Stamp>,
    /// blake3 of the content, or, of a listing, of the files' names and stamps.
    hash: String,
}

/// Whether an origin is what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sameness {
    Other,
    /// It has been touched, but holds the same.
    Content,
    /// Nobody has touched it.
    Untouched,
}

impl Origin {
    /// What it is now. To be called before its images are decoded, so that a change in between is seen the next time.
    pub(super) fn stamp(&self) -> io::Result<Source> {
        match self {
            Self::File(path) => {
                let stamp = Stamp::read(path)?;
                // Piece by piece: a file that is far too long is refused by its decoder, not by the memory.
                let mut hasher = blake3::Hasher::new();
                hasher.update_reader(crate::files::open(path)?)?;
                Ok(Source {
                    name: name(path),
                    size: hasher.count(),
                    stamp: Some(stamp),
                    hash: hasher.finalize().to_hex().to_string(),
                })
            }
            Self::Listing { root, files } => listed(root, files),
        }
    }

    /// Whether it still is as it was. With `reread` nothing that is not read counts as the same; the files of a listing are
    /// read by decoding them.
    fn compare(&self, source: &Source, reread: bool) -> Sameness {
        match self {
            Self::File(path) => {
                let Some(stamp) = Stamp::of(path).filter(|stamp| stamp.size == source.size) else {
                    return Sameness::Other;
                };
                if source.name != name(path) {
                    return Sameness::Other;
                }
                let untouched = source.stamp == Some(stamp);
                if untouched && !reread {
                    return Sameness::Untouched;
                }
                match self.stamp() {
                    Ok(now) if now.hash != source.hash => Sameness::Other,
                    Ok(_) if untouched => Sameness::Untouched,
                    Ok(_) => Sameness::Content,
                    Err(_) => Sameness::Other,
                }
            }
            Self::Listing { .. } if reread => Sameness::Other,
            Self::Listing { root, files } => match listed(root, files) {
                Ok(now) if now == *source => Sameness::Untouched,
                _ => Sameness::Other,
            },
        }
    }
}

fn listed(root: &Path, files: &[PathBuf]) -> io::Result<Source> {
    let lines: io::Result<Vec<(u64, String)>> = files
        .par_iter()
        .map(|path| {
            let stamp = Stamp::read(path)?;
            let inside = path.strip_prefix(root).unwrap_or(path).display();
            Ok((stamp.size, format!("{inside}\0{stamp:?}\n")))
        })
        .collect();
    let mut hasher = blake3::Hasher::new();
    let mut total = 0;
    for (size, line) in lines? {
        total += size;
        hasher.update(line.as_bytes());
    }
    Ok(Source {
        name: format!("{} files", files.len()),
        size: total,
        stamp: None,
        hash: hasher.finalize().to_hex().to_string(),
    })
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
    /// What the arrays are, in the user's words.
    about: Value,
    /// Bytes of each array.
    lengths: Vec<u64>,
    /// blake3 of each array.
    hashes: Vec<String>,
    /// blake3 of the pieces of each array.
    pieces: Vec<Vec<String>>,
}

/// What is known of kept arrays without reading them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Facts {
    /// As it was given.
    pub about: Value,
    /// Bytes of each array, in the order they were stored.
    pub lengths: Vec<u64>,
    /// blake3 of each, hexadecimal.
    pub hashes: Vec<String>,
}

impl Facts {
    /// Of arrays that are to be kept.
    pub(super) fn of(about: Value, arrays: &[&[u8]]) -> Self {
        Self {
            about,
            lengths: arrays.iter().map(|array| array.len() as u64).collect(),
            hashes: arrays.iter().map(|array| hash_of(array)).collect(),
        }
    }
}

/// Where decoded images are kept, and when what is kept is taken for the files' content.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Keeping<'a> {
    /// For those that cannot be kept beside their files.
    pub cache_dir: Option<&'a Path>,
    /// Only once every file has been read.
    pub reread: bool,
}

/// Arrays that are kept, or to be kept, of some origins.
pub(super) struct Kept<'a> {
    /// Where the file may lie, the preferred place first.
    pub places: Vec<PathBuf>,
    /// See [`Header::decoder`].
    pub decoder: &'a str,
    /// Where the images come from, as it is now.
    pub origins: &'a [Origin],
    /// See [`Keeping::reread`].
    pub reread: bool,
}

/// A kept file that fits.
struct Opened {
    /// After its header.
    file: File,
    header: Header,
    /// Whether an origin has been touched since, though its content is the same.
    touched: bool,
}

impl Kept<'_> {
    /// What is known of the arrays, without reading them.
    pub(super) fn facts(&self) -> Option<Facts> {
        self.places.iter().find_map(|path| {
            let opened = self.open(path).ok()??;
            match opened.touched {
                true => Some(self.arrays(path).ok()??.0),
                false => Some(opened.header.facts()),
            }
        })
    }

    /// The arrays, read and found whole.
    pub(super) fn load(&self) -> Option<(Facts, Vec<Pixels>)> {
        self.places.iter().find_map(|path| self.arrays(path).ok()?)
    }

    /// Keeps arrays in the first place that takes them. That there may be none is no error: they are decoded again.
    pub(super) fn store(&self, sources: Vec<Source>, facts: &Facts, arrays: &[&[u8]]) {
        let header = Header {
            decoder: self.decoder.to_owned(),
            sources,
            about: facts.about.clone(),
            lengths: facts.lengths.clone(),
            hashes: facts.hashes.clone(),
            pieces: arrays.iter().map(|array| pieces_of(array)).collect(),
        };
        let mut last = None;
        for path in &self.places {
            match put(path, &header, arrays) {
                Ok(()) => return,
                Err(error) => {
                    tracing::debug!(path = %path.display(), %error, "decoded images are not kept here");
                    last = Some((path, error));
                }
            }
        }
        if let Some((path, error)) = last {
            SAID.call_once(|| {
                tracing::warn!(path = %path.display(), %error, "decoded images are kept nowhere, and decoded again each time");
            });
        }
    }

    /// The file, if it is what is looked for.
    fn open(&self, path: &Path) -> io::Result<Option<Opened>> {
        let mut file = crate::files::open(path)?;
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
        let size = start.len() as u64 + length + checksum.len() as u64 + header.lengths.iter().sum::<u64>();
        let fits = header.decoder == self.decoder
            && header.hashes.len() == header.lengths.len()
            && header.pieces.len() == header.lengths.len()
            && header.sources.len() == self.origins.len()
            && file.metadata()?.len() == size;
        if !fits {
            return Ok(None);
        }
        let pairs = header.sources.iter().zip(self.origins);
        let same = pairs.map(|(source, origin)| origin.compare(source, self.reread));
        Ok(match same.min().unwrap_or(Sameness::Untouched) {
            Sameness::Other => None,
            found => Some(Opened {
                file,
                header,
                touched: found == Sameness::Content,
            }),
        })
    }

    fn arrays(&self, path: &Path) -> io::Result<Option<(Facts, Vec<Pixels>)>> {
        let Some(Opened {
            mut file,
            mut header,
            touched,
        }) = self.open(path)?
        else {
            return Ok(None);
        };
        let mut arrays = Vec::with_capacity(header.lengths.len());
        for (&length, pieces) in header.lengths.iter().zip(&header.pieces) {
            let array = Pixels::read(&mut file, length)?;
            if !sound(&array, pieces) {
                tracing::warn!(path = %path.display(), "kept images are damaged and decoded again");
                return Ok(None);
            }
            arrays.push(array);
        }
        if touched {
            let stamps: io::Result<Vec<Source>> = self.origins.iter().map(Origin::stamp).collect();
            // Changed in between, they are found to be so the next time.
            if let Some(stamps) = stamps.ok().filter(|stamps| same_content(stamps, &header.sources)) {
                header.sources = stamps;
                let slices: Vec<&[u8]> = arrays.iter().map(|array| &**array).collect();
                if let Err(error) = put(path, &header, &slices) {
                    tracing::debug!(path = %path.display(), %error, "read again each time");
                }
            }
        }
        Ok(Some((header.facts(), arrays)))
    }
}

impl Header {
    fn facts(self) -> Facts {
        Facts {
            about: self.about,
            lengths: self.lengths,
            hashes: self.hashes,
        }
    }
}

fn same_content(now: &[Source], then: &[Source]) -> bool {
    now.iter()
        .map(|source| &source.hash)
        .eq(then.iter().map(|source| &source.hash))
}

/// blake3 of an array, hexadecimal, on all cores.
pub(super) fn hash_of(array: &[u8]) -> String {
    blake3::Hasher::new()
        .update_rayon(array)
        .finalize()
        .to_hex()
        .to_string()
}

fn pieces_of(array: &[u8]) -> Vec<String> {
    let pieces = array.par_chunks(PIECE);
    pieces
        .map(|piece| blake3::hash(piece).to_hex().to_string())
        .collect()
}

/// Whether every piece is what it was.
fn sound(array: &[u8], hashes: &[String]) -> bool {
    let pieces = array.par_chunks(PIECE);
    let same = |(piece, hash): (&[u8], &String)| blake3::hash(piece).to_hex().as_str() == hash;
    pieces.len() == hashes.len() && pieces.zip(hashes).all(same)
}

/// Writes into a folder that anybody may write to; creates it if its parent is there.
fn put(path: &Path, header: &Header, arrays: &[&[u8]]) -> io::Result<()> {
    let header = serde_json::to_vec(header)?;
    let length = (header.len() as u32).to_le_bytes();
    let checksum = blake3::hash(&header);
    let mut parts: Vec<&[u8]> = vec![MAGIC, &length, &header, checksum.as_bytes()];
    parts.extend(arrays);
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    // The superuser can write where nobody is meant to.
    if fs::metadata(folder)?.permissions().readonly() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    sweep(folder, &name(path));
    write_atomic(path, &parts)
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
