//! What is compared: operations of networks forward and back, kernels, training steps of every architecture, every method.

use std::ops::ControlFlow;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var};
use runner::arch::{ARCHITECTURES, Architecture, Network, Training};
use runner::data::{Augmentation, Augmenter, MixPart, Normalisation, Part};
use runner::fusion::{Fused, Inputs, METHODS, Method, fuse};
use runner::gpu::{self, Precision};
use runner::importance::{Importance, Place};
use runner::seed::generator;
use runner::tick::unwatched;
use runner::train::{Optimizer, OptimizerKind, OptimizerSettings, cross_entropy};
use runner::{arch, nn};
use serde_json::json;

use super::{plain, random};

/// Computes on a device what is compared.
pub type Work = Box<dyn Fn(&Device) -> Result<Vec<Tensor>>>;

/// Some work on a device.
pub struct Case {
    /// What it is.
    pub name: String,
    /// Largest error against the CPU, relative to the largest number.
    pub tolerance: f64,
    /// Its results.
    pub work: Work,
}

/// A case of this name.
pub fn case(
    name: impl Into<String>,
    tolerance: f64,
    work: impl Fn(&Device) -> Result<Vec<Tensor>> + 'static,
) -> Case {
    Case {
        name: name.into(),
        tolerance,
        work: Box::new(work),
    }
}

/// All of them, those that need no files.
pub fn all() -> Vec<Case> {
    let mut all = operations();
    all.extend(kernels());
    all.extend(algebra());
    all.extend(steps());
    all.extend(methods());
    all
}

/// The result of `f` on random inputs of these shapes, and the gradients of its product with random numbers.
fn passes(
    shapes: &[Vec<usize>],
    dtype: DType,
    device: &Device,
    f: &dyn Fn(&[Tensor]) -> Result<Tensor>,
) -> Result<Vec<Tensor>> {
    let vars = shapes.iter().enumerate().map(|(i, shape)| {
        let x = random(shape, i as u64).to_dtype(dtype)?.to_device(device)?;
        Var::from_tensor(&x)
    });
    let vars = vars.collect::<Result<Vec<_>>>()?;
    let tracked: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let y = f(&tracked)?;
    let slopes = random(y.dims(), 99).to_dtype(dtype)?.to_device(device)?;
    let gradients = (&y * slopes)?.sum_all()?.backward()?;
    let of = |var: &Var| match gradients.get(var.as_tensor()) {
        Some(gradient) => Ok(gradient.detach()),
        None => candle_core::bail!("no gradient"),
    };
    std::iter::once(Ok(y.detach()))
        .chain(vars.iter().map(of))
        .collect()
}

