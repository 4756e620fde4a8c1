//! MNIST and Fashion-MNIST: 60,000 training and 10,000 test images of 28 x 28 pixels, in four IDX files, each compressed
//! or not. Both sets have the same names of files, so that each is looked for in folders of its own first.

use std::path::{Path, PathBuf};

use super::{Source, idx};
use crate::data::decoded::{Decoded, Images, Recipe};
use crate::data::kept::Origin;
use crate::data::normalise::{Moments, Stats};
use crate::data::published::{Published, PublishedFile};
use crate::data::request::{DataSetInfo, Found, Known, Request, hash};
use crate::data::{DataError, DataSet};

/// A set of four files.
#[derive(Debug, Clone, Copy)]
struct Idx {
    known: Known,
    /// Where the files may lie below the data folder.
    folders: &'static [&'static str],
    /// Images and labels for training, images and labels for testing.
    sources: [IdxFile; 4],
    mean: f32,
    std: f32,
}

/// One of the four files.
#[derive(Debug, Clone, Copy)]
struct IdxFile {
    name: &'static str,
    /// blake3 of the decompressed content.
    content: &'static str,
}

const INFO: DataSetInfo = DataSetInfo {
    classes: 10,
    train: 60_000,
    test: 10_000,
    shape: [1, 28, 28],
};

/// The source `mnist`.
pub(super) struct Mnist;

impl Source for Mnist {
    const KNOWN: Known = MNIST.known;
    /// The mirror that torchvision uses.
    const PUBLISHED: Published = Published::Mirror {
        base: "https://ossci-datasets.s3.amazonaws.com/mnist",
        files: &[
            PublishedFile {
                name: "train-images-idx3-ubyte.gz",
                md5: "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                most: 9_912_422,
                size: None,
            },
            PublishedFile {
                name: "train-labels-idx1-ubyte.gz",
                md5: "d53e105ee54ea40749a09fcbcd1e9432",
                most: 28_881,
                size: None,
            },
            PublishedFile {
                name: "t10k-images-idx3-ubyte.gz",
                md5: "9fb629c4189551a2d022fa330f9573f3",
                most: 1_648_877,
                size: None,
            },
            PublishedFile {
                name: "t10k-labels-idx1-ubyte.gz",
                md5: "ec29112dd5afa0611ce80d1b7f02629c",
                most: 4_542,
                size: None,
            },
        ],
    };

    fn find(request: &Request) -> Result<Found, DataError> {
        MNIST.find(request)
    }

    fn load(request: &Request) -> Result<DataSet, DataError> {
        MNIST.load(request)
    }
}

const MNIST: Idx = Idx {
    known: Known {
        name: "mnist",
        about: "handwritten digits of 28 x 28 pixels, four IDX files in the data folder",
        info: Some(INFO),
        sizes: &[],
    },
    // The second is torchvision's.
    folders: &["mnist", "MNIST/raw", ""],
    sources: [
        IdxFile {
            name: TRAIN_IMAGES,
            content: "c6e6fd8c67d07c8a9b7bffa7dd0413ff4b8af241607b049b7721107f379df9fd",
        },
        IdxFile {
            name: TRAIN_LABELS,
            content: "8ebcfdf2fe191516f9cb37fceb75d2d19289d91ee92026534ed45e44144b5642",
        },
        IdxFile {
            name: TEST_IMAGES,
            content: "f8d502322cd9f186e155a74a3dff598ed56c1a7b5a5c8d312749ac47c4a2bec7",
        },
        IdxFile {
            name: TEST_LABELS,
            content: "6d43ea317fa8f5851bb85404bb7358defd48b0294cf31f60cdcde8106fe2c3ad",
        },
    ],
    mean: 0.1307,
    std: 0.3081,
};

/// The source `fashion-mnist`.
pub(super) struct FashionMnist;

impl Source for FashionMnist {
    const KNOWN: Known = FASHION.known;
    /// The mirror that torchvision uses.
    const PUBLISHED: Published = Published::Mirror {
        base: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        files: &[
            PublishedFile {
                name: "train-images-idx3-ubyte.gz",
                md5: "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                most: 26_421_880,
                size: None,
            },
            PublishedFile {
                name: "train-labels-idx1-ubyte.gz",
                md5: "25c81989df183df01b3e8a0aad5dffbe",
                most: 29_515,
                size: None,
            },
            PublishedFile {
                name: "t10k-images-idx3-ubyte.gz",
                md5: "bef4ecab320f06d8554ea6380940ec79",
                most: 4_422_102,
                size: None,
            },
            PublishedFile {
                name: "t10k-labels-idx1-ubyte.gz",
                md5: "bb300cfdad3c16e7a12a480ee83cd310",
                most: 5_148,
                size: None,
            },
        ],
    };

    fn find(request: &Request) -> Result<Found, DataError> {
        FASHION.find(request)
    }

    fn load(request: &Request) -> Result<DataSet, DataError> {
        FASHION.load(request)
    }
}

