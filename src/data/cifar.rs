//! CIFAR-10 and CIFAR-100: 50,000 training and 10,000 test images of 3 x 32 x 32 pixels, as hub parquet files or as the
//! original binary batches.
//!
//! | set | parquet | binary: bytes before the 3,072 of an image |
//! | --- | --- | --- |
//! | CIFAR-10 | `train-*.parquet`, `test-*.parquet`, labels in `label` | `data_batch_1.bin` to `_5.bin`, `test_batch.bin`: the label |
//! | CIFAR-100 | the same, labels in `fine_label` | `train.bin`, `test.bin`: the coarse label, the fine one |
//!
//! The hub's files keep other orders and other compressions than the original, and there are several of them, so that
//! no checksum tells the right one. Instead, every row must decode, and there must be as many images of each class as
//! were published. [`DataSet::hash`] is that of the decoded content: equal for equal images in equal order, whatever the
//! files.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use rayon::prelude::*;

use super::catalogue::hash;
use super::kept::{Arrays, Kept, Source, hash_of};
use super::source::{Files, Form, Layout};
use super::{DataError, DataSet, DataSetInfo, Normalisation, Part, batch, hub, image};

pub(super) const CIFAR10: Cifar = Cifar {
    info: DataSetInfo {
        name: "cifar10",
        about: "photographs of 32 x 32 pixels, hub parquet or original binary files in the data folder",
        classes: 10,
        train: 50_000,
        test: 10_000,
        shape: [3, 32, 32],
    },
    layout: Layout {
        folders: &[
            "",
            "cifar10",
            "cifar-10",
            "cifar-10-batches-bin",
            "cifar10/cifar-10-batches-bin",
            "cifar-10/cifar-10-batches-bin",
            "plain_text",
            "cifar10/plain_text",
            "cifar-10/plain_text",
        ],
        binaries: [
            &[
                "data_batch_1.bin",
                "data_batch_2.bin",
                "data_batch_3.bin",
                "data_batch_4.bin",
                "data_batch_5.bin",
            ],
            &["test_batch.bin"],
        ],
    },
    columns: &["label"],
    labels: 1,
    mean: [0.4914, 0.4822, 0.4465],
    std: [0.247, 0.243, 0.261],
};

pub(super) const CIFAR100: Cifar = Cifar {
    info: DataSetInfo {
        name: "cifar100",
        about: "as cifar10, in 100 classes",
        classes: 100,
        ..CIFAR10.info
    },
    layout: Layout {
        folders: &[
            "",
            "cifar100",
            "cifar-100",
            "cifar-100-binary",
            "cifar100/cifar-100-binary",
            "cifar-100/cifar-100-binary",
            "cifar100/cifar100",
            "cifar-100/cifar100",
        ],
        binaries: [&["train.bin"], &["test.bin"]],
    },
    columns: &["fine_label", "label"],
    labels: 2,
    mean: [0.5071, 0.4867, 0.4408],
    std: [0.2675, 0.2565, 0.2761],
};

/// Changes when files are decoded to other pixels than before: what is kept of them is then of no use.
const DECODER: &str = "cifar v1, libjpeg-turbo-rs 0.9, png 0.18";

/// What tells one of the two data sets from the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cifar {
    pub info: DataSetInfo,
    layout: Layout,
    /// Names of the parquet column of labels, the preferred first.
    columns: &'static [&'static str],
    /// Bytes of labels in a binary record; the last one counts.
    labels: usize,
    mean: [f32; 3],
    std: [f32; 3],
}

/// Labels and pixels of one part: `N` and `N * C * H * W` bytes.
struct Images {
    labels: Vec<u8>,
    pixels: Vec<u8>,
}

impl Cifar {
    /// Finds the files; returns the data set's hash, without decoding them where that was done before.
    pub(super) fn check(
        &self,
        data_dir: Option<&Path>,
        cache_dir: Option<&Path>,
    ) -> Result<String, DataError> {
        let files = self.files(data_dir)?;
        if let Some(hashes) = self.kept(&files, cache_dir, &self.lengths()).hashes() {
            return Ok(self.hash(&hashes));
        }
        Ok(self.decode(&files, cache_dir)?.1)
    }

