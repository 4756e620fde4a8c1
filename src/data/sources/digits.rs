//! UCI "Optical Recognition of Handwritten Digits": 1,797 images of 8 x 8 pixels in 0..=16, embedded in the program.
//!
//! The file is scikit-learn's `digits.csv.gz`, byte for byte (`assets/digits/LICENSE` has source and licence): one
//! line per image, 64 pixels and the label. Our cut: every fifth line, from the fifth on, is for testing.

use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;

use super::Source;
use crate::data::normalise::{Moments, Stats};
use crate::data::published::Published;
use crate::data::request::{DataSetInfo, Found, Known, Request, hash};
use crate::data::{DataError, DataSet, DatasetSettings, Normalisation, Part};

const NAME: &str = "digits";

/// The source `digits`.
pub(super) struct Digits;

impl Source for Digits {
    const KNOWN: Known = Known {
        name: NAME,
        about: "handwritten digits of 8 x 8 pixels (UCI), embedded in the program",
        info: Some(INFO),
        sizes: &[],
    };
    const PUBLISHED: Published = Published::Embedded;

    /// The embedded file cannot be missing; verifies it.
    fn find(request: &Request) -> Result<Found, DataError> {
        find(request.settings)
    }

    fn load(request: &Request) -> Result<DataSet, DataError> {
        load(request.settings)
    }
}

const INFO: DataSetInfo = DataSetInfo {
    classes: 10,
    train: 1438,
    test: 359,
    shape: [1, 8, 8],
};

const FILE: &[u8] = include_bytes!("../../../assets/digits/digits.csv.gz");
/// blake3 of the embedded file as it lies; its sha256 is 09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22.
const CHECKSUM: &str = "6e6d08206f25ea2b4115da8d88938afa92b1e035f762278c06b5df6fb254188a";
/// blake3 of its decompressed content.
const CONTENT: &str = "f84230aa70dfb2e9da69c9c09d8c1fb7fb743a0cce3676204f3b3933c2115f15";

const PIXELS: usize = 64;
const LARGEST: u8 = 16;
/// Mean and standard deviation of the training part's pixels / 16, to four decimals.
const MEAN: f32 = 0.3058;
const STD: f32 = 0.3764;
/// Line `i` is a test image where `i % FOLDS == FOLDS - 1`.
const FOLDS: usize = 5;

fn find(settings: &DatasetSettings) -> Result<Found, DataError> {
    let found = blake3::hash(FILE).to_hex().to_string();
    if found != CHECKSUM {
        return Err(DataError::Checksum {
            path: path().to_path_buf(),
            expected: CHECKSUM.to_owned(),
            found,
        });
    }
    let unused = Moments {
        mean: Vec::new(),
        std: Vec::new(),
    };
    let stats = Stats::new(settings, Some((&[MEAN], &[STD])))?;
    let normalisation = Normalisation {
        scale: f32::from(LARGEST),
        ..stats.normalisation(NAME, INFO.shape[0], &unused)?
    };
    let recipe = format!(
        "digits v1, test: line % {FOLDS} == {}, (x / {LARGEST} - {}) / {}",
        FOLDS - 1,
        normalisation.mean[0],
        normalisation.std[0]
    );
    Ok(Found {
        info: INFO,
        hash: hash(&recipe, &[CONTENT]),
        normalisation,
    })
}

/// Decodes the embedded file.
fn load(settings: &DatasetSettings) -> Result<DataSet, DataError> {
    let Found {
        hash, normalisation, ..
    } = find(settings)?;
    let mut text = String::new();
    GzDecoder::new(FILE)
        .read_to_string(&mut text)
        .map_err(|source| DataError::read(path(), source))?;
    let mut parts = [(Vec::new(), Vec::new()), (Vec::new(), Vec::new())];
    for (index, line) in text.lines().enumerate() {
        let (pixels, labels) = &mut parts[usize::from(index % FOLDS == FOLDS - 1)];
        let (image, label) = parse(line)
            .ok_or_else(|| DataError::format(path(), "digits", format!("line {} is malformed", index + 1)))?;
        pixels.extend(image);
        labels.push(label);
    }
    let [train, test] = parts.map(|(pixels, labels)| {
        Part::new(INFO.shape, pixels, labels, &normalisation)
            .map_err(|error| DataError::format(path(), "digits", error.to_string()))
    });
    Ok(DataSet {
        name: NAME.to_owned(),
        classes: INFO.classes,
        shape: INFO.shape,
        train: train?,
        test: test?,
        hash,
    })
}

fn path() -> &'static Path {
    Path::new("assets/digits/digits.csv.gz")
}

/// 64 pixels and a label below 10, or `None`.
fn parse(line: &str) -> Option<(Vec<u8>, u32)> {
    let mut values: Vec<u8> = line
        .split(',')
        .map(|field| field.parse().ok())
        .collect::<Option<_>>()?;
    let label = values.pop()?;
    let sound = values.len() == PIXELS
        && values.iter().all(|&pixel| pixel <= LARGEST)
        && usize::from(label) < INFO.classes;
    sound.then_some((values, u32::from(label)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn the_embedded_file_has_the_recorded_content() {
        let mut content = Vec::new();
        GzDecoder::new(FILE).read_to_end(&mut content).expect("gzip");
        assert_eq!(blake3::hash(&content).to_hex().as_str(), CONTENT);
        let settings = DatasetSettings::named(NAME);
        let found = find(&settings).expect("sound");
        assert_eq!(found.hash, load(&settings).expect("sound").hash);
        // Results are found by this hash; by Python, from the recipe's line and the content's hash.
        assert_eq!(
            found.hash,
            "2fda007e5982c0f7e5763f09bfea6a7f81e111a3f447d1e578cb8262c6e54a7e"
        );
    }

    /// Class counts and pixel moments by numpy, over the same lines.
    #[test]
    fn the_cut_and_the_constants_are_those_of_the_training_part() {
        let set = load(&DatasetSettings::named(NAME)).expect("sound");
        let count = |part: &Part| {
            (0..10)
                .map(|c| part.labels().iter().filter(|&&l| l == c).count())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            count(&set.train),
            [151, 161, 143, 131, 147, 154, 150, 136, 127, 138]
        );
        assert_eq!(count(&set.test), [27, 21, 34, 52, 34, 28, 31, 43, 47, 42]);
        let images = set
            .train
            .images(None, &Device::Cpu)
            .and_then(|t| t.flatten_all())
            .expect("images");
        let values: Vec<f64> = images
            .to_vec1::<f32>()
            .expect("f32")
            .into_iter()
            .map(|v| f64::from(v * STD + MEAN))
            .collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let std = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
        assert_eq!(
            (format!("{mean:.4}"), format!("{std:.4}")),
            ("0.3058".into(), "0.3764".into())
        );
    }

    #[test]
    fn a_malformed_line_is_not_taken() {
        let line = |pixel: &str, pixels: usize, label: &str| {
            let mut fields = vec![pixel; pixels];
            fields.push(label);
            fields.join(",")
        };
        assert!(parse(&line("16", 64, "9")).is_some());
        for bad in [
            line("17", 64, "9"),
            line("1", 63, "9"),
            line("1", 64, "10"),
            line("x", 64, "1"),
            String::new(),
        ] {
            assert!(parse(&bad).is_none(), "{bad}");
        }
    }
}
