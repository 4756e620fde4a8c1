//! What fusion must do to residual networks with convolutions and `BatchNorm`: give back the function of a network and a
//! copy of it with permuted neurons; and agree with itself where two methods are the same.

use std::ops::ControlFlow;

use candle_core::{DType, Device, Tensor};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use runner::arch::{Architecture, Network};
use runner::fusion::{
    Fused, GitRebasin, GroundCost, HfLinear, Inputs, KfGradient, KfLinear, Method, OtFusion, fuse,
};
use runner::importance::{Importance, Place};
use runner::seed;
use runner::tick::unwatched;
use serde_json::json;

const SAMPLES: usize = 160;
const IMAGE: [usize; 3] = [2, 6, 6];
const CLASSES: usize = 5;

/// Convolutions with `BatchNorm`, residual blocks with identity, with a convolution and with another block inside, and
/// flattened positions before the linear layers.
fn architecture() -> Architecture {
    let conv = |out: usize, kernel: usize, stride: usize| json!({ "kind": "conv", "out": out, "kernel": kernel, "stride": stride, "padding": kernel / 2, "bias": stride == 1 });
    let (norm, relu) = (json!({ "kind": "batch-norm" }), json!({ "kind": "relu" }));
    let inner = json!({ "kind": "residual", "body": [conv(6, 1, 1), norm] });
    let layers = json!([
        conv(6, 3, 1),
        norm,
        relu,
        { "kind": "residual", "body": [conv(4, 3, 1), norm, relu, conv(6, 3, 1), norm] },
        relu,
        { "kind": "residual", "body": [conv(6, 3, 1), relu, inner], "shortcut": [] },
        relu,
        { "kind": "residual",
          "body": [conv(7, 3, 2), norm, relu, conv(8, 3, 1), norm],
          "shortcut": [conv(8, 1, 2), norm] },
        relu,
        { "kind": "flatten" },
        { "kind": "linear", "out": 9 },
        { "kind": "batch-norm" },
        relu,
        { "kind": "linear" },
    ]);
    let settings = json!({ "architecture": "sequential", "layers": layers });
    serde_json::from_value(settings).expect("an architecture")
}

/// A network with random statistics in its `BatchNorm`s.
fn network(rng: &mut ChaCha8Rng) -> Network {
    let mut network =
        Network::initialise(&architecture(), &IMAGE, CLASSES, rng, &Device::Cpu).expect("a network");
    let plan = network.plan.clone();
    for norm in plan.layers.iter().filter_map(|layer| layer.norm) {
        for (at, range) in [(0, 0.5..1.5), (1, -0.3..0.3), (2, -0.3..0.3), (3, 0.1..0.6)] {
            let n = network.tensors[norm].elem_count();
            let values: Vec<f32> = (0..n).map(|_| rng.random_range(range.clone())).collect();
            network.tensors[norm + at] = Tensor::new(values, &Device::Cpu).expect("a tensor");
        }
    }
    network
}

/// A copy whose neurons have another order, at random, wherever layers do not write into the logits.
fn permuted(network: &Network, rng: &mut ChaCha8Rng) -> Network {
    let mut copy = network.clone();
    let layers = network.layers();
    let mut select = |at: usize, dimension: usize, order: &[u32]| {
        let order = Tensor::new(order, &Device::Cpu).expect("indices");
        copy.tensors[at] = copy.tensors[at]
            .index_select(&order, dimension)
            .expect("permuted");
    };
    for (root, first) in layers.iter().enumerate().take(layers.len() - 1) {
        if first.order != root {
            continue;
        }
        let mut order: Vec<u32> = (0..first.width() as u32).collect();
        order.shuffle(rng);
        for layer in layers.iter().filter(|layer| layer.order == root) {
            let norm = layer.norm.into_iter().flat_map(|norm| norm..norm + 4);
            for at in norm.chain([layer.weight]).chain(layer.bias) {
                select(at, 0, &order);
            }
        }
        for layer in layers.iter().filter(|layer| layer.source == Some(root)) {
            let positions = layer.positions as u32;
            let inputs: Vec<u32> = order
                .iter()
                .flat_map(|&i| (0..positions).map(move |p| i * positions + p))
                .collect();
            select(layer.weight, 1, &inputs);
        }
    }
    copy
}

struct Case {
    models: Vec<Network>,
    images: Tensor,
    labels: Tensor,
}

impl Case {
    fn new(models: Vec<Network>, pixels: std::ops::Range<f32>, rng: &mut ChaCha8Rng) -> Self {
        let n = SAMPLES * IMAGE.iter().product::<usize>();
        let values: Vec<f32> = (0..n).map(|_| rng.random_range(pixels.clone())).collect();
        let labels: Vec<u32> = (0..SAMPLES)
            .map(|_| rng.random_range(0..CLASSES as u32))
            .collect();
        let shape = (SAMPLES, IMAGE[0], IMAGE[1], IMAGE[2]);
        Self {
            models,
            images: Tensor::from_vec(values, shape, &Device::Cpu).expect("images"),
            labels: Tensor::new(labels, &Device::Cpu).expect("labels"),
        }
    }