    /// Decodes the files, or takes what was decoded before.
    pub(super) fn load(
        &self,
        data_dir: Option<&Path>,
        cache_dir: Option<&Path>,
    ) -> Result<DataSet, DataError> {
        let files = self.files(data_dir)?;
        let ([train, test], hash) = match self.loaded(&files, cache_dir) {
            Some(found) => found,
            None => self.decode(&files, cache_dir)?,
        };
        Ok(DataSet {
            name: self.info.name.to_owned(),
            classes: self.info.classes,
            shape: self.info.shape,
            train: self.part(&files, train)?,
            test: self.part(&files, test)?,
            hash,
        })
    }

    fn files(&self, data_dir: Option<&Path>) -> Result<Files, DataError> {
        let data_dir = data_dir.ok_or(DataError::NoFolder { name: self.info.name })?;
        Files::find(self.info.name, &self.layout, data_dir)
    }

    fn lengths(&self) -> [u64; 4] {
        let (info, pixels) = (&self.info, self.pixels() as u64);
        let (train, test) = (info.train as u64, info.test as u64);
        [train, train * pixels, test, test * pixels]
    }

    fn pixels(&self) -> usize {
        self.info.shape.iter().product()
    }

    /// Beside the files, or in the cache folder, under a name that tells one data folder from another.
    fn kept<'a>(&self, files: &'a Files, cache_dir: Option<&Path>, lengths: &'a [u64]) -> Kept<'a> {
        let name = self.info.name;
        let mut places = vec![files.folder.join(format!("{name}.runner-cache"))];
        if let Some(cache_dir) = cache_dir {
            let folder = files
                .folder
                .canonicalize()
                .unwrap_or_else(|_| files.folder.clone());
            let of = &hash_of(folder.as_os_str().as_encoded_bytes())[..16];
            places.push(cache_dir.join(format!("{name}-{of}.runner-cache")));
        }
        Kept {
            places,
            decoder: DECODER,
            sources: files.parts.iter().flatten().map(PathBuf::as_path).collect(),
            lengths,
        }
    }

    fn loaded(&self, files: &Files, cache_dir: Option<&Path>) -> Option<([Images; 2], String)> {
        let Arrays { arrays, hashes } = self.kept(files, cache_dir, &self.lengths()).load()?;
        let [train_labels, train, test_labels, test]: [Vec<u8>; 4] = arrays.try_into().ok()?;
        let images = [(train_labels, train), (test_labels, test)];
        let images = images.map(|(labels, pixels)| Images { labels, pixels });
        Some((images, self.hash(&hashes)))
    }

    /// Decodes both parts, keeps them, and hashes them.
    fn decode(&self, files: &Files, cache_dir: Option<&Path>) -> Result<([Images; 2], String), DataError> {
        let mut sources = Vec::new();
        let [train, test] = &files.parts;
        let train = self.decode_part(files, train, (self.info.train, "training"), &mut sources)?;
        let test = self.decode_part(files, test, (self.info.test, "test"), &mut sources)?;
        let arrays = [&train.labels, &train.pixels, &test.labels, &test.pixels].map(Vec::as_slice);
        let hashes = arrays.map(hash_of);
        self.kept(files, cache_dir, &self.lengths())
            .store(sources, &arrays, &hashes);
        let hash = self.hash(&hashes);
        Ok(([train, test], hash))
    }

