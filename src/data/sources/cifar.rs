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

use std::path::PathBuf;

use super::{Source, batch};
use crate::data::decoded::{Decoded, Images, Recipe};
use crate::data::hub::Columns;
use crate::data::kept::Origin;
use crate::data::layout::{Files, Form, Layout};
use crate::data::normalise::Stats;
use crate::data::published::Published;
use crate::data::request::{DataSetInfo, Found, Known, Request};
use crate::data::rows;
use crate::data::{DataError, DataSet};

/// The source `cifar10`.
pub(super) struct Cifar10;

impl Source for Cifar10 {
    const KNOWN: Known = CIFAR10.known();
    const PUBLISHED: Published = Published::Hub {
        repository: "uoft-cs/cifar10",
        folder: "plain_text/",
    };

    fn find(request: &Request) -> Result<Found, DataError> {
        CIFAR10.find(request)
    }

    fn load(request: &Request) -> Result<DataSet, DataError> {
        CIFAR10.load(request)
    }
}

const CIFAR10: Cifar = Cifar {
    name: "cifar10",
    about: "photographs of 32 x 32 pixels, hub parquet or original binary files in the data folder",
    info: DataSetInfo {
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

/// The source `cifar100`.
pub(super) struct Cifar100;

impl Source for Cifar100 {
    const KNOWN: Known = CIFAR100.known();
    const PUBLISHED: Published = Published::Hub {
        repository: "uoft-cs/cifar100",
        folder: "cifar100/",
    };

    fn find(request: &Request) -> Result<Found, DataError> {
        CIFAR100.find(request)
    }

    fn load(request: &Request) -> Result<DataSet, DataError> {
        CIFAR100.load(request)
    }
}

const CIFAR100: Cifar = Cifar {
    name: "cifar100",
    about: "as cifar10, in 100 classes",
    info: DataSetInfo {
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
struct Cifar {
    name: &'static str,
    about: &'static str,
    info: DataSetInfo,
    layout: Layout,
    /// Names of the parquet column of labels, the preferred first.
    columns: &'static [&'static str],
    /// Bytes of labels in a binary record; the last one counts.
    labels: usize,
    mean: [f32; 3],
    std: [f32; 3],
}

impl Cifar {
    /// What help and messages say of it.
    const fn known(&self) -> Known {
        Known {
            name: self.name,
            about: self.about,
            info: Some(self.info),
            sizes: &[],
        }
    }

    /// Finds the files, without decoding them where that was done before.
    fn find(&self, request: &Request) -> Result<Found, DataError> {
        let files = self.files(request)?;
        self.recipe(&files, request)?.find(|| self.decode(&files))
    }

    /// Decodes the files, or takes what was decoded before.
    fn load(&self, request: &Request) -> Result<DataSet, DataError> {
        let files = self.files(request)?;
        self.recipe(&files, request)?.load(|| self.decode(&files))
    }

    fn files(&self, request: &Request) -> Result<Files, DataError> {
        Files::find(self.name, &self.layout, request.folder()?)
    }

    fn recipe<'a>(&self, files: &'a Files, request: &Request<'a>) -> Result<Recipe<'a>, DataError> {
        Ok(Recipe {
            name: self.name,
            kind: self.name,
            decoder: DECODER,
            home: &files.folder,
            keeping: request.keeping,
            origins: files.parts.iter().flatten().cloned().map(Origin::File).collect(),
            stats: Stats::new(request.settings, Some((&self.mean, &self.std)))?,
        })
    }

    fn decode(&self, files: &Files) -> Result<Decoded, DataError> {
        let [train, test] = &files.parts;
        let parts = [
            self.part(files, train, (self.info.train, "training"))?,
            self.part(files, test, (self.info.test, "test"))?,
        ];
        Ok(Decoded {
            shape: self.info.shape,
            classes: self.info.classes,
            parts,
        })
    }

    /// Decodes the files of one part, which must make `count` images, as many of each class.
    fn part(
        &self,
        files: &Files,
        paths: &[PathBuf],
        (count, part): (usize, &str),
    ) -> Result<Images, DataError> {
        let mut images = Images::default();
        for path in paths {
            let content = crate::files::read(path).map_err(|error| DataError::read(path, error))?;
            let (format, decoded) = match files.form {
                Form::Parquet => ("parquet", self.parquet(content, &mut images)),
                Form::Binary => ("CIFAR", self.binary(&content, &mut images)),
            };
            decoded.map_err(|problem| DataError::format(path, format, problem))?;
        }
        let of_class = |class| {
            let labels = images.labels.iter();
            labels.filter(|&&label| label as usize == class).count()
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
            name: self.name.to_owned(),
            folder: files.folder.clone(),
            problem,
        })
    }

    /// Appends the images of one parquet file.
    fn parquet(&self, content: Vec<u8>, images: &mut Images) -> Result<(), String> {
        let columns = Columns {
            labels: self.columns,
            ..Columns::default()
        };
        rows::append(
            content,
            &columns,
            (self.info.shape, Some(self.info.classes)),
            images,
        )
    }

    /// Appends the images of one binary file.
    fn binary(&self, content: &[u8], images: &mut Images) -> Result<(), String> {
        let size = self.info.shape.iter().product();
        for (row, (label, pixels)) in batch::records(content, self.labels, size)?.enumerate() {
            images
                .labels
                .push(rows::label(row, i64::from(label), Some(self.info.classes))?);
            images.pixels.extend(pixels);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
