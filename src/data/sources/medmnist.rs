//! `BloodMNIST` and its kin: `.npz` files of `MedMNIST`, each with a training, a validation and a test part.
//!
//! | array | shape |
//! | --- | --- |
//! | `train_images`, `val_images`, `test_images` | `[N, H, W, 3]` in colour, `[N, H, W]` in grey; unsigned bytes |
//! | `train_labels`, `val_labels`, `test_labels` | `[N, 1]` or `[N]` of whole numbers of any type, or `[N, classes]`, all 0 but for a 1 |
//!
//! The validation part is trained on, after the training part, as in the paper. The file says how large images are;
//! `BloodMNIST` is published with 28, 64, 128 and 224 pixels.

use std::path::{Path, PathBuf};

use super::Source;
use crate::data::decoded::{Decoded, Images, Recipe};
use crate::data::kept::Origin;
use crate::data::layout::join;
use crate::data::normalise::Stats;
use crate::data::npz::{Array, Npz, Numbers};
use crate::data::published::{Published, PublishedFile};
use crate::data::request::{Found, Known, Request};
use crate::data::{DataError, DataSet, labels, rows};

const NAME: &str = "bloodmnist";
const CLASSES: usize = 8;
/// Those of CIFAR-10, which the paper uses here, too.
const MEAN: [f32; 3] = [0.4914, 0.4822, 0.4465];
const STD: [f32; 3] = [0.247, 0.243, 0.261];
const DECODER: &str = "medmnist v1";
/// The size of the paper, and the others by how likely they are meant.
const SIZES: [usize; 4] = [64, 28, 128, 224];
const FOLDERS: [&str; 3] = ["bloodmnist", "BloodMNIST", ""];
/// Bytes of an array: more than `BloodMNIST` of 224 pixels.
const LIMIT: u64 = 1 << 34;

/// Bytes of a pixel of all of `BloodMNIST`'s 17,092 images.
const CELLS: u64 = 17_092 * 3;

/// The source `bloodmnist`.
pub(in crate::data) struct BloodMnist;

impl Source for BloodMnist {
    const KNOWN: Known = Known {
        name: NAME,
        about: "blood cells of 28, 64, 128 or 224 pixels in 8 classes, MedMNIST's .npz file in the data folder",
        info: None,
        sizes: &SIZES,
    };
    /// Zenodo, by `MedMNIST`.
    const PUBLISHED: Published = Published::Mirror {
        base: "https://zenodo.org/records/10519652/files",
        files: &[
            PublishedFile {
                name: "bloodmnist.npz",
                md5: "7053d0359d879ad8a5505303e11de1dc",
                most: CELLS * 28 * 28,
                size: Some(28),
            },
            PublishedFile {
                name: "bloodmnist_64.npz",
                md5: "2b94928a2ae4916078ca51e05b6b800b",
                most: CELLS * 64 * 64,
                size: Some(64),
            },
            PublishedFile {
                name: "bloodmnist_128.npz",
                md5: "adace1e0ed228fccda1f39692059dd4c",
                most: CELLS * 128 * 128,
                size: Some(128),
            },
            PublishedFile {
                name: "bloodmnist_224.npz",
                md5: "b718ff6835fcbdb22ba9eacccd7b2601",
                most: CELLS * 224 * 224,
                size: Some(224),
            },
        ],
    };

    fn find(request: &Request) -> Result<Found, DataError> {
        open(request)?.find()
    }

    fn load(request: &Request) -> Result<DataSet, DataError> {
        open(request)?.load()
    }
}

/// A `.npz` file, found.
pub(in crate::data) struct Medical<'a> {
    request: Request<'a>,
    path: PathBuf,
    home: PathBuf,
    /// Begins the name of the kept file.
    kind: String,
    /// Of a known set.
    classes: Option<usize>,
}

/// Looks for `bloodmnist_64.npz`, or the size that the settings say.
fn open<'a>(request: &Request<'a>) -> Result<Medical<'a>, DataError> {
    let data_dir = request.folder()?;
    let folders: Vec<PathBuf> = FOLDERS.iter().map(|folder| join(data_dir, folder)).collect();
    let sizes = request.settings.size.map_or(SIZES.to_vec(), |size| vec![size]);
    for folder in &folders {
        let path = sizes
            .iter()
            .map(|&size| folder.join(file_name(size)))
            .find(|path| path.is_file());
        if let Some(path) = path {
            return Ok(Medical::new(request, path, Some(CLASSES)));
        }
    }
    let files: Vec<String> = sizes
        .iter()
        .map(|&size| format!("`{}`", file_name(size)))
        .collect();
    Err(DataError::Missing {
        name: NAME.to_owned(),
        file: files.join(" or "),
        searched: folders,
        size: request.settings.size,
    })
}

/// Any such file.
pub(in crate::data) fn at<'a>(request: &Request<'a>, path: PathBuf) -> Medical<'a> {
    Medical::new(request, path, None)
}

/// The size of 28 is the original one, and not in the name.
fn file_name(size: usize) -> String {
    match size {
        28 => format!("{NAME}.npz"),
        size => format!("{NAME}_{size}.npz"),
    }
}