    /// Decodes the files of one part, which must make `count` images, as many of each class.
    fn decode_part(
        &self,
        files: &Files,
        paths: &[PathBuf],
        (count, part): (usize, &str),
        sources: &mut Vec<Source>,
    ) -> Result<Images, DataError> {
        let mut images = Images {
            labels: Vec::with_capacity(count),
            pixels: Vec::with_capacity(count * self.pixels()),
        };
        for path in paths {
            let modified = Source::modified(path);
            let content = std::fs::read(path).map_err(|error| DataError::read(path, error))?;
            sources.push(Source::new(path, modified, &content));
            let (format, decoded) = match files.form {
                Form::Parquet => ("parquet", self.parquet(content, &mut images)),
                Form::Binary => ("CIFAR", self.binary(&content, &mut images)),
            };
            decoded.map_err(|problem| DataError::format(path, format, problem))?;
        }
        let of_class = |class| {
            images
                .labels
                .iter()
                .filter(|&&label| usize::from(label) == class)
                .count()
        };
        let share = count / self.info.classes;
        let problem = if images.labels.len() != count {
            format!("it has {} {part} images instead of {count}", images.labels.len())
        } else if let Some(class) = (0..self.info.classes).find(|&class| of_class(class) != share) {
            format!(
                "it has {} {part} images of class {class} instead of {share}",
                of_class(class)
            )
        } else {
            return Ok(images);
        };
        Err(DataError::Content {
            name: self.info.name,
            folder: files.folder.clone(),
            problem,
        })
    }

    /// Appends the images of one parquet file.
    fn parquet(&self, content: Vec<u8>, images: &mut Images) -> Result<(), String> {
        let rows = hub::read(Bytes::from(content), self.columns)?;
        let labels: Result<Vec<u8>, String> = (0..)
            .zip(&rows.labels)
            .map(|(row, &label)| self.label(label).ok_or_else(|| self.no_class(row, label)))
            .collect();
        images.labels.extend(labels?);
        let [_, height, width] = self.info.shape;
        let start = images.pixels.len();
        images.pixels.resize(start + rows.images.len() * self.pixels(), 0);
        let planes = images.pixels[start..].par_chunks_exact_mut(self.pixels());
        // The first by row, whichever thread comes to it first.
        let problem = planes
            .zip(&rows.images)
            .enumerate()
            .filter_map(|(row, (planes, image))| {
                let decoded = image::decode(image.data(), [height, width], planes);
                decoded.err().map(|problem| (row, problem))
            })
            .min_by_key(|(row, _)| *row);
        match problem {
            Some((row, problem)) => Err(format!("row {row}: {problem}")),
            None => Ok(()),
        }
    }

    /// Appends the images of one binary file.
    fn binary(&self, content: &[u8], images: &mut Images) -> Result<(), String> {
        for (row, (label, pixels)) in batch::records(content, self.labels, self.pixels())?.enumerate() {
            let label = i64::from(label);
            images
                .labels
                .push(self.label(label).ok_or_else(|| self.no_class(row, label))?);
            images.pixels.extend(pixels);
        }
        Ok(())
    }

    fn label(&self, label: i64) -> Option<u8> {
        u8::try_from(label)
            .ok()
            .filter(|&label| usize::from(label) < self.info.classes)
    }

    fn no_class(&self, row: usize, label: i64) -> String {
        format!(
            "row {row}: its label is {label}, but there are {} classes",
            self.info.classes
        )
    }

    fn hash(&self, arrays: &[impl AsRef<str>]) -> String {
        let recipe = format!(
            "{} v1, (x / 255 - {:?}) / {:?}",
            self.info.name, self.mean, self.std
        );
        let arrays: Vec<&str> = arrays.iter().map(AsRef::as_ref).collect();
        hash(&recipe, &arrays)
    }

    fn part(&self, files: &Files, images: Images) -> Result<Part, DataError> {
        let normalisation = Normalisation {
            scale: 255.0,
            mean: self.mean.to_vec(),
            std: self.std.to_vec(),
        };
        let labels = images.labels.into_iter().map(u32::from).collect();
        Part::new(self.info.shape, images.pixels, labels, &normalisation).map_err(|error| {
            DataError::Content {
                name: self.info.name,
                folder: files.folder.clone(),
                problem: error.to_string(),
            }
        })
    }
}

#[cfg(test)]
mod tests;
