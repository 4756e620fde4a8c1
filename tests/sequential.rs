//! Users' own networks: the built-in ones written as lists of layers, and the import of PyTorch's.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use candle_core::{Device, Tensor};
use rand::RngExt;
use runner::arch::{ArchError, Architecture, Foreign, Init, Network, State};
use runner::fusion::{Fused, HfLinear, Inputs, Method, fuse};
use runner::seed;
use serde_json::{Value, json};

mod torch;

fn architecture(settings: &Value) -> Architecture {
    serde_json::from_value(settings.clone()).unwrap_or_else(|error| panic!("{settings}: {error}"))
}

fn sequential(layers: &[Value]) -> Architecture {
    architecture(&json!({ "architecture": "sequential", "layers": layers }))
}

fn mlp(hidden: &[usize], level_activations: bool) -> Architecture {
    let mut layers = vec![json!({ "kind": "flatten" })];
    for i in 0..=hidden.len() {
        let at = usize::from(i == 0 || !level_activations);
        if i > 0 {
            layers.push(json!({ "kind": "relu", "level": level_activations }));
        }
        let mut linear = json!({ "kind": "linear", "name": format!("level{}.{at}", i + 1) });
        if let Some(width) = hidden.get(i) {
            linear["out"] = json!(width);
        }
        layers.push(linear);
    }
    sequential(&layers)
}

/// VGG11, half as wide.
fn vgg(batch_norm: bool, level_activations: bool) -> Architecture {
    let mut layers = Vec::new();
    let (mut level, mut at) = (0, 0);
    for width in [64, 0, 64, 0, 128, 128, 0, 256, 256, 0, 256, 512, 0] {
        if width == 0 {
            layers.push(json!({ "kind": "max-pool", "kernel": 2 }));
            at += 1;
            continue;
        }
        let name = |at| format!("feature_levels.{level}.{at}");
        layers.push(json!({ "kind": "conv", "out": width, "kernel": 3, "padding": 1, "name": name(at) }));
        if batch_norm {
            layers.push(json!({ "kind": "batch-norm", "name": name(at + 1) }));
        }
        layers.push(json!({ "kind": "relu", "level": level_activations }));
        level += 1;
        at = usize::from(!level_activations);
    }
    layers.push(json!({ "kind": "flatten" }));
    layers.push(json!({ "kind": "linear", "name": format!("classifier.{}", at + 1) }));
    sequential(&layers)
}

fn resnet18() -> Architecture {
    let conv = |name: &str, out: usize, kernel: usize, stride: usize| json!({ "kind": "conv", "out": out, "kernel": kernel, "stride": stride, "padding": kernel / 2, "bias": false, "name": name });
    let norm = |name: &str| json!({ "kind": "batch-norm", "name": name });
    let relu = json!({ "kind": "relu" });
    let marked = json!({ "kind": "relu", "level": true });
    let mut layers = vec![conv("conv1", 64, 3, 1), norm("bn1"), marked.clone()];
    for (stage, width) in [64, 128, 256, 512].into_iter().enumerate() {
        for block in 0..2 {
            let name = |part: &str| format!("layer{}.{block}.{part}", stage + 1);
            let wider = stage > 0 && block == 0;
            let body = json!([
                conv(&name("conv1"), width, 3, if wider { 2 } else { 1 }),
                norm(&name("bn1")),
                relu,
                conv(&name("conv2"), width, 3, 1),
                norm(&name("bn2")),
            ]);
            let shortcut = match wider {
                true => json!([conv(&name("shortcut.0"), width, 1, 2), norm(&name("shortcut.1"))]),
                false => json!([]),
            };
            layers.push(json!({ "kind": "residual", "body": body, "shortcut": shortcut }));
            layers.push(marked.clone());
        }
    }
    layers.push(json!({ "kind": "global-avg-pool" }));
    layers.push(json!({ "kind": "flatten" }));
    layers.push(json!({ "kind": "linear", "name": "linear" }));
    sequential(&layers)
}

fn vit() -> Architecture {
    let block = |name: &str, level: bool| json!({ "kind": "transformer", "heads": 3, "mlp": 20, "name": name, "level": level });
    sequential(&[
        json!({ "kind": "patch-embedding", "patch": 4, "out": 12, "name": "blocks.0.0" }),
        block("blocks.0.1", true),
        block("blocks.1", false),
        json!({ "kind": "first-token", "level": true }),
        json!({ "kind": "layer-norm", "name": "fc.0" }),
        json!({ "kind": "linear", "name": "fc.1" }),
    ])
}

const CLASSES: usize = 7;

struct Case {
    name: &'static str,
    built_in: Architecture,
    ours: Architecture,
    image: [usize; 3],
    samples: usize,
    /// Whether it is fused, too.
    fused: bool,
}

