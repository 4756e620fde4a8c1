//! PyTorch's format before 1.6, still written with `_use_new_zipfile_serialization=False`.
//!
//! Five pickles, one after the other, and the storages:
//!
//! | part | what | checked |
//! | --- | --- | --- |
//! | magic number | 0x1950a86a20f9469cfc6c | is it |
//! | protocol version | 1001 | is it |
//! | system info | `{"little_endian": True, ...}` | must be `True` |
//! | object | the object tree | as `data.pkl` of the zip format |
//! | storage keys | a list of texts | those of the object, none twice |
//! | storages | for each key the number of elements (u64, little-endian), then the elements | all of them end inside the file |
//!
//! Nothing says how long a pickle is, so a prefix of the file is read that grows until the fifth one ends in it, at
//! most [`Limits::pickle_bytes`]. Where a storage begins follows from the sizes that the object announces for those
//! before it.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::content::Content;
use super::error::{EntryProblem, PickleProblem, TorchError};
use super::limits::Limits;
use super::pickle::{self, Tree};
use super::tensor::Storage;
use super::value::{Arena, Node};
use crate::checkpoint::input::Input;

/// The end of the pickle of the magic number, whichever protocol the file has: LONG1 of ten bytes, and STOP.
const MAGIC: &[u8] = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";
const PROTOCOL_VERSION: u64 = 1001;
/// How much of the file is read at first; it grows eightfold.
const PREFIX: u64 = 64 << 10;

/// An open file of this format.
pub(super) struct Legacy {
    path: PathBuf,
    file: Input,
    length: u64,
    places: HashMap<String, Place>,
}

/// A storage: first byte after the number of elements, that number, and bytes.
#[derive(Debug, Clone, Copy)]
struct Place {
    start: u64,
    elements: u64,
    bytes: u64,
}

/// Reads everything but the storages.
pub(super) fn open(
    path: &Path,
    mut file: Input,
    length: u64,
    limits: &Limits,
) -> Result<(Legacy, Content), TorchError> {
    let most = length.min(limits.pickle_bytes);
    let mut prefix = Vec::new();
    let mut size = PREFIX;
    loop {
        let missing = size.min(most).saturating_sub(prefix.len() as u64);
        let read = file.by_ref().take(missing).read_to_end(&mut prefix);
        read.map_err(|source| TorchError::io(path, source))?;
        let parser = Parser {
            path,
            bytes: &prefix,
            length,
            limits,
            position: 0,
        };
        match parser.parse() {
            Err(TorchError::Pickle {
                part,
                offset,
                problem: PickleProblem::Length { needed, left },
                ..
            }) => {
                let beyond = length.saturating_sub(prefix.len() as u64);
                let left = left.saturating_add(beyond);
                if needed > left || beyond == 0 {
                    let problem = PickleProblem::Length { needed, left };
                    return Err(TorchError::pickle(path, part, offset, problem));
                }
                if prefix.len() as u64 >= most {
                    let problem = EntryProblem::TooLong(limits.pickle_bytes);
                    return Err(TorchError::entry(path, part, problem));
                }
                size = size.saturating_mul(8);
            }
            Err(error) => return Err(error),
            Ok((places, content)) => {
                let path = path.to_path_buf();
                let legacy = Legacy {
                    path,
                    file,
                    length,
                    places,
                };
                return Ok((legacy, content));
            }
        }
    }
}

impl Legacy {
    /// The length of the whole file.
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    /// The bytes of a storage.
    pub(super) fn storage(&mut self, key: &str) -> Result<Vec<u8>, TorchError> {
        let read = match self.places.get(key) {
            None => Err(EntryProblem::Missing),
            Some(&place) => self.read(place),
        };
        read.map_err(|problem| storage_error(&self.path, key, problem))
    }

    fn read(&mut self, place: Place) -> Result<Vec<u8>, EntryProblem> {
        let failed = |error: std::io::Error| match error.kind() {
            ErrorKind::UnexpectedEof => EntryProblem::Damaged,
            _ => EntryProblem::Read(error),
        };
        let mut count = [0; 8];
        let before = SeekFrom::Start(place.start - 8);
        self.file.seek(before).map_err(failed)?;
        self.file.read_exact(&mut count).map_err(failed)?;
        let found = u64::from_le_bytes(count);
        if found != place.elements {
            return Err(EntryProblem::Elements {
                found,
                expected: place.elements,
            });
        }
        let mut bytes = Vec::new();
        let reserved = bytes.try_reserve_exact(place.bytes as usize);
        reserved.map_err(|_| EntryProblem::Read(ErrorKind::OutOfMemory.into()))?;
        let read = self.file.by_ref().take(place.bytes).read_to_end(&mut bytes);
        if read.map_err(failed)? as u64 != place.bytes {
            return Err(EntryProblem::Damaged);
        }
        Ok(bytes)
    }
}