    /// A network and a permuted copy of it.
    fn copies() -> Self {
        let mut rng = seed::generator(21, "residual", &[]);
        let first = network(&mut rng);
        let copy = permuted(&first, &mut rng);
        Self::new(vec![first, copy], -1.0..1.0, &mut rng)
    }

    fn fused(&self, method: &Method) -> Network {
        let inputs = Inputs {
            models: &self.models,
            images: Some(&self.images),
            labels: Some(&self.labels),
            seed: 0,
            class_counts: None,
        };
        match fuse(method, &inputs, &mut || ControlFlow::Continue(())).expect("fused") {
            Fused::Network { network, .. } => network,
            Fused::Ensemble { .. } => panic!("a network"),
        }
    }

    /// Largest difference of the network's logits to the first model's.
    fn difference(&self, network: &Network) -> f32 {
        let logits = |network: &Network| network.forward(&self.images).expect("logits");
        largest(&logits(network), &logits(&self.models[0]))
    }
}

fn largest(a: &Tensor, b: &Tensor) -> f32 {
    let difference = (a - b).and_then(|d| d.to_dtype(DType::F32)?.abs()?.max_all()?.to_scalar());
    difference.expect("equal shapes")
}

#[test]
fn the_plan_tells_whose_order_is_whose() {
    let case = Case::copies();
    let layers = case.models[0].layers();
    let orders: Vec<(usize, Option<usize>)> = layers.iter().map(|l| (l.order, l.source)).collect();
    let expected = [
        (0, None),
        // The first block: its last convolution is added to the stem's output, which goes on.
        (1, Some(0)),
        (0, Some(1)),
        // The second: within it one that is added to the convolution before, and all of that to the stem.
        (0, Some(0)),
        (0, Some(0)),
        // The third: main way, then its shortcut.
        (5, Some(0)),
        (6, Some(5)),
        (6, Some(0)),
        (8, Some(6)),
        (9, Some(8)),
    ];
    assert_eq!(orders, expected);
    assert_eq!(layers[8].positions, 9);
    assert!(case.models[0].plan.chain);
    // Neurons really have another order, and the function is the same.
    let first = |network: &Network| network.tensors[layers[0].weight].clone();
    assert!(largest(&first(&case.models[0]), &first(&case.models[1])) > 0.1);
    assert!(case.difference(&case.models[1]) < 1e-5);
}

#[test]
fn permuted_copies_give_back_the_function() {
    let case = Case::copies();
    // Averaging without alignment does not: otherwise the test would show nothing.
    let averaged = case.fused(&Method::from(runner::fusion::VanillaAveraging::default()));
    assert!(case.difference(&averaged) > 0.1);
    for importance in [Importance::Uniform, Importance::Conductance] {
        let methods = [
            Method::from(GitRebasin {
                importance,
                ..GitRebasin::default()
            }),
            Method::from(OtFusion {
                importance,
                ..OtFusion::default()
            }),
            Method::from(OtFusion {
                importance,
                ground: GroundCost::Weights,
                ..OtFusion::default()
            }),
            Method::from(HfLinear {
                importance,
                cutoff: Some(0.0),
                ..HfLinear::default()
            }),
            Method::from(KfLinear {
                importance,
                cutoff: Some(0.0),
                ..KfLinear::default()
            }),
        ];
        for method in &methods {
            let difference = case.difference(&case.fused(method));
            assert!(difference < 1e-4, "{method:?}: {difference:e}");
        }
    }
}

/// Where nothing is negative, ReLU changes no activation and the two methods match by the same distances.
#[test]
fn otfusion_of_activations_with_equal_scores_is_git_rebasin_where_nothing_is_negative() {
    let mut rng = seed::generator(22, "residual", &[]);
    let models = (0..2).map(|_| {
        let mut network = network(&mut rng);
        let plan = network.plan.clone();
        for layer in &plan.layers {
            let norm = layer.norm.into_iter().flat_map(|norm| norm..norm + 4);
            for at in norm.chain([layer.weight]).chain(layer.bias) {
                network.tensors[at] = network.tensors[at].abs().expect("a tensor");
            }
            if let Some(norm) = layer.norm {
                network.tensors[norm + 2] = network.tensors[norm + 2].zeros_like().expect("a tensor");
            }
        }
        network
    });
    let models = models.collect();
    let case = Case::new(models, 0.0..1.0, &mut rng);
    let rebasin = case.fused(&Method::from(GitRebasin::default()));
    let transported = case.fused(&Method::from(OtFusion::default()));
    for (parameter, (a, b)) in rebasin
        .plan
        .parameters
        .iter()
        .zip(rebasin.tensors.iter().zip(&transported.tensors))
    {
        let difference = largest(a, b);
        assert!(difference < 1e-6, "{}: {difference:e}", parameter.name);
    }
    assert!(case.difference(&rebasin) > 1e-3, "two networks, not one");
}

