use candle_core::Device;
use png::ColorType;
use tempfile::TempDir;

use super::*;
use crate::data::fixtures::{HUB, Row, parquet, planes, png};
use crate::data::{DatasetSettings, Sets};
use crate::files::write_atomic;

struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("temporary folder"))
    }

    fn put(&self, name: &str, bytes: &[u8]) -> &Self {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
        write_atomic(&path, &[bytes]).expect("written");
        self
    }

    /// Three classes of two training images and one test image of 4 x 4 pixels, all different.
    fn images(&self) -> &Self {
        for (class, name) in ["cat", "cow", "ape"].iter().enumerate() {
            for (index, file) in ["train/{}/b.png", "train/{}/a.png", "test/{}/x.png"]
                .iter()
                .enumerate()
            {
                let bytes = png(&planes(4, (3 * class + index) as u8), 4, ColorType::Rgb);
                self.put(&format!("set/{}", file.replace("{}", name)), &bytes);
            }
        }
        self
    }

    fn load_as(&self, settings: &DatasetSettings) -> Result<DataSet, DataError> {
        let sets = Sets::new(Some(self.0.path()), None);
        let loaded = sets.load(settings)?;
        let found = sets.find(settings).expect("found, for it was loaded");
        assert_eq!(found.hash, loaded.hash);
        let info = found.info;
        assert_eq!(
            (info.train, info.test, info.classes, info.shape),
            (
                loaded.train.len(),
                loaded.test.len(),
                loaded.classes,
                loaded.shape
            )
        );
        assert_eq!(sets.info(settings), Some(info));
        // A second look takes what the first one kept.
        let again = Sets::new(Some(self.0.path()), None).load(settings).expect("kept");
        assert_eq!(again.hash, loaded.hash);
        assert_eq!(values(&again.train), values(&loaded.train));
        Ok(loaded)
    }

    fn load(&self, name: &str) -> Result<DataSet, DataError> {
        self.load_as(&DatasetSettings::named(name))
    }

    fn problem(&self, name: &str) -> String {
        let error = self.load(name).expect_err("unsound");
        error
            .to_string()
            .replace(&self.0.path().display().to_string(), "FOLDER")
    }
}

fn values(part: &crate::data::Part) -> Vec<f32> {
    let images = part.images(None, &Device::Cpu);
    images.and_then(|t| t.flatten_all()?.to_vec1()).expect("images")
}

fn rows(labels: &[i64]) -> Vec<Row> {
    let image = |row: usize| png(&planes(4, row as u8), 4, ColorType::Rgb);
    (0..)
        .zip(labels)
        .map(|(row, &label)| (Some(image(row)), Some(label)))
        .collect()
}

#[test]
fn a_folder_of_images_is_read_class_by_class() {
    let bench = Bench::new();
    let set = bench.images().load("set/").expect("sound");
    assert_eq!(
        (set.classes, set.shape, set.name.as_str()),
        (3, [3, 4, 4], "set/")
    );
    // ape, cat, cow, in the order of their names; a before b.
    assert_eq!(set.train.labels(), [0, 0, 1, 1, 2, 2]);
    assert_eq!(set.test.labels(), [0, 1, 2]);
    let pixels: Vec<u8> = [7, 6, 1, 0, 4, 3]
        .iter()
        .flat_map(|&seed| planes(4, seed))
        .collect();
    // Mean and deviation are those of the training images.
    for channel in 0..3 {
        let of = |k: &usize| k / 16 % 3 == channel;
        let own: Vec<f64> = (0..pixels.len())
            .filter(of)
            .map(|k| f64::from(pixels[k]) / 255.0)
            .collect();
        let mean = own.iter().sum::<f64>() / own.len() as f64;
        let std = (own.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / own.len() as f64).sqrt();
        let values = values(&set.train);
        for (k, value) in values.iter().enumerate().filter(|(k, _)| of(k)) {
            let expected = (f64::from(pixels[k]) / 255.0 - mean) / std;
            assert!(
                (f64::from(*value) - expected).abs() < 1e-5,
                "{k}: {value} instead of {expected}"
            );
        }
    }
}

#[test]
fn mean_and_deviation_can_be_given() {
    let bench = Bench::new();
    let settings = DatasetSettings {
        mean: Some(vec![0.0; 3]),
        std: Some(vec![1.0; 3]),
        ..DatasetSettings::named("./set")
    };
    let given = bench.images().load_as(&settings).expect("sound");
    assert_eq!(
        values(&given.test)[..16],
        planes(4, 8)[..16]
            .iter()
            .map(|&p| f32::from(p) / 255.0)
            .collect::<Vec<_>>()
    );
    assert_ne!(given.hash, bench.load("./set").expect("sound").hash);
}

