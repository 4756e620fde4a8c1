//! The reference's checkpoints and those trained with its classes, where the folder `shared` is at hand.

use std::path::PathBuf;

use runner::checkpoint::torch::{Attribute, TorchFile, read};

/// File, class, tensors, attributes, training indices, validation indices, checksum. All computed by a Python
/// script independent of this reader (Python 3.11: `pickle` with stub classes, `zipfile`, `struct`). The checksum
/// is the sum over tensors i and elements j, both from 0, of `(i + 1) * (j % 7 + 1) * value`.
#[rustfmt::skip]
#[expect(clippy::unreadable_literal)]
const FILES: &[(&str, &str, usize, usize, usize, usize, f64)] = &[
    ("full-dataset/ViTs/CIFAR-10/seeds-1-2/model_0.pt", "models.vit.ViT", 56, 16, 1000, 0, 64360.8332499048),
    ("full-dataset/ViTs/CIFAR-10/seeds-1-2/model_1.pt", "models.vit.ViT", 56, 16, 1000, 0, 66307.14885417296),
    ("non-iid/MLPs/MNIST/split-by-2/seed1/model_0.pt", "models.mlp.MLPNet", 4, 11, 33074, 0, -1075.1830652815104),
    ("non-iid/MLPs/MNIST/split-by-2/seed1/model_1.pt", "models.mlp.MLPNet", 4, 11, 26926, 0, -1185.4016298324627),
    ("non-iid/MLPs/MNIST/split-by-4/seed1/model_0.pt", "models.mlp.MLPNet", 4, 11, 12912, 0, -1498.2453298977648),
    ("non-iid/MLPs/MNIST/split-by-4/seed1/model_1.pt", "models.mlp.MLPNet", 4, 11, 12926, 0, -1509.8262673772872),
    ("non-iid/MLPs/MNIST/split-by-4/seed1/model_2.pt", "models.mlp.MLPNet", 4, 11, 17230, 0, -1473.4190091396551),
    ("non-iid/MLPs/MNIST/split-by-4/seed1/model_3.pt", "models.mlp.MLPNet", 4, 11, 16932, 0, -1252.9531019415645),
    ("non-iid/MLPs/MNIST/split-by-8/seed1/model_0.pt", "models.mlp.MLPNet", 4, 11, 9543, 0, -1552.6381101301147),
    ("non-iid/MLPs/MNIST/split-by-8/seed1/model_1.pt", "models.mlp.MLPNet", 4, 11, 9101, 0, -1422.9902205009842),
    ("non-iid/MLPs/MNIST/split-by-8/seed1/model_2.pt", "models.mlp.MLPNet", 4, 11, 8461, 0, -1582.0048869850782),
    ("non-iid/MLPs/MNIST/split-by-8/seed1/model_3.pt", "models.mlp.MLPNet", 4, 11, 8272, 0, -1516.026375941071),
    ("non-iid/MLPs/MNIST/split-by-8/seed1/model_4.pt", "models.mlp.MLPNet", 4, 11, 6528, 0, -1540.3886580000276),
    ("non-iid/MLPs/MNIST/split-by-8/seed1/model_5.pt", "models.mlp.MLPNet", 4, 11, 5783, 0, -1562.4813545330082),
    ("non-iid/MLPs/MNIST/split-by-8/seed1/model_6.pt", "models.mlp.MLPNet", 4, 11, 5050, 0, -1376.2334148811465),
    ("non-iid/MLPs/MNIST/split-by-8/seed1/model_7.pt", "models.mlp.MLPNet", 4, 11, 7262, 0, -1549.8330055485935),
    ("non-iid/VGGs/CIFAR-10/split-by-2/seed1/model_0.pt", "models.vgg.VGG", 18, 14, 18869, 2096, -202176.02865893318),
    ("non-iid/VGGs/CIFAR-10/split-by-2/seed1/model_1.pt", "models.vgg.VGG", 18, 14, 26132, 2903, -282150.18678736326),
];

/// The reference's files; where they are absent, says what is skipped.
fn folder(skipped: &str) -> Option<PathBuf> {
    Some(crate::shared::shared(skipped)?.join("reference-models"))
}

/// Reads one of the files.
fn open(file: &str) -> Option<TorchFile> {
    let folder = folder(file)?;
    Some(read(&folder.join(file)).unwrap_or_else(|error| panic!("{error}")))
}

fn indices(file: &TorchFile, name: &str) -> usize {
    match &file.attributes[name] {
        Attribute::Indices(indices) => indices.len(),
        other => panic!("`{name}` is {other:?}"),
    }
}

fn checksum(file: &TorchFile) -> f64 {
    let tensors = file.tensors.iter().enumerate().map(|(i, (_, tensor))| {
        let values: Vec<f32> = tensor.flatten_all().and_then(|t| t.to_vec1()).expect("floats");
        let weighted = values
            .iter()
            .enumerate()
            .map(|(j, &value)| (j % 7 + 1) as f64 * f64::from(value));
        (i + 1) as f64 * weighted.sum::<f64>()
    });
    tensors.sum()
}

