//! The zip archive around a checkpoint.

use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use zip::read::{ArchiveOffset, Config};
use zip::{CompressionMethod, ZipArchive};

use super::error::{EntryProblem, TorchError};
use super::limits::Limits;
use crate::checkpoint::input::Input;

/// An open archive that looks like a checkpoint.
pub(super) struct Archive {
    path: PathBuf,
    zip: ZipArchive<BufReader<Input>>,
    root: String,
    length: u64,
    taken: u64,
}

impl Archive {
    /// Reads the archive's directory, and finds the root folder and the byte order.
    pub(super) fn open(path: &Path, file: Input, length: u64) -> Result<Self, TorchError> {
        // An archive of PyTorch begins with the file. Left to guess, the reader takes the length of the directory back
        // from its end record, without the two records that PyTorch writes between them; where the first entry of the
        // directory is as long as these (a name of 21 characters), it finds the second entry there and misses the first.
        let config = Config {
            archive_offset: ArchiveOffset::Known(0),
        };
        let zip =
            ZipArchive::with_config(config, BufReader::new(file)).map_err(|source| TorchError::Zip {
                path: path.to_path_buf(),
                source,
            })?;
        let root = root(&zip).map_err(|problem| TorchError::NotTorch {
            path: path.to_path_buf(),
            problem,
        })?;
        let mut archive = Self {
            path: path.to_path_buf(),
            zip,
            root,
            length,
            taken: 0,
        };
        archive.check_byte_order()?;
        Ok(archive)
    }

    /// The length of the whole file.
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    /// The bytes of `data.pkl`.
    pub(super) fn pickle(&mut self, limits: &Limits) -> Result<Vec<u8>, TorchError> {
        self.read("data.pkl", limits.pickle_bytes)
    }

    /// The bytes of a storage.
    pub(super) fn storage(&mut self, key: &str) -> Result<Vec<u8>, TorchError> {
        self.read(&format!("data/{key}"), u64::MAX)
    }

    fn check_byte_order(&mut self) -> Result<(), TorchError> {
        let problem = match self.read("byteorder", u64::MAX) {
            Ok(order) if order == b"little" => return Ok(()),
            Err(TorchError::Entry {
                problem: EntryProblem::Missing,
                ..
            }) => return Ok(()),
            Ok(order) if order == b"big" => EntryProblem::BigEndian,
            Ok(_) => EntryProblem::ByteOrder,
            Err(other) => return Err(other),
        };
        Err(TorchError::entry(
            &self.path,
            &format!("{}/byteorder", self.root),
            problem,
        ))
    }

    /// One entry below the root folder. The sum of all that is read never exceeds the length of the file.
    fn read(&mut self, name: &str, limit: u64) -> Result<Vec<u8>, TorchError> {
        let name = format!("{}/{name}", self.root);
        self.read_entry(&name, limit).map_err(|problem| {
            let shown: String = name.chars().take(200).collect();
            TorchError::entry(&self.path, &shown, problem)
        })
    }

    fn read_entry(&mut self, name: &str, limit: u64) -> Result<Vec<u8>, EntryProblem> {
        let index = self.zip.index_for_name(name).ok_or(EntryProblem::Missing)?;
        let entry = self.zip.by_index_data(index).map_err(|_| EntryProblem::Damaged)?;
        let bytes = entry.size();
        if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
            return Err(EntryProblem::Compressed);
        }
        if bytes > self.length {
            return Err(EntryProblem::Size {
                claimed: bytes,
                available: self.length,
            });
        }
        if entry.compressed_size() != bytes {
            return Err(EntryProblem::Damaged);
        }
        if bytes > limit {
            return Err(EntryProblem::PickleBytes { bytes, limit });
        }
        self.taken = self.taken.saturating_add(bytes);
        if self.taken > self.length {
            return Err(EntryProblem::Overlap);
        }
        let mut buffer = Vec::new();
        let reserved = buffer.try_reserve_exact(bytes as usize);
        reserved.map_err(|_| EntryProblem::Read(ErrorKind::OutOfMemory.into()))?;
        let entry = self.zip.by_index(index).map_err(|_| EntryProblem::Damaged)?;
        // One byte more than announced, so that the end is reached, where the checksum is compared.
        entry
            .take(bytes + 1)
            .read_to_end(&mut buffer)
            .map_err(|error| match error.kind() {
                ErrorKind::InvalidData | ErrorKind::UnexpectedEof => EntryProblem::Damaged,
                _ => EntryProblem::Read(error),
            })?;
        if buffer.len() as u64 != bytes {
            return Err(EntryProblem::Damaged);
        }
        Ok(buffer)
    }
}

/// The folder that `data.pkl` lies in.
fn root(zip: &ZipArchive<BufReader<Input>>) -> Result<String, &'static str> {
    if zip.has_duplicate_names() {
        return Err("two entries have the same name");
    }
    let mut found = None;
    for name in zip.file_names_raw() {
        let Some(folder) = name.strip_suffix(b"/data.pkl") else {
            continue;
        };
        if folder.is_empty() || folder.contains(&b'/') {
            continue;
        }
        let folder = std::str::from_utf8(folder).map_err(|_| "its folder's name is not UTF-8")?;
        if found.replace(folder.to_owned()).is_some() {
            return Err("it has more than one `data.pkl`");
        }
    }
    let ends_in = |end: &[u8]| zip.file_names_raw().any(|name| name.ends_with(end));
    match found {
        Some(_) if ends_in(b"/constants.pkl") => Err("it is a program of TorchScript"),
        Some(folder) => Ok(folder),
        None if ends_in(b"/archive_format") => Err("it is a program of `torch.export`"),
        None => Err("it has no `data.pkl` in a folder"),
    }
}
