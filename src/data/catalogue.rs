//! The known data sets: one static table drives names, help, checks and loading.

use std::path::Path;

use super::cifar::{CIFAR10, CIFAR100};
use super::kept::Keeping;
use super::mnist::{FASHION, MNIST};
use super::{DataError, DataSet, DatasetSettings, Normalisation, digits, medmnist, own, tiny};

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
}

/// A data set that was looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// What it is.
    pub info: DataSetInfo,
    /// What [`DataSet::hash`] will be.
    pub hash: String,
    /// How its pixels are normalised.
    pub normalisation: Normalisation,
}

/// The known data sets, in the order help shows them.
pub const NAMES: &[Known] = &[
    digits::KNOWN,
    MNIST.known,
    FASHION.known,
    CIFAR10.known(),
    CIFAR100.known(),
    tiny::KNOWN,
    medmnist::KNOWN,
];

/// Names less like a known one than this are no misspellings of it (Jaro-Winkler similarity, in `[0, 1]`).
const LIKENESS: f64 = 0.7;

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

    /// Looks at the files; decodes them where that takes long and was not done before.
    pub(super) fn find(&self) -> Result<Found, DataError> {
        if self.settings.is_path() {
            return own::open(self)?.find();
        }
        self.check_keys()?;
        match known(&self.settings.name)?.name {
            name if name == MNIST.known.name => MNIST.find(self),
            name if name == FASHION.known.name => FASHION.find(self),
            name if name == CIFAR10.name => CIFAR10.find(self),
            name if name == CIFAR100.name => CIFAR100.find(self),
            name if name == tiny::KNOWN.name => tiny::open(self)?.find(),
            name if name == medmnist::KNOWN.name => medmnist::open(self)?.find(),
            _ => digits::find(self.settings),
        }
    }

    /// Loads the set.
    pub(super) fn load(&self) -> Result<DataSet, DataError> {
        if self.settings.is_path() {
            return own::open(self)?.load();
        }
        self.check_keys()?;
        match known(&self.settings.name)?.name {
            name if name == MNIST.known.name => MNIST.load(self),
            name if name == FASHION.known.name => FASHION.load(self),
            name if name == CIFAR10.name => CIFAR10.load(self),
            name if name == CIFAR100.name => CIFAR100.load(self),
            name if name == tiny::KNOWN.name => tiny::open(self)?.load(),
            name if name == medmnist::KNOWN.name => medmnist::open(self)?.load(),
            _ => digits::load(self.settings),
        }
    }

    /// Keys that mean nothing to a known set are mistakes, and not passed over in silence.
    fn check_keys(&self) -> Result<(), DataError> {
        let settings = self.settings;
        known(&settings.name)?;
        let columns = [
            ("image-column", settings.image_column.is_some()),
            ("label-column", settings.label_column.is_some()),
            (
                "size",
                settings.size.is_some() && settings.name != medmnist::KNOWN.name,
            ),
        ];
        match columns.iter().find(|(_, given)| *given) {
            Some((key, _)) => Err(DataError::Impossible {
                what: "load the data set",
                problem: format!("`dataset.{key}` does not go with `{}`", settings.name),
            }),
            None => Ok(()),
        }
    }
}

/// Loads a known data set as its name says; `data_dir` is the folder with the files of those that are not embedded.
///
/// Content is verified: against the published checksums, or as the data set's own page says. Decoded images are kept
/// beside their files, or, where that folder is not writable, in `cache_dir` (created if need be).
///
/// ```
/// let digits = runner::data::load("digits", None, None)?;
/// assert_eq!((digits.train.len(), digits.test.len(), digits.classes), (1438, 359, 10));
/// # Ok::<(), runner::data::DataError>(())
/// ```
pub fn load(name: &str, data_dir: Option<&Path>, cache_dir: Option<&Path>) -> Result<DataSet, DataError> {
    Request {
        settings: &DatasetSettings::named(name),
        data_dir,
        keeping: Keeping {
            cache_dir,
            ..Keeping::default()
        },
    }
    .load()
}

/// Checks that [`load`] will find what it needs, and returns the hash that [`DataSet::hash`] will have.
///
/// Files are hashed as they lie; only what is not bit for bit the published file, or was not decoded before, is decoded.
pub fn check(name: &str, data_dir: Option<&Path>, cache_dir: Option<&Path>) -> Result<String, DataError> {
    let request = Request {
        settings: &DatasetSettings::named(name),
        data_dir,
        keeping: Keeping {
            cache_dir,
            ..Keeping::default()
        },
    };
    Ok(request.find()?.hash)
}

/// The known data set of that name.
pub fn known(name: &str) -> Result<&'static Known, DataError> {
    NAMES.iter().find(|known| known.name == name).ok_or_else(|| {
        let nearest = NAMES
            .iter()
            .map(|known| (strsim::jaro_winkler(name, known.name), known.name))
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
        assert_eq!(hint("tiny-image-net"), "did you mean `tiny-imagenet`?");
        assert_eq!(
            hint("xyz"),
            "known data sets are `digits`, `mnist`, `fashion-mnist`, `cifar10`, `cifar100`, `tiny-imagenet`, `bloodmnist`; a \
             path has a `/` in it, as in `./xyz`"
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
        for known in NAMES {
            match (load(known.name, None, None), known.info) {
                (Ok(set), Some(info)) => assert_eq!(
                    (
                        set.name.as_str(),
                        set.classes,
                        set.train.len(),
                        set.test.len(),
                        set.shape
                    ),
                    (known.name, info.classes, info.train, info.test, info.shape)
                ),
                (Ok(_), None) => panic!("`{}` needs no files, but they are to say what it is", known.name),
                (Err(error), _) => {
                    assert!(matches!(error, DataError::NoFolder { name } if name == known.name));
                }
            }
        }
    }

    #[test]
    fn keys_that_mean_nothing_are_refused() {
        let settings = DatasetSettings {
            size: Some(28),
            ..DatasetSettings::named("digits")
        };
        let request = Request {
            settings: &settings,
            data_dir: None,
            keeping: Keeping::default(),
        };
        let problem = request.find().expect_err("a key too many").to_string();
        assert_eq!(
            problem,
            "cannot load the data set: `dataset.size` does not go with `digits`"
        );
    }
}