const FASHION: Idx = Idx {
    known: Known {
        name: "fashion-mnist",
        about: "clothes of 28 x 28 pixels, in the form of `mnist`",
        info: Some(INFO),
        sizes: &[],
    },
    // The second is torchvision's.
    folders: &["fashion-mnist", "FashionMNIST/raw", ""],
    sources: [
        IdxFile {
            name: TRAIN_IMAGES,
            content: "feaca08b36e07f8d504641a929bff1554884ef73964323e44e59e39a986b4c9e",
        },
        IdxFile {
            name: TRAIN_LABELS,
            content: "b4d9ea8013b029ef778c95ea7de31195ef443589877589523ad330db2829ebd6",
        },
        IdxFile {
            name: TEST_IMAGES,
            content: "a19b8c1e5f798e5a6fa7229093b630c04a620179497a1fa3a71e7334fb59a30b",
        },
        IdxFile {
            name: TEST_LABELS,
            content: "0a067399ed18bcc9d7dc26832b3b8e4481abf2d33fee04c611e90b9061296b90",
        },
    ],
    // Of the training images, as is usual.
    mean: 0.286,
    std: 0.353,
};

const TRAIN_IMAGES: &str = "train-images-idx3-ubyte";
const TRAIN_LABELS: &str = "train-labels-idx1-ubyte";
const TEST_IMAGES: &str = "t10k-images-idx3-ubyte";
const TEST_LABELS: &str = "t10k-labels-idx1-ubyte";

/// More than the largest of the files, compressed or not.
const LIMIT: u64 = 1 << 26;
const FORMAT: &str = "IDX";
const DECODER: &str = "idx v1";

impl Idx {
    /// Finds and verifies the files, without decoding them where that was done before.
    fn find(&self, request: &Request) -> Result<Found, DataError> {
        let paths = self.paths(request)?;
        self.recipe(&paths, request)?.find(|| self.decode(&paths))?;
        self.found(request)
    }

    /// Decompresses, verifies and decodes the files, or takes what was decoded before.
    fn load(&self, request: &Request) -> Result<DataSet, DataError> {
        let paths = self.paths(request)?;
        let set = self.recipe(&paths, request)?.load(|| self.decode(&paths))?;
        // Results are known by this hash, which the published content has whatever is kept of it.
        let hash = self.found(request)?.hash;
        Ok(DataSet { hash, ..set })
    }

    fn paths(&self, request: &Request) -> Result<Vec<PathBuf>, DataError> {
        let sources = self.sources.iter();
        sources.map(|source| self.locate(request, source)).collect()
    }

    fn recipe<'a>(&self, paths: &'a [PathBuf], request: &Request<'a>) -> Result<Recipe<'a>, DataError> {
        Ok(Recipe {
            name: self.known.name,
            kind: self.known.name,
            decoder: DECODER,
            home: paths[0].parent().unwrap_or(Path::new(".")),
            keeping: request.keeping,
            origins: paths.iter().cloned().map(Origin::File).collect(),
            stats: self.stats(request)?,
        })
    }

    fn stats(&self, request: &Request) -> Result<Stats, DataError> {
        Stats::new(request.settings, Some((&[self.mean], &[self.std])))
    }

    /// What files with the published content are.
    fn found(&self, request: &Request) -> Result<Found, DataError> {
        let unused = Moments {
            mean: Vec::new(),
            std: Vec::new(),
        };
        let name = self.known.name;
        let normalisation = self.stats(request)?.normalisation(name, INFO.shape[0], &unused)?;
        let (mean, std) = (normalisation.mean[0], normalisation.std[0]);
        let contents = self.sources.map(|source| source.content);
        Ok(Found {
            info: INFO,
            hash: hash(&format!("{name} v1, (x / 255 - {mean}) / {std}"), &contents),
            normalisation,
        })
    }

    fn locate(&self, request: &Request, source: &IdxFile) -> Result<PathBuf, DataError> {
        let data_dir = request.folder()?;
        let folders: Vec<PathBuf> = self
            .folders
            .iter()
            .map(|folder| crate::data::layout::join(data_dir, folder))
            .collect();
        let candidates = folders.iter().flat_map(|folder| {
            [
                folder.join(source.name),
                folder.join(format!("{}.gz", source.name)),
            ]
        });
        candidates
            .into_iter()
            .find(|path| path.is_file())
            .ok_or_else(|| DataError::Missing {
                name: self.known.name.to_owned(),
                file: format!("`{0}` or `{0}.gz`", source.name),
                searched: folders.clone(),
                size: None,
            })
    }

    /// Both parts, from the four files in order.
    fn decode(&self, paths: &[PathBuf]) -> Result<Decoded, DataError> {
        let mut contents = Vec::new();
        for (path, source) in paths.iter().zip(&self.sources) {
            let content = idx::decompress(path, idx::read(path, LIMIT)?, LIMIT)?;
            verify(path, source, &content)?;
            contents.push((path.as_path(), content));
        }
        let file = |i: usize| (contents[i].0, contents[i].1.as_slice());
        Ok(Decoded {
            shape: INFO.shape,
            classes: INFO.classes,
            parts: [decode(file(0), file(1))?, decode(file(2), file(3))?],
        })
    }
}

