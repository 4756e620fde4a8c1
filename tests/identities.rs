//! What fusion must do whatever the data: a model and a permuted copy of itself give back its function.

use std::ops::ControlFlow;

use candle_core::{Device, Tensor};
use rand::RngExt;
use rand::seq::SliceRandom;
use runner::arch::{Architecture, Mlp, Network};
use runner::fusion::{
    Fused, GitRebasin, GroundCost, HfLinear, Inputs, KfGradient, KfLinear, Method, OtFusion, fuse,
};
use runner::importance::Importance;
use runner::seed;
use runner::tick::unwatched;

const SAMPLES: usize = 96;
const IMAGE: [usize; 3] = [1, 3, 4];
const CLASSES: usize = 5;

struct Case {
    models: Vec<Network>,
    images: Tensor,
    labels: Tensor,
}

/// A network with hidden layers of 9 and 7 neurons, and copies with these permuted at random.
fn case(copies: usize, bias: bool) -> Case {
    let mut rng = seed::generator(11, "identities", &[copies as u64, u64::from(bias)]);
    let architecture = Architecture::Mlp(Mlp {
        hidden: vec![9, 7],
        bias,
        level_activations: false,
    });
    let device = Device::Cpu;
    let network = Network::initialise(&architecture, &IMAGE, CLASSES, &mut rng, &device).expect("network");
    let mut models = vec![network.clone()];
    for _ in 0..copies {
        let mut copy = network.clone();
        for l in 0..2 {
            permute(&mut copy, l, &mut rng);
        }
        models.push(copy);
    }
    let pixels: Vec<f32> = (0..SAMPLES * 12).map(|_| rng.random_range(-2.0..2.0)).collect();
    let labels: Vec<u32> = (0..SAMPLES)
        .map(|_| rng.random_range(0..CLASSES as u32))
        .collect();
    Case {
        models,
        images: Tensor::from_vec(pixels, (SAMPLES, 1, 3, 4), &device).expect("images"),
        labels: Tensor::new(labels, &device).expect("labels"),
    }
}

/// Permutes the neurons of layer `l` at random, and what reads them.
fn permute(network: &mut Network, l: usize, rng: &mut rand_chacha::ChaCha8Rng) {
    let (layer, next) = (network.layers()[l].clone(), network.layers()[l + 1].clone());
    let mut order: Vec<u32> = (0..layer.width() as u32).collect();
    order.shuffle(rng);
    let order = Tensor::new(order, &Device::Cpu).expect("order");
    for (at, dimension) in [(Some(layer.weight), 0), (layer.bias, 0), (Some(next.weight), 1)] {
        if let Some(at) = at {
            let tensor = network.tensors[at].index_select(&order, dimension);
            network.tensors[at] = tensor.expect("permuted");
        }
    }
}

impl Case {
    fn inputs(&self) -> Inputs<'_> {
        Inputs {
            models: &self.models,
            images: Some(&self.images),
            labels: Some(&self.labels),
            seed: 0,
            class_counts: None,
        }
    }

    /// Largest difference of the fused network's logits to the first model's.
    fn difference(&self, method: &Method) -> f32 {
        let fused = fuse(method, &self.inputs(), &mut || ControlFlow::Continue(())).expect("fused");
        let Fused::Network { network, .. } = fused else {
            panic!("a network")
        };
        let logits = |network: &Network| network.forward(&self.images).expect("logits");
        let difference = (logits(&network) - logits(&self.models[0])).expect("equal shapes");
        difference
            .abs()
            .and_then(|d| d.max_all())
            .and_then(|d| d.to_scalar())
            .expect("number")
    }
}

const SCORES: [Importance; 4] = [
    Importance::Uniform,
    Importance::Conductance,
    Importance::Deeplift,
    Importance::FeatureAblation,
];

