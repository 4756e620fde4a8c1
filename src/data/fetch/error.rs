//! Errors of downloads.

use std::path::PathBuf;

use crate::data::DataError;

/// A data set could not be downloaded.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// There is no such data set, or no such size of it.
    #[error(transparent)]
    Data(DataError),
    /// There is nothing to download.
    #[error("data set `{name}` is embedded in the program: there is nothing to fetch")]
    Embedded {
        /// The data set.
        name: &'static str,
    },
    /// The server did not answer.
    #[error("cannot reach `{url}`: {problem}")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// The network's word.
        problem: String,
    },
    /// The server refused.
    #[error("`{url}` answers with status {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// HTTP's number, such as 404.
        status: u16,
    },
    /// The server's list of files is not one, or has none of the set's.
    #[error("the list of files at `{url}` is of no use: {problem}")]
    Listing {
        /// Where it is.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// The transfer ended too early, each time it was tried.
    #[error("the download of `{url}` broke off after {received} bytes: {problem}")]
    Broken {
        /// What was asked for.
        url: String,
        /// Bytes there are.
        received: u64,
        /// Why.
        problem: String,
    },
    /// The file has no end, or not where it should.
    #[error("`{url}` has more than {limit} bytes")]
    TooLong {
        /// What was asked for.
        url: String,
        /// The published size, or the most that is known of such files.
        limit: u64,
    },
    /// All bytes are there, but they are others.
    #[error("`{url}` has an unexpected checksum: expected {expected}, found {found}")]
    Checksum {
        /// What was asked for.
        url: String,
        /// The published one.
        expected: String,
        /// That of what was received.
        found: String,
    },
    /// A file or folder cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// The system's word, such as that the disk is full.
        source: std::io::Error,
    },
    /// A file of this name is there that no download has left, with another content than the published one.
    #[error("`{}` is there already, and is not the file that would be downloaded", path.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
    },
    /// Another process is at it.
    #[error("`{}` is being downloaded by another process", path.display())]
    Busy {
        /// Which file.
        path: PathBuf,
    },
}

impl FetchError {
    pub(super) fn write(path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Write {
            path: path.to_path_buf(),
            source,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Data(error) => return error.hint(),
            Self::Embedded { name } => return Some(format!("just use it: `name = \"{name}\"`")),
            Self::Unreachable { .. } => {
                "check the network, or name a server that can be reached with `--from URL` (for the hub also HF_ENDPOINT)"
            }
            Self::Status {
                status: 401 | 403, ..
            } => "the server wants to know who asks: use another one with `--from URL`",
            Self::Status { status: 404, .. } | Self::Listing { .. } => {
                "the files may have moved: use another server with `--from URL`, or put them into the data folder by hand"
            }
            Self::Status { .. } => "try again later; what is there already is kept",
            Self::Broken { .. } => "run the same command again: it goes on where this one stopped",
            Self::Checksum { .. } | Self::TooLong { .. } => {
                "what was received is deleted; try again, and if that does not help, use another server with `--from URL`"
            }
            Self::Write { .. } => {
                "make room, or name another folder with `--data-dir DIR`; the same command goes on where this one stopped"
            }
            Self::Foreign { .. } => {
                "move it away and run the same command again, which need not download the file anew; or use another folder with `--data-dir DIR`"
            }
            Self::Busy { .. } => "wait until it is done",
        };
        Some(text.to_owned())
    }
}
