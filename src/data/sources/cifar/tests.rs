use std::path::{Path, PathBuf};

use candle_core::Device;
use png::ColorType;
use tempfile::TempDir;

use super::*;
use crate::data::fixtures::{HUB, Row, parquet, planes, png};
use crate::data::kept::Keeping;
use crate::data::{DatasetSettings, Part};
use crate::files::write_atomic;

const HUB100: &str = "message s { optional group img { optional binary bytes; optional binary path (UTF8); } optional int64 fine_label; }";

/// A set of this kind with ten training and five test images of 3 x 4 x 4 pixels in five classes.
fn small(kind: &Cifar) -> Cifar {
    let info = DataSetInfo {
        classes: 5,
        train: 10,
        test: 5,
        shape: [3, 4, 4],
    };
    Cifar { info, ..*kind }
}

fn label(row: usize) -> u8 {
    (row * 3 % 5) as u8
}

/// Rows `range` of a set, as the hub has them.
fn rows(range: std::ops::Range<usize>) -> Vec<Row> {
    let image = |row| png(&planes(4, row as u8), 4, ColorType::Rgb);
    range
        .map(|row| (Some(image(row)), Some(i64::from(label(row)))))
        .collect()
}

/// The same as binary records.
fn records(range: std::ops::Range<usize>, labels: usize) -> Vec<u8> {
    let record = |row| {
        let mut record = vec![99; labels - 1];
        record.push(label(row));
        record.extend(planes(4, row as u8));
        record
    };
    range.flat_map(record).collect()
}

fn with<T>(folder: &Path, cache_dir: Option<&Path>, f: impl FnOnce(&Request) -> T) -> T {
    f(&Request {
        settings: &DatasetSettings::default(),
        data_dir: Some(folder),
        keeping: Keeping {
            cache_dir,
            ..Keeping::default()
        },
    })
}

fn load(set: &Cifar, folder: &Path, cache_dir: Option<&Path>) -> Result<DataSet, DataError> {
    with(folder, cache_dir, |request| set.load(request))
}