#[test]
fn permuted_copies_give_back_the_function() {
    for bias in [true, false] {
        for importance in SCORES {
            let (pair, triple) = (case(1, bias), case(2, bias));
            for (name, cases, method) in [
                (
                    "git-rebasin",
                    vec![&pair],
                    Method::from(GitRebasin {
                        importance,
                        ..GitRebasin::default()
                    }),
                ),
                (
                    "otfusion",
                    vec![&pair, &triple],
                    Method::from(OtFusion {
                        importance,
                        ..OtFusion::default()
                    }),
                ),
                (
                    "otfusion weights",
                    vec![&pair, &triple],
                    Method::from(OtFusion {
                        importance,
                        ground: GroundCost::Weights,
                        ..OtFusion::default()
                    }),
                ),
                (
                    "hf-linear",
                    vec![&pair],
                    Method::from(HfLinear {
                        importance,
                        cutoff: Some(0.0),
                        ..HfLinear::default()
                    }),
                ),
                (
                    "kf-linear",
                    vec![&pair, &triple],
                    Method::from(KfLinear {
                        importance,
                        cutoff: Some(0.0),
                        ..KfLinear::default()
                    }),
                ),
            ] {
                for case in cases {
                    let difference = case.difference(&method);
                    assert!(
                        difference < 1e-4,
                        "{name}, {importance:?}, bias {bias}: {difference:e}"
                    );
                }
            }
        }
    }
}

/// Uniform scores, exact transport and Git Re-Basin's activations: the plan is its permutation. The models share no
/// neuron, and none is dead, so that the optimal assignment is unique.
#[test]
fn otfusion_on_activations_after_relu_is_git_rebasin() {
    for bias in [true, false] {
        let mut case = case(0, bias);
        let mut rng = seed::generator(5, "another network", &[u64::from(bias)]);
        let architecture = case.models[0].architecture.clone();
        let other = Network::initialise(&architecture, &IMAGE, CLASSES, &mut rng, &Device::Cpu);
        case.models.push(other.expect("network"));
        let fused = |method: &Method| {
            let fused = fuse(method, &case.inputs(), &mut || ControlFlow::Continue(())).expect("fused");
            let Fused::Network { network, diagnostics } = fused else {
                panic!("a network")
            };
            (network, diagnostics)
        };
        let assigned = OtFusion {
            ground: GroundCost::ReluActs,
            ..OtFusion::default()
        };
        let (transported, theirs) = fused(&Method::from(assigned.clone()));
        // Scores that are all rescaled to 1 are uniform, but the plan is found by the network simplex.
        let (by_simplex, _) = fused(&Method::from(OtFusion {
            importance: Importance::Conductance,
            rescale_importance: Some(1.0),
            ..assigned
        }));
        let (permuted, ours) = fused(&Method::from(GitRebasin::default()));
        let same = |a: &Network, b: &Network| {
            for (a, b) in a.tensors.iter().zip(&b.tensors) {
                let difference = (a - b).and_then(|d| d.abs()?.max_all()?.to_scalar::<f32>());
                assert!(difference.expect("number") < 1e-6);
            }
        };
        same(&transported, &permuted);
        same(&by_simplex, &permuted);
        // They say the same about themselves, but for what a neuron counts: 1 / n there, 1 here.
        for (l, width) in [9.0, 7.0, 5.0].into_iter().enumerate() {
            assert_eq!(theirs["layers"][l]["clusters"], ours["layers"][l]["clusters"]);
            for key in ["grouping-error", "approximation-error"] {
                let of = |found: &serde_json::Value| found["layers"][l][key].as_f64().expect("number");
                let ratio = of(&theirs) * width / of(&ours);
                assert!((ratio - 1.0).abs() < 1e-6, "{key} of layer {l}: {ratio}");
            }
        }
    }
}

#[test]
fn targets_of_copies_are_the_copies_activations() {
    let case = case(0, true);
    let level = &case.models[0].preactivations(&case.images).expect("activations")[0];
    let scores = vec![(1..=9).map(f64::from).collect(); 3];
    let method = KfGradient::default();
    let found = method
        .cluster(
            "fc1",
            9,
            &[level.clone(), level.clone(), level.clone()],
            &scores,
            0,
        )
        .expect("clusters");
    let difference = (&found.target - level).and_then(|d| d.abs()?.max_all()?.to_scalar::<f32>());
    assert!(difference.expect("number") < 1e-6);
}

