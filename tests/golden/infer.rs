//! Architectures from names and shapes: every case of `architectures.json`, damaged copies of them, and real files.

use runner::arch::{Architecture, Hints, InferError, Inferred, infer};
use runner::checkpoint;
use serde_json::{Value, json};

use super::architectures::{architecture, shape};
use crate::shared::shared;

type Tensors = Vec<(String, Vec<usize>)>;

struct Case {
    name: String,
    tensors: Tensors,
    expected: Inferred,
}

fn cases(what: &str) -> Vec<Case> {
    let Some(shared) = shared(what) else {
        return Vec::new();
    };
    let text = std::fs::read(shared.join("golden/architectures.json")).expect("architectures.json");
    let all: Vec<Value> = serde_json::from_slice(&text).expect("JSON");
    let case = |case: Value| {
        let (architecture, classes) = architecture(&case);
        let state = case["state"].as_array().expect("state").iter();
        let tensors = state.map(|entry| (entry[0].as_str().expect("a name").to_string(), shape(&entry[1])));
        Case {
            name: case["name"].as_str().expect("name").to_string(),
            tensors: tensors.collect(),
            expected: Inferred {
                architecture,
                image: shape(&case["input_shape"])[1..].to_vec(),
                classes,
                sure: true,
            },
        }
    };
    all.into_iter().map(case).collect()
}

fn hints(expected: &Inferred) -> Hints {
    Hints {
        heads: expected.architecture.heads(),
        ..Hints::default()
    }
}

