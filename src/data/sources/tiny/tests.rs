use png::ColorType;
use tempfile::TempDir;

use super::*;
use crate::data::DatasetSettings;
use crate::data::fixtures::{Row, parquet, planes, png};
use crate::data::kept::Keeping;
use crate::files::write_atomic;

const SCHEMA: &str = "message s { optional group image { optional binary bytes; optional binary path (UTF8); } optional int64 label; }";

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

    fn load(&self) -> Result<DataSet, DataError> {
        let settings = DatasetSettings::named(NAME);
        let request = Request {
            settings: &settings,
            data_dir: Some(self.0.path()),
            keeping: Keeping::default(),
        };
        let set = TinyImageNet::load(&request)?;
        assert_eq!(TinyImageNet::find(&request)?.hash, set.hash);
        Ok(set)
    }

    /// 200 classes of one training image, of which every other one is grey; two images to validate.
    fn originals(&self) -> &Self {
        for class in 0..CLASSES {
            let color = [ColorType::Rgb, ColorType::Grayscale][class % 2];
            let name = format!("n{:08}", 1_000_000 + class);
            let bytes = png(&planes(64, class as u8), 64, color);
            self.put(
                &format!("tiny-imagenet-200/train/{name}/images/{name}_0.JPEG"),
                &bytes,
            )
            .put(
                &format!("tiny-imagenet-200/train/{name}/{name}_boxes.txt"),
                b"0\t0\t62\t62",
            );
        }
        for file in ["val_0.JPEG", "val_1.JPEG"] {
            self.put(
                &format!("tiny-imagenet-200/val/images/{file}"),
                &png(&planes(64, 3), 64, ColorType::Rgb),
            );
        }
        self.annotations("val_0.JPEG\tn01000007\t0\t32\t44\t62\nval_1.JPEG\tn01000199\t0\t0\t5\t5\n")
    }

    fn annotations(&self, text: &str) -> &Self {
        self.put("tiny-imagenet-200/val/val_annotations.txt", text.as_bytes())
    }
}

fn shard(labels: &[i64]) -> Vec<u8> {
    let image = |row: usize| png(&planes(64, row as u8), 64, ColorType::Rgb);
    let rows: Vec<Row> = (0..)
        .zip(labels)
        .map(|(row, &label)| (Some(image(row)), Some(label)))
        .collect();
    parquet(SCHEMA, &rows, 9)
}

#[test]
fn validation_is_trained_on_where_there_is_a_test_part_and_tested_on_where_there_is_none() {
    let bench = Bench::new();
    bench
        .put("tiny-imagenet/data/train-00001-of-00002.parquet", &shard(&[7]))
        .put(
            "tiny-imagenet/data/train-00000-of-00002-0123abcd.parquet",
            &shard(&[199, 0]),
        )
        .put(
            "tiny-imagenet/data/valid-00000-of-00001-70d52db3c749a935.parquet",
            &shard(&[5, 6]),
        );
    let set = bench.load().expect("sound");
    assert_eq!((set.classes, set.shape), (200, [3, 64, 64]));
    assert_eq!(
        (set.train.labels(), set.test.labels()),
        ([199, 0, 7].as_slice(), [5, 6].as_slice())
    );
    bench.put("tiny-imagenet/data/test-00000-of-00001.parquet", &shard(&[9]));
    let set = bench.load().expect("sound");
    assert_eq!(
        (set.train.labels(), set.test.labels()),
        ([199, 0, 7, 5, 6].as_slice(), [9].as_slice())
    );
}

#[test]
fn the_original_folders_are_read() {
    let bench = Bench::new();
    let set = bench.originals().load().expect("sound");
    assert_eq!((set.train.len(), set.test.labels()), (200, [7, 199].as_slice()));
    assert_eq!(set.train.labels()[..3], [0, 1, 2]);
    // Grey images have three equal channels.
    let image = set.train.images(Some(&[1]), &candle_core::Device::Cpu);
    let values: Vec<f32> = image.and_then(|t| t.flatten_all()?.to_vec1()).expect("one image");
    for channel in 0..3 {
        let pixel = f32::from(planes(64, 1)[70]) / 255.0;
        assert_eq!(
            values[channel * 4096 + 70],
            (pixel - MEAN[channel]) / STD[channel]
        );
    }
}

#[test]
fn what_is_wrong_is_named() {
    let bench = Bench::new();
    let problem = |bench: &Bench| {
        let error = bench.load().expect_err("unsound");
        error
            .to_string()
            .replace(&bench.0.path().display().to_string(), "FOLDER")
    };
    let missing = bench.load().expect_err("no files");
    assert!(
        missing
            .to_string()
            .contains("cannot find `train-*.parquet` or the folders `train` and `val` in")
    );
    assert!(
        missing
            .hint()
            .expect("a hint")
            .contains("runner fetch tiny-imagenet")
    );
    bench.originals().annotations("val_0.JPEG\tn02\n");
    assert_eq!(
        problem(&bench),
        "`FOLDER/tiny-imagenet-200/val/val_annotations.txt` is not a valid annotation file: line 1: there are no training \
         images of its class `n02`"
    );
    bench.annotations("val_0.JPEG n01000007\n");
    assert!(problem(&bench).ends_with("line 1: it lacks a file's name and a class, separated by a tab"));
    bench.annotations("val_7.JPEG\tn01000007\n");
    assert!(problem(&bench).contains("val/images/val_7.JPEG`"));
    std::fs::remove_dir_all(bench.0.path().join("tiny-imagenet-200/train/n01000003")).expect("removed");
    assert!(problem(&bench).ends_with("it has 199 classes instead of 200"));

    let bench = Bench::new();
    bench.put("tiny-imagenet/train-00000-of-00001.parquet", &shard(&[200]));
    assert!(problem(&bench).contains("cannot find `test-*.parquet` or `valid-*.parquet` in"));
    bench.put("tiny-imagenet/valid-00000-of-00001.parquet", &shard(&[0]));
    assert!(problem(&bench).ends_with("row 0: its label is 200, but there are 200 classes"));
    bench.put("tiny-imagenet/train-00000-of-00002.parquet", &shard(&[1]));
    assert!(
        problem(&bench).contains("cannot find `train-00001-of-00002.parquet` in")
            || problem(&bench).contains("row 0")
    );
}
