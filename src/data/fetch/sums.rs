//! `SHA256SUMS`: what was downloaded into a folder, in the form of `sha256sum -c`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::files::{self, write_atomic};

const NAME: &str = "SHA256SUMS";
/// More than the sums of any folder.
const LONGEST: u64 = 1 << 20;

/// SHA-256 by file name.
pub(super) struct Sums {
    path: PathBuf,
    known: BTreeMap<String, String>,
}

impl Sums {
    /// Of a folder; lines that are none are passed over.
    pub(super) fn read(folder: &Path) -> Self {
        let path = folder.join(NAME);
        let text = files::read_text(&path, LONGEST).unwrap_or_default();
        let known = text.lines().filter_map(|line| {
            let (sum, name) = line.split_once("  ")?;
            Some((name.to_owned(), sum.to_owned()))
        });
        Self {
            known: known.collect(),
            path,
        }
    }

    /// What a file was.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.known.get(name).map(String::as_str)
    }

    /// Records what a file is.
    pub(super) fn set(&mut self, name: &str, sum: &str) -> std::io::Result<()> {
        self.known.insert(name.to_owned(), sum.to_owned());
        let lines = self.known.iter().map(|(name, sum)| format!("{sum}  {name}\n"));
        write_atomic(&self.path, &[lines.collect::<String>().as_bytes()])
    }
}
