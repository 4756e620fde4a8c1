//! Data sets by name or path: what there is, checked and loaded.

use std::path::Path;

use super::kept::Keeping;
use super::request::{Found, Known, Request};
use super::sources::{Entry, NAMES, SOURCES};
use super::{DataError, DataSet, DatasetSettings, own};

/// Names less like a known one than this are no misspellings of it (Jaro-Winkler similarity, in `[0, 1]`).
const LIKENESS: f64 = 0.7;

/// Looks at the files; decodes them where that takes long and was not done before.
pub(super) fn find(request: &Request) -> Result<Found, DataError> {
    match request.settings.is_path() {
        true => own::open(request)?.find(),
        false => (checked(request)?.find)(request),
    }
}

/// Loads the set.
pub(super) fn load_as(request: &Request) -> Result<DataSet, DataError> {
    match request.settings.is_path() {
        true => own::open(request)?.load(),
        false => (checked(request)?.load)(request),
    }
}

/// The source of a known set. Keys that mean nothing to it are mistakes, and not passed over in silence.
fn checked(request: &Request) -> Result<&'static Entry, DataError> {
    let settings = request.settings;
    let source = source(&settings.name)?;
    let idle = [
        ("image-column", settings.image_column.is_some()),
        ("label-column", settings.label_column.is_some()),
        ("size", settings.size.is_some() && source.known.sizes.is_empty()),
    ];
    match idle.iter().find(|(_, given)| *given) {
        Some((key, _)) => Err(DataError::Impossible {
            what: "load the data set",
            problem: format!("`dataset.{key}` does not go with `{}`", settings.name),
        }),
        None => Ok(source),
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
    load_as(&Request {
        settings: &DatasetSettings::named(name),
        data_dir,
        keeping: Keeping {
            cache_dir,
            ..Keeping::default()
        },
    })
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
    Ok(find(&request)?.hash)
}

/// The known data set of that name.
pub fn known(name: &str) -> Result<&'static Known, DataError> {
    source(name).map(|source| &source.known)
}

/// The source of that name.
pub(super) fn source(name: &str) -> Result<&'static Entry, DataError> {
    SOURCES
        .iter()
        .find(|source| source.known.name == name)
        .ok_or_else(|| {
            let nearest = NAMES
                .iter()
                .map(|known| (strsim::jaro_winkler(name, known.name), known.name))
                .filter(|(likeness, _)| *likeness > LIKENESS)
                .max_by(|a, b| a.0.total_cmp(&b.0));
            DataError::Unknown {
                name: name.to_owned(),
                nearest: nearest.map(|(_, name)| name),
                known: NAMES.iter().map(|known| known.name).collect(),
            }
        })
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
        let problem = find(&request).expect_err("a key too many").to_string();
        assert_eq!(
            problem,
            "cannot load the data set: `dataset.size` does not go with `digits`"
        );
    }
}
