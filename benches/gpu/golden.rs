//! The recorded cases: the reference's own networks, fused on its fusion sets, from what `scripts/cuda.sh inputs` packs.
//!
//! The recorded results themselves do not travel: the CPU's, which the tests hold against them, are computed here.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Result, Tensor, safetensors};
use runner::arch::{Architecture, Network};
use runner::checkpoint;
use runner::fusion::{Fused, Inputs, Method, fuse};
use serde_json::{Value, json};

use super::cases::{Case, case};
use super::plain;

/// Where one case's networks and images lie, and what their images look like.
struct Golden {
    name: &'static str,
    models: &'static str,
    count: usize,
    fusion_set: &'static str,
    image: [usize; 3],
    architecture: fn() -> Value,
}

const CASES: [Golden; 4] = [
    Golden {
        name: "mnist-2",
        models: "non-iid/MLPs/MNIST/split-by-2/seed1",
        count: 2,
        fusion_set: "mnist-mlp-non-iid-split-2",
        image: [1, 28, 28],
        architecture: || json!({ "architecture": "mlp" }),
    },
    Golden {
        name: "mnist-4",
        models: "non-iid/MLPs/MNIST/split-by-4/seed1",
        count: 4,
        fusion_set: "mnist-mlp-non-iid-split-4",
        image: [1, 28, 28],
        architecture: || json!({ "architecture": "mlp" }),
    },
    Golden {
        name: "vgg-2",
        models: "non-iid/VGGs/CIFAR-10/split-by-2/seed1",
        count: 2,
        fusion_set: "cifar10-vgg11half-non-iid-split-2",
        image: [3, 32, 32],
        architecture: || json!({ "architecture": "vgg11-half" }),
    },
    Golden {
        name: "vit-2",
        models: "full-dataset/ViTs/CIFAR-10/seeds-1-2",
        count: 2,
        fusion_set: "cifar10-vit-full-2",
        image: [3, 32, 32],
        architecture: || json!({ "architecture": "vit", "depth": 3, "hidden": 96, "mlp-hidden": 96, "heads": 4 }),
    },
];

/// What of a fusion is compared.
#[derive(Clone, Copy, PartialEq)]
enum Of {
    /// The fused network's logits on the fusion set.
    Logits,
    /// Grouping and approximation error of the first layer or level, whose inputs are exact: neurons that never fire make
    /// several matchings and clusterings equally good, with other networks after them.
    Errors,
}

/// `(cases, method, tolerance, what)`. KF gradient trains few epochs: rounding grows with each.
fn list() -> Vec<(&'static [&'static str], Value, f64, Of)> {
    const MNIST: &[&str] = &["mnist-2", "mnist-4"];
    const PAIR: &[&str] = &["mnist-2"];
    let few = |mut method: Value| {
        method["level"] = json!({ "epochs": 3 });
        method["head"] = json!({ "epochs": 3 });
        method
    };
    let gradient = |importance: &str| few(json!({ "method": "kf-gradient", "importance": importance }));
    let scored = |method: &str, importance: &str| json!({ "method": method, "importance": importance });
    let mut all = Vec::new();
    for importance in ["uniform", "conductance", "deeplift"] {
        all.push((PAIR, scored("hf-linear", importance), 1e-3, Of::Logits));
        all.push((PAIR, scored("git-rebasin", importance), 1e-3, Of::Logits));
        all.push((MNIST, scored("otfusion", importance), 1e-3, Of::Logits));
        all.push((MNIST, scored("kf-linear", importance), 1e-3, Of::Logits));
        all.push((MNIST, gradient(importance), 2e-2, Of::Logits));
    }
    for importance in ["uniform", "conductance"] {
        for method in ["hf-linear", "kf-linear", "git-rebasin", "otfusion"] {
            all.push((&["vgg-2"], scored(method, importance), 1e-2, Of::Errors));
        }
        all.push((&["vgg-2", "vit-2"], gradient(importance), 1e-2, Of::Errors));
    }
    all
}

/// All of them, from this folder.
pub fn golden(folder: &Path) -> Vec<Case> {
    let mut all = Vec::new();
    for (names, method, tolerance, of) in list() {
        for golden in CASES.iter().filter(|golden| names.contains(&golden.name)) {
            let title = format!(
                "golden {} {} {}",
                golden.name,
                method["method"].as_str().unwrap_or_default(),
                method["importance"].as_str().unwrap_or_default()
            );
            let (folder, method): (PathBuf, Value) = (folder.into(), method.clone());
            all.push(case(title, tolerance, move |device| {
                let method: Method = plain(serde_json::from_value(method.clone()))?;
                fused(golden, &folder, &method, of, device)
            }));
        }
    }
    all
}

fn model(golden: &Golden, folder: &Path, k: usize, device: &Device) -> Result<Network> {
    let path = folder.join("reference-models").join(golden.models);
    let file = plain(checkpoint::torch::read(&path.join(format!("model_{k}.pt"))))?;
    let architecture: Architecture = plain(serde_json::from_value((golden.architecture)()))?;
    plain(Network::from_state(
        &architecture,
        &golden.image,
        10,
        &file.tensors,
        device,
    ))
}

fn fused(golden: &Golden, folder: &Path, method: &Method, of: Of, device: &Device) -> Result<Vec<Tensor>> {
    let models = (0..golden.count).map(|k| model(golden, folder, k, device));
    let models = models.collect::<Result<Vec<_>>>()?;
    let path = folder
        .join("golden")
        .join(format!("{}.safetensors", golden.fusion_set));
    let set = safetensors::load(path, &Device::Cpu)?;
    let tensor = |name: &str, dtype: DType| match set.get(name) {
        Some(tensor) => tensor.to_dtype(dtype)?.to_device(device),
        None => candle_core::bail!("no `{name}` in the fusion set"),
    };
    let images = tensor("fusion.images", DType::F32)?;
    let labels = tensor("fusion.labels", DType::U32)?;
    let inputs = Inputs {
        models: &models,
        images: Some(&images),
        labels: Some(&labels),
        seed: 3,
        class_counts: None,
    };
    let Fused::Network { network, diagnostics } =
        plain(fuse(method, &inputs, &mut || ControlFlow::Continue(())))?
    else {
        candle_core::bail!("no network");
    };
    if of == Of::Logits {
        return Ok(vec![network.forward(&images)?]);
    }
    let first = ["layers", "levels"]
        .iter()
        .find_map(|kind| diagnostics[kind].get(0));
    let Some(first) = first else {
        candle_core::bail!("no errors by layer or level in {diagnostics}");
    };
    let error = |name: &str| match first[name].as_f64() {
        Some(error) => Tensor::new(error, &Device::Cpu),
        None => candle_core::bail!("no `{name}` in {first}"),
    };
    Ok(vec![error("grouping-error")?, error("approximation-error")?])
}
