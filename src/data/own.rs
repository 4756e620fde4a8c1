//! Data sets of one's own, given by a path. The data say what they are: shape, classes, counts, mean and deviation.
//!
//! | path | what |
//! | --- | --- |
//! | a folder with the folder `train` of class folders | images as `train/CLASS/*`, `test/CLASS/*`; PNG or JPEG, all of one size |
//! | a folder or pattern with parquet files | those whose names, or whose folders' names, begin with `train` and `test` |
//! | a `.npz` file | as those of `MedMNIST` |
//!
//! Anything else in these folders is left alone, a validation part, too. Classes are numbered in the order of their
//! folders' names; in parquet files their numbers are the labels.

use std::path::{Path, PathBuf};

use super::decoded::{Decoded, Images, Recipe};
use super::folder::{self, Labelled};
use super::hub::Columns;
use super::kept::Origin;
use super::normalise::Stats;
use super::request::Request;
use super::rows;
use super::sources::medmnist::{self, Medical};
use super::{DataError, DataSet, Found, hub, labels};

const PARTS: [&str; 2] = ["train", "test"];
/// Changes when files are decoded to other pixels than before.
const DECODER: &str = "own v1, libjpeg-turbo-rs 0.9, png 0.18";

/// A set whose files are found.
pub(super) enum Own<'a> {
    Files(Files<'a>),
    Medical(Medical<'a>),
}

/// Images or rows.
pub(super) struct Files<'a> {
    request: Request<'a>,
    home: PathBuf,
    form: Form,
}

enum Form {
    /// Names of the classes, and images of the training and of the test part.
    Folders(Vec<String>, [Labelled; 2]),
    /// Files of the training and of the test part.
    Parquet([Vec<PathBuf>; 2]),
}

/// Looks at the path of the settings.
pub(super) fn open<'a>(request: &Request<'a>) -> Result<Own<'a>, DataError> {
    let settings = request.settings;
    if settings.size.is_some() {
        return Err(DataError::Impossible {
            what: "load the data set",
            problem: "`dataset.size` does not go with a path: images have the size they have".to_owned(),
        });
    }
    let path = settings.path(request.data_dir);
    let missing = |file: &str, folder: &Path| DataError::Missing {
        name: settings.name.clone(),
        file: file.to_owned(),
        searched: vec![folder.to_path_buf()],
        size: None,
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    if path.extension().is_some_and(|ending| ending == "npz") {
        return match path.is_file() {
            true => Ok(Own::Medical(medmnist::at(request, path))),
            false => Err(missing(&format!("`{}`", name_of(&path)), folder)),
        };
    }
    // A folder that exists is no pattern, whatever its name.
    let pattern = !path.is_dir() && (settings.name.contains(['*', '?', '[']) || is_parquet(&path));
    if !pattern && !path.is_dir() {
        return Err(missing(&format!("the folder `{}`", name_of(&path)), folder));
    }
    let (home, form) = if pattern {
        let found =
            crate::files::matching(&path.to_string_lossy()).map_err(|error| DataError::Impossible {
                what: "load the data set",
                problem: format!("`{}` is no pattern: {error}", settings.name),
            })?;
        let mut files: Vec<PathBuf> = found.into_iter().filter(|path| is_parquet(path)).collect();
        // The order of rows is part of the data's hash, and so of keys: it stays that of text.
        files.sort_unstable();
        let home = files
            .first()
            .and_then(|path| path.parent())
            .unwrap_or(folder)
            .to_path_buf();
        (home, parquet(&files))
    } else {
        match images(&path)? {
            Some(form) => (path.clone(), form),
            None => (path.clone(), parquet(&parquet_files(&path))),
        }
    };
    if let Form::Parquet(parts) = &form
        && let Some(part) = (0..2).find(|&part| parts[part].is_empty())
    {
        let name = PARTS[part];
        return Err(missing(
            &format!("`{name}*.parquet` or `{name}/CLASS/*.png`"),
            &path,
        ));
    }
    Ok(Own::Files(Files {
        request: *request,
        home,
        form,
    }))
}

/// The folders of an image folder; `None` where there are no folders of classes.
fn images(path: &Path) -> Result<Option<Form>, DataError> {
    let [train, test] = PARTS.map(|part| path.join(part));
    let classes = match train.is_dir() {
        true => folder::classes(&train)?,
        false => Vec::new(),
    };
    if classes.is_empty() {
        return Ok(None);
    }
    if !test.is_dir() {
        let others = ["val", "valid", "validation"];
        let other = others.into_iter().find(|name| path.join(name).is_dir());
        let problem = other.map_or_else(
            || "it has a folder `train`, but no folder `test`".to_owned(),
            |name| format!("it has no folder `test`, and `{name}` is not read"),
        );
        return Err(DataError::Folder {
            path: path.to_path_buf(),
            problem,
            hint: "the part that models are tested on is in `test/CLASS/*`: make that folder, or rename another",
        });
    }
    let parts = [
        folder::images(&train, &classes)?,
        folder::images(&test, &classes)?,
    ];
    if let Some(class) = folder::empty(&parts[0], classes.len()) {
        return Err(DataError::Folder {
            path: train.join(&classes[class]),
            problem: "this class has no images".to_owned(),
            hint: "put PNG or JPEG images into the folder, or remove it",
        });
    }
    if parts[1].is_empty() {
        return Err(DataError::Folder {
            path: test,
            problem: "there are no images".to_owned(),
            hint: "put PNG or JPEG images into folders of the classes, as in `test/CLASS/*`",
        });
    }
    Ok(Some(Form::Folders(classes, parts)))
}