impl<'a> Medical<'a> {
    fn new(request: &Request<'a>, path: PathBuf, classes: Option<usize>) -> Self {
        let stem = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Self {
            request: *request,
            home: path.parent().unwrap_or(Path::new(".")).to_path_buf(),
            path,
            kind: stem,
            classes,
        }
    }

    pub(in crate::data) fn find(&self) -> Result<Found, DataError> {
        self.recipe()?.find(|| self.decode())
    }

    pub(in crate::data) fn load(&self) -> Result<DataSet, DataError> {
        self.recipe()?.load(|| self.decode())
    }

    fn recipe(&self) -> Result<Recipe<'_>, DataError> {
        let usual = self.classes.map(|_| (MEAN.as_slice(), STD.as_slice()));
        Ok(Recipe {
            name: &self.request.settings.name,
            kind: &self.kind,
            decoder: DECODER,
            home: &self.home,
            keeping: self.request.keeping,
            origins: vec![Origin::File(self.path.clone())],
            stats: Stats::new(self.request.settings, usual)?,
        })
    }

    fn decode(&self) -> Result<Decoded, DataError> {
        let bytes = rows::read(&self.path)?;
        let format = if self.classes.is_some() { "MedMNIST" } else { "npz" };
        decode(&bytes, self.classes).map_err(|problem| DataError::format(&self.path, format, problem))
    }
}

/// All three parts; the first two are trained on.
fn decode(bytes: &[u8], classes: Option<usize>) -> Result<Decoded, String> {
    let mut file = Npz::open(bytes)?;
    let mut shape = None;
    let mut part = |names: &[&str]| -> Result<Images, String> {
        let mut images = Images::default();
        for name in names {
            let labels = file.numbers(&format!("{name}_labels"), LIMIT)?;
            let pixels = file.array(&format!("{name}_images"), LIMIT)?;
            append(name, &labels, pixels, &mut shape, &mut images)?;
        }
        Ok(images)
    };
    let parts = [part(&["train", "val"])?, part(&["test"])?];
    let classes = match classes {
        Some(classes) => classes,
        None => labels::classes(&parts[0].labels)?,
    };
    for (images, name) in parts.iter().zip(["training", "test"]) {
        if let Some((row, label)) = (0..)
            .zip(&images.labels)
            .find(|(_, label)| **label as usize >= classes)
        {
            return Err(format!(
                "label {row} of the {name} part is {label}, but there are {classes} classes"
            ));
        }
    }
    match shape {
        Some(shape) if parts.iter().all(|images| !images.labels.is_empty()) => Ok(Decoded {
            shape,
            classes,
            parts,
        }),
        _ => Err("it has no images".to_owned()),
    }
}

/// Appends one part, pixels moved from `[N, H, W, C]` to `[N, C, H, W]`.
fn append(
    name: &str,
    labels: &Numbers,
    pixels: Array,
    shape: &mut Option<[usize; 3]>,
    images: &mut Images,
) -> Result<(), String> {
    let (count, found) = match pixels.shape[..] {
        [count, height, width] => (count, [1, height, width]),
        [count, height, width, channels @ (1 | 3)] => (count, [channels, height, width]),
        _ => {
            return Err(format!(
                "`{name}_images` has shape {:?} instead of [N, H, W] or [N, H, W, 3]",
                pixels.shape
            ));
        }
    };
    let width = match labels.shape[..] {
        [n] if n == count => 1,
        [n, width] if n == count => width,
        _ => 0,
    };
    let classes: Option<Vec<i64>> = labels
        .values
        .chunks(width.max(1))
        .map(|row| labels::class_of(row).ok())
        .collect();
    let Some(classes) = classes.filter(|_| width > 0 || count == 0) else {
        return Err(format!(
            "`{name}_labels` has shape {:?} instead of [{count}, 1], and its rows are not a 1 among zeros",
            labels.shape
        ));
    };
    let expected = shape.get_or_insert(found);
    if *expected != found {
        return Err(format!(
            "`{name}_images` has images of {found:?} (channels, height, width) instead of {expected:?}"
        ));
    }
    let [channels, height, width] = found;
    for (row, label) in classes.into_iter().enumerate() {
        let label = rows::label(row, label, None).map_err(|problem| format!("`{name}_labels`: {problem}"))?;
        images.labels.push(label);
    }
    let mut pixels = pixels.values;
    if channels > 1 {
        let mut scratch = vec![0; channels * height * width];
        for image in pixels.chunks_exact_mut(scratch.len().max(1)) {
            scratch.copy_from_slice(image);
            let planes = image.chunks_exact_mut((height * width).max(1));
            for (channel, plane) in planes.enumerate() {
                let values = scratch.iter().skip(channel).step_by(channels);
                plane.iter_mut().zip(values).for_each(|(to, from)| *to = *from);
            }
        }
    }
    // The first part is the largest, and not copied.
    if images.pixels.is_empty() {
        images.pixels = pixels;
        return Ok(());
    }
    images.reserve(count, channels * height * width)?;
    images.pixels.extend(pixels);
    Ok(())
}

#[cfg(test)]
mod tests;
