//! Golden values of data, metrics and linear algebra: MNIST, CIFAR-10 and the recorded fusions of two MLPs.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use candle_core::{Device, Result, Tensor};
use faer::{Mat, MatRef};
use runner::data::{self, DataSet};
use runner::linalg::{Cutoff, LeastSquares, assign};
use runner::metrics::evaluate_logits;
use runner::result::Metrics;
use runner::tick::unwatched;

use crate::shared::{Golden, shared};

mod cifar;
mod fashion;

const PAIR: &str = "mnist-mlp-non-iid-split-2";
const QUARTET: &str = "mnist-mlp-non-iid-split-4";

fn mnist(shared: &Path) -> &'static DataSet {
    static MNIST: LazyLock<std::sync::Mutex<Option<&'static DataSet>>> = LazyLock::new(Default::default);
    let mut loaded = MNIST.lock().expect("no test panicked while loading");
    loaded.get_or_insert_with(|| {
        Box::leak(Box::new(
            data::load("mnist", Some(&shared.join("data")), None).expect("MNIST"),
        ))
    })
}

/// The four files, without what may be kept beside them.
fn compressed_mnist(shared: &Path) -> impl Iterator<Item = PathBuf> {
    let files = std::fs::read_dir(shared.join("data/mnist")).expect("the files");
    files
        .map(|file| file.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "gz"))
}

fn bits(images: &[f32]) -> impl Iterator<Item = Vec<u32>> {
    images
        .chunks(784)
        .map(|image| image.iter().map(|value| value.to_bits()).collect())
}

#[test]
fn mnist_is_what_it_should_be() {
    let Some(shared) = shared("the content of MNIST") else {
        return;
    };
    let set = mnist(&shared);
    assert_eq!(
        (set.train.len(), set.test.len(), set.shape),
        (60_000, 10_000, [1, 28, 28])
    );
    // The committed results have it: with another one they would all be run again.
    let known = "848561cffc0bccd9ee172e3f76337c87002ab38f0a260e454a42f04d9972a9d8";
    assert_eq!(set.hash, known);
    let counts = |labels: &[u32]| {
        let mut counts = [0; 10];
        for &label in labels {
            counts[label as usize] += 1;
        }
        counts
    };
    // As published: http://yann.lecun.com/exdb/mnist, counted with numpy.
    let train = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949];
    assert_eq!(counts(set.train.labels()), train);
    assert_eq!(
        counts(set.test.labels()),
        [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    );
    assert_eq!(set.train.labels()[..5], [5, 0, 4, 1, 9]);
    let first = set
        .train
        .images(Some(&[0]), &Device::Cpu)
        .and_then(|t| t.flatten_all()?.to_vec1::<f32>());
    let first = first.expect("one image");
    // Row 5 starts its stroke at column 12 with the bytes 3 18 18 18 126.
    let normalised = |pixel: f32| (pixel / 255.0 - 0.1307) / 0.3081;
    assert_eq!(first[0].to_bits(), normalised(0.0).to_bits());
    assert_eq!(
        first[5 * 28 + 12..][..5],
        [3.0, 18.0, 18.0, 18.0, 126.0].map(normalised)
    );
}

#[test]
fn mnist_is_checked_before_it_is_loaded() {
    let Some(shared) = shared("the pre-check of MNIST") else {
        return;
    };
    let expected = &mnist(&shared).hash;
    for folder in ["data", "data/mnist"] {
        assert_eq!(
            &data::check("mnist", Some(&shared.join(folder)), None).expect("the files are there"),
            expected
        );
    }
    // Decompressed files, and a mixture, are as good.
    let folder = tempfile::tempdir().expect("temporary folder");
    for file in compressed_mnist(&shared) {
        let (name, bytes) = (file.file_name(), std::fs::read(&file).expect("readable"));
        let name = name.and_then(OsStr::to_str).expect("a plain name");
        let (name, bytes) = if name.starts_with("t10k") {
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(bytes.as_slice()), &mut content)
                .expect("gzip");
            (name.trim_end_matches(".gz"), content)
        } else {
            (name, bytes)
        };
        runner::result::write_atomic(&folder.path().join(name), &bytes).expect("written");
    }
    assert_eq!(
        &data::check("mnist", Some(folder.path()), None).expect("the files are there"),
        expected
    );
}