/// The hash that the set will have.
fn check(set: &Cifar, folder: &Path, cache_dir: Option<&Path>) -> Result<String, DataError> {
    with(folder, cache_dir, |request| set.find(request)).map(|found| found.hash)
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("temporary folder"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn put(&self, name: &str, bytes: &[u8]) -> &Self {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
        write_atomic(&path, &[bytes]).expect("written");
        self
    }

    /// Two shards of training rows, one of test rows.
    fn hub(&self, schema: &str, train: &[Row]) -> &Self {
        let (first, second) = train.split_at(4);
        self.put("train-00001-of-00002.parquet", &parquet(schema, second, 4))
            .put("train-00000-of-00002.parquet", &parquet(schema, first, 3))
            .put("test-00000-of-00001.parquet", &parquet(schema, &rows(10..15), 9))
    }

    fn problem(&self, set: &Cifar) -> String {
        let found = load(set, self.path(), None).expect_err("unsound");
        let checked = check(set, self.path(), None).expect_err("unsound");
        assert_eq!(found.to_string(), checked.to_string());
        assert!(found.hint().is_some());
        found
            .to_string()
            .replace(&self.path().display().to_string(), "FOLDER")
    }

    fn cache(&self, set: &Cifar) -> PathBuf {
        self.path().join(format!("{}.runner-cache", set.name))
    }
}

/// Labels and pixel values of a part.
fn content(part: &Part, set: &Cifar) -> (Vec<u32>, Vec<u8>) {
    let images = part
        .images(None, &Device::Cpu)
        .and_then(|t| t.flatten_all()?.to_vec1::<f32>());
    let plane = set.info.shape[1] * set.info.shape[2];
    let pixel = |(index, value): (usize, f32)| {
        let channel = index / plane % 3;
        ((value * set.std[channel] + set.mean[channel]) * 255.0).round() as u8
    };
    let pixels = images
        .expect("images")
        .into_iter()
        .enumerate()
        .map(pixel)
        .collect();
    (part.labels().to_vec(), pixels)
}

fn expected(range: std::ops::Range<usize>) -> (Vec<u32>, Vec<u8>) {
    (
        range.clone().map(|row| u32::from(label(row))).collect(),
        range.flat_map(|row| planes(4, row as u8)).collect(),
    )
}

#[test]
fn every_form_of_the_files_gives_the_same_set() {
    for (kind, schema, labels) in [(CIFAR10, HUB, 1), (CIFAR100, HUB100, 2)] {
        let set = small(&kind);
        let (hub, binary) = (Folder::new(), Folder::new());
        hub.hub(schema, &rows(0..10));
        let below = set.layout.folders.last().expect("a folder");
        let per_file = 10 / set.layout.binaries[0].len();
        for (index, file) in set.layout.binaries[0].iter().enumerate() {
            let range = index * per_file..(index + 1) * per_file;
            binary.put(&format!("{below}/{file}"), &records(range, labels));
        }
        binary.put(
            &format!("{below}/{}", set.layout.binaries[1][0]),
            &records(10..15, labels),
        );
        let mut hashes = Vec::new();
        for folder in [&hub, &binary] {
            let loaded = load(&set, folder.path(), None).expect("sound");
            assert_eq!(
                (loaded.name.as_str(), loaded.classes, loaded.shape),
                (kind.name, 5, [3, 4, 4])
            );
            assert_eq!(content(&loaded.train, &set), expected(0..10));
            assert_eq!(content(&loaded.test, &set), expected(10..15));
            assert_eq!(check(&set, folder.path(), None).expect("sound"), loaded.hash);
            hashes.push(loaded.hash);
        }
        assert_eq!(hashes[0], hashes[1]);
    }
}

#[test]
fn the_hash_is_that_of_content_order_and_recipe() {
    let set = small(&CIFAR10);
    let hash = |set: &Cifar, train: &[Row]| {
        let folder = Folder::new();
        folder.hub(HUB, train);
        check(set, folder.path(), None).expect("sound")
    };
    let mut train = rows(0..10);
    let original = hash(&set, &train);
    assert_eq!(hash(&set, &train), original);
    let brighter = Cifar {
        mean: [0.5; 3],
        ..set
    };
    assert_ne!(hash(&brighter, &train), original);
    train.swap(2, 7);
    assert_ne!(hash(&set, &train), original, "another order");
    train.swap(2, 7);
    train[1].0 = Some(png(&planes(4, 77), 4, ColorType::Rgb));
    assert_ne!(hash(&set, &train), original, "another image");
}

#[test]
fn images_are_decoded_once_and_again_where_what_was_kept_is_damaged() {
    let set = small(&CIFAR10);
    let folder = Folder::new();
    folder.hub(HUB, &rows(0..10));
    let hash = check(&set, folder.path(), None).expect("sound");
    let kept = std::fs::read(folder.cache(&set)).expect("the check kept what it decoded");
    // Labels and pixels come from the file: zeros for the sources' names and times would not decode.
    let modified = |file: &str| {
        std::fs::metadata(folder.path().join(file))
            .and_then(|m| m.modified())
            .expect("there")
    };
    let load = || super::tests::load(&set, folder.path(), None).expect("sound");
    assert_eq!(content(&load().test, &set), expected(10..15));
    let mut flipped = kept.clone();
    *flipped.last_mut().expect("content") ^= 4;
    for damaged in [
        &flipped[..],
        &kept[..kept.len() / 2],
        b"",
        b"RUNIMGS2\xff\xff\xff\xff",
    ] {
        folder.put("cifar10.runner-cache", damaged);
        let loaded = load();
        assert_eq!(content(&loaded.test, &set), expected(10..15));
        assert_eq!(loaded.hash, hash);
        assert_eq!(std::fs::read(folder.cache(&set)).expect("kept again"), kept);
    }
    // A source that changed is decoded, whatever its size and whatever was kept.
    let before = modified("test-00000-of-00001.parquet");
    let mut test = rows(10..15);
    test.reverse();
    folder.put("test-00000-of-00001.parquet", &parquet(HUB, &test, 9));
    assert_ne!(modified("test-00000-of-00001.parquet"), before);
    assert_ne!(check(&set, folder.path(), None).expect("sound"), hash);
    assert_eq!(load().test.labels()[0], u32::from(label(14)));
}

#[test]
fn a_read_only_folder_is_left_alone() {
    let set = small(&CIFAR10);
    let (folder, cache) = (Folder::new(), Folder::new());
    folder.hub(HUB, &rows(0..10));
    let open = std::fs::metadata(folder.path()).expect("there").permissions();
    let mut closed = open.clone();
    closed.set_readonly(true);
    std::fs::set_permissions(folder.path(), closed).expect("set");
    let caches = cache.path().join("runner");
    let hash = check(&set, folder.path(), Some(&caches)).expect("sound");
    assert!(!folder.cache(&set).exists());
    assert_eq!(std::fs::read_dir(&caches).expect("created").count(), 1);
    assert_eq!(
        load(&set, folder.path(), Some(&caches)).expect("sound").hash,
        hash
    );
    assert_eq!(check(&set, folder.path(), None).expect("decoded"), hash);
    std::fs::set_permissions(folder.path(), open).expect("set");
}

#[test]
fn what_is_wrong_is_named_by_file_and_row() {
    let set = small(&CIFAR10);
    let folder = Folder::new();
    let with = |row: usize, value: Row| {
        let mut train = rows(0..10);
        train[row] = value;
        folder.hub(HUB, &train).problem(&set)
    };
    let image = Some(png(&planes(4, 0), 4, ColorType::Rgb));
    // Row 6 is the third of the second shard.
    let start = "`FOLDER/train-00001-of-00002.parquet` is not a valid parquet file: ";
    assert_eq!(
        with(6, (image.clone(), Some(5))),
        format!("{start}row 2: its label is 5, but there are 5 classes")
    );
    assert_eq!(
        with(6, (image.clone(), Some(-1))),
        format!("{start}row 2: its label is -1, but there are 5 classes")
    );
    assert_eq!(
        with(6, (Some(b"text".to_vec()), Some(1))),
        format!("{start}row 2: neither PNG nor JPEG but a file that begins with \"text\"")
    );
    let large = Some(png(&planes(5, 0), 5, ColorType::Rgb));
    assert_eq!(
        with(9, (large, Some(1))),
        format!("{start}row 5: PNG: it has 5 x 5 pixels instead of 4 x 4")
    );
    assert_eq!(
        with(6, (None, Some(1))),
        format!("{start}rows from 0 on: row 2 has no `img.bytes`")
    );
    assert_eq!(
        with(6, (image, Some(i64::from(label(6) + 1) % 5))),
        "data set `cifar10` in `FOLDER` is not sound: it has 1 training images of class 3 instead of 2"
    );
    assert_eq!(
        folder.hub(HUB, &rows(0..9)).problem(&set),
        "data set `cifar10` in `FOLDER` is not sound: it has 9 training images instead of 10"
    );
    let cut = parquet(HUB, &rows(10..15), 9);
    let problem = folder
        .hub(HUB, &rows(0..10))
        .put("test-00000-of-00001.parquet", &cut[..cut.len() - 3])
        .problem(&set);
    assert!(
        problem.starts_with("`FOLDER/test-00000-of-00001.parquet` is not a valid parquet file: "),
        "{problem}"
    );
    assert!(!folder.cache(&set).exists(), "nothing unsound is kept");
}

#[test]
fn a_binary_file_is_checked_like_a_parquet_one() {
    let set = small(&CIFAR100);
    let folder = Folder::new();
    let mut train = records(0..10, 2);
    folder
        .put("train.bin", &train)
        .put("test.bin", &records(10..15, 2));
    train[3 * 50 + 1] = 5;
    assert_eq!(
        folder.put("train.bin", &train).problem(&set),
        "`FOLDER/train.bin` is not a valid CIFAR file: row 3: its label is 5, but there are 5 classes"
    );
    assert_eq!(
        folder.put("train.bin", &train[..77]).problem(&set),
        "`FOLDER/train.bin` is not a valid CIFAR file: its 77 bytes are no multiple of the 50 of a record"
    );
}