#[test]
fn models_that_do_not_fit_are_refused_with_the_layer_and_both_shapes() {
    let wide = case(0, true).models.remove(0);
    let architecture = Architecture::Mlp(Mlp {
        hidden: vec![8, 7],
        bias: true,
        level_activations: false,
    });
    let mut rng = seed::generator(1, "narrow", &[]);
    let narrow =
        Network::initialise(&architecture, &IMAGE, CLASSES, &mut rng, &Device::Cpu).expect("network");
    let mut case = case(1, true);
    case.models = vec![wide, narrow];
    let refused = |method: &Method| {
        let error = fuse(method, &case.inputs(), &mut || ControlFlow::Continue(()));
        error.expect_err("different widths").to_string()
    };
    insta::assert_snapshot!(
        refused(&Method::from(HfLinear::default())),
        @"`hf-linear` needs models of one architecture, but layer `fc1` is [9, 12] in model 0 and [8, 12] in model 1"
    );
    let second = KfGradient {
        start: runner::fusion::Start::Second,
        ..KfGradient::default()
    };
    insta::assert_snapshot!(
        refused(&Method::KfGradient(Box::new(second))),
        @"level `fc1` has 9 neurons, but model 1, from which the clustering starts, has 8 there"
    );
}

#[test]
fn different_widths_fuse_where_the_method_allows_it() {
    let mut case = case(1, true);
    let architecture = Architecture::Mlp(Mlp {
        hidden: vec![6, 11],
        bias: true,
        level_activations: false,
    });
    let mut rng = seed::generator(1, "other widths", &[]);
    case.models[1] =
        Network::initialise(&architecture, &IMAGE, CLASSES, &mut rng, &Device::Cpu).expect("network");
    for method in [
        Method::from(KfLinear {
            importance: Importance::Conductance,
            ..KfLinear::default()
        }),
        Method::from(OtFusion {
            importance: Importance::Conductance,
            ..OtFusion::default()
        }),
        Method::from(OtFusion::default()),
        Method::KfGradient(Box::default()),
    ] {
        assert!(case.difference(&method).is_finite(), "{}", method.name());
    }
}

#[test]
fn dead_duplicate_and_too_many_neurons_are_fused_all_the_same() {
    let mut case = case(1, true);
    // Fewer samples than inputs, one dead neuron and two equal ones in both models.
    case.images = case.images.narrow(0, 0, 5).expect("five images");
    case.labels = case.labels.narrow(0, 0, 5).expect("five labels");
    for network in &mut case.models {
        let layer = network.layers()[0].clone();
        let weight = &mut network.tensors[layer.weight];
        let rows = weight.to_vec2::<f32>().expect("rows");
        let mut rows: Vec<Vec<f32>> = rows;
        rows[0] = vec![0.0; 12];
        rows[2] = rows[1].clone();
        *weight = Tensor::new(rows, &Device::Cpu).expect("weight");
        let bias = Tensor::zeros(9, candle_core::DType::F32, &Device::Cpu).expect("bias");
        network.tensors[layer.bias.expect("a bias")] = bias;
    }
    for importance in SCORES {
        for method in [
            Method::from(GitRebasin {
                importance,
                ..GitRebasin::default()
            }),
            Method::from(OtFusion {
                importance,
                norm_acts: true,
                ..OtFusion::default()
            }),
            Method::from(HfLinear {
                importance,
                norm_acts: true,
                ..HfLinear::default()
            }),
            Method::from(KfLinear {
                importance,
                norm_acts: true,
                ..KfLinear::default()
            }),
            Method::KfGradient(Box::new(KfGradient {
                importance,
                normalize_rows: true,
                ..KfGradient::default()
            })),
        ] {
            assert!(
                case.difference(&method).is_finite(),
                "{}, {importance:?}",
                method.name()
            );
        }
    }
}

