//! Every architecture on weights by formula: logits, levels, gradients, layers, importances (`architectures.json`).

use candle_core::{DType, Device, Tensor};
use runner::arch::{Architecture, Init, Network};
use runner::importance::{Importance, Place};
use runner::tick::unwatched;
use serde_json::{Value, json};

use crate::shared::shared;

/// `u` of the golden data's README for tensor `k`, element `i`.
fn uniform(k: u64, i: u64) -> f64 {
    let mut z = k
        .wrapping_mul(1 << 32)
        .wrapping_add(i)
        .wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    (z >> 11) as f64 / (1u64 << 53) as f64
}

pub fn tensor(k: u64, shape: &[usize], shift: f64, scale: f64) -> Tensor {
    let n: usize = shape.iter().product();
    let value = |i| (shift + scale * 3f64.sqrt() * (2.0 * uniform(k, i as u64) - 1.0)) as f32;
    Tensor::from_vec((0..n).map(value).collect::<Vec<f32>>(), shape, &Device::Cpu).expect("tensor")
}

pub fn by_formula(case: &str, k: usize, name: &str, shape: &[usize]) -> Tensor {
    let (shift, scale) = if name.ends_with("num_batches_tracked") {
        return Tensor::zeros(shape, DType::I64, &Device::Cpu).expect("count");
    } else if name.ends_with("running_var") {
        (1.0, 0.25)
    } else if name.ends_with("running_mean") {
        (0.0, 0.1)
    } else if shape.len() == 1 && name.ends_with("weight") {
        if case.starts_with("ResNet") {
            (0.4, 0.1)
        } else {
            (1.0, 0.25)
        }
    } else if shape.len() == 1 {
        (0.0, 0.1)
    } else {
        let fan: usize = shape[1..].iter().product();
        (0.0, (2.0 / fan as f64).sqrt())
    };
    tensor(k as u64, shape, shift, scale)
}

/// The architecture of a case, from the reference's constructor arguments.
pub fn architecture(case: &Value) -> (Architecture, usize) {
    let name = case["name"].as_str().expect("name");
    let args = &case["args"];
    let at = |key: &str| args[key].clone();
    let settings = if name.starts_with("mlp") {
        json!({ "architecture": "mlp", "hidden": [at("hidden_size")], "bias": at("use_bias"), "level-activations": at("use_activations") })
    } else if let Some(kind) = args["vgg_name"].as_str() {
        let kind = kind.to_lowercase().replace("_3/2", "-three-halves");
        let kind = kind.replace("_doub", "-double").replace('_', "-");
        json!({ "architecture": kind, "batch-norm": at("batch_norm"), "bias": at("use_bias"), "level-activations": at("use_activations") })
    } else if name.starts_with("ResNet") {
        let kind = name.to_lowercase().replace("-bn", "");
        json!({ "architecture": kind, "batch-norm": at("use_batchnorm"), "head-bias": at("linear_bias") })
    } else if name.starts_with("SmallViT") {
        json!({ "architecture": "small-vit", "patch-size": at("patch_size"), "hidden": at("embed_dim"), "depth": at("depth"),
            "heads": at("num_heads"), "mlp-ratio": at("mlp_ratio"), "dropout": at("dropout"), "separate-embedder": at("embedder_separare_level") })
    } else {
        json!({ "architecture": "vit", "patches": at("patch"), "depth": at("depth"), "hidden": at("hidden"), "mlp-hidden": at("mlp_hidden"),
            "heads": at("head"), "separate-embedder": args["embedder_separare_level"].as_bool().unwrap_or(false) })
    };
    let classes = args["num_classes"].as_u64().or(args["output_size"].as_u64());
    let architecture =
        serde_json::from_value(settings.clone()).unwrap_or_else(|error| panic!("{settings}: {error}"));
    (architecture, classes.expect("classes") as usize)
}

pub fn shape(value: &Value) -> Vec<usize> {
    let list = value.as_array().expect("a shape");
    list.iter()
        .map(|n| n.as_u64().expect("a size") as usize)
        .collect()
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor
        .flatten_all()
        .and_then(|t| t.to_dtype(DType::F64)?.to_vec1())
        .expect("numbers")
}