type Operation = (&'static str, Vec<Vec<usize>>, fn(&[Tensor]) -> Result<Tensor>);

fn operations() -> Vec<Case> {
    let list: [Operation; 13] = [
        ("relu", vec![vec![4, 300]], |x| nn::relu(&x[0])),
        ("max_pool2d 2/2", vec![vec![3, 5, 12, 10]], |x| {
            nn::max_pool2d(&x[0], 2, 2, 0)
        }),
        ("max_pool2d 3/2 padded", vec![vec![3, 5, 11, 9]], |x| {
            nn::max_pool2d(&x[0], 3, 2, 1)
        }),
        ("avg_pool2d 3/2", vec![vec![3, 5, 11, 9]], |x| {
            nn::avg_pool2d(&x[0], 3, 2)
        }),
        (
            "conv2d 3x3",
            vec![vec![3, 8, 9, 8], vec![16, 8, 3, 3], vec![16]],
            |x| nn::conv2d(&x[0], &x[1], Some(&x[2]), 1, 1),
        ),
        (
            "conv2d 3x3 by tiles",
            vec![vec![3, 18, 9, 7], vec![17, 18, 3, 3], vec![17]],
            |x| nn::conv2d(&x[0], &x[1], Some(&x[2]), 1, 1),
        ),
        ("conv2d 3x3/2", vec![vec![3, 8, 9, 8], vec![16, 8, 3, 3]], |x| {
            nn::conv2d(&x[0], &x[1], None, 2, 1)
        }),
        ("linear", vec![vec![6, 5, 40], vec![30, 40], vec![30]], |x| {
            nn::linear(&x[0], &x[1], Some(&x[2]))
        }),
        ("layer_norm", vec![vec![6, 5, 40], vec![40], vec![40]], |x| {
            nn::layer_norm(&x[0], &x[1], &x[2], 1e-5)
        }),
        (
            "batch_norm_train",
            vec![vec![6, 5, 4, 3], vec![5], vec![5]],
            |x| Ok(nn::batch_norm_train(&x[0], Some(&x[1]), Some(&x[2]), 1e-5)?.0),
        ),
        ("gelu", vec![vec![4, 300]], |x| nn::gelu(&x[0])),
        ("attention", vec![vec![3, 7, 24]; 3], |x| {
            nn::multi_head_attention(&x[0], &x[1], &x[2], 4, 0.3)
        }),
        ("cross_entropy", vec![vec![9, 10]], |x| {
            let labels: Vec<u32> = (0..9).collect();
            cross_entropy(&x[0], &Tensor::new(labels, x[0].device())?, 0.1)
        }),
    ];
    let types = [("f32", DType::F32, 2e-5), ("f64", DType::F64, 1e-12)];
    let each = list.into_iter().flat_map(|(name, shapes, f)| {
        types.map(|(suffix, dtype, tolerance)| {
            let shapes = shapes.clone();
            case(format!("op {name} {suffix}"), tolerance, move |device| {
                passes(&shapes, dtype, device, &f)
            })
        })
    });
    let mut all: Vec<Case> = each.collect();
    for (precision, tolerance) in [(Precision::Tf32, 2e-3), (Precision::Bf16, 2e-2)] {
        all.push(case(
            format!("op conv2d and linear {precision:?}"),
            tolerance,
            move |device| {
                let shapes = [vec![3, 18, 9, 8], vec![16, 18, 3, 3], vec![10, 16 * 9 * 8]];
                passes(&shapes, DType::F32, device, &|x| {
                    let y = nn::conv2d_in(precision, &x[0], &x[1], None, (1, 1))?.flatten_from(1)?;
                    nn::linear_in(precision, &y, &x[2], None)
                })
            },
        ));
    }
    // Not merely within bf16's errors: cuBLAS may compute in TF32 where it is allowed to in bf16.
    all.push(case("op product of factors in bf16", 2e-6, |device| {
        let factor = |shape: &[usize], seed| random(shape, seed).to_device(device);
        let (a, b) = (factor(&[40, 300], 1)?, factor(&[300, 50], 2)?);
        if device.is_cuda() {
            return Ok(vec![gpu::product(&a, &b, Precision::Bf16)?]);
        }
        let rounded = |x: &Tensor| x.to_dtype(DType::BF16)?.to_dtype(DType::F32);
        Ok(vec![rounded(&a)?.matmul(&rounded(&b)?)?])
    }));
    all
}

fn kernels() -> Vec<Case> {
    let squared = case("kernel weighted squared error", 2e-6, |device| {
        let at = |seed| random(&[70, 33, 7], seed).to_device(device);
        let (y, t, w) = (at(1)?, at(2)?, random(&[33], 3).abs()?.to_device(device)?);
        if device.is_cuda() {
            let (loss, slope) = gpu::weighted_error(&y, &t, &w)?;
            return Ok(vec![loss, slope]);
        }
        let error = (&y - &t)?;
        let weighted = error.broadcast_mul(&w.reshape((1, 33, 1))?)?;
        let terms = weighted.to_dtype(DType::F64)?.mul(&error.to_dtype(DType::F64)?)?;
        let scale = 2.0 / y.elem_count() as f64;
        Ok(vec![terms.mean_all()?, (weighted * scale)?])
    });
    let sums = case("kernel importance sums", 1e-12, |device| {
        let x = random(&[70, 33, 7], 4).to_device(device)?;
        if device.is_cuda() {
            return Ok(vec![gpu::absolute_sums(&x)?]);
        }
        Ok(vec![x.abs()?.to_dtype(DType::F64)?.sum(2)?.sum(0)?])
    });
    let augment = |name: &'static str, list: serde_json::Value| {
        case(format!("kernel augmentation {name}"), 0.0, move |device| {
            augmented(&list, device)
        })
    };
    vec![
        squared,
        sums,
        augment("crop and flip", json!(["random-crop", "flip"])),
        augment("cutmix", json!(["random-crop", "cutmix"])),
        augment("mixup", json!([{ "name": "mixup", "probability": 1.0 }])),
    ]
}

