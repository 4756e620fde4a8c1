//! The reference's own classes, where `RUNNER_PYTHON` names an interpreter with PyTorch and `RUNNER_REFERENCE` the
//! checkout: their files are recognised, and they load ours and compute the same.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use candle_core::Device;
use rand_chacha::rand_core::SeedableRng;
use runner::arch::{Architecture, Hints, Network};
use runner::checkpoint::{self, Meta, Target, convert, save_tensors};
use serde_json::{Value, json};

use super::open;
use crate::golden::architectures::{by_formula, tensor};
use crate::shared::say_skipped;

const SCRIPT: &str = include_str!("reference.py");

/// The cases of the script: name, architecture, image, classes.
fn cases() -> Vec<(&'static str, Architecture, Vec<usize>, usize)> {
    let of = |settings: Value| serde_json::from_value(settings).expect("settings");
    let cifar = || vec![3, 32, 32];
    vec![
        (
            "mlp",
            of(json!({"architecture": "mlp", "hidden": [7], "level-activations": true})),
            vec![1, 8, 8],
            5,
        ),
        ("vgg11", of(json!({"architecture": "vgg11"})), cifar(), 10),
        (
            "vgg16-bn",
            of(json!({"architecture": "vgg16", "batch-norm": true, "level-activations": true})),
            cifar(),
            10,
        ),
        (
            "resnet18-bn",
            of(json!({"architecture": "resnet18"})),
            cifar(),
            10,
        ),
        (
            "vit",
            of(
                json!({"architecture": "vit", "depth": 3, "hidden": 48, "mlp-hidden": 96, "heads": 4,
                "separate-embedder": true}),
            ),
            cifar(),
            10,
        ),
        (
            "small-vit",
            of(
                json!({"architecture": "small-vit", "depth": 2, "hidden": 48, "heads": 6, "mlp-ratio": 1.5,
                "dropout": 0.2}),
            ),
            cifar(),
            10,
        ),
    ]
}

fn python(action: &str, folder: &Path) -> bool {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let (Some(python), Some(reference)) = (variable("RUNNER_PYTHON"), variable("RUNNER_REFERENCE")) else {
        say_skipped(
            "exports in the reference's classes",
            "RUNNER_PYTHON and RUNNER_REFERENCE do not both name something",
        );
        return false;
    };
    let output = Command::new(&python)
        .args(["-B", "-W", "ignore", "-c", SCRIPT, action])
        .args([folder, &reference])
        .output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", python.display()));
    assert!(
        output.status.success(),
        "{action}: {}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    true
}

#[test]
fn the_modules_of_the_reference_are_recognised() {
    let folder = tempfile::tempdir().expect("temporary folder");
    if !python("make", folder.path()) {
        return;
    }
    for (name, architecture, image, classes) in cases() {
        let file = open(&folder.path().join(format!("{name}.pt")));
        let found = file
            .model(&Hints::default())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            (found.architecture, found.image, found.classes, found.sure),
            (architecture.clone(), image.clone(), classes, true),
            "{name}"
        );
        // An import is a checkpoint of ours, and its tensors are the network's.
        let path = folder.path().join(format!("{name}.safetensors"));
        convert(file, &path, Target::Safetensors).expect("written");
        let file = open(&path);
        let meta = file.meta.clone().expect("native");
        assert_eq!(
            (meta.architecture, meta.image, meta.classes),
            (architecture.clone(), image.clone(), classes)
        );
        let state = file.load().expect("tensors");
        Network::from_state(&architecture, &image, classes, &state, &Device::Cpu).expect("a network");
    }
}

#[test]
fn exports_compute_the_same_in_the_classes_of_the_reference() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for (name, architecture, image, classes) in cases() {
        let plan = architecture.plan(&image, classes).expect("a plan");
        // The formula is the one of the golden cases, whose names of ResNets begin so.
        let like = if name.starts_with("resnet") { "ResNet" } else { "" };
        let state: Vec<_> = plan
            .parameters
            .iter()
            .enumerate()
            .map(|(k, p)| (p.name.clone(), by_formula(like, k, &p.name, &p.shape)))
            .collect();
        let network =
            Network::from_state(&architecture, &image, classes, &state, &Device::Cpu).expect("a network");
        let images = tensor(1_000_000, &[&[4], &image[..]].concat(), 0.0, 1.0);
        let logits = network.forward(&images).expect("logits");
        // By way of a checkpoint of a job.
        let path = |end: &str| folder.path().join(format!("{name}.{end}"));
        let meta = Meta {
            schema: Meta::SCHEMA,
            architecture,
            image,
            classes,
            train_indices: vec![],
            val_indices: vec![],
            job: "test".into(),
            key: "0".into(),
        };
        checkpoint::save(&path("safetensors"), &network.state(), &meta).expect("saved");
        convert(open(&path("safetensors")), &path("export.pt"), Target::StateDict).expect("exported");
        let pair = [("images".to_string(), images), ("logits".to_string(), logits)];
        save_tensors(&path("logits.pt"), Target::StateDict, &pair, &BTreeMap::new()).expect("written");
    }
    python("check", folder.path());
}

/// Counts of batches are integers; a checkpoint keeps them.
#[test]
fn checkpoints_of_networks_with_batch_norm_are_read_back() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("m.safetensors");
    let cases = cases();
    let (_, architecture, image, classes) = &cases[3];
    let mut rng = rand_chacha::ChaCha8Rng::from_seed([7; 32]);
    let network =
        Network::initialise(architecture, image, *classes, &mut rng, &Device::Cpu).expect("a network");
    let meta = Meta {
        schema: Meta::SCHEMA,
        architecture: architecture.clone(),
        image: image.clone(),
        classes: *classes,
        train_indices: vec![1],
        val_indices: vec![2],
        job: "test".into(),
        key: "0".into(),
    };
    let hash = checkpoint::save(&path, &network.state(), &meta).expect("saved");
    let back = checkpoint::load(&path, Some(&hash)).expect("loaded");
    assert_eq!(back.meta, meta);
    let sorted = |mut state: Vec<(String, candle_core::Tensor)>| {
        state.sort_by(|a, b| a.0.cmp(&b.0));
        super::bits(&state)
    };
    assert_eq!(sorted(back.state), sorted(network.state()));
    assert!(open(&path).model(&Hints::default()).is_ok());
}
