//! Which data set is asked for, and what there is to know of one.

use std::path::Path;

use super::kept::Keeping;
use super::{DataError, DatasetSettings, Normalisation};

/// What can be known of a data set without having it in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataSetInfo {
    /// Number of classes.
    pub classes: usize,
    /// Number of training images.
    pub train: usize,
    /// Number of test images.
    pub test: usize,
    /// `[C, H, W]`.
    pub shape: [usize; 3],
}

/// A data set with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Name in manifests.
    pub name: &'static str,
    /// One line for help texts.
    pub about: &'static str,
    /// What it is, whatever its files; `None` where they tell.
    pub info: Option<DataSetInfo>,
    /// Heights and widths in pixels that it is published in, the one by default first; none where it has one only.
    pub sizes: &'static [usize],
}

/// A data set that was looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// What it is.
    pub info: DataSetInfo,
    /// What [`DataSet::hash`](super::DataSet::hash) will be.
    pub hash: String,
    /// How its pixels are normalised.
    pub normalisation: Normalisation,
}

/// Which data set, and where to look for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub settings: &'a DatasetSettings,
    /// The folder with the files of those that are not embedded.
    pub data_dir: Option<&'a Path>,
    /// How decoded images are kept.
    pub keeping: Keeping<'a>,
}

impl<'a> Request<'a> {
    /// The data folder, or says that there is none.
    pub(super) fn folder(&self) -> Result<&'a Path, DataError> {
        self.data_dir.ok_or_else(|| DataError::NoFolder {
            name: self.settings.name.clone(),
        })
    }
}

/// Hash of a data set: its recipe (a line that changes when decoding, cut or normalisation do) and its contents.
pub(super) fn hash(recipe: &str, contents: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for line in std::iter::once(&recipe).chain(contents) {
        hasher.update(line.as_bytes());
        hasher.update(b"\n");
    }
    hasher.finalize().to_hex().to_string()
}
