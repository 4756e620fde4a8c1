//! Why a checkpoint cannot be read or written.

use std::path::{Path, PathBuf};

use super::torch::TorchError;
use crate::result::StoreError;

/// A checkpoint cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The operating system refused.
    #[error("cannot read the checkpoint `{}`", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// Not a checkpoint of ours, or damaged.
    #[error("`{}` is not a sound checkpoint: {problem}", path.display())]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// None of the formats there are.
    #[error("`{}` is neither a PyTorch checkpoint nor a safetensors file", path.display())]
    Unknown {
        /// Which file.
        path: PathBuf,
    },
    /// One tensor of a safetensors file, or its header, cannot be used.
    #[error("`{}`: {entry}: {problem}", path.display())]
    Entry {
        /// Which file.
        path: PathBuf,
        /// ``tensor `NAME` ``, `header`, ...
        entry: String,
        /// What is wrong.
        problem: String,
    },
    /// A PyTorch file cannot be read.
    #[error(transparent)]
    Torch(#[from] TorchError),
    /// Writing failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Candle failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl CheckpointError {
    pub(super) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            path: path.to_path_buf(),
            source,
        }
    }

    pub(super) fn write(path: &Path, source: std::io::Error) -> Self {
        Self::Store(StoreError::Io {
            action: "write",
            path: path.to_path_buf(),
            source,
        })
    }

    pub(super) fn entry(path: &Path, entry: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Entry {
            path: path.to_path_buf(),
            entry: entry.into(),
            problem: problem.into(),
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Torch(error) => error.hint(),
            Self::Unknown { .. } => Some("give a file written by `torch.save`, safetensors or `runner`"),
            Self::Entry { .. } | Self::Corrupt { .. } => Some(
                "the file is damaged or incomplete: copy it again from where it comes from, or save it again",
            ),
            Self::Io { .. } | Self::Store(_) | Self::Candle(_) => None,
        }
    }
}
