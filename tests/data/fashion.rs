//! Fashion-MNIST as Debian's package `dataset-fashion-mnist` has it.

use super::*;
use crate::shared::say_skipped;

const FOLDER: &str = "/usr/share/datasets";

#[test]
fn fashion_mnist_is_what_it_should_be() {
    let folder = Path::new(FOLDER);
    if !folder.join("fashion-mnist").is_dir() {
        return say_skipped(
            "the content of Fashion-MNIST",
            "Debian's package `dataset-fashion-mnist` is not installed",
        );
    }
    // What is decoded is kept beside the files, and nothing is to be written there.
    let links = tempfile::tempdir().expect("temporary folder");
    for file in std::fs::read_dir(folder.join("fashion-mnist")).expect("the files") {
        let file = file.expect("an entry");
        std::os::unix::fs::symlink(file.path(), links.path().join(file.file_name())).expect("a link");
    }
    let folder = links.path();
    let set = data::load("fashion-mnist", Some(folder), None).expect("Fashion-MNIST");
    assert_eq!(
        (set.train.len(), set.test.len(), set.shape, set.classes),
        (60_000, 10_000, [1, 28, 28], 10)
    );
    for (part, each) in [(&set.train, 6000), (&set.test, 1000)] {
        for class in 0..10 {
            let count = part.labels().iter().filter(|&&label| label == class).count();
            assert_eq!(count, each, "class {class}");
        }
    }
    assert_eq!(set.test.labels()[..8], [9, 2, 1, 1, 6, 1, 4, 6]);
    // Of the training images, by numpy: 0.28604, 0.35302, so that after normalising little is left.
    let all: Vec<usize> = (0..set.train.len()).step_by(50).collect();
    let images = set.train.images(Some(&all), &Device::Cpu);
    let values = images
        .and_then(|t| t.flatten_all()?.to_vec1::<f32>())
        .expect("images");
    let n = values.len() as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let square = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / n;
    assert!(
        mean.abs() < 0.02 && (square - 1.0).abs() < 0.03,
        "{mean}, {square}"
    );
    assert_eq!(
        data::check("fashion-mnist", Some(folder), None).expect("the files are there"),
        set.hash
    );
    // MNIST's files have the same names, but other content.
    let other = data::check("mnist", Some(folder), None).expect_err("another set");
    assert!(other.to_string().contains("unexpected checksum"), "{other}");
}