impl Case {
    fn new(name: &'static str, built_in: &Value, ours: Architecture) -> Self {
        Self {
            name,
            built_in: architecture(built_in),
            ours,
            image: [2, 32, 32],
            samples: 2,
            fused: false,
        }
    }
}

/// Weights of a case; those of a `BatchNorm` are random, too.
fn random(case: &Case, model: u64) -> Network {
    let mut rng = seed::generator(5, "sequential", &[model]);
    let device = Device::Cpu;
    let network = Network::initialise(&case.built_in, &case.image, CLASSES, &mut rng, &device);
    let mut network = network.unwrap_or_else(|error| panic!("{}: {error}", case.name));
    let plan = network.plan.clone();
    for (parameter, tensor) in plan.parameters.iter().zip(&mut network.tensors) {
        if let Init::Constant(value) = parameter.init {
            let values: Vec<f32> = (0..tensor.elem_count())
                .map(|_| value + rng.random_range(-0.3..0.3))
                .collect();
            *tensor = Tensor::from_vec(values, tensor.shape(), &device).expect("tensor");
        }
    }
    network
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    let values = tensor
        .to_dtype(candle_core::DType::F32)
        .and_then(|t| t.flatten_all()?.to_vec1::<f32>());
    values.expect("values").into_iter().map(f32::to_bits).collect()
}

#[test]
fn the_built_in_networks_written_as_lists_give_the_same_bits() {
    let settings = |level: bool, norm: bool| json!({ "architecture": "vgg11-half", "batch-norm": norm, "level-activations": level });
    let mlp_settings =
        |level: bool| json!({ "architecture": "mlp", "hidden": [9, 8], "level-activations": level });
    let small = |case: Case| Case {
        image: [1, 3, 4],
        samples: 40,
        fused: true,
        ..case
    };
    let cases = [
        small(Case::new("mlp", &mlp_settings(false), mlp(&[9, 8], false))),
        small(Case::new("mlp", &mlp_settings(true), mlp(&[9, 8], true))),
        Case {
            samples: 6,
            fused: true,
            ..Case::new("vgg", &settings(false, false), vgg(false, false))
        },
        Case::new("vgg", &settings(true, false), vgg(false, true)),
        Case::new("vgg with batch norm", &settings(false, true), vgg(true, false)),
        Case::new("resnet", &json!({ "architecture": "resnet18" }), resnet18()),
        Case {
            image: [3, 8, 8],
            ..Case::new(
                "vit",
                &json!({ "architecture": "vit", "patches": 2, "depth": 2, "hidden": 12, "mlp-hidden": 20, "heads": 3 }),
                vit(),
            )
        },
    ];
    for case in cases {
        let name = case.name;
        let theirs: Vec<Network> = (0..2).map(|model| random(&case, model)).collect();
        let ours: Vec<Network> = theirs
            .iter()
            .map(|network| {
                let state = network.state();
                Network::from_state(&case.ours, &case.image, CLASSES, &state, &Device::Cpu)
                    .unwrap_or_else(|error| panic!("{name}: {error}"))
            })
            .collect();
        let (theirs_plan, ours_plan) = (&theirs[0].plan, &ours[0].plan);
        let names =
            |network: &Network| -> Vec<String> { network.state().into_iter().map(|(n, _)| n).collect() };
        assert_eq!(names(&ours[0]), names(&theirs[0]), "{name}");
        for (a, b) in theirs_plan.levels.iter().zip(&ours_plan.levels) {
            // The last level of a ResNet is one layer, which is not in a list of its own.
            let named = a.prefix == b.prefix || a.prefix == "linear.";
            let same = (&a.parameters, a.width) == (&b.parameters, b.width);
            assert!(named && same, "{name}: {b:?} instead of {a:?}");
        }
        let mut rng = seed::generator(6, "images", &[]);
        let mut shape = vec![case.samples];
        shape.extend(case.image);
        let images = Init::Normal(1.0)
            .sample(&shape, &mut rng, &Device::Cpu)
            .expect("images");
        let outputs = |network: &Network| -> Vec<Vec<u32>> {
            let mut all = network.level_outputs(&images).expect("outputs");
            all.push(network.forward(&images).expect("logits"));
            all.iter().map(bits).collect()
        };
        assert_eq!(outputs(&ours[0]), outputs(&theirs[0]), "{name}");
        if case.fused {
            let fused = |models: &[Network]| {
                let inputs = Inputs {
                    models,
                    images: Some(&images),
                    labels: None,
                    seed: 0,
                    class_counts: None,
                };
                let method = Method::from(HfLinear::default());
                match fuse(&method, &inputs, &mut || ControlFlow::Continue(())).expect("fused") {
                    Fused::Network { network, .. } => network.tensors.iter().map(bits).collect::<Vec<_>>(),
                    Fused::Ensemble { .. } => panic!("a network"),
                }
            };
            assert_eq!(fused(&ours), fused(&theirs), "{name}, fused");
        }
    }
}

