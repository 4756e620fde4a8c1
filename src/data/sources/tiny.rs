//! Tiny-ImageNet: photographs of 64 x 64 pixels in 200 classes, as hub parquet files or as the folders of the original
//! archive.
//!
//! | form | training | validation | test |
//! | --- | --- | --- | --- |
//! | parquet | `train-*.parquet` | `valid-*.parquet` or `validation-*.parquet` | `test-*.parquet` |
//! | folders | `train/n01443537/images/*.JPEG`, ... | `val/images/*.JPEG`, classes in `val/val_annotations.txt` | no labels |
//!
//! Where there is a labelled test part, as in the paper's `slegroux/tiny-imagenet-200-clean`, the validation part is
//! trained on, after the training part. Where there is none, as in the original, it is the test part.

use std::path::{Path, PathBuf};

use super::Source;
use crate::data::decoded::{Decoded, Images, Recipe};
use crate::data::folder::{self, Labelled};
use crate::data::hub::Columns;
use crate::data::kept::Origin;
use crate::data::layout::{join, names, of_part};
use crate::data::normalise::Stats;
use crate::data::published::Published;
use crate::data::request::{Found, Known, Request};
use crate::data::rows;
use crate::data::{DataError, DataSet};

const NAME: &str = "tiny-imagenet";
const CLASSES: usize = 200;
const SHAPE: [usize; 3] = [3, 64, 64];
const MEAN: [f32; 3] = [0.4802, 0.4481, 0.3975];
const STD: [f32; 3] = [0.2302, 0.2265, 0.2262];
/// Changes when files are decoded to other pixels than before.
const DECODER: &str = "tiny-imagenet v1, libjpeg-turbo-rs 0.9, png 0.18";
/// Bytes of annotations; the published ones have 0.4 MB.
const LONGEST: u64 = 16 << 20;
const ANNOTATIONS: &str = "val_annotations.txt";

/// The source `tiny-imagenet`.
pub(super) struct TinyImageNet;

impl Source for TinyImageNet {
    const KNOWN: Known = Known {
        name: NAME,
        about: "photographs of 64 x 64 pixels in 200 classes, hub parquet or the original folders in the data folder",
        // There are several editions, one of them without defective images.
        info: None,
        sizes: &[],
    };
    /// The edition that the paper uses.
    const PUBLISHED: Published = Published::Hub {
        repository: "slegroux/tiny-imagenet-200-clean",
        folder: "",
    };

    fn find(request: &Request) -> Result<Found, DataError> {
        open(request)?.find()
    }

    fn load(request: &Request) -> Result<DataSet, DataError> {
        open(request)?.load()
    }
}

const FOLDERS: [&str; 7] = [
    "tiny-imagenet",
    "tiny-imagenet-200",
    "tiny-imagenet/tiny-imagenet-200",
    "tiny-imagenet/data",
    "tiny-imagenet-200-clean/data",
    "data",
    "",
];

/// The files of the set, found.
struct Tiny<'a> {
    folder: PathBuf,
    form: Form,
    request: Request<'a>,
}

enum Form {
    /// Files of the training and of the test part.
    Parquet([Vec<PathBuf>; 2]),
    /// Images of the training and of the test part.
    Folders([Labelled; 2]),
}

/// Looks for the files.
fn open<'a>(request: &Request<'a>) -> Result<Tiny<'a>, DataError> {
    let data_dir = request.folder()?;
    let folders: Vec<PathBuf> = FOLDERS.iter().map(|folder| join(data_dir, folder)).collect();
    for folder in &folders {
        let form = match parquet(folder)? {
            Some(parts) => Form::Parquet(parts),
            None if folder.join("train").is_dir() && folder.join("val").is_dir() => {
                Form::Folders(originals(folder)?)
            }
            None => continue,
        };
        return Ok(Tiny {
            folder: folder.clone(),
            form,
            request: *request,
        });
    }
    Err(DataError::Missing {
        name: NAME.to_owned(),
        file: "`train-*.parquet` or the folders `train` and `val`".to_owned(),
        searched: folders,
        size: None,
    })
}