#[test]
fn mnist_is_decompressed_once() {
    let Some(shared) = shared("the cache of MNIST") else {
        return;
    };
    let cache = tempfile::tempdir().expect("temporary folder");
    let folder = tempfile::tempdir().expect("temporary folder");
    for file in compressed_mnist(&shared) {
        let name = file.file_name().expect("a name");
        std::fs::copy(&file, folder.path().join(name)).expect("copied");
    }
    let load = || data::load("mnist", Some(folder.path()), Some(cache.path()));
    let expected = mnist(&shared);
    let mut kept = Vec::new();
    for time in ["first", "second"] {
        let set = load().expect("MNIST");
        assert_eq!(set.hash, expected.hash, "{time}");
        for (part, known) in [(&set.train, &expected.train), (&set.test, &expected.test)] {
            assert_eq!(part.labels(), known.labels(), "{time}");
            let same = (0..known.len()).all(|i| part.pixels(i).ok() == known.pixels(i).ok());
            assert!(same, "{time}");
        }
        let file = std::fs::metadata(folder.path().join("mnist.runner-cache"));
        kept.push(file.expect("kept beside the files").ino());
    }
    assert_eq!(kept[0], kept[1], "it was not written again");
    // What was decoded of other files does not count.
    let labels = folder.path().join("t10k-labels-idx1-ubyte.gz");
    let mut bytes = std::fs::read(&labels).expect("readable");
    bytes.pop();
    std::fs::remove_file(&labels).expect("there");
    runner::result::write_atomic(&labels, &bytes).expect("written");
    let error = load().expect_err("a cut file").to_string();
    assert!(error.contains("t10k-labels"), "{error}");
}

/// Proves the normalisation: the reference recorded its fusion set after torchvision's transforms.
#[test]
fn recorded_fusion_sets_are_found_among_the_training_images_bit_for_bit() {
    let Some(shared) = shared("the recorded fusion sets") else {
        return;
    };
    let set = mnist(&shared);
    let images = set
        .train
        .images(None, &Device::Cpu)
        .and_then(|t| t.flatten_all()?.to_vec1::<f32>());
    let images = images.expect("all images");
    let known: HashMap<Vec<u32>, u32> = bits(&images).zip(set.train.labels().iter().copied()).collect();
    for name in [PAIR, QUARTET] {
        let golden = Golden::open(&shared, name);
        let (shape, recorded) = golden.f32("fusion.images");
        assert_eq!(shape, [400, 1, 28, 28]);
        let labels = golden.indices("fusion.labels");
        for (image, label) in bits(&recorded).zip(labels) {
            assert_eq!(known.get(&image), Some(&(label as u32)));
        }
    }
}

/// Logits of a recorded 784-256-10 state dict on the test images.
fn logits(golden: &Golden, method: &str, images: &Tensor) -> Result<Vec<f32>> {
    let tensor = |name: &str| {
        let (shape, values) = golden.f32(&format!("fused.{method}.{name}"));
        Tensor::from_vec(values, shape, &Device::Cpu)
    };
    let linear = |input: &Tensor, level: usize| {
        let weight = tensor(&format!("level{level}.1.weight"))?;
        input
            .matmul(&weight.t()?)?
            .broadcast_add(&tensor(&format!("level{level}.1.bias"))?)
    };
    linear(&linear(images, 1)?.relu()?, 2)?.flatten_all()?.to_vec1()
}

/// Loss and AUC to f32's rounding (recorded from f32 softmax), accuracy and F1 to the last prediction.
fn assert_metrics(found: &Metrics, golden: &serde_json::Value, what: &str) {
    let near = |found: f64, key: &str, tolerance: f64| {
        let expected = golden[key].as_f64().expect("a number");
        assert!(
            (found - expected).abs() <= tolerance,
            "{what}: {key} {found} instead of {expected}"
        );
    };
    near(found.loss, "loss", 2e-6);
    near(found.accuracy, "accuracy", 1e-7);
    near(found.f1_macro, "f1", 1e-12);
    near(found.roc_auc.expect("every class is there"), "roc_auc", 2e-7);
}