/// Goes through a prefix of the file.
struct Parser<'p> {
    path: &'p Path,
    bytes: &'p [u8],
    length: u64,
    limits: &'p Limits,
    position: usize,
}

impl<'p> Parser<'p> {
    /// Where the storages are, and what the object holds.
    fn parse(mut self) -> Result<(HashMap<String, Place>, Content), TorchError> {
        let is_magic = match self.bytes {
            [0x80, 4 | 5, 0x95, rest @ ..] => rest.get(8..).is_some_and(|rest| rest.starts_with(MAGIC)),
            [0x80, _, rest @ ..] => rest.starts_with(MAGIC),
            _ => false,
        };
        if !is_magic {
            return Err(TorchError::entry(self.path, "magic number", EntryProblem::Magic));
        }
        self.pickle("magic number")?;
        let version = self.pickle("protocol version")?;
        if version.arena.unsigned(version.root) != Some(PROTOCOL_VERSION) {
            let problem = EntryProblem::Version;
            return Err(TorchError::entry(self.path, "protocol version", problem));
        }
        let system = self.pickle("system info")?;
        if !is_little_endian(&system) {
            let problem = EntryProblem::BigEndian;
            return Err(TorchError::entry(self.path, "system info", problem));
        }
        let object = self.pickle("object")?;
        let keys = self.pickle("storage keys")?;
        let content = Content::new(&object, self.limits);
        let content = content.map_err(|problem| TorchError::layout(self.path, problem))?;
        Ok((self.places(&object, &keys)?, content))
    }

    fn pickle(&mut self, part: &'static str) -> Result<Tree<'p>, TorchError> {
        let tree = pickle::load(&self.bytes[self.position..], self.limits).map_err(|fault| {
            let offset = self.position as u64 + fault.offset as u64;
            TorchError::pickle(self.path, part, offset, fault.problem)
        })?;
        self.position += tree.length;
        Ok(tree)
    }

    fn places(&self, object: &Tree<'_>, keys: &Tree<'_>) -> Result<HashMap<String, Place>, TorchError> {
        let announced = self.announced(object)?;
        let malformed = || TorchError::entry(self.path, "storage keys", EntryProblem::Keys);
        let Node::List(handles) = keys.arena.get(keys.root) else {
            return Err(malformed());
        };
        let mut places = HashMap::with_capacity(handles.len());
        let mut position = self.position as u64;
        for &handle in handles {
            let key = keys.arena.text(handle).ok_or_else(malformed)?;
            let failed = |problem| storage_error(self.path, key, problem);
            let storage = announced
                .get(key)
                .ok_or_else(|| failed(EntryProblem::Unannounced))?;
            let (start, bytes) = (position.saturating_add(8), storage.bytes());
            position = start.saturating_add(bytes);
            if position > self.length {
                return Err(failed(EntryProblem::Size {
                    claimed: bytes,
                    available: self.length.saturating_sub(start),
                }));
            }
            let place = Place {
                start,
                elements: storage.elements,
                bytes,
            };
            if places.insert(key.to_owned(), place).is_some() {
                return Err(failed(EntryProblem::Twice));
            }
        }
        Ok(places)
    }

    /// The storages of the object, by key. The first mention of one decides of which size its elements are.
    fn announced<'a>(&self, object: &Tree<'a>) -> Result<HashMap<&'a str, Storage<&'a str>>, TorchError> {
        let mut announced: HashMap<&str, Storage<&str>> = HashMap::new();
        for node in object.arena.nodes() {
            let Node::Storage(storage) = node else {
                continue;
            };
            let first = announced.entry(storage.key).or_insert(*storage);
            if first.bytes() != storage.bytes() {
                let problem = EntryProblem::Sizes(first.bytes(), storage.bytes());
                return Err(storage_error(self.path, storage.key, problem));
            }
        }
        Ok(announced)
    }
}

fn is_little_endian(system: &Tree<'_>) -> bool {
    let Node::Dict(items) = system.arena.get(system.root) else {
        return false;
    };
    let is_it = |key| system.arena.text(key) == Some("little_endian");
    let item = items.iter().find(|&&(key, _)| is_it(key));
    item.is_some_and(|&(_, value)| value == Arena::TRUE)
}

fn storage_error(path: &Path, key: &str, problem: EntryProblem) -> TorchError {
    let shown: String = key.chars().take(100).collect();
    TorchError::entry(path, &format!("storage {shown}"), problem)
}