#[test]
fn the_settings_are_those_of_the_constructor_arguments() {
    for Case {
        name,
        mut tensors,
        expected,
    } in cases("inference")
    {
        let found = infer(&tensors, &hints(&expected)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(found, expected, "{name}");
        // Safetensors may be in any order.
        tensors.sort();
        assert_eq!(
            infer(&tensors, &hints(&expected)).as_ref(),
            Ok(&expected),
            "{name}"
        );
        // Heads leave no trace; the assumed number is the right one where a head is 32 wide.
        let unsure = infer(&tensors, &Hints::default()).expect("inferred");
        assert_eq!(unsure.sure, expected.architecture.heads().is_none(), "{name}");
        let wide = expected.architecture.heads() != Some(4) || name == "SmallViT";
        assert_eq!(unsure.architecture == expected.architecture, wide, "{name}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    for Case {
        name,
        tensors,
        expected,
    } in cases("inference of damaged files")
    {
        let fails = |tensors: &Tensors, named: &str, what: &str| {
            let error = infer(tensors, &hints(&expected)).expect_err(&name);
            let InferError::Near {
                closest,
                difference,
                more,
            } = &error
            else {
                panic!("{name}, {what}: {error}");
            };
            assert_eq!(
                closest.architecture.name(),
                expected.architecture.name(),
                "{name}, {what}: {error}"
            );
            assert!(
                difference.contains(named) && *more == 0,
                "{name}, {what} {named}: {error}"
            );
        };
        for at in 0..tensors.len() {
            let named = tensors[at].0.clone();
            let mut copy = tensors.clone();
            // Alone its bias tells that the classifier of a `ResNet` has one.
            if named != "linear.bias" {
                copy.remove(at);
                fails(&copy, &named, "without");
            }
            let mut copy = tensors.clone();
            copy[at].1.push(2);
            // A vector with two dimensions is a linear map to those who look for biases; an image's channels and a
            // classifier's inputs stand nowhere else. Those errors name another tensor or count two.
            if tensors[at].1.len() > 1 && !ends(&named, &tensors) {
                fails(&copy, &named, "odd");
            }
        }
        let mut copy = tensors.clone();
        copy.push(("optimizer.step".to_string(), vec![1]));
        fails(&copy, "`optimizer.step` has no place in it", "extra");
    }
}

/// Whether sizes are read off this tensor alone.
fn ends(name: &str, tensors: &Tensors) -> bool {
    let classifiers = ["classifier.", "linear.", "fc.", "head."];
    let embeddings = ["cls_token", "pos_emb", "pos_embed", "emb.weight", "proj.weight"];
    name == tensors[0].0
        || classifiers.iter().any(|start| name.starts_with(start))
        || embeddings.iter().any(|end| name.ends_with(end))
        || name.starts_with("level")
}

#[test]
fn mlps_of_any_depth_are_told_and_images_guessed() {
    let mlp = |settings: Value| -> Architecture { serde_json::from_value(settings).expect("settings") };
    for (hidden, bias, activations) in [
        (vec![], true, false),
        (vec![7], false, true),
        (vec![5, 4, 3, 2, 9], true, true),
        (vec![64, 64, 64], false, false),
    ] {
        let architecture = mlp(
            json!({"architecture": "mlp", "hidden": hidden, "bias": bias, "level-activations": activations}),
        );
        for (image, guess) in [
            ([1, 8, 8], [1, 8, 8]),
            ([3, 16, 16], [3, 16, 16]),
            ([2, 3, 5], [30, 1, 1]),
        ] {
            let plan = architecture.plan(&image, 6).expect("a plan");
            let tensors: Tensors = plan.parameters.into_iter().map(|p| (p.name, p.shape)).collect();
            let found =
                infer(&tensors, &Hints::default()).unwrap_or_else(|error| panic!("{hidden:?}: {error}"));
            assert_eq!(
                (&found.architecture, &found.image[..], found.classes),
                (&architecture, &guess[..], 6)
            );
            let hinted = Hints {
                image: Some(image.to_vec()),
                ..Hints::default()
            };
            assert_eq!(infer(&tensors, &hinted).expect("inferred").image, image);
        }
    }
}

#[test]
fn hints_count_only_where_they_fit() {
    for Case {
        name,
        tensors,
        expected,
    } in cases("hints")
    {
        let bad = Hints {
            image: Some(vec![7, 11, 13]),
            heads: expected.architecture.heads().map(|_| 7),
            dropout: Some(-1.0),
        };
        let found = infer(&tensors, &bad).expect("inferred");
        assert_eq!(found.image, expected.image, "{name}");
        assert_eq!(found.sure, expected.architecture.heads().is_none(), "{name}");
    }
    let huge = vec![("level1.1.weight".to_string(), vec![10, 1 << 40])];
    assert!(matches!(
        infer(&huge, &Hints::default()),
        Err(InferError::Shape { .. })
    ));
    assert_eq!(infer(&[], &Hints::default()), Err(InferError::Empty));
    let foreign = vec![("encoder.weight".to_string(), vec![10, 10])];
    assert_eq!(
        infer(&foreign, &Hints::default()),
        Err(InferError::Unknown("encoder.weight".into()))
    );
}

#[test]
fn the_reference_files_are_told_from_headers() {
    let Some(shared) = shared("inference of real files") else {
        return;
    };
    let vit = json!({"architecture": "vit", "patches": 8, "depth": 3, "hidden": 96, "mlp-hidden": 96, "heads": 4,
        "dropout": 0.0, "separate-embedder": false});
    let vgg =
        json!({"architecture": "vgg11-half", "batch-norm": false, "bias": true, "level-activations": false});
    let mlp = json!({"architecture": "mlp", "hidden": [256], "bias": true, "level-activations": false});
    for (file, expected, image) in [
        ("non-iid/MLPs/MNIST/split-by-2/seed1/model_0.pt", mlp, [1, 28, 28]),
        (
            "non-iid/VGGs/CIFAR-10/split-by-2/seed1/model_1.pt",
            vgg,
            [3, 32, 32],
        ),
        (
            "full-dataset/ViTs/CIFAR-10/seeds-1-2/model_0.pt",
            vit,
            [3, 32, 32],
        ),
    ] {
        let file = checkpoint::open(&shared.join("reference-models").join(file)).expect("opened");
        let found = file.model(&Hints::default()).expect("inferred");
        let architecture = serde_json::to_value(&found.architecture).expect("JSON");
        assert_eq!(
            (architecture, &found.image[..], found.classes, found.sure),
            (expected, &image[..], 10, true)
        );
    }
}