#[test]
fn metrics_of_recorded_models_are_the_recorded_ones() {
    let Some(shared) = shared("the metrics of recorded models") else {
        return;
    };
    let set = mnist(&shared);
    let images = set
        .test
        .images(None, &Device::Cpu)
        .and_then(|t| t.flatten_from(1))
        .expect("images");
    let golden = Golden::open(&shared, PAIR);
    for method in ["hf", "kf", "git-rebasin", "otf-acts", "otf-wts"] {
        for kind in ["uniform", "conductance", "deeplift", "featureablation"] {
            let name = format!("{method}-{kind}");
            let logits = logits(&golden, &name, &images).expect("logits");
            let metrics = evaluate_logits(&logits, set.test.labels(), 10).expect("finite");
            assert_metrics(&metrics, &golden.json["results"][&name], &name);
        }
    }
}

#[test]
fn recorded_costs_have_the_recorded_assignments() {
    let Some(shared) = shared("the recorded assignments") else {
        return;
    };
    let mut compared = 0;
    for file in [PAIR, "cifar10-vgg11half-non-iid-split-2"] {
        let golden = Golden::open(&shared, file);
        for name in golden.names() {
            let Some(of) = name.strip_prefix("assignment.") else {
                continue;
            };
            let cost = format!("cost.{of}");
            if of.starts_with("alf") || !golden.names().contains(&cost) {
                continue;
            }
            let (shape, cost) = golden.f32(&cost);
            let cost: Vec<f64> = cost.into_iter().map(f64::from).collect();
            let (found, recorded) = (
                assign(&cost, shape[0], &mut unwatched).expect("finite"),
                golden.indices(&name),
            );
            let objective = |columns: &[usize]| {
                columns
                    .iter()
                    .enumerate()
                    .map(|(row, column)| cost[row * shape[0] + column])
                    .sum::<f64>()
            };
            // Dead neurons make VGG's optimum a tie.
            assert!(
                objective(&found) <= objective(&recorded) * (1.0 + 1e-12),
                "{file}: {name}"
            );
            if file == PAIR {
                assert_eq!(found, recorded, "{name}");
            }
            compared += 1;
        }
    }
    assert!(compared > 16, "only {compared} assignments were compared");
}

/// HF linear's first layer: `w = (w0_i + w1_j) / 2` with `W_k = pinv([X, 1]) A_k`, uniform importances.
#[test]
fn least_squares_give_the_recorded_first_layer() {
    let Some(shared) = shared("HF linear's first layer") else {
        return;
    };
    let golden = Golden::open(&shared, PAIR);
    let (images, assignment) = (
        golden.f32("fusion.images").1,
        golden.indices("assignment.hf-uniform.0"),
    );
    let z = Mat::from_fn(400, 785, |i, j| {
        if j < 784 {
            f64::from(images[i * 784 + j])
        } else {
            1.0
        }
    });
    let problem = LeastSquares::new(z.as_ref(), Cutoff::Default).expect("finite");
    let solve = |model: usize| {
        let acts: Vec<f64> = golden
            .f32(&format!("preactivations.{model}.0"))
            .1
            .into_iter()
            .map(f64::from)
            .collect();
        problem
            .solve(MatRef::from_row_major_slice(&acts, 400, 256))
            .expect("shapes fit")
    };
    let (first, second) = (solve(0), solve(1));
    let weight = golden.f32("fused.hf-uniform.level1.1.weight").1;
    let bias = golden.f32("fused.hf-uniform.level1.1.bias").1;
    let (mut difference, mut norm) = (0.0, 0.0);
    for (i, &j) in assignment.iter().enumerate() {
        for input in 0..785 {
            let recorded = f64::from(if input < 784 {
                weight[i * 784 + input]
            } else {
                bias[i]
            });
            let found = f64::midpoint(first[(input, i)], second[(input, j)]);
            difference += (found - recorded).powi(2);
            norm += recorded.powi(2);
        }
    }
    let relative = (difference / norm).sqrt();
    assert!(
        relative < 1e-4,
        "relative difference {relative}, rank {}",
        problem.rank()
    );
}
