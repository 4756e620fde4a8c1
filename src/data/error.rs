//! Errors of data sets, splits and samples.

use std::path::{Path, PathBuf};

use super::DatasetSettings;

/// A data set could not be had, or not be cut as asked.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// No data set of that name.
    #[error("unknown data set `{name}`")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The known name most like it.
        nearest: Option<&'static str>,
        /// All there are.
        known: Vec<&'static str>,
    },
    /// The data set lies in files, and no folder was given.
    #[error("data set `{name}` needs a data folder")]
    NoFolder {
        /// The data set.
        name: String,
    },
    /// A file is nowhere to be found.
    #[error("data set `{name}`: cannot find {file} in {}", list(searched))]
    Missing {
        /// The data set.
        name: String,
        /// The file's name, or the names it may have, each between backticks.
        file: String,
        /// The folders looked into, in order.
        searched: Vec<PathBuf>,
        /// The size of the images that is asked for, where the data set comes in several.
        size: Option<usize>,
    },
    /// The operating system refused, or the file does not decompress.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// The system's or the decompressor's word.
        source: std::io::Error,
    },
    /// The file is longer, or decompresses to more, than any file of its kind.
    #[error("`{}` has more than {limit} bytes of content", path.display())]
    TooLong {
        /// Which file.
        path: PathBuf,
        /// The most bytes that are read.
        limit: u64,
    },
    /// The content is not what its format says.
    #[error("`{}` is not a valid {format} file: {problem}", path.display())]
    Format {
        /// Which file.
        path: PathBuf,
        /// The format expected.
        format: &'static str,
        /// What is wrong, with the numbers found.
        problem: String,
    },
    /// The content is well formed but not the published one.
    #[error("`{}` has an unexpected checksum: expected {expected}, found {found}", path.display())]
    Checksum {
        /// Which file.
        path: PathBuf,
        /// blake3 of the published file's decompressed content.
        expected: String,
        /// blake3 of what was found, decompressed.
        found: String,
    },
    /// Files that are well formed each, but together are not the data set.
    #[error("data set `{name}` in `{}` is not sound: {problem}", folder.display())]
    Content {
        /// The data set.
        name: String,
        /// Where its files lie.
        folder: PathBuf,
        /// What is wrong, with the numbers found.
        problem: String,
    },
    /// A folder or file of one's own data that does not go with the others.
    #[error("`{}`: {problem}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// What is wrong, with the numbers found.
        problem: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// An error of one's own data, which nobody published.
    #[error(transparent)]
    Own(Box<DataError>),
    /// A split, hold-out or sample that cannot be made.
    #[error("cannot {what}: {problem}")]
    Impossible {
        /// What was tried, such as `split the training set`.
        what: &'static str,
        /// Why not, with the numbers.
        problem: String,
    },
}

/// Of work that is done for many images at once.
impl From<String> for DataError {
    fn from(problem: String) -> Self {
        Self::Impossible {
            what: "decode the images",
            problem,
        }
    }
}

impl DataError {
    pub(super) fn read(path: &Path, source: std::io::Error) -> Self {
        Self::Read {
            path: path.to_path_buf(),
            source,
        }
    }

    pub(super) fn format(path: &Path, format: &'static str, problem: impl Into<String>) -> Self {
        Self::Format {
            path: path.to_path_buf(),
            format,
            problem: problem.into(),
        }
    }

    pub(super) fn of_own(self) -> Self {
        Self::Own(Box::new(self))
    }

    /// What the user can do about it, where the data are the user's own.
    fn own_hint(&self) -> Option<String> {
        let text = match self {
            Self::Format { format: "image", .. } => {
                "PNG and JPEG images are read: replace the file, or move it out of the folder"
            }
            Self::Format { format: "npz", .. } => {
                "arrays are made by `numpy.savez_compressed(FILE, train_images=..., train_labels=..., ...)`, see docs/data.md"
            }
            Self::Format {
                format: "parquet", ..
            } => {
                "a column of PNG or JPEG images and one of labels are needed; `dataset.image-column` and \
                 `dataset.label-column` name them"
            }
            Self::TooLong { .. } | Self::Format { .. } | Self::Checksum { .. } => "write the file anew",
            Self::Read { source, .. } if source.kind() == std::io::ErrorKind::FileTooLarge => {
                "make the images smaller: networks are trained on few pixels"
            }
            // The system's word says it.
            Self::Read { source, .. } if source.kind() != std::io::ErrorKind::PermissionDenied => {
                return None;
            }
            Self::Content { .. } => return None,
            other => return other.hint(),
        };
        Some(text.to_owned())
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown {
                nearest: Some(nearest),
                ..
            } => Some(format!("did you mean `{nearest}`?")),
            Self::Unknown { name, known, .. } => {
                let known: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
                Some(format!(
                    "known data sets are {}; a path has a `/` in it, as in `./{name}`",
                    known.join(", ")
                ))
            }
            Self::NoFolder { name } => Some(format!("name the folder that holds the files of `{name}`")),
            Self::Missing { name, size, .. } if !DatasetSettings::named(name).is_path() => {
                let size = size.map(|size| format!(" --size {size}")).unwrap_or_default();
                Some(format!(
                    "download it with `runner fetch {name}{size} --data-dir DIR`, or put the file into one of these folders"
                ))
            }
            Self::Missing { .. } => Some(
                "paths start from the data folder, if there is one, or from where `runner` is started"
                    .to_owned(),
            ),
            Self::Read { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                Some("make the file readable".to_owned())
            }
            Self::Read { source, .. }
                if matches!(
                    source.kind(),
                    std::io::ErrorKind::InvalidInput | std::io::ErrorKind::IsADirectory
                ) =>
            {
                Some("put a file in its place, or remove it".to_owned())
            }
            Self::Read { .. } | Self::TooLong { .. } | Self::Format { .. } | Self::Checksum { .. } => {
                Some("the file is damaged or another one: download it again".to_owned())
            }
            Self::Content { .. } => {
                Some("a file is missing, doubled or of another data set: download them again".to_owned())
            }
            Self::Folder { hint, .. } => Some((*hint).to_owned()),
            Self::Own(error) => error.own_hint(),
            Self::Impossible { .. } => None,
        }
    }
}

fn list(folders: &[PathBuf]) -> String {
    let quoted: Vec<_> = folders
        .iter()
        .map(|folder| format!("`{}`", folder.display()))
        .collect();
    quoted.join(", ")
}