/// A network of two convolutions, of one shape where the first has two neurons, with a norm between flat layers.
fn small(first: usize) -> Architecture {
    sequential(&[
        json!({ "kind": "conv", "out": first, "kernel": 3, "padding": 1 }),
        json!({ "kind": "relu" }),
        json!({ "kind": "conv", "out": 2, "kernel": 3, "padding": 1 }),
        json!({ "kind": "flatten" }),
        json!({ "kind": "layer-norm" }),
        json!({ "kind": "linear" }),
    ])
}

/// Its state under other names: those of `names`, in this order.
fn renamed(first: usize, names: &[&str]) -> State {
    let mut rng = seed::generator(7, "state", &[]);
    let network = Network::initialise(&small(first), &[2, 3, 3], 4, &mut rng, &Device::Cpu).expect("network");
    let tensors = network.tensors.into_iter();
    names.iter().map(ToString::to_string).zip(tensors).collect()
}

fn import(first: usize, state: &State) -> Result<Network, ArchError> {
    Network::from_state(&small(first), &[2, 3, 3], 4, state, &Device::Cpu)
}

const OTHER: [&str; 8] = [
    "stem.weight",
    "stem.bias",
    "conv.weight",
    "conv.bias",
    "norm.weight",
    "norm.bias",
    "head.weight",
    "head.bias",
];

#[test]
fn tensors_of_other_names_are_taken_where_shapes_tell_them_apart() {
    let state = renamed(3, &OTHER);
    let network = import(3, &state).expect("it fits");
    for (at, (_, tensor)) in state.iter().enumerate() {
        assert_eq!(bits(&network.tensors[at]), bits(tensor));
    }
    // By names, whatever their order.
    let mut shuffled = network.state();
    shuffled.rotate_left(3);
    let again = import(3, &shuffled).expect("it fits");
    assert_eq!(
        again.tensors.iter().map(bits).collect::<Vec<_>>(),
        network.tensors.iter().map(bits).collect::<Vec<_>>()
    );
    // A layer of the list that the other program does not count: positions differ, shapes do not.
    let shifted = [
        "1.weight", "1.bias", "3.weight", "3.bias", "5.weight", "5.bias", "6.weight", "6.bias",
    ];
    assert!(import(3, &renamed(3, &shifted)).is_ok());
}

