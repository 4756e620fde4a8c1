//! MNIST: 60,000 training and 10,000 test images of 28 x 28 pixels, in four IDX files, each compressed or not.

use std::path::{Path, PathBuf};

use super::catalogue::hash;
use super::{DataError, DataSet, DataSetInfo, Normalisation, Part, idx};

pub(super) const NAME: &str = "mnist";

pub(super) const INFO: DataSetInfo = DataSetInfo {
    name: NAME,
    about: "handwritten digits of 28 x 28 pixels, four IDX files in the data folder",
    classes: 10,
    train: 60_000,
    test: 10_000,
    shape: [1, 28, 28],
};

/// One of the four files.
struct Source {
    name: &'static str,
    /// blake3 of the decompressed content.
    content: &'static str,
    /// blake3 of the published `.gz` file as it lies.
    compressed: &'static str,
}

const TRAIN_IMAGES: Source = Source {
    name: "train-images-idx3-ubyte",
    content: "c6e6fd8c67d07c8a9b7bffa7dd0413ff4b8af241607b049b7721107f379df9fd",
    compressed: "49350eedae49552d8f5470b0e1ddd16b8bbe8a592dc9a0ab14053a6a0b24e4a8",
};
const TRAIN_LABELS: Source = Source {
    name: "train-labels-idx1-ubyte",
    content: "8ebcfdf2fe191516f9cb37fceb75d2d19289d91ee92026534ed45e44144b5642",
    compressed: "e317bada12ed4fb725e9598f4c17dcccba810295c738a946c09482a2862d6968",
};
const TEST_IMAGES: Source = Source {
    name: "t10k-images-idx3-ubyte",
    content: "f8d502322cd9f186e155a74a3dff598ed56c1a7b5a5c8d312749ac47c4a2bec7",
    compressed: "dfc01781cd114ccb845ea1ea030284363b571579514e164a9d0d1fe830afc188",
};
const TEST_LABELS: Source = Source {
    name: "t10k-labels-idx1-ubyte",
    content: "6d43ea317fa8f5851bb85404bb7358defd48b0294cf31f60cdcde8106fe2c3ad",
    compressed: "74d599a4d720aae3617f302ae7ad28d1bdb39766c98953ed246e563a51328ed3",
};

/// Where the files may lie below the data folder; the last is torchvision's.
const FOLDERS: [&str; 3] = ["", "mnist", "MNIST/raw"];
/// More than the largest of the files, compressed or not.
const LIMIT: u64 = 1 << 26;
const FORMAT: &str = "IDX";
const MEAN: f32 = 0.1307;
const STD: f32 = 0.3081;

/// Finds and verifies the files; returns the data set's hash.
pub(super) fn check(data_dir: Option<&Path>) -> Result<String, DataError> {
    for source in [TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS] {
        let path = locate(data_dir, &source)?;
        let bytes = idx::read(&path, LIMIT)?;
        if blake3::hash(&bytes).to_hex().as_str() != source.compressed {
            verify(&path, &source, &idx::decompress(&path, bytes, LIMIT)?)?;
        }
    }
    Ok(content_hash())
}

/// Reads, decompresses, verifies and decodes the files.
pub(super) fn load(data_dir: Option<&Path>) -> Result<DataSet, DataError> {
    Ok(DataSet {
        name: NAME.to_owned(),
        classes: INFO.classes,
        shape: INFO.shape,
        train: part(data_dir, &TRAIN_IMAGES, &TRAIN_LABELS)?,
        test: part(data_dir, &TEST_IMAGES, &TEST_LABELS)?,
        hash: content_hash(),
    })
}

fn content_hash() -> String {
    let contents = [TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS].map(|source| source.content);
    hash(&format!("mnist v1, (x / 255 - {MEAN}) / {STD}"), &contents)
}

fn locate(data_dir: Option<&Path>, source: &Source) -> Result<PathBuf, DataError> {
    let data_dir = data_dir.ok_or(DataError::NoFolder { name: NAME })?;
    let folders = FOLDERS.map(|folder| {
        if folder.is_empty() {
            data_dir.to_path_buf()
        } else {
            data_dir.join(folder)
        }
    });
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
            name: NAME,
            file: format!("`{0}` or `{0}.gz`", source.name),
            searched: folders.to_vec(),
        })
}

/// Compares decompressed content with the published one.
fn verify(path: &Path, source: &Source, content: &[u8]) -> Result<(), DataError> {
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

fn part(data_dir: Option<&Path>, images: &Source, labels: &Source) -> Result<Part, DataError> {
    let fetch = |source| -> Result<_, DataError> {
        let path = locate(data_dir, source)?;
        let content = idx::decompress(&path, idx::read(&path, LIMIT)?, LIMIT)?;
        verify(&path, source, &content)?;
        Ok((path, content))
    };
    let ((image_path, images), (label_path, labels)) = (fetch(images)?, fetch(labels)?);
    decode((&image_path, &images), (&label_path, &labels))
}

/// One part from the contents of its two files.
fn decode(images: (&Path, &[u8]), labels: (&Path, &[u8])) -> Result<Part, DataError> {
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
        return wrong(format!("label {index} is {}, which is no digit", values[index]));
    }
    let normalisation = Normalisation {
        scale: 255.0,
        mean: vec![MEAN],
        std: vec![STD],
    };
    if [1, rows, columns] != INFO.shape {
        let problem = format!("its images have {rows} x {columns} pixels instead of 28 x 28");
        return Err(DataError::format(images.0, FORMAT, problem));
    }
    let values = values.iter().map(|&label| u32::from(label)).collect();
    Part::new(INFO.shape, pixels.to_vec(), values, &normalisation)
        .map_err(|error| DataError::format(images.0, FORMAT, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

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

    fn decoded(images: &[u8], labels: &[u8]) -> Result<Part, DataError> {
        decode((Path::new("images"), images), (Path::new("labels"), labels))
    }

    #[test]
    fn images_and_labels_must_agree() {
        assert_eq!(
            decoded(&images(2, 28), &labels(&[9, 0])).expect("sound").labels(),
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
        let check = || check(Some(folder.path())).expect_err("incomplete");
        assert!(check().to_string().starts_with(
            "data set `mnist`: cannot find `train-images-idx3-ubyte` or `train-images-idx3-ubyte.gz` in `"
        ));
        let raw = folder.path().join("MNIST/raw");
        crate::result::create_dir(&raw).expect("folder");
        let put = |bytes: &[u8]| {
            crate::result::write_atomic(&raw.join(TRAIN_IMAGES.name), bytes).expect("written");
        };
        put(&images(1, 28)[..100]);
        assert!(matches!(check(), DataError::Format { .. }));
        put(&images(1, 28));
        assert!(matches!(check(), DataError::Checksum { .. }));
        put(&[0x1f, 0x8b, 8, 0, 0]);
        assert!(matches!(check(), DataError::Read { .. }));
    }
}