/// A batch of varied images: by kernels on a GPU, else as on the CPU.
fn augmented(list: &serde_json::Value, device: &Device) -> Result<Vec<Tensor>> {
    let shape = [3, 12, 11];
    let image: usize = shape.iter().product();
    let pixels: Vec<u8> = (0..40 * image).map(|i| (i * 7919 % 256) as u8).collect();
    let normalisation = Normalisation {
        scale: 255.0,
        mean: vec![0.4, 0.5, 0.6],
        std: vec![0.2, 0.3, 0.25],
    };
    let part = Part::new(shape, pixels, vec![0; 40], &normalisation)?;
    let list: Vec<Augmentation> = plain(serde_json::from_value(list.clone()))?;
    let augmenter = Augmenter::new(&list);
    let chosen: Vec<u32> = (0..17).map(|i| i * 2 + 1).collect();
    let rng = |at: u64| generator(1, "varied", &[at]);
    let mut whole = rng(1000);
    if device.is_cuda() {
        let (pixels, table) = part.raw(device)?;
        let draws: Vec<gpu::Draw> = (0..17)
            .map(|i| {
                let (top, left, flip) = augmenter.moves(&mut rng(i));
                gpu::Draw {
                    top: top as u32,
                    left: left as u32,
                    flip,
                }
            })
            .collect();
        let border = augmenter.moves_only().unwrap_or(0);
        let images = gpu::augment(&pixels, &table, &chosen, &draws, border)?;
        let Some(mix) = augmenter.mix(shape, 17, &mut whole) else {
            return Ok(vec![images]);
        };
        let partners: Vec<u32> = mix.partners.iter().map(|&p| p as u32).collect();
        let mixed = match &mix.part {
            MixPart::Window(w) => gpu::cutmix(&images, &partners, w.rows.clone(), w.columns.clone()),
            MixPart::Shares(own, other) => gpu::mixup(&images, &partners, *own, *other),
        };
        return Ok(vec![mixed?]);
    }
    let mut values = Vec::new();
    for (i, &at) in chosen.iter().enumerate() {
        let bytes = augmenter.bytes(shape, part.pixels(at as usize)?, &mut rng(i as u64));
        part.normalise(&bytes, &mut values);
    }
    augmenter.batch(shape, &mut values, &mut whole);
    Ok(vec![Tensor::from_vec(values, (17, 3, 12, 11), device)?])
}

fn algebra() -> Vec<Case> {
    let eigen = case("cuSOLVER eigenvectors", 1e-12, |device| {
        let z = random(&[60, 40], 5).to_dtype(DType::F64)?.to_device(device)?;
        let gram = z.t()?.matmul(&z)?;
        if !device.is_cuda() {
            return Ok(vec![gram]);
        }
        // V^T diag(w) V with a vector per row of V.
        let (values, vectors) = gpu::eigen(&gram)?;
        let again = vectors
            .t()?
            .matmul(&vectors.broadcast_mul(&values.reshape((40, 1))?)?)?;
        Ok(vec![again])
    });
    vec![eigen]
}

fn architecture(value: serde_json::Value) -> Result<Architecture> {
    plain(serde_json::from_value(value))
}

fn network(architecture: &Architecture, image: &[usize], seed: u64, device: &Device) -> Result<Network> {
    let mut rng = generator(seed, "initialisation", &[]);
    let network = plain(Network::initialise(
        architecture,
        image,
        10,
        &mut rng,
        &Device::Cpu,
    ))?;
    let mut moved = network.clone();
    for tensor in &mut moved.tensors {
        *tensor = tensor.to_device(device)?;
    }
    Ok(moved)
}

fn labels(count: usize, device: &Device) -> Result<Tensor> {
    let labels: Vec<u32> = (0..count as u32).map(|i| i % 10).collect();
    Tensor::new(labels, device)
}

