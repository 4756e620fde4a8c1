//! The known data sets: one static table drives names, help, checks and loading.

use std::path::Path;

use super::cifar::{CIFAR10, CIFAR100};
use super::{DataError, DataSet, digits, mnist};

/// What is known of a data set without loading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataSetInfo {
    /// Name in manifests.
    pub name: &'static str,
    /// One line for help texts.
    pub about: &'static str,
    /// Number of classes.
    pub classes: usize,
    /// Number of training images.
    pub train: usize,
    /// Number of test images.
    pub test: usize,
    /// `[C, H, W]`.
    pub shape: [usize; 3],
}

/// The known data sets, in the order help shows them.
pub const NAMES: &[DataSetInfo] = &[digits::INFO, mnist::INFO, CIFAR10.info, CIFAR100.info];

/// Names less like a known one than this are no misspellings of it (Jaro-Winkler similarity, in `[0, 1]`).
const LIKENESS: f64 = 0.7;

/// Loads a data set; `data_dir` is the folder with the files of those that are not embedded.
///
/// Content is verified: against the published checksums, or as the data set's own page says. Images that take long to
/// decode are kept beside their files, or, where that folder is not writable, in `cache_dir` (created if need be).
///
/// ```
/// let digits = runner::data::load("digits", None, None)?;
/// assert_eq!((digits.train.len(), digits.test.len(), digits.classes), (1438, 359, 10));
/// # Ok::<(), runner::data::DataError>(())
/// ```
pub fn load(name: &str, data_dir: Option<&Path>, cache_dir: Option<&Path>) -> Result<DataSet, DataError> {
    match info(name)?.name {
        mnist::NAME => mnist::load(data_dir),
        name if name == CIFAR10.info.name => CIFAR10.load(data_dir, cache_dir),
        name if name == CIFAR100.info.name => CIFAR100.load(data_dir, cache_dir),
        _ => digits::load(),
    }
}

/// Checks that [`load`] will find what it needs, and returns the hash that [`DataSet::hash`] will have.
///
/// Files are hashed as they lie; only what is not bit for bit the published file, or was not decoded before, is decoded.
pub fn check(name: &str, data_dir: Option<&Path>, cache_dir: Option<&Path>) -> Result<String, DataError> {
    match info(name)?.name {
        mnist::NAME => mnist::check(data_dir),
        name if name == CIFAR10.info.name => CIFAR10.check(data_dir, cache_dir),
        name if name == CIFAR100.info.name => CIFAR100.check(data_dir, cache_dir),
        _ => digits::check(),
    }
}

fn info(name: &str) -> Result<&'static DataSetInfo, DataError> {
    NAMES.iter().find(|info| info.name == name).ok_or_else(|| {
        let nearest = NAMES
            .iter()
            .map(|info| (strsim::jaro_winkler(name, info.name), info.name))
            .filter(|(likeness, _)| *likeness > LIKENESS)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        DataError::Unknown {
            name: name.to_owned(),
            nearest: nearest.map(|(_, name)| name),
        }
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_gets_the_nearest_one() {
        let hint = |name: &str| {
            load(name, None, None)
                .expect_err("unknown")
                .hint()
                .expect("a hint")
        };
        assert_eq!(hint("mnits"), "did you mean `mnist`?");
        assert_eq!(
            hint("xyz"),
            "known data sets are `digits`, `mnist`, `cifar10`, `cifar100`"
        );
        assert!(matches!(
            check("Digits ", None, None),
            Err(DataError::Unknown {
                nearest: Some("digits"),
                ..
            })
        ));
    }

    #[test]
    fn every_known_name_is_loaded_by_its_own_module() {
        for info in NAMES {
            match load(info.name, None, None) {
                Ok(set) => assert_eq!(
                    (
                        set.name.as_str(),
                        set.classes,
                        set.train.len(),
                        set.test.len(),
                        set.shape
                    ),
                    (info.name, info.classes, info.train, info.test, info.shape)
                ),
                Err(error) => assert!(matches!(error, DataError::NoFolder { name } if name == info.name)),
            }
        }
    }
}