fn l2(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum::<f64>().sqrt()
}

fn f64s(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(list) => list.iter().flat_map(f64s).collect(),
        other => vec![other.as_f64().expect("a number")],
    }
}

/// Largest difference over the largest value, or over `typical` where that is larger.
fn relative(ours: &[f64], recorded: &[f64], typical: f64) -> f64 {
    let largest = recorded.iter().fold(typical, |a, b| a.max(b.abs()));
    ours.iter()
        .zip(recorded)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f64::max)
        / largest
}

struct Case {
    name: String,
    recorded: Value,
    network: Network,
    images: Tensor,
    labels: Tensor,
}

fn cases(what: &str) -> Vec<Case> {
    let Some(shared) = shared(what) else {
        return Vec::new();
    };
    let text = std::fs::read(shared.join("golden/architectures.json")).expect("architectures.json");
    let all: Vec<Value> = serde_json::from_slice(&text).expect("JSON");
    all.into_iter().map(case).collect()
}

fn case(recorded: Value) -> Case {
    let name = recorded["name"].as_str().expect("name").to_string();
    let (architecture, classes) = architecture(&recorded);
    let input = shape(&recorded["input_shape"]);
    let state: Vec<(String, Tensor)> = recorded["state"]
        .as_array()
        .expect("state")
        .iter()
        .enumerate()
        .map(|(k, entry)| {
            let own = entry[0].as_str().expect("a name");
            (own.to_string(), by_formula(&name, k, own, &shape(&entry[1])))
        })
        .collect();
    let network = Network::from_state(&architecture, &input[1..], classes, &state, &Device::Cpu)
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    // Names and order are those of the reference.
    let ours: Vec<String> = network.state().into_iter().map(|(name, _)| name).collect();
    let theirs: Vec<String> = state.into_iter().map(|(name, _)| name).collect();
    assert_eq!(ours, theirs, "{name}");
    let trained = network
        .plan
        .parameters
        .iter()
        .filter(|p| p.trainable && p.init != Init::Count);
    let count: usize = trained.map(|p| p.shape.iter().product::<usize>()).sum();
    assert_eq!(Some(count as u64), recorded["parameters"].as_u64(), "{name}");
    let labels: Vec<u32> = (0..input[0]).map(|i| (i % classes) as u32).collect();
    Case {
        images: tensor(1_000_000, &input, 0.0, 1.0),
        labels: Tensor::new(labels, &Device::Cpu).expect("labels"),
        name,
        recorded,
        network,
    }
}

#[test]
fn logits_levels_and_layers_are_the_recorded_ones() {
    for Case {
        name,
        recorded,
        network,
        images,
        ..
    } in cases("architectures")
    {
        let outputs = network.level_outputs(&images).expect("levels");
        let logits = numbers(outputs.last().expect("a level"));
        let off = relative(&logits, &f64s(&recorded["logits"]), 0.0);
        assert!(off < 1e-4, "{name}: logits differ by {off:e}");
        let direct = numbers(&network.forward(&images).expect("logits"));
        assert_eq!(direct, logits, "{name}");
        if let Some(levels) = recorded["levels"].as_array() {
            assert_eq!(levels.len(), outputs.len(), "{name}");
            for (l, (level, output)) in levels.iter().zip(&outputs).enumerate() {
                assert_eq!(output.dims(), shape(&level["shape"]), "{name}, level {l}");
                assert_eq!(
                    Some(network.levels()[l].width as u64),
                    level["output_width"].as_u64()
                );
                let ours = numbers(output);
                let norm = level["l2"].as_f64().expect("norm");
                assert!(
                    (l2(&ours) / norm - 1.0).abs() < 1e-4,
                    "{name}, level {l}: {} {norm}",
                    l2(&ours)
                );
                let off = relative(
                    &ours[..8],
                    &f64s(&level["first"]),
                    norm / (ours.len() as f64).sqrt(),
                );
                assert!(off < 1e-4, "{name}, level {l}: first values differ by {off:e}");
                let parameters = &network.plan.parameters[network.levels()[l].parameters.clone()];
                let own: Vec<String> = parameters
                    .iter()
                    .map(|p| {
                        p.name
                            .strip_prefix(&network.levels()[l].prefix)
                            .expect("prefix")
                            .to_string()
                    })
                    .collect();
                assert_eq!(json!(own), level["parameters"], "{name}, level {l}");
            }
        }
        // The reference counts BatchNorms as layers; ours belong to the layer before.
        let layers: Vec<Value> = recorded["layers"]
            .as_array()
            .expect("layers")
            .iter()
            .filter(|layer| layer[1].as_array().is_some_and(|shape| shape.len() > 1))
            .cloned()
            .collect();
        let ours: Vec<Value> = network
            .layers()
            .iter()
            .map(|layer| json!([layer.name, layer.shape]))
            .collect();
        assert_eq!(ours, layers, "{name}");
    }
}