fn parquet(files: &[PathBuf]) -> Form {
    let of = |part: &str| {
        let begins = |path: &&PathBuf| {
            let folder = path.parent().map(name_of).unwrap_or_default();
            name_of(path).starts_with(part) || folder == part
        };
        files.iter().filter(begins).cloned().collect()
    };
    Form::Parquet(PARTS.map(of))
}

/// Those of a folder, and of its folders `train`, `test` and `data`, sorted as text, as the order of rows is part of the
/// data's hash.
fn parquet_files(folder: &Path) -> Vec<PathBuf> {
    let folders = ["", "train", "test", "data"].map(|inner| super::layout::join(folder, inner));
    let files = folders.iter().flat_map(|folder| {
        let names = super::layout::names(folder).into_iter();
        names.map(|name| folder.join(name))
    });
    files.filter(|path| is_parquet(path)).collect()
}

fn is_parquet(path: &Path) -> bool {
    path.is_file() && path.extension().is_some_and(|ending| ending == "parquet")
}

fn name_of(path: impl AsRef<Path>) -> String {
    path.as_ref()
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

impl Own<'_> {
    pub(super) fn find(&self) -> Result<Found, DataError> {
        match self {
            Self::Files(files) => files.recipe(&files.decoder())?.find(|| files.decode()),
            Self::Medical(medical) => medical.find(),
        }
        .map_err(DataError::of_own)
    }

    pub(super) fn load(&self) -> Result<DataSet, DataError> {
        match self {
            Self::Files(files) => files.recipe(&files.decoder())?.load(|| files.decode()),
            Self::Medical(medical) => medical.load(),
        }
        .map_err(DataError::of_own)
    }
}

impl Files<'_> {
    fn recipe<'b>(&'b self, decoder: &'b str) -> Result<Recipe<'b>, DataError> {
        let origins = match &self.form {
            Form::Parquet(parts) => parts.iter().flatten().cloned().map(Origin::File).collect(),
            Form::Folders(_, parts) => vec![Origin::Listing {
                root: self.home.clone(),
                files: parts.iter().flatten().map(|(path, _)| path.clone()).collect(),
            }],
        };
        Ok(Recipe {
            name: &self.request.settings.name,
            kind: "images",
            decoder,
            home: &self.home,
            keeping: self.request.keeping,
            origins,
            stats: Stats::new(self.request.settings, None)?,
        })
    }

    /// Other columns, or other files of one part, are other images.
    fn decoder(&self) -> String {
        let settings = self.request.settings;
        let train = match &self.form {
            Form::Parquet([train, _]) => train.len(),
            Form::Folders(_, [train, _]) => train.len(),
        };
        format!(
            "{DECODER}, {:?} {:?}, {train}",
            settings.image_column, settings.label_column
        )
    }

    fn decode(&self) -> Result<Decoded, DataError> {
        match &self.form {
            Form::Folders(classes, [train, test]) => {
                let both: Labelled = train.iter().chain(test).cloned().collect();
                let shape = folder::shape(&both)?.unwrap_or_default();
                Ok(Decoded {
                    shape,
                    classes: classes.len(),
                    parts: [folder::decode(train, shape)?, folder::decode(test, shape)?],
                })
            }
            Form::Parquet(parts) => self.rows(parts),
        }
    }

    fn rows(&self, [train, test]: &[Vec<PathBuf>; 2]) -> Result<Decoded, DataError> {
        let settings = self.request.settings;
        let nested = settings
            .image_column
            .as_ref()
            .map(|name| [format!("{name}.bytes"), name.clone()]);
        let images: Vec<&str> = match &nested {
            Some(names) => names.iter().map(String::as_str).collect(),
            None => hub::IMAGES.to_vec(),
        };
        let label = settings.label_column.as_deref();
        let columns = Columns {
            images: &images,
            labels: label
                .as_ref()
                .map_or(Columns::default().labels, std::slice::from_ref),
        };
        let mut shape: Option<[usize; 3]> = None;
        for path in train.iter().chain(test) {
            let found = rows::shape(rows::read(path)?, &columns);
            let found = found.map_err(|problem| DataError::format(path, "parquet", problem))?;
            if let Some(found) = found {
                let first = shape.get_or_insert(found);
                first[0] = first[0].max(found[0]);
            }
        }
        let shape = shape.unwrap_or_default();
        let content = |problem: String| DataError::Content {
            name: settings.name.clone(),
            folder: self.home.clone(),
            problem,
        };
        let mut parts = [Images::default(), Images::default()];
        rows::append_files(train, &columns, (shape, None), &mut parts[0])?;
        let classes = labels::classes(&parts[0].labels).map_err(content)?;
        rows::append_files(test, &columns, (shape, Some(classes)), &mut parts[1])?;
        match parts.iter().position(|images| images.labels.is_empty()) {
            Some(part) => Err(content(format!("its {} files have no rows", PARTS[part]))),
            None => Ok(Decoded {
                shape,
                classes,
                parts,
            }),
        }
    }
}

#[cfg(test)]
mod tests;