#[test]
fn files_that_do_not_belong_are_named() {
    let bench = Bench::new();
    bench.images().put("set/train/cow/.hidden", b"x");
    bench
        .put("set/notes.txt", b"x")
        .load("./set")
        .expect("hidden files and others are passed over");
    bench.put("set/test/dog/x.png", b"");
    assert_eq!(
        bench.problem("./set"),
        "`FOLDER/./set/test/dog`: there are no training images of the class `dog`"
    );
    std::fs::remove_dir_all(bench.0.path().join("set/test/dog")).expect("removed");
    bench.put("set/train/cow/c.txt", b"text");
    assert_eq!(
        bench.problem("./set"),
        "`FOLDER/./set/train/cow/c.txt` is not a valid image file: neither PNG nor JPEG but a file that begins with \"text\""
    );
    bench.put("set/train/cow/c.txt", &png(&planes(5, 1), 5, ColorType::Rgb));
    assert_eq!(
        bench.problem("./set"),
        "`FOLDER/./set/train/cow/c.txt`: it has 5 x 5 pixels, but 9 of the 10 images have 4 x 4"
    );
    let cut = png(&planes(4, 1), 4, ColorType::Rgb);
    bench.put("set/train/cow/c.txt", &cut[..cut.len() - 20]);
    assert!(
        bench
            .problem("./set")
            .starts_with("`FOLDER/./set/train/cow/c.txt` is not a valid image file: PNG: ")
    );
    std::fs::remove_file(bench.0.path().join("set/train/cow/c.txt")).expect("removed");
    std::fs::create_dir(bench.0.path().join("set/train/zebra")).expect("folder");
    assert!(
        bench
            .problem("./set")
            .ends_with("train/zebra`: this class has no images")
    );
    std::fs::remove_dir_all(bench.0.path().join("set/test")).expect("removed");
    assert!(
        bench
            .problem("./set")
            .contains("it has a folder `train`, but no folder `test`")
    );
    let missing = bench.load("./sett").expect_err("not there");
    assert!(
        missing.to_string().contains("cannot find the folder `sett` in"),
        "{missing}"
    );
    assert!(
        missing
            .hint()
            .expect("a hint")
            .contains("start from the data folder")
    );
}

#[test]
fn grey_images_have_one_channel_unless_one_has_colours() {
    let bench = Bench::new();
    for file in ["train/a/1.png", "train/b/1.png", "test/a/1.png"] {
        bench.put(
            &format!("grey/{file}"),
            &png(&planes(4, 9), 4, ColorType::Grayscale),
        );
    }
    assert_eq!(bench.load("grey/").expect("sound").shape, [1, 4, 4]);
    bench.put("grey/test/b/1.png", &png(&planes(4, 9), 4, ColorType::Rgb));
    let set = bench.load("grey/").expect("sound");
    assert_eq!((set.shape, set.test.len()), ([3, 4, 4], 2));
}

#[test]
fn parquet_files_are_found_by_pattern_and_by_folder() {
    let (train, test) = (rows(&[0, 2, 1, 2]), rows(&[1, 0]));
    let second = rows(&[1]);
    let mut hashes = Vec::new();
    for (names, path) in [
        (
            ["p/train-0.parquet", "p/train-1.parquet", "p/test.parquet"],
            "p/*.parquet",
        ),
        (
            ["p/train-0.parquet", "p/train-1.parquet", "p/test.parquet"],
            "./p",
        ),
        (
            ["p/train/0.parquet", "p/train/1.parquet", "p/test/0.parquet"],
            "p/",
        ),
        (
            [
                "p/data/train-0.parquet",
                "p/data/train-1.parquet",
                "p/data/test.parquet",
            ],
            "p/",
        ),
    ] {
        let bench = Bench::new();
        for (name, rows) in names.iter().zip([&train, &second, &test]) {
            bench.put(name, &parquet(HUB, rows, 2));
        }
        bench.put("p/validation.parquet", b"left alone");
        let set = bench.load(path).expect(path);
        assert_eq!((set.classes, set.shape), (3, [3, 4, 4]), "{path}");
        assert_eq!(
            (set.train.labels(), set.test.labels()),
            ([0, 2, 1, 2, 1].as_slice(), [1, 0].as_slice())
        );
        hashes.push(set.hash);
    }
    hashes.dedup();
    assert_eq!(hashes.len(), 1, "the same content");
}

#[test]
fn columns_can_be_named() {
    let schema = "message s { optional binary picture; optional int64 kind; }";
    let bench = Bench::new();
    bench.put("train.parquet", &parquet(schema, &rows(&[0, 1]), 9));
    bench.put("test.parquet", &parquet(schema, &rows(&[1]), 9));
    assert!(
        bench
            .problem("./")
            .contains("it has no column `img.bytes` or `image.bytes` or `img` or `image`")
    );
    let settings = DatasetSettings {
        image_column: Some("picture".into()),
        label_column: Some("kind".into()),
        ..DatasetSettings::named("./")
    };
    assert_eq!(bench.load_as(&settings).expect("sound").train.labels(), [0, 1]);
}

#[test]
fn unsound_rows_are_named_by_file_and_row() {
    let bench = Bench::new();
    let put = |train: &[Row], test: &[Row]| {
        bench.put("train.parquet", &parquet(HUB, train, 9));
        bench.put("test.parquet", &parquet(HUB, test, 9));
        bench.problem("./")
    };
    let start = "is not a valid parquet file: ";
    let gap = put(&rows(&[1, 2]), &rows(&[1]));
    assert!(
        gap.contains("no training image has label 0: labels are to count from 0"),
        "{gap}"
    );
    let negative = put(&rows(&[0, -1]), &rows(&[0]));
    assert!(
        negative.contains(&format!("{start}row 1: its label is -1")),
        "{negative}"
    );
    let unknown = put(&rows(&[0, 1]), &rows(&[0, 2]));
    assert!(
        unknown.contains(&format!(
            "test.parquet` {start}row 1: its label is 2, but there are 2 classes"
        )),
        "{unknown}"
    );
    let mut train = rows(&[0, 1, 1]);
    train[2].0 = Some(b"GIF89a".to_vec());
    let image = put(&train, &rows(&[0]));
    assert!(
        image.contains(&format!("train.parquet` {start}row 2: neither PNG nor JPEG")),
        "{image}"
    );
    let one = bench.problem("train.parquet");
    assert!(one.contains("cannot find `test*.parquet`"), "{one}");
    std::fs::remove_file(bench.0.path().join("test.parquet")).expect("removed");
    assert!(
        bench
            .problem("./")
            .contains("cannot find `test*.parquet` or `test/CLASS/*.png` in")
    );
}
