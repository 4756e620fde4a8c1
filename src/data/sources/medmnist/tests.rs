use candle_core::Device;
use rand_chacha::rand_core::SeedableRng;

use super::*;
use crate::data::kept::Keeping;
use crate::data::{DatasetSettings, SplitKind, SplitOptions, split};
use crate::files::write_atomic;

/// By `numpy.savez_compressed`: 8 training, 2 validation and 3 test images of 5 x 5 pixels. Image i (counted through
/// all three parts) has the value `31 i + 7 c + 5 y + 3 x` modulo 256 and the label i modulo 8.
const NUMPY: &[u8] = include_bytes!("numpy.npz");

fn expected(images: std::ops::Range<usize>) -> Vec<u8> {
    let at = |i: usize, c: usize, y: usize, x: usize| (31 * i + 7 * c + 5 * y + 3 * x) as u8;
    images
        .flat_map(|i| (0..75).map(move |k| at(i, k / 25, k / 5 % 5, k % 5)))
        .collect()
}

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("temporary folder");
    for (name, bytes) in files {
        write_atomic(&folder.path().join(name), &[bytes]).expect("written");
    }
    folder
}

fn load(settings: &DatasetSettings, folder: &Path) -> Result<DataSet, DataError> {
    crate::data::catalogue::load_as(&Request {
        settings,
        data_dir: Some(folder),
        keeping: Keeping::default(),
    })
}

#[test]
fn validation_images_are_trained_on_after_the_training_images() {
    let decoded = decode(NUMPY, Some(CLASSES)).expect("sound");
    assert_eq!((decoded.shape, decoded.classes), ([3, 5, 5], 8));
    let [train, test] = decoded.parts;
    assert_eq!(train.labels, [0, 1, 2, 3, 4, 5, 6, 7, 0, 1]);
    assert_eq!(test.labels, [2, 3, 4]);
    assert_eq!(train.pixels, expected(0..10));
    assert_eq!(test.pixels, expected(10..13));
}

#[test]
fn the_papers_size_is_preferred_and_any_can_be_had() {
    let folder = folder(&[("bloodmnist.npz", NUMPY), ("bloodmnist_64.npz", b"damaged")]);
    let mut settings = DatasetSettings::named("bloodmnist");
    let problem = load(&settings, folder.path())
        .expect_err("the damaged one")
        .to_string();
    assert!(
        problem.contains("bloodmnist_64.npz` is not a valid MedMNIST file"),
        "{problem}"
    );
    settings.size = Some(28);
    let set = load(&settings, folder.path()).expect("sound");
    assert_eq!((set.train.len(), set.test.len()), (10, 3));
    let first = set
        .train
        .images(Some(&[0]), &Device::Cpu)
        .and_then(|t| t.flatten_all()?.to_vec1::<f32>());
    let pixel = |value: f32, c: usize| (value / 255.0 - MEAN[c]) / STD[c];
    assert_eq!(first.expect("one image")[50], pixel(14.0, 2));
    settings.size = Some(224);
    let error = load(&settings, folder.path()).expect_err("not there");
    assert!(
        error.to_string().contains("cannot find `bloodmnist_224.npz` in"),
        "{error}"
    );
    assert!(
        error
            .hint()
            .expect("a hint")
            .contains("runner fetch bloodmnist --size 224 --data-dir")
    );
}

/// The paper's two models see classes 0-3 and 4-7.
#[test]
fn its_own_sharded_split_is_one_by_classes() {
    let labels = decode(NUMPY, Some(CLASSES)).expect("sound").parts[0]
        .labels
        .clone();
    let options = SplitOptions {
        classes: vec![vec![0, 1, 2, 3], vec![4, 5, 6, 7]],
    };
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let parts = split(&labels, CLASSES, SplitKind::Classes, 2, &options, &mut rng).expect("possible");
    assert_eq!(parts, [vec![0, 1, 2, 3, 8, 9], vec![4, 5, 6, 7]]);
}

#[test]
fn a_file_by_path_says_its_classes_itself() {
    let folder = folder(&[("other.npz", NUMPY)]);
    let set = load(&DatasetSettings::named("./other.npz"), folder.path()).expect("sound");
    assert_eq!((set.classes, set.shape), (8, [3, 5, 5]));
    let few = decode(NUMPY, Some(4)).expect_err("labels up to 7");
    assert_eq!(few, "label 4 of the training part is 4, but there are 4 classes");
    assert!(load(&DatasetSettings::named("none.npz"), folder.path()).is_err());
    // A label out of range is not 193 more classes.
    let gap = labels::classes(&[0, 1, 2, 3, 4, 5, 6, 7, 200]).expect_err("one of 201 is none");
    assert!(gap.contains("no training image has label 8"), "{gap}");
}

#[test]
fn arrays_that_do_not_fit_together_are_named() {
    let array = |shape: &[usize]| Array {
        shape: shape.to_vec(),
        values: vec![0; shape.iter().product()],
    };
    let numbers = |shape: &[usize]| Numbers {
        shape: shape.to_vec(),
        values: vec![0; shape.iter().product()],
    };
    let problem = |labels: &[usize], pixels: &[usize], known: Option<[usize; 3]>| {
        let mut shape = known;
        append(
            "val",
            &numbers(labels),
            array(pixels),
            &mut shape,
            &mut Images::default(),
        )
        .expect_err("unsound")
    };
    assert_eq!(
        problem(&[3, 1], &[2, 4, 4], None),
        "`val_labels` has shape [3, 1] instead of [2, 1], and its rows are not a 1 among zeros"
    );
    assert_eq!(
        problem(&[2, 14], &[2, 4, 4, 3], None),
        "`val_labels` has shape [2, 14] instead of [2, 1], and its rows are not a 1 among zeros"
    );
    assert_eq!(
        problem(&[2, 1], &[2, 4, 4, 4], None),
        "`val_images` has shape [2, 4, 4, 4] instead of [N, H, W] or [N, H, W, 3]"
    );
    assert_eq!(
        problem(&[2, 1], &[2, 4, 4], Some([3, 4, 4])),
        "`val_images` has images of [1, 4, 4] (channels, height, width) instead of [3, 4, 4]"
    );
}