/// Compares decompressed content with the published one.
fn verify(path: &Path, source: &IdxFile, content: &[u8]) -> Result<(), DataError> {
    let found = blake3::hash(content).to_hex();
    if found.as_str() == source.content {
        return Ok(());
    }
    // A broken file deserves a better word than "another checksum".
    let parsed = if source.name.contains("idx3") {
        idx::parse::<3>(content).map(|_| ())
    } else {
        idx::parse::<1>(content).map(|_| ())
    };
    parsed.map_err(|problem| DataError::format(path, FORMAT, problem))?;
    Err(DataError::Checksum {
        path: path.to_path_buf(),
        expected: source.content.to_owned(),
        found: found.to_string(),
    })
}

/// One part from the contents of its two files.
fn decode(images: (&Path, &[u8]), labels: (&Path, &[u8])) -> Result<Images, DataError> {
    let ([count, rows, columns], pixels) =
        idx::parse(images.1).map_err(|problem| DataError::format(images.0, FORMAT, problem))?;
    let wrong = |problem| Err(DataError::format(labels.0, FORMAT, problem));
    let ([labelled], values) =
        idx::parse(labels.1).map_err(|problem| DataError::format(labels.0, FORMAT, problem))?;
    if labelled != count {
        return wrong(format!("it has {labelled} labels for {count} images"));
    }
    if let Some(index) = values
        .iter()
        .position(|&label| usize::from(label) >= INFO.classes)
    {
        return wrong(format!(
            "label {index} is {}, but there are 10 classes",
            values[index]
        ));
    }
    if [1, rows, columns] != INFO.shape {
        let problem = format!("its images have {rows} x {columns} pixels instead of 28 x 28");
        return Err(DataError::format(images.0, FORMAT, problem));
    }
    Ok(Images {
        labels: values.iter().map(|&label| u32::from(label)).collect(),
        pixels: pixels.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DatasetSettings;
    use crate::data::kept::Keeping;

    fn request<'a>(settings: &'a DatasetSettings, folder: Option<&'a Path>) -> Request<'a> {
        Request {
            settings,
            data_dir: folder,
            keeping: Keeping::default(),
        }
    }

    fn images(count: u32, side: u32) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, 3];
        bytes.extend([count, side, side].iter().flat_map(|size| size.to_be_bytes()));
        bytes.resize(16 + (count * side * side) as usize, 255);
        bytes
    }

    fn labels(values: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, 1];
        bytes.extend((values.len() as u32).to_be_bytes());
        bytes.extend(values);
        bytes
    }

    fn decoded(images: &[u8], labels: &[u8]) -> Result<Images, DataError> {
        decode((Path::new("images"), images), (Path::new("labels"), labels))
    }

    #[test]
    fn images_and_labels_must_agree() {
        assert_eq!(
            decoded(&images(2, 28), &labels(&[9, 0])).expect("sound").labels,
            [9, 0]
        );
        let problem =
            |images: &[u8], labels: &[u8]| decoded(images, labels).expect_err("unsound").to_string();
        assert_eq!(
            problem(&images(2, 28), &labels(&[9])),
            "`labels` is not a valid IDX file: it has 1 labels for 2 images"
        );
        assert!(problem(&images(1, 28), &labels(&[10])).contains("label 0 is 10"));
        assert!(problem(&images(1, 27), &labels(&[1])).contains("27 x 27"));
    }

    #[test]
    fn a_missing_a_cut_and_a_foreign_file_are_told_apart() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let settings = DatasetSettings::named("mnist");
        let check = || {
            let found = MNIST.find(&request(&settings, Some(folder.path())));
            found.expect_err("incomplete")
        };
        assert!(check().to_string().starts_with(
            "data set `mnist`: cannot find `train-images-idx3-ubyte` or `train-images-idx3-ubyte.gz` in `"
        ));
        let raw = folder.path().join("MNIST/raw");
        crate::result::create_dir(&raw).expect("folder");
        for name in [TRAIN_LABELS, TEST_IMAGES, TEST_LABELS] {
            crate::result::write_atomic(&raw.join(name), b"unread").expect("written");
        }
        let put = |bytes: &[u8]| {
            crate::result::write_atomic(&raw.join(TRAIN_IMAGES), bytes).expect("written");
        };
        put(&images(1, 28)[..100]);
        assert!(matches!(check(), DataError::Format { .. }));
        put(&images(1, 28));
        assert!(matches!(check(), DataError::Checksum { .. }));
        put(&[0x1f, 0x8b, 8, 0, 0]);
        assert!(matches!(check(), DataError::Read { .. }));
    }
}
