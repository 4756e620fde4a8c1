//! The ways of a GPU, on the emulator, against those of the CPU.

use std::ops::ControlFlow;

use candle_core::{DType, Device, Tensor};
use rand::RngExt;
use serde_json::json;

use super::*;
use crate::arch::{Architecture, Network};
use crate::fusion::{Fused, Inputs, Method, fuse};
use crate::gpu::emulator::emulated;
use crate::seed::generator;
use crate::testing::{GRAM, Tolerance};

fn random(shape: &[usize], seed: u64) -> Tensor {
    let mut rng = generator(seed, "on device", &[]);
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| rng.random_range(-1.0..1.0))
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).expect("numbers")
}

fn network(seed: u64) -> Network {
    let architecture: Architecture = serde_json::from_value(json!({
        "architecture": "sequential", "layers": [
            { "kind": "conv", "out": 6, "kernel": 3, "padding": 1 },
            { "kind": "relu" },
            { "kind": "max-pool", "kernel": 2 },
            { "kind": "conv", "out": 5, "kernel": 3, "bias": false },
            { "kind": "batch-norm" },
            { "kind": "relu" },
            { "kind": "flatten" },
            { "kind": "linear", "out": 12 },
            { "kind": "relu" },
            { "kind": "linear" },
        ]
    }))
    .expect("an architecture");
    let mut rng = generator(seed, "initialisation", &[]);
    Network::initialise(&architecture, &[2, 8, 8], 4, &mut rng, &Device::Cpu).expect("a network")
}

/// Logits of the fused network, and what the method has to say.
fn fused(method: serde_json::Value, samples: usize) -> (Vec<f64>, serde_json::Value) {
    let method: Method = serde_json::from_value(method).expect("a method");
    let models = [network(1), network(2)];
    let images = random(&[samples, 2, 8, 8], 3);
    let labels = Tensor::from_vec(
        (0..samples as u32).map(|i| i % 4).collect(),
        samples,
        &Device::Cpu,
    );
    let labels = labels.expect("labels");
    let inputs = Inputs {
        models: &models,
        images: Some(&images),
        labels: Some(&labels),
        seed: 1,
        class_counts: None,
    };
    match fuse(&method, &inputs, &mut || ControlFlow::Continue(())).expect("fused") {
        Fused::Network { network, diagnostics } => {
            let logits = network
                .forward(&images)
                .and_then(|y| y.to_dtype(DType::F64)?.flatten_all()?.to_vec1());
            (logits.expect("logits"), diagnostics)
        }
        Fused::Ensemble { .. } => (Vec::new(), json!(null)),
    }
}

/// Logits of size 1 in f32, through matchings that are the same.
const LOGITS: Tolerance = Tolerance::new(1e-4, 1e-4);
/// The same after some steps of Adam.
const TRAINED: Tolerance = Tolerance::new(1e-2, 1e-2);

#[test]
fn methods_agree_with_the_cpu() {
    // So few rows and columns that the default cutoff is one for the host; a larger one is not.
    let methods = [
        (json!({ "method": "hf-linear" }), LOGITS),
        (json!({ "method": "hf-linear", "cutoff": 1e-4 }), LOGITS),
        (
            json!({ "method": "hf-linear", "cutoff": 1e-4, "importance": "conductance", "norm-acts": true }),
            LOGITS,
        ),
        (json!({ "method": "kf-linear", "cutoff": 1e-4 }), LOGITS),
        (
            json!({ "method": "kf-linear", "cutoff": 1e-4, "importance": "deeplift" }),
            LOGITS,
        ),
        (json!({ "method": "git-rebasin" }), LOGITS),
        (json!({ "method": "otfusion", "norm-acts": true }), LOGITS),
        (
            json!({ "method": "kf-gradient", "level": { "epochs": 2 }, "weighted-loss": true }),
            TRAINED,
        ),
        (
            json!({ "method": "kf-gradient", "level": { "epochs": 2 }, "normalize-rows": true }),
            TRAINED,
        ),
        (json!({ "method": "logit-kd", "level": { "epochs": 2 } }), TRAINED),
    ];
    for (method, tolerance) in methods {
        // With 10 samples the last layers have fewer rows than columns.
        for samples in [10, 60] {
            crate::gpu::take();
            let (host, device) = (
                fused(method.clone(), samples),
                emulated(|| fused(method.clone(), samples)),
            );
            let notes = crate::gpu::take();
            tolerance.assert_all(&device.0, &host.0);
            for (a, b) in [("layers", "clusters"), ("layers", "rank"), ("levels", "clusters")] {
                let of = |all: &serde_json::Value| -> Vec<serde_json::Value> {
                    let layers = all[a].as_array().into_iter().flatten();
                    layers.map(|layer| layer[b].clone()).collect()
                };
                assert_eq!(of(&device.1), of(&host.1), "{method}");
            }
            assert_eq!(
                notes.is_empty(),
                method["method"] == "logit-kd",
                "{method}: {notes:?}"
            );
            let small = method["method"] == "hf-linear" && method["cutoff"].is_null();
            assert_eq!(notes.contains(&"singular value decomposition"), small);
        }
    }
}

#[test]
fn errors_and_means_agree_with_the_cpu() {
    let activations = [random(&[9, 4, 3, 2], 1), random(&[9, 5, 3, 2], 2)];
    let clusters = vec![vec![0, 1, 2, 0], vec![1, 1, 2, 0, 4]];
    let scores = vec![vec![1.0, 0.5, 2.0, 0.25], vec![1.5, 1.0, 0.1, 0.7, 0.3]];
    let fused = random(&[9, 5, 3, 2], 3);
    let means = || crate::fusion::weighted_means(&activations, &clusters, &scores, 5).expect("means");
    let numbers = |x: Tensor| {
        x.to_dtype(DType::F64)
            .and_then(|x| x.flatten_all()?.to_vec1::<f64>())
    };
    let (host, device) = (
        numbers(means()).expect("host"),
        numbers(emulated(means)).expect("device"),
    );
    // f64 means rounded to f32.
    Tolerance::new(1e-7, 1e-7).assert_all(&device, &host);
    let members = crate::fusion::member::whole(&clusters, &scores);
    let errors = || crate::fusion::errors(&activations, &members, None, &fused).expect("errors");
    let (host, device) = (errors(), emulated(errors));
    GRAM.assert(device.0, host.0);
    GRAM.assert(device.1, host.1);
}

#[test]
fn what_is_no_number_is_found() {
    for (value, finite) in [
        (1.0, true),
        (f32::NAN, false),
        (f32::INFINITY, false),
        (f32::MAX, true),
    ] {
        let x = Tensor::new(&[0.0, value, f32::MAX], &Device::Cpu).expect("x");
        assert_eq!(is_finite(&x).expect("sum"), finite, "{value}");
    }
}