/// Every method with every score on a case that is no normal one.
fn all_are_finite(case: &Case) {
    for importance in SCORES {
        for method in [
            Method::from(GitRebasin {
                importance,
                normalize_importance: true,
                ..GitRebasin::default()
            }),
            Method::from(OtFusion {
                importance,
                rescale_importance: Some(0.1),
                ..OtFusion::default()
            }),
            Method::from(HfLinear {
                importance,
                ..HfLinear::default()
            }),
            Method::from(KfLinear {
                importance,
                ..KfLinear::default()
            }),
            Method::KfGradient(Box::new(KfGradient {
                importance,
                weighted_loss: true,
                rescale_importance: Some(0.5),
                ..KfGradient::default()
            })),
        ] {
            let difference = case.difference(&method);
            assert!(difference.is_finite(), "{}, {importance:?}", method.name());
        }
    }
}

/// Heads of zeros: no neuron changes any logit, so every score but the uniform one is the 1e-8 that all get.
#[test]
fn importances_that_are_all_zero_count_as_equal() {
    let mut case = case(1, true);
    for network in &mut case.models {
        let layer = network.layers()[2].clone();
        let zeros = network.tensors[layer.weight].zeros_like().expect("zeros");
        network.tensors[layer.weight] = zeros;
    }
    let scores = Importance::Conductance
        .scores(
            &case.models[0],
            &case.images,
            &case.labels,
            runner::importance::Place::Layer,
            &mut unwatched,
        )
        .expect("scores");
    assert!(scores[0].iter().all(|&score| score == 1e-8), "{:?}", scores[0]);
    all_are_finite(&case);
}

#[test]
fn a_fusion_set_may_lack_a_class_and_neurons_may_be_constant() {
    let mut case = case(1, true);
    case.labels = case.labels.zeros_like().expect("labels");
    for network in &mut case.models {
        // Weights of zero, but a bias: a constant that is not 0.
        let layer = network.layers()[1].clone();
        let rows = network.tensors[layer.weight].to_vec2::<f32>();
        let mut rows = rows.expect("rows");
        rows[3] = vec![0.0; 9];
        network.tensors[layer.weight] = Tensor::new(rows, &Device::Cpu).expect("weight");
    }
    all_are_finite(&case);
}

/// A learning rate beyond all reason: the level and the epoch are named.
#[test]
fn a_level_that_diverges_is_named_with_its_epoch() {
    let case = case(1, true);
    let method = KfGradient {
        level: runner::fusion::LevelSettings {
            optimizer: runner::train::OptimizerKind::Sgd,
            lr: 1e30,
            ..runner::fusion::LevelSettings::default()
        },
        ..KfGradient::default()
    };
    let fused = fuse(&Method::KfGradient(Box::new(method)), &case.inputs(), &mut || {
        ControlFlow::Continue(())
    });
    let error = fused.expect_err("it diverges").to_string();
    insta::assert_snapshot!(error, @"the loss of level `fc1` is not finite in epoch 0: a smaller learning rate may help");
    // Activations: the layer and the model.
    let mut case = self::case(1, true);
    for l in 0..2 {
        let weight = case.models[1].layers()[l].weight;
        let huge = (&case.models[1].tensors[weight] * 1e25).expect("weights");
        case.models[1].tensors[weight] = huge;
    }
    let fused = fuse(&Method::from(HfLinear::default()), &case.inputs(), &mut || {
        ControlFlow::Continue(())
    });
    insta::assert_snapshot!(fused.expect_err("not finite").to_string(), @"layer `fc2` of model 1 has activations that are not finite");
}

/// Candle's ReLU turns NaN into 0: without a check such a network would still predict something.
#[test]
fn weights_that_are_not_finite_are_refused() {
    let network = case(0, true).models.remove(0);
    let mut state = network.state();
    let mut values = state[0].1.to_vec2::<f32>().expect("values");
    values[1][2] = f32::NAN;
    state[0].1 = Tensor::new(values, &Device::Cpu).expect("tensor");
    let error = Network::from_state(&network.architecture, &IMAGE, CLASSES, &state, &Device::Cpu);
    assert_eq!(
        error.expect_err("NaN").to_string(),
        "element 14 of `level1.1.weight` is NaN"
    );
}
