//! Downloads data sets: `runner fetch NAME`.
//!
//! | file | what |
//! | --- | --- |
//! | `places` | which files of a data set lie where, and what is known of their content |
//! | `http` | requests |
//! | `download` | one file: resumed, verified, put into its place in one step |
//! | `sums` | `SHA256SUMS`: what was downloaded before |
//!
//! A file gets its name only when it is whole and its content is the published one; until then it is a hidden file
//! beside it, which the next try continues. Whatever has no published checksum is recorded with the one it had.

mod download;
mod error;
mod http;
mod order;
mod places;
#[cfg(test)]
mod server;
mod sums;

use super::DataError;
use super::catalogue::known;
use super::published::Published;
use super::sources::{Entry, SOURCES};
use download::Download;
pub use error::FetchError;
use http::Client;
pub use order::{Fetch, Fetched, Progress};
use sums::Sums;

/// The hub's own server.
pub const HUB: &str = "https://huggingface.co";

/// The data sets that have files to download.
pub fn names() -> Vec<&'static str> {
    let published = |source: &&Entry| !matches!(source.published, Published::Embedded);
    let sources = SOURCES.iter().filter(published);
    sources.map(|source| source.known.name).collect()
}

impl Fetch<'_> {
    /// Downloads what is not there; `on_progress` hears of every piece.
    pub fn run(&self, on_progress: &mut dyn FnMut(Progress)) -> Result<Fetched, FetchError> {
        let known = known(self.name)?;
        let client = Client::new();
        let Some(files) = places::files(self, &client)? else {
            return Err(FetchError::Embedded { name: known.name });
        };
        let folder = self.data_dir.join(known.name);
        std::fs::create_dir_all(&folder).map_err(|error| FetchError::write(&folder, error))?;
        let mut sums = Sums::read(&folder);
        let mut fetched = Fetched {
            folder: folder.clone(),
            ..Fetched::default()
        };
        for file in &files {
            let download = Download {
                client: &client,
                file,
                folder: &folder,
            };
            let list = match download.run(&mut sums, on_progress)? {
                true => &mut fetched.new,
                false => &mut fetched.kept,
            };
            list.push(file.name.clone());
        }
        Ok(fetched)
    }
}

impl From<DataError> for FetchError {
    fn from(error: DataError) -> Self {
        Self::Data(error)
    }
}

#[cfg(test)]
mod tests;