/// One training step: logits, loss, the parameters after Adam.
fn step(
    architecture: &Architecture,
    image: &[usize],
    kind: OptimizerKind,
    device: &Device,
) -> Result<Vec<Tensor>> {
    let start = network(architecture, image, 1, device)?;
    let (trained, vars) = start.trainable()?;
    let settings = OptimizerSettings {
        name: kind,
        lr: 0.01,
        momentum: (kind == OptimizerKind::Sgd).then_some(0.9),
        ..OptimizerSettings::default()
    };
    let mut optimizer = Optimizer::new(&settings, vars);
    let shape = [&[4][..], image].concat();
    let x = random(&shape, 6).to_device(device)?;
    let plain_logits = start.forward(&x)?;
    let mut rng = generator(1, "dropout", &[]);
    let mut training = Training {
        rng: &mut rng,
        statistics: Vec::new(),
        precision: Precision::F32,
    };
    // The last stages of ResNets have one pixel: a `BatchNorm` over four numbers makes rounding large. Its own case is above.
    let logits = match architecture.name().starts_with("resnet") {
        true => trained.forward(&x)?,
        false => trained.forward_training(&x, &mut training)?,
    };
    let loss = cross_entropy(&logits, &labels(4, device)?, 0.0)?;
    let gradients = loss.backward()?;
    // Adam divides gradients by their size: where one is nearly 0, its rounding decides. So gradients are compared, and
    // Adam on gradients that both sides have exactly.
    let all = joined(optimizer.vars(), &gradients)?;
    let mut results = vec![plain_logits, logits.detach(), loss.detach(), all];
    let given = optimizer.vars().into_iter().enumerate();
    let given = given.map(|(i, var)| random(var.dims(), 100 + i as u64).to_device(device).map(Some));
    let given = given.collect::<Result<Vec<_>>>()?;
    optimizer.apply(&given, 0.01)?;
    optimizer.apply(&given, 0.01)?;
    results.extend(optimizer.vars().into_iter().map(|var| var.as_tensor().detach()));
    Ok(results)
}

/// All gradients as one vector: some are 0 but for rounding, as those of the keys' biases in an attention.
fn joined(vars: Vec<&Var>, gradients: &GradStore) -> Result<Tensor> {
    let found = vars.into_iter().filter_map(|var| gradients.get(var.as_tensor()));
    let flat = found.map(|gradient| gradient.detach().flatten_all());
    Tensor::cat(&flat.collect::<Result<Vec<_>>>()?, 0)
}

/// Gradients in f64, in which no ReLU is decided by rounding.
fn gradients(architecture: &Architecture, image: &[usize], device: &Device) -> Result<Vec<Tensor>> {
    let mut start = network(architecture, image, 1, device)?;
    for tensor in &mut start.tensors {
        *tensor = tensor.to_dtype(DType::F64)?;
    }
    let (trained, vars) = start.trainable()?;
    let x = random(&[&[4][..], image].concat(), 6).to_device(device)?;
    let logits = trained.forward(&x.to_dtype(DType::F64)?)?;
    let loss = cross_entropy(&logits, &labels(4, device)?, 0.1)?;
    let all = joined(vars.iter().collect(), &loss.backward()?)?;
    Ok(vec![logits.detach(), all])
}

/// No bias before the `BatchNorm`: its gradient would be 0 but for rounding.
fn small() -> serde_json::Value {
    json!({ "architecture": "sequential", "layers": [
        { "kind": "conv", "out": 6, "kernel": 3, "padding": 1 },
        { "kind": "relu" },
        { "kind": "max-pool", "kernel": 2 },
        { "kind": "conv", "out": 8, "kernel": 3, "padding": 1, "bias": false },
        { "kind": "batch-norm" },
        { "kind": "relu" },
        { "kind": "max-pool", "kernel": 2 },
        { "kind": "flatten" },
        { "kind": "linear", "out": 24 },
        { "kind": "relu" },
        { "kind": "linear" },
    ] })
}