#[test]
fn gradients_are_the_recorded_ones() {
    for Case {
        name,
        recorded,
        network,
        images,
        labels,
    } in cases("gradients")
    {
        // In f32 a value near a kink of ReLU or a tie of max pooling falls on either side: VGG16's first bias is 1.05e-3
        // off then, all else within 1e-3.
        let network = network.to_dtype(DType::F64).expect("f64");
        let images = images.to_dtype(DType::F64).expect("images");
        let (trainable, vars) = network.trainable().expect("vars");
        let logits = trainable.forward(&images).expect("logits");
        let loss = candle_nn::loss::cross_entropy(&logits, &labels).expect("loss");
        let value = loss
            .to_dtype(DType::F64)
            .and_then(|l| l.to_scalar::<f64>())
            .expect("loss");
        let expected = recorded["cross_entropy"].as_f64().expect("loss");
        assert!(
            (value / expected - 1.0).abs() < 1e-4,
            "{name}: loss {value}, not {expected}"
        );
        let gradients = loss.backward().expect("gradients");
        let trained = network
            .plan
            .parameters
            .iter()
            .filter(|p| p.trainable && p.init != Init::Count);
        for (parameter, var) in trained.zip(&vars) {
            let ours = gradients
                .get(var.as_tensor())
                .map_or(0.0, |gradient| l2(&numbers(gradient)));
            let norm = recorded["gradient_l2"][&parameter.name].as_f64().expect("norm");
            assert!(
                (ours / norm - 1.0).abs() < 1e-3 || (ours - norm).abs() < 1e-6,
                "{name}, {}: {ours}, not {norm}",
                parameter.name
            );
        }
    }
}

#[test]
fn importances_are_the_recorded_ones() {
    for Case {
        name,
        recorded,
        network,
        images,
        labels,
    } in cases("importances of architectures")
    {
        for (kind, importance) in [
            ("conductance", Importance::Conductance),
            ("deeplift", Importance::Deeplift),
        ] {
            for (place, of) in [(Place::Layer, "layer"), (Place::Level, "level")] {
                let recorded = &recorded["importance"][kind];
                let widths = place.widths(&network);
                if (0..widths.len()).all(|l| recorded[format!("{of}.{l}")].is_null()) {
                    continue;
                }
                let scores = importance
                    .scores(&network, &images, &labels, place, &mut unwatched)
                    .expect("scores");
                for (l, ours) in scores.iter().enumerate() {
                    let recorded = &recorded[format!("{of}.{l}")];
                    if recorded["sum"].is_null() {
                        continue;
                    }
                    let sum = recorded["sum"].as_f64().expect("sum");
                    let total: f64 = ours.iter().sum();
                    let max = recorded["max"].as_f64().expect("max");
                    let first = f64s(&recorded["first"]);
                    let off = first
                        .iter()
                        .zip(ours)
                        .map(|(a, b)| (a - b).abs())
                        .fold(0.0, f64::max)
                        / max;
                    let largest = ours.iter().copied().fold(0.0, f64::max);
                    assert!(
                        (total / sum - 1.0).abs() < 1e-4 && off < 1e-4 && (largest / max - 1.0).abs() < 1e-4,
                        "{name}, {kind}, {of} {l}: sum {total} of {sum}, largest {largest} of {max}, first off by {off:e}"
                    );
                }
            }
        }
    }
}
