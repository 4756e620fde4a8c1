//! Folders of images, one folder for each class.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::decoded::Images;
use super::{DataError, image, rows};

/// How deeply folders of a class may be nested; a link to a folder above would otherwise never end.
const DEEPEST: usize = 8;

/// Bytes of an image's file.
const LARGEST: u64 = 64 << 20;
/// Files that desktops leave behind; others of them are hidden.
const LEFT_BEHIND: [&str; 2] = ["thumbs.db", "desktop.ini"];

/// Files with their classes.
pub(super) type Labelled = Vec<(PathBuf, u32)>;

/// The classes of a training folder: its folders, sorted by their bytes, as torchvision's `ImageFolder` does.
pub(super) fn classes(train: &Path) -> Result<Vec<String>, DataError> {
    let mut names = Vec::new();
    for entry in entries(train)? {
        if entry.is_dir() {
            names.push(name_of(&entry));
        }
    }
    Ok(names)
}

/// The images of all classes in one folder, class by class, each sorted by path. Hidden files are passed over.
///
/// Errors where a folder is of none of the classes.
pub(super) fn images(folder: &Path, classes: &[String]) -> Result<Labelled, DataError> {
    let mut found = Vec::new();
    for entry in entries(folder)?.iter().filter(|entry| entry.is_dir()) {
        let name = name_of(entry);
        let Some(label) = classes.iter().position(|class| *class == name) else {
            return Err(DataError::Folder {
                path: entry.clone(),
                problem: format!("there are no training images of the class `{name}`"),
                hint: "put images of it into the training part, too, or remove the folder",
            });
        };
        let mut files = Vec::new();
        collect(entry, DEEPEST, &mut files)?;
        found.extend(files.into_iter().map(|path| (path, label as u32)));
    }
    Ok(found)
}

/// `[C, H, W]`: height and width of all images, three channels if any has colour.
pub(super) fn shape(files: &Labelled) -> Result<Option<[usize; 3]>, DataError> {
    let headers: Vec<Result<[usize; 3], DataError>> = files
        .par_iter()
        .map(|(path, _)| {
            image::header(&read(path)?).map_err(|problem| DataError::format(path, "image", problem))
        })
        .collect();
    let headers: Vec<[usize; 3]> = headers.into_iter().collect::<Result<_, _>>()?;
    let mut sizes: BTreeMap<[usize; 2], usize> = BTreeMap::new();
    for [_, height, width] in &headers {
        *sizes.entry([*height, *width]).or_default() += 1;
    }
    // On a tie, that of the first image is the usual one.
    let first = headers.first().map(|[_, height, width]| [*height, *width]);
    let usual = sizes
        .iter()
        .max_by_key(|(size, count)| (**count, Some(**size) == first));
    let Some((&[height, width], count)) = usual else {
        return Ok(None);
    };
    let differs = |[_, h, w]: &[usize; 3]| [*h, *w] != [height, width];
    if let Some(at) = headers.iter().position(differs) {
        let [_, h, w] = headers[at];
        return Err(DataError::Folder {
            path: files[at].0.clone(),
            problem: format!(
                "it has {h} x {w} pixels, but {count} of the {} images have {height} x {width}",
                files.len()
            ),
            hint: "all images of a data set have one size: resize it, or remove it",
        });
    }
    let channels = headers.iter().map(|[channels, ..]| *channels).max().unwrap_or(1);
    Ok(Some([channels, height, width]))
}

fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    crate::files::read_at_most(path, LARGEST).map_err(|error| DataError::read(path, error))
}

/// Decodes the files, each of the given shape; the error names the first that is not.
pub(super) fn decode(files: &Labelled, shape: [usize; 3]) -> Result<Images, DataError> {
    let mut images = Images {
        labels: files.iter().map(|(_, label)| *label).collect(),
        pixels: Vec::new(),
    };
    let sizes = files
        .iter()
        .map(|(path, _)| fs::metadata(path).map_or(0, |file| file.len()));
    rows::check_size(files.len(), shape, sizes.fold(0, u64::saturating_add))?;
    rows::decode_all(files.len(), shape, &mut images, |row, planes| {
        let path = &files[row].0;
        image::decode(&read(path)?, shape, planes)
            .map_err(|problem| DataError::format(path, "image", problem))
    })?;
    Ok(images)
}

/// Classes without images, by number.
pub(super) fn empty(files: &Labelled, classes: usize) -> Option<usize> {
    let found: BTreeSet<u32> = files.iter().map(|(_, label)| *label).collect();
    (0..classes).find(|class| !found.contains(&(*class as u32)))
}

fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), DataError> {
    for entry in entries(folder)? {
        if !entry.is_dir() {
            let left_behind = LEFT_BEHIND.contains(&name_of(&entry).to_ascii_lowercase().as_str());
            files.extend((!left_behind).then_some(entry));
        } else if depth == 0 {
            let problem = format!("folders of images are nested more than {DEEPEST} deep");
            return Err(DataError::format(&entry, "class folder", problem));
        } else {
            collect(&entry, depth - 1, files)?;
        }
    }
    Ok(())
}

/// What is in a folder, sorted, but for hidden files.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let read = |error| DataError::read(folder, error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if !name_of(&path).starts_with('.') {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
