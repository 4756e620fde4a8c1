//! What is asked of a download, and what came of it.

use std::path::{Path, PathBuf};

/// Which data set, from where, and to where.
#[derive(Debug, Clone, Copy)]
pub struct Fetch<'a> {
    /// A known name.
    pub name: &'a str,
    /// Height and width, for sets of several sizes.
    pub size: Option<usize>,
    /// The data folder; files go into a folder of the set's name in it.
    pub data_dir: &'a Path,
    /// Another server with the same paths below this URL.
    pub from: Option<&'a str>,
    /// The server of the Hugging Face hub.
    pub hub: &'a str,
}

/// How far a file is.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// Its name.
    pub file: &'a str,
    /// Bytes there are.
    pub done: u64,
    /// Bytes there will be, where that is known.
    pub total: Option<u64>,
}

/// What became of the files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Where they are.
    pub folder: PathBuf,
    /// Those downloaded now.
    pub new: Vec<String>,
    /// Those that were there and are as they should be.
    pub kept: Vec<String>,
}