/// `name shape` of each tensor.
fn shapes(file: &TorchFile) -> Vec<String> {
    file.tensors
        .iter()
        .map(|(name, tensor)| format!("{name} {:?}", tensor.dims()))
        .collect()
}

#[test]
fn every_file_has_the_expected_content() {
    for &(name, class, tensors, attributes, train, validation, sum) in FILES {
        let Some(file) = open(name) else { return };
        assert_eq!(file.class.as_deref(), Some(class), "{name}");
        assert_eq!(
            (file.tensors.len(), file.attributes.len()),
            (tensors, attributes),
            "{name}"
        );
        assert_eq!(indices(&file, "train_indices"), train, "{name}");
        assert_eq!(indices(&file, "val_indices"), validation, "{name}");
        let found = checksum(&file);
        assert!(
            (found - sum).abs() < 1e-9 * sum.abs(),
            "{name}: {found} instead of {sum}"
        );
    }
}

#[test]
fn every_file_is_listed() {
    let Some(folder) = folder("the list of reference models") else {
        return;
    };
    let (mut waiting, mut found) = (vec![folder.clone()], Vec::new());
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "pt") {
                found.push(path);
            }
        }
    }
    found.sort();
    let listed: Vec<PathBuf> = FILES.iter().map(|file| folder.join(file.0)).collect();
    assert_eq!(found, listed);
}

#[test]
fn an_mlp() {
    let Some(file) = open(FILES[2].0) else { return };
    let expected = [
        "level1.1.weight [256, 784]",
        "level1.1.bias [256]",
        "level2.1.weight [10, 256]",
        "level2.1.bias [10]",
    ];
    assert_eq!(shapes(&file), expected);
    // First and last value of a tensor, from the same script.
    let bias: Vec<f32> = file.tensors[3].1.to_vec1().expect("floats");
    assert_eq!((bias[0], bias[9]), (0.080_621_32, -0.025_024_645));
    let attribute = |name| &file.attributes[name];
    assert_eq!(attribute("input_size"), &Attribute::Int(784));
    assert_eq!(attribute("hidden_size"), &Attribute::Int(256));
    assert_eq!(attribute("output_size"), &Attribute::Int(10));
    assert_eq!(attribute("use_bias"), &Attribute::Bool(true));
    assert_eq!(attribute("use_activations"), &Attribute::Bool(false));
    assert_eq!(attribute("val_indices"), &Attribute::Indices(vec![]));
    assert_eq!(attribute("handles"), &Attribute::Other);
}

#[test]
fn a_vgg() {
    let Some(file) = open(FILES[16].0) else { return };
    // VGG11_half: the widths, and the place of the convolution in its level (after ReLU and pooling).
    let widths = [3, 64, 64, 128, 128, 256, 256, 256, 512];
    let places = [0, 2, 2, 1, 2, 1, 2, 1];
    let mut expected = Vec::new();
    for (level, place) in places.iter().enumerate() {
        let (inputs, outputs) = (widths[level], widths[level + 1]);
        expected.push(format!(
            "feature_levels.{level}.{place}.weight [{outputs}, {inputs}, 3, 3]"
        ));
        expected.push(format!("feature_levels.{level}.{place}.bias [{outputs}]"));
    }
    expected.extend([
        "classifier.3.weight [10, 512]".to_owned(),
        "classifier.3.bias [10]".to_owned(),
    ]);
    assert_eq!(shapes(&file), expected);
    assert_eq!(file.attributes["vgg_name"], Attribute::Text("VGG11_half".into()));
    assert_eq!(
        file.attributes["input_shape"],
        Attribute::Indices(vec![3, 32, 32])
    );
    assert_eq!(file.attributes["level_layers"], Attribute::Indices(vec![]));
}

#[test]
fn a_vision_transformer() {
    let Some(file) = open(FILES[0].0) else { return };
    let mut expected = vec![
        "blocks.0.0.cls_token [1, 1, 96]".to_owned(),
        "blocks.0.0.pos_emb [1, 65, 96]".to_owned(),
        "blocks.0.0.emb.weight [96, 48]".to_owned(),
        "blocks.0.0.emb.bias [96]".to_owned(),
    ];
    for block in ["blocks.0.1", "blocks.1", "blocks.2"] {
        let layers = ["la1", "msa.q", "msa.k", "msa.v", "msa.o", "la2", "mlp.0", "mlp.3"];
        for layer in layers {
            let shape = if layer.starts_with("la") {
                "[96]"
            } else {
                "[96, 96]"
            };
            expected.push(format!("{block}.{layer}.weight {shape}"));
            expected.push(format!("{block}.{layer}.bias [96]"));
        }
    }
    for (layer, shape, outputs) in [("fc.0", "[96]", 96), ("fc.1", "[10, 96]", 10)] {
        expected.push(format!("{layer}.weight {shape}"));
        expected.push(format!("{layer}.bias [{outputs}]"));
    }
    assert_eq!(shapes(&file), expected);
    assert_eq!(file.attributes["dropout_p"], Attribute::Float(0.0));
    assert_eq!(file.attributes["depth"], Attribute::Int(3));
}
