//! Seconds of fusion and training, images per second, and shares of what the device can do.
//!
//! Operations are counted, not measured: 2 per multiplication and addition of the layers' maps, three times those of a
//! forward pass in a training step. Ceilings are those of this device, measured first: a copy within its memory, and a
//! matrix product in f32, TF32 and f64.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::time::Instant;

use candle_core::{DType, Device, Result, Tensor};
use runner::arch::{Architecture, Network, Training};
use runner::fusion::{Fused, Inputs, Method, fuse};
use runner::gpu::{self, Precision};
use runner::seed::generator;
use runner::train::{Optimizer, OptimizerSettings, cross_entropy};
use serde_json::{Value, json};

use super::{plain, random};

/// Seconds of `work`: the median of some runs after one that is not counted.
fn seconds(device: &Device, runs: usize, work: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
    work()?;
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs.max(1) {
        device.synchronize()?;
        let start = Instant::now();
        work()?;
        device.synchronize()?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// What a device reaches: bytes per second, and operations per second in f32 and f64.
struct Ceilings {
    bytes: f64,
    single: f64,
    double: f64,
}

fn ceilings(device: &Device) -> Result<Ceilings> {
    let (numbers, side) = if device.is_cuda() {
        (1 << 28, 8192)
    } else {
        (1 << 24, 1024)
    };
    let x = Tensor::zeros(numbers, DType::F32, device)?.affine(1.0, 0.5)?;
    let copy = seconds(device, 5, &mut || x.copy().map(|_| ()))?;
    let bytes = 8.0 * numbers as f64 / copy;
    println!("ceiling copy {:.0} GB/s", bytes / 1e9);
    let product = |name: &str, dtype: DType, precision: Precision| -> Result<f64> {
        let matrix = |seed: u64| -> Result<Tensor> {
            // One random row, rolled: random enough to time, quick to make.
            let row = random(&[2 * side], seed).to_dtype(dtype)?;
            let rows = (0..side)
                .map(|i| row.narrow(0, i * 977 % side, side))
                .collect::<Result<Vec<_>>>()?;
            Tensor::stack(&rows, 0)?.to_device(device)
        };
        let (a, b) = (matrix(1)?, matrix(2)?);
        let time = seconds(device, 5, &mut || gpu::product(&a, &b, precision).map(|_| ()))?;
        let rate = 2.0 * (side as f64).powi(3) / time;
        println!("ceiling product {name} {:.1} TFLOP/s", rate / 1e12);
        Ok(rate)
    };
    let single = product("f32", DType::F32, Precision::F32)?;
    if device.is_cuda() {
        product("tf32", DType::F32, Precision::Tf32)?;
        product("bf16", DType::F32, Precision::Bf16)?;
    }
    let double = product("f64", DType::F64, Precision::F32)?;
    Ok(Ceilings {
        bytes,
        single,
        double,
    })
}

fn model(architecture: &Value, classes: usize, seed: u64, device: &Device) -> Result<Network> {
    let architecture: Architecture = plain(serde_json::from_value(architecture.clone()))?;
    let mut rng = generator(seed, "initialisation", &[]);
    let network = plain(Network::initialise(
        &architecture,
        &[3, 32, 32],
        classes,
        &mut rng,
        &Device::Cpu,
    ))?;
    let mut moved = network.clone();
    for tensor in &mut moved.tensors {
        *tensor = tensor.to_device(device)?;
    }
    Ok(moved)
}

/// Operations of one image's forward pass: layers of the plan, and, in transformers, products within blocks from the sizes
/// of their parameters.
fn operations(network: &Network, image: &Tensor) -> Result<f64> {
    let outputs = network.preactivations(image)?;
    let layers = network.layers().iter().zip(&outputs);
    let in_layers: f64 = layers
        .map(|(layer, output)| 2.0 * layer.fan_in() as f64 * output.elem_count() as f64)
        .sum();
    if network.plan.chain {
        return Ok(in_layers);
    }
    let tokens = network
        .level_outputs(image)?
        .iter()
        .filter(|o| o.rank() == 3)
        .map(|o| o.dims()[2])
        .max();
    let matrices = network
        .tensors
        .iter()
        .filter(|t| t.rank() == 2)
        .map(Tensor::elem_count)
        .sum::<usize>();
    Ok(2.0 * (matrices * tokens.unwrap_or(1)) as f64)
}

fn training(
    name: &str,
    architecture: &Value,
    classes: usize,
    precision: Precision,
    device: &Device,
    full: bool,
) -> Result<String> {
    let batch = if full { 128 } else { 8 };
    let network = model(architecture, classes, 1, device)?;
    let images = random(&[batch, 3, 32, 32], 2).to_device(device)?;
    let labels: Vec<u32> = (0..batch as u32).map(|i| i % classes as u32).collect();
    let labels = Tensor::new(labels, device)?;
    let count = operations(&network, &images.narrow(0, 0, 1)?)?;
    let (trained, vars) = network.trainable()?;
    let mut optimizer = Optimizer::new(&OptimizerSettings::default(), vars);
    let mut rng = generator(3, "dropout", &[]);
    let steps = if full { 20 } else { 1 };
    let time = seconds(device, 3, &mut || {
        for _ in 0..steps {
            let mut training = Training {
                rng: &mut rng,
                statistics: Vec::new(),
                precision,
            };
            let logits = trained.forward_training(&images, &mut training)?;
            let gradients = cross_entropy(&logits, &labels, 0.0)?.backward()?;
            optimizer.step(&gradients, 1e-4)?;
        }
        Ok(())
    })?;
    let images_per_second = (batch * steps) as f64 / time;
    Ok(format!(
        "train {name} {precision:?}: {images_per_second:.0} images/s, {:.2} ms a step of {batch}, {:.2} TFLOP/s",
        1e3 * time / steps as f64,
        3.0 * count * images_per_second / 1e12
    ))
}

struct Fusion {
    name: &'static str,
    /// Timed runs, after one that is not counted.
    runs: usize,
    architecture: Value,
    classes: usize,
    samples: usize,
    method: Value,
}

fn fusion(case: &Fusion, device: &Device, full: bool) -> Result<String> {
    let samples = if full { case.samples } else { 20 };
    let models = [1, 2].map(|seed| model(&case.architecture, case.classes, seed, device));
    let [a, b] = models;
    let models = [a?, b?];
    let images = random(&[samples, 3, 32, 32], 4).to_device(device)?;
    let labels: Vec<u32> = (0..samples as u32).map(|i| i % case.classes as u32).collect();
    let labels = Tensor::new(labels, device)?;
    let method: Method = plain(serde_json::from_value(case.method.clone()))?;
    let inputs = Inputs {
        models: &models,
        images: Some(&images),
        labels: Some(&labels),
        seed: 1,
        class_counts: None,
    };
    let time = seconds(
        device,
        if full { case.runs } else { 1 },
        &mut || match plain(fuse(&method, &inputs, &mut || ControlFlow::Continue(())))? {
            Fused::Network { .. } => Ok(()),
            Fused::Ensemble { .. } => candle_core::bail!("no network"),
        },
    )?;
    // Products of the least squares in f64, where there are any: Z^T Z and Z^T A.
    let mut products = 0.0;
    if case.name.contains("linear") {
        let outputs = models[0].preactivations(&images.narrow(0, 0, 1)?)?;
        for (layer, output) in models[0].layers().iter().zip(&outputs) {
            let rows = (samples * output.elem_count() / layer.width()) as f64;
            let (d, n) = (layer.fan_in() as f64 + 1.0, 2.0 * layer.width() as f64);
            products += 2.0 * rows * d * rows.min(d) + 2.0 * rows * d * n;
        }
    }
    let mut text = format!("fuse {}: {time:.3} s for {samples} samples", case.name);
    if products > 0.0 {
        let _ = write!(
            text,
            ", {:.2} TFLOP/s of f64 products alone",
            products / time / 1e12
        );
    }
    Ok(text)
}

fn adam(device: &Device, ceilings: &Ceilings) -> Result<String> {
    let network = model(&json!({ "architecture": "vgg11" }), 10, 1, device)?;
    let (_, vars) = network.trainable()?;
    let count: usize = vars.iter().map(|var| var.elem_count()).sum();
    let gradients: Vec<Option<Tensor>> = vars.iter().map(|var| Some(var.as_tensor().detach())).collect();
    let mut optimizer = Optimizer::new(&OptimizerSettings::default(), vars);
    let time = seconds(device, 10, &mut || optimizer.apply(&gradients, 1e-6))?;
    // Value, two moments and gradient read, all but the gradient written.
    let rate = 28.0 * count as f64 / time;
    Ok(format!(
        "kernel adam VGG11: {:.3} ms, {:.0} GB/s, {:.0} % of a copy",
        1e3 * time,
        rate / 1e9,
        100.0 * rate / ceilings.bytes
    ))
}

/// Prints all lines; how many cases failed.
pub fn speed(device: &Device, names: &[String]) -> usize {
    let full = device.is_cuda() && !names.iter().any(|name| name == "small");
    let names: Vec<&String> = names.iter().filter(|name| *name != "small").collect();
    let vgg = json!({ "architecture": "vgg11" });
    let vit = json!({ "architecture": "vit", "depth": 7, "hidden": 384, "mlp-hidden": 384, "heads": 12 });
    let on_vgg = |name, runs, method: Value| Fusion {
        name,
        runs,
        architecture: vgg.clone(),
        classes: 10,
        samples: 400,
        method,
    };
    // Epochs of a level: all 100 would take the ViT minutes.
    let gradient = |epochs: usize| {
        let epochs = if full { epochs } else { 1 };
        json!({ "method": "kf-gradient", "level": { "epochs": epochs }, "patience": epochs })
    };
    let fusions = [
        on_vgg("hf-linear VGG11", 3, json!({ "method": "hf-linear" })),
        on_vgg(
            "hf-linear conductance VGG11",
            3,
            json!({ "method": "hf-linear", "importance": "conductance" }),
        ),
        on_vgg("kf-linear VGG11", 3, json!({ "method": "kf-linear" })),
        on_vgg("kf-gradient VGG11, 100 epochs", 1, gradient(100)),
        Fusion {
            name: "kf-gradient ViT, 5 epochs",
            runs: 1,
            architecture: vit.clone(),
            classes: 100,
            samples: 6000,
            method: gradient(5),
        },
    ];
    let wanted = |text: &str| names.is_empty() || names.iter().any(|name| text.contains(name.as_str()));
    let mut failed = 0;
    let mut line = |text: Result<String>| match text {
        Ok(text) => println!("{text}"),
        Err(error) => {
            println!("FAILED {error}");
            failed += 1;
        }
    };
    let ceilings = match ceilings(device) {
        Ok(ceilings) => ceilings,
        Err(error) => {
            println!("FAILED ceilings: {error}");
            return 1;
        }
    };
    let precisions = match device.is_cuda() {
        true => vec![Precision::F32, Precision::Tf32, Precision::Bf16],
        false => vec![Precision::F32],
    };
    for (name, architecture, classes) in [("VGG11", &vgg, 10), ("ViT", &vit, 100)] {
        for &precision in precisions.iter().filter(|_| wanted(&format!("train {name}"))) {
            line(training(name, architecture, classes, precision, device, full));
        }
    }
    if wanted("kernel adam") {
        line(adam(device, &ceilings));
    }
    for case in fusions
        .iter()
        .filter(|case| wanted(&format!("fuse {}", case.name)))
    {
        line(fusion(case, device, full));
    }
    println!(
        "of the ceilings {:.1} TFLOP/s in f32, {:.1} in f64",
        ceilings.single / 1e12,
        ceilings.double / 1e12
    );
    failed
}