fn steps() -> Vec<Case> {
    let kinds = [
        ("adam", OptimizerKind::Adam),
        ("adamw", OptimizerKind::AdamW),
        ("sgd", OptimizerKind::Sgd),
    ];
    let mut all: Vec<Case> = kinds
        .into_iter()
        .map(|(name, kind)| {
            case(format!("step small network {name}"), 1e-4, move |device| {
                step(&architecture(small())?, &[1, 8, 8], kind, device)
            })
        })
        .collect();
    for info in ARCHITECTURES.iter().filter(|info| info.name != "sequential") {
        all.push(case(format!("step {}", info.name), 2e-3, move |device| {
            let architecture = architecture(json!({ "architecture": info.name }))?;
            step(&architecture, &[3, 32, 32], OptimizerKind::Adam, device)
        }));
        all.push(case(
            format!("gradients in f64 {}", info.name),
            1e-10,
            move |device| {
                let architecture = architecture(json!({ "architecture": info.name }))?;
                gradients(&architecture, &[3, 32, 32], device)
            },
        ));
    }
    all
}

/// The logits of what a method makes of two networks, whose neurons are matched and clustered the same way wherever two
/// choices do not tie.
fn fused(
    method: &Method,
    network_of: &Architecture,
    image: &[usize],
    device: &Device,
) -> Result<Vec<Tensor>> {
    let models = [
        network(network_of, image, 1, device)?,
        network(network_of, image, 2, device)?,
    ];
    let images = random(&[&[120][..], image].concat(), 7).to_device(device)?;
    let labels = labels(120, device)?;
    let counts = vec![vec![10; 10], (1..11).collect()];
    let inputs = Inputs {
        models: &models,
        images: Some(&images),
        labels: Some(&labels),
        seed: 3,
        class_counts: Some(&counts),
    };
    match plain(fuse(method, &inputs, &mut || ControlFlow::Continue(())))? {
        Fused::Network { network, .. } => Ok(vec![network.forward(&images)?]),
        Fused::Ensemble { weights } => {
            let weights = weights.into_iter().flatten().flatten().collect::<Vec<f64>>();
            let count = weights.len();
            Ok(vec![Tensor::from_vec(weights, count, &Device::Cpu)?])
        }
    }
}

fn method(info_name: &str, importance: Option<&str>) -> Result<Method> {
    let mut parameters = json!({ "method": info_name });
    if let Some(importance) = importance {
        parameters["importance"] = json!(importance);
    }
    if ["kf-gradient", "logit-kd"].contains(&info_name) {
        parameters["level"] = json!({ "epochs": 3 });
    }
    plain(serde_json::from_value(parameters))
}

fn methods() -> Vec<Case> {
    let mut all = Vec::new();
    for info in METHODS {
        let has_importance = method(info.name, None).is_ok_and(|method| method.importance().is_some());
        let scores: &[Option<&str>] = match has_importance {
            // Neurons that never fire cost each pair the same, whatever they are matched with: with scores, rounding decides.
            true if info.name == "git-rebasin" => &[Some("uniform")],
            true => &[Some("uniform"), Some("conductance"), Some("deeplift")],
            false => &[None],
        };
        for &importance in scores {
            let networks = [
                ("mlp", json!({ "architecture": "mlp", "hidden": [32, 24] })),
                ("small conv network", small()),
            ];
            for (name, value) in networks {
                let title = format!("method {} {} {name}", info.name, importance.unwrap_or(""));
                // Trained levels: Adam turns rounding into steps.
                let trained = ["kf-gradient", "logit-kd"].contains(&info.name);
                let tolerance = if trained { 2e-2 } else { 1e-3 };
                all.push(case(title, tolerance, move |device| {
                    let method = method(info.name, importance)?;
                    fused(&method, &architecture(value.clone())?, &[1, 8, 8], device)
                }));
            }
        }
    }
    for importance in [
        Importance::Conductance,
        Importance::Deeplift,
        Importance::FeatureAblation,
    ] {
        let name = importance.as_str();
        all.push(case(format!("scores {name}"), 1e-5, move |device| {
            let architecture = architecture(json!({ "architecture": "mlp", "hidden": [32, 24] }))?;
            let network: arch::Network = network(&architecture, &[1, 8, 8], 1, device)?;
            let images = random(&[60, 1, 8, 8], 8).to_device(device)?;
            let scores = importance.scores(
                &network,
                &images,
                &labels(60, device)?,
                Place::Level,
                &mut unwatched,
            )?;
            scores.into_iter().map(|s| Tensor::new(s, &Device::Cpu)).collect()
        }));
    }
    all
}
