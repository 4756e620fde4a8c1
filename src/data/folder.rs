//! Folders of images, one folder for each class.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::decoded::Images;
use super::{DataError, image, rows};

/// How deeply folders of a class may be nested; a link to a folder above would otherwise never end.
const DEEPEST: usize = 8;

/// Files with their classes.
pub(super) type Labelled = Vec<(PathBuf, u32)>;

/// The classes of a training folder: its folders, sorted by their bytes, as torchvision's `ImageFolder` does, `10` before
/// `2`: labels are those of networks trained there, and part of the data's hash.
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
            let problem = format!("the class `{name}` has no training images");
            return Err(DataError::format(entry, "class folder", problem));
        };
        let mut files = Vec::new();
        collect(entry, DEEPEST, &mut files)?;
        found.extend(files.into_iter().map(|path| (path, label as u32)));
    }
    Ok(found)
}

/// `[C, H, W]`: height and width of the first image, three channels if any has colour.
pub(super) fn shape(files: &Labelled) -> Result<Option<[usize; 3]>, DataError> {
    let headers: Vec<Result<[usize; 3], DataError>> = files
        .par_iter()
        .map(|(path, _)| {
            image::header(&rows::read(path)?).map_err(|problem| DataError::format(path, "image", problem))
        })
        .collect();
    let mut shape: Option<[usize; 3]> = None;
    for header in headers {
        let header = header?;
        let first = shape.get_or_insert(header);
        first[0] = first[0].max(header[0]);
    }
    Ok(shape)
}

/// Decodes the files, each of the given shape; the error names the first that is not.
pub(super) fn decode(files: &Labelled, shape: [usize; 3]) -> Result<Images, DataError> {
    let mut images = Images {
        labels: files.iter().map(|(_, label)| *label).collect(),
        pixels: Vec::new(),
    };
    rows::decode_all(files.len(), shape, &mut images, |row, planes| {
        let path = &files[row].0;
        image::decode(&rows::read(path)?, shape, planes)
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
            files.push(entry);
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