#[test]
fn levels_of_residual_networks_are_trained() {
    let case = Case::copies();
    let method = KfGradient {
        level: runner::fusion::LevelSettings {
            epochs: 2,
            ..runner::fusion::LevelSettings::default()
        },
        ..KfGradient::default()
    };
    let fused = case.fused(&Method::KfGradient(Box::new(method)));
    assert_eq!(fused.levels().len(), 6);
    // It starts as the first model, whose outputs are the targets up to the order of clusters: it stays near.
    assert!(case.difference(&fused) < 0.5, "{}", case.difference(&fused));
}

/// A flattened way beside an unflattened one, and a block at the end, mix neurons that layer-wise methods would keep
/// apart.
#[test]
fn networks_whose_neurons_cannot_be_followed_are_refused() {
    let mixed = json!([
        { "kind": "conv", "out": 2, "kernel": 6 },
        { "kind": "residual", "body": [{ "kind": "conv", "out": 2, "kernel": 1 }] },
        { "kind": "flatten" },
        { "kind": "layer-norm" },
        { "kind": "linear" },
    ]);
    let image = json!([
        { "kind": "residual", "body": [{ "kind": "conv", "out": 2, "kernel": 1 }] },
        { "kind": "flatten" },
        { "kind": "linear" },
    ]);
    let positions = json!([
        { "kind": "conv", "out": 2, "kernel": 5 },
        { "kind": "residual",
          "body": [{ "kind": "flatten" }, { "kind": "linear", "out": 8 }],
          "shortcut": [{ "kind": "flatten" }] },
        { "kind": "linear" },
    ]);
    for layers in [mixed, image, positions] {
        let settings = json!({ "architecture": "sequential", "layers": layers });
        let architecture: Architecture = serde_json::from_value(settings).expect("an architecture");
        let mut rng = seed::generator(23, "mixed", &[]);
        let models: Vec<Network> = (0..2)
            .map(|_| {
                Network::initialise(&architecture, &IMAGE, CLASSES, &mut rng, &Device::Cpu)
                    .expect("a network")
            })
            .collect();
        let case = Case::new(models, -1.0..1.0, &mut rng);
        let inputs = Inputs {
            models: &case.models,
            images: Some(&case.images),
            labels: Some(&case.labels),
            seed: 0,
            class_counts: None,
        };
        for method in [
            Method::from(GitRebasin::default()),
            Method::from(KfLinear::default()),
        ] {
            let error = fuse(&method, &inputs, &mut || ControlFlow::Continue(())).expect_err("refused");
            assert!(error.to_string().contains("works on chains"), "{error}");
        }
        // Methods that look at levels or parameters do not care.
        let averaged = case.fused(&Method::from(runner::fusion::VanillaAveraging::default()));
        assert!(case.difference(&averaged).is_finite());
    }
}

/// Every score at every place, in f32 here: also where the reference has none to compare with.
#[test]
fn all_scores_are_defined_on_residual_networks_and_transformers() {
    let mut rng = seed::generator(9, "scores", &[]);
    let vit =
        json!({ "architecture": "vit", "patches": 2, "depth": 2, "hidden": 8, "mlp-hidden": 6, "heads": 2 });
    let vit: Architecture = serde_json::from_value(vit).expect("an architecture");
    let vit = Network::initialise(&vit, &IMAGE, CLASSES, &mut rng, &Device::Cpu).expect("a network");
    for network in [network(&mut rng), vit] {
        let case = Case::new(vec![network.clone()], 0.0..1.0, &mut rng);
        let (images, labels) = (
            case.images.narrow(0, 0, 12).expect("images"),
            case.labels.narrow(0, 0, 12).expect("labels"),
        );
        let logits = network
            .forward(&images)
            .and_then(|logits| logits.to_vec2::<f32>());
        let logits = logits.expect("logits");
        let classes = labels.to_vec1::<u32>().expect("classes");
        for importance in [
            Importance::Uniform,
            Importance::Conductance,
            Importance::Deeplift,
            Importance::FeatureAblation,
        ] {
            for place in [Place::Layer, Place::Level] {
                let scores = importance.scores(&network, &images, &labels, place, &mut unwatched);
                let scores = scores.expect("scores");
                let widths: Vec<usize> = scores.iter().map(Vec::len).collect();
                assert_eq!(widths, place.widths(&network), "{importance:?} {place:?}");
                assert!(
                    scores
                        .iter()
                        .flatten()
                        .all(|score| score.is_finite() && *score > 0.0),
                    "{importance:?} {place:?}"
                );
            }
        }
        // Without its own output a class has the logit 0.
        let scores =
            Importance::FeatureAblation.scores(&network, &images, &labels, Place::Level, &mut unwatched);
        let scores = scores.expect("scores");
        for (class, score) in scores[scores.len() - 1].iter().enumerate() {
            let of_class = logits
                .iter()
                .zip(&classes)
                .filter(|(_, of)| **of as usize == class);
            let expected: f64 = of_class.map(|(logits, _)| f64::from(logits[class].abs())).sum();
            assert!((score - expected / 12.0).abs() < 1e-5, "class {class}: {score}");
        }
    }
}