/// Shards of training and test part; `None` where the folder has none of the set's.
fn parquet(folder: &Path) -> Result<Option<[Vec<PathBuf>; 2]>, DataError> {
    let names = names(folder);
    let part = |prefixes: &[&str]| -> Result<Vec<PathBuf>, DataError> {
        for prefix in prefixes {
            let files = of_part(&names, prefix).map_err(|file| missing(folder, &format!("`{file}`")))?;
            if !files.is_empty() {
                return Ok(files.into_iter().map(|file| folder.join(file)).collect());
            }
        }
        Ok(Vec::new())
    };
    let mut train = part(&["train"])?;
    let validation = part(&["validation", "valid", "val"])?;
    let test = part(&["test"])?;
    if train.is_empty() {
        return Ok(None);
    }
    match (validation.is_empty(), test.is_empty()) {
        (true, true) => Err(missing(folder, "`test-*.parquet` or `valid-*.parquet`")),
        (false, true) => Ok(Some([train, validation])),
        (_, false) => {
            train.extend(validation);
            Ok(Some([train, test]))
        }
    }
}

fn missing(folder: &Path, file: &str) -> DataError {
    DataError::Missing {
        name: NAME.to_owned(),
        file: file.to_owned(),
        searched: vec![folder.to_path_buf()],
        size: None,
    }
}

/// Images of the original archive.
fn originals(folder: &Path) -> Result<[Labelled; 2], DataError> {
    let (train, val) = (folder.join("train"), folder.join("val"));
    let classes = folder::classes(&train)?;
    if classes.len() != CLASSES {
        return Err(DataError::Content {
            name: NAME.to_owned(),
            folder: train,
            problem: format!("it has {} classes instead of {CLASSES}", classes.len()),
        });
    }
    // Beside its images, a class has a text with boxes.
    let mut training = folder::images(&train, &classes)?;
    training.retain(|(path, _)| path.extension().is_none_or(|ending| ending != "txt"));
    let path = val.join(ANNOTATIONS);
    let text = crate::files::read_text(&path, LONGEST).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => missing(&val, &format!("`{ANNOTATIONS}`")),
        _ => DataError::read(&path, error),
    })?;
    let mut testing = Vec::new();
    for (line, row) in text.lines().enumerate().filter(|(_, row)| !row.trim().is_empty()) {
        let mut fields = row.split('\t');
        let problem =
            |what: &str| DataError::format(&path, "annotation", format!("line {}: {what}", line + 1));
        let (Some(file), Some(class)) = (fields.next(), fields.next()) else {
            return Err(problem("it lacks a file's name and a class, separated by a tab"));
        };
        let Ok(label) = classes.binary_search_by(|known| known.as_str().cmp(class)) else {
            return Err(problem(&format!(
                "there are no training images of its class `{class}`"
            )));
        };
        testing.push((val.join("images").join(file), label as u32));
    }
    Ok([training, testing])
}

impl Tiny<'_> {
    fn find(&self) -> Result<Found, DataError> {
        self.recipe()?.find(|| self.decode())
    }

    fn load(&self) -> Result<DataSet, DataError> {
        self.recipe()?.load(|| self.decode())
    }

    fn recipe(&self) -> Result<Recipe<'_>, DataError> {
        let origins = match &self.form {
            Form::Parquet(parts) => parts.iter().flatten().cloned().map(Origin::File).collect(),
            Form::Folders(parts) => {
                let annotations = self.folder.join("val").join(ANNOTATIONS);
                let images = parts.iter().flatten().map(|(path, _)| path.clone());
                vec![Origin::Listing {
                    root: self.folder.clone(),
                    files: images.chain([annotations]).collect(),
                }]
            }
        };
        Ok(Recipe {
            name: NAME,
            kind: NAME,
            decoder: DECODER,
            home: &self.folder,
            keeping: self.request.keeping,
            origins,
            stats: Stats::new(self.request.settings, Some((&MEAN, &STD)))?,
        })
    }

    fn decode(&self) -> Result<Decoded, DataError> {
        let parts = match &self.form {
            Form::Parquet(parts) => {
                let mut decoded = [Images::default(), Images::default()];
                for (images, paths) in decoded.iter_mut().zip(parts) {
                    rows::append_files(paths, &Columns::default(), (SHAPE, Some(CLASSES)), images)?;
                }
                decoded
            }
            Form::Folders([train, test]) => [folder::decode(train, SHAPE)?, folder::decode(test, SHAPE)?],
        };
        for (images, part) in parts.iter().zip(["training", "test"]) {
            if images.labels.is_empty() {
                return Err(DataError::Content {
                    name: NAME.to_owned(),
                    folder: self.folder.clone(),
                    problem: format!("it has no {part} images"),
                });
            }
        }
        Ok(Decoded {
            shape: SHAPE,
            classes: CLASSES,
            parts,
        })
    }
}

#[cfg(test)]
mod tests;