#[test]
fn tensors_are_not_placed_by_order_alone() {
    // Two convolutions of one shape: which one comes first, no shape tells.
    let error = import(2, &renamed(2, &OTHER)).expect_err("ambiguous");
    insta::assert_snapshot!(error, @"the tensors have other names than the layers of `[model]`, and `stem.weight` and `conv.weight` have one shape: by order alone `stem.weight` would be `0.weight`, `stem.bias` would be `0.bias`, `conv.weight` would be `2.weight`, `conv.bias` would be `2.bias`, `norm.weight` would be `4.weight`, `norm.bias` would be `4.bias`, ...");
    insta::assert_snapshot!(error.hint().expect("a way out"), @r#"if that is right, name the layers of `[model]` as the file does: `name = "stem"` for layer `0`, `name = "conv"` for layer `2`, `name = "norm"` for layer `4`, `name = "head"` for layer `5`"#);
    // By the names it goes, also behind those of wrappers.
    let names = [
        "0.weight", "0.bias", "2.weight", "2.bias", "4.weight", "4.bias", "5.weight", "5.bias",
    ];
    let network = import(2, &renamed(2, &names)).expect("by names");
    for prefix in ["module.", "_orig_mod.", "_orig_mod.module.", "model.net."] {
        let wrapped = names.map(|name| format!("{prefix}{name}"));
        let mut wrapped = renamed(2, &wrapped.each_ref().map(String::as_str));
        wrapped.reverse();
        let found = import(2, &wrapped).unwrap_or_else(|error| panic!("{prefix}: {error}"));
        assert_eq!(
            found.tensors.iter().map(bits).collect::<Vec<_>>(),
            network.tensors.iter().map(bits).collect::<Vec<_>>()
        );
    }
    // Other programs' safetensors are by the alphabet.
    let state = renamed(3, &OTHER);
    let foreign = Foreign {
        state: &state,
        ordered: false,
        norms: &BTreeMap::new(),
    };
    let error = Network::import(&small(3), &[2, 3, 3], 4, foreign, &Device::Cpu).expect_err("no order");
    assert!(
        error
            .to_string()
            .contains("a safetensors file does not keep the order"),
        "{error}"
    );
}

/// The variance is small, so that what is added to it counts.
#[test]
fn a_norm_adds_to_the_variance_what_it_is_told() {
    let network = |eps: Option<f64>| {
        let mut norm = json!({ "kind": "batch-norm" });
        if let Some(eps) = eps {
            norm["eps"] = eps.into();
        }
        let architecture = sequential(&[
            json!({ "kind": "linear", "out": 4 }),
            norm,
            json!({ "kind": "linear" }),
        ]);
        let mut rng = seed::generator(7, "state", &[]);
        let mut network =
            Network::initialise(&architecture, &[4], 3, &mut rng, &Device::Cpu).expect("network");
        network.tensors[5] = (network.tensors[5].ones_like().expect("ones") * 1e-3).expect("variance");
        network
    };
    let usual = network(None);
    // What was written before there was the key is what is written now.
    let text = |network: &Network| serde_json::to_string(&network.architecture).expect("JSON");
    assert_eq!(text(&usual), text(&network(Some(1e-5))));
    assert!(!text(&usual).contains("eps") && text(&network(Some(1e-3))).contains("\"eps\":0.001"));
    let x = Tensor::new(&[[0.5f32, -1.0, 2.0, 0.25]], &Device::Cpu).expect("tensor");
    let level = |network: &Network| network.level_output(0, &x).expect("output").flatten_all();
    let values = |network: &Network| level(network).and_then(|y| y.to_vec1::<f32>()).expect("numbers");
    let (near, far) = (values(&usual), values(&network(Some(1e-3))));
    for (near, far) in near.iter().zip(&far) {
        let expected = near * ((1e-3 + 1e-5f32) / 2e-3).sqrt();
        assert!(
            (far - expected).abs() < 1e-4 * expected.abs(),
            "{far} instead of {expected}"
        );
    }
    let folded = network(Some(1e-3)).folded().expect("folded");
    for (a, b) in values(&folded).iter().zip(&far) {
        assert!((a - b).abs() < 1e-4 * b.abs(), "{a} instead of {b}");
    }
    // A file that says so is not taken for a network with another.
    let state = usual.state();
    let norms = BTreeMap::from([("1".to_string(), 1e-3)]);
    let import = |network: &Network| {
        let foreign = Foreign {
            state: &state,
            ordered: true,
            norms: &norms,
        };
        Network::import(&network.architecture, &[4], 3, foreign, &Device::Cpu)
    };
    assert!(import(&network(Some(1e-3))).is_ok());
    let error = import(&usual).expect_err("another network");
    insta::assert_snapshot!(error, @"`1` normalises with `eps = 0.001` in the file, and with 1e-5 in `sequential`");
    insta::assert_snapshot!(error.hint().expect("a way out"), @"write `eps = 0.001` for that layer in `[[model.layers]]`");
}

#[test]
fn tensors_that_do_not_fit_are_named_with_both_shapes() {
    let refused = |change: &dyn Fn(&mut State)| {
        let mut state = renamed(2, &OTHER);
        change(&mut state);
        let error = import(2, &state).expect_err("it does not fit").to_string();
        error
            .strip_prefix("the tensors do not fit architecture `sequential`: ")
            .expect("a mismatch")
            .to_string()
    };
    insta::assert_snapshot!(refused(&|state| state[2].1 = state[2].1.narrow(1, 0, 1).expect("narrow")),
        @"tensor 3 of the file, `conv.weight` [2, 1, 3, 3], cannot be `2.weight` [2, 2, 3, 3]");
    insta::assert_snapshot!(refused(&|state| { state.remove(2); }), @"tensor 3 of the file, `conv.bias` [2], cannot be `2.weight` [2, 2, 3, 3]");
    insta::assert_snapshot!(refused(&|state| { state.pop(); }), @"the file ends before `5.bias` [4]");
    insta::assert_snapshot!(refused(&|state| { let last = state[7].1.clone(); state.push(("more".into(), last)); }), @"`more` [4] has no place in it");
    // By the alphabet, bias before weight; both of a norm have one shape.
    insta::assert_snapshot!(refused(&|state| state.swap(4, 5)), @"tensor 5 of the file, `norm.bias` [18], cannot be `4.weight` [18]: the order of its tensors is another one");
    // Two layers of one shape, the first of which has the second's name.
    insta::assert_snapshot!(refused(&|state| state[0].0 = "2.weight".into()), @"tensor 1 of the file, `2.weight` [2, 2, 3, 3], cannot be `0.weight` [2, 2, 3, 3]: by its name it is another tensor of the same shape; rename one of them");
    insta::assert_snapshot!(refused(&|state| {
        state[0].0 = "0.weight".into();
        state.pop();
    }), @"`0.bias` [2] is missing");
}
