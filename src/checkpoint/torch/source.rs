//! Where the bytes of storages come from.

use std::io::{Read, Seek};
use std::path::Path;

use super::container::Archive;
use super::content::Content;
use super::error::TorchError;
use super::legacy::{self, Legacy};
use super::limits::Limits;
use super::pickle;

/// A file of one of the two formats.
pub(super) enum Source {
    Zip(Archive),
    Legacy(Legacy),
}

impl Source {
    /// Opens the file, tells the formats apart by its first bytes, and reads everything but the storages.
    pub(super) fn open(path: &Path, limits: &Limits) -> Result<(Self, Content), TorchError> {
        let io = |source| TorchError::io(path, source);
        let mut file = crate::files::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let mut magic = Vec::new();
        file.by_ref().take(4).read_to_end(&mut magic).map_err(io)?;
        file.rewind().map_err(io)?;
        match magic.as_slice() {
            [b'P', b'K', ..] => {
                let mut archive = Archive::open(path, file, length)?;
                let content = zipped(path, &mut archive, limits)?;
                Ok((Self::Zip(archive), content))
            }
            [0x80, 0..=5, ..] => {
                let (legacy, content) = legacy::open(path, file, length, limits)?;
                Ok((Self::Legacy(legacy), content))
            }
            _ => Err(TorchError::Unknown {
                path: path.to_path_buf(),
            }),
        }
    }

    /// The length of the whole file.
    pub(super) const fn length(&self) -> u64 {
        match self {
            Self::Zip(archive) => archive.length(),
            Self::Legacy(legacy) => legacy.length(),
        }
    }

    /// The bytes of a storage.
    pub(super) fn storage(&mut self, key: &str) -> Result<Vec<u8>, TorchError> {
        match self {
            Self::Zip(archive) => archive.storage(key),
            Self::Legacy(legacy) => legacy.storage(key),
        }
    }
}

fn zipped(path: &Path, archive: &mut Archive, limits: &Limits) -> Result<Content, TorchError> {
    let bytes = archive.pickle(limits)?;
    let tree = pickle::load(&bytes, limits)
        .map_err(|fault| TorchError::pickle(path, "data.pkl", fault.offset as u64, fault.problem))?;
    Content::new(&tree, limits).map_err(|problem| TorchError::layout(path, problem))
}
