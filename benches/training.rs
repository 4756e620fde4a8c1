//! Training steps (forward, backward, Adam) and inference of the reference's networks, batches of 128: one line of JSON
//! each, as PyTorch's. `benches/training.sh` compares the two. Arguments: the number of steps, and cases.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use candle_core::{Device, Result, Tensor};
use runner::arch::{Architecture, Mlp, Network, ResNet, ResNetKind, Training, Vgg, VggKind, Vit};
use runner::seed;
use runner::train::{Optimizer, OptimizerSettings, cross_entropy};

/// As the program has.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const BATCH: usize = 128;
const CASES: [&str; 4] = ["mlp", "vgg11", "resnet18", "vit"];

/// Architecture, shape of an image, classes; as `../shared/bench/torch_training.py` has them.
fn case(name: &str) -> (Architecture, [usize; 3], usize) {
    let image = [3, 32, 32];
    match name {
        "mlp" => {
            let mlp = Mlp {
                hidden: vec![256],
                ..Mlp::default()
            };
            (Architecture::Mlp(mlp), [1, 28, 28], 10)
        }
        "vgg11" => (Architecture::Vgg(VggKind::Vgg11, Vgg::default()), image, 10),
        "resnet18" => {
            let resnet = ResNet {
                batch_norm: true,
                ..ResNet::default()
            };
            (Architecture::ResNet(ResNetKind::ResNet18, resnet), image, 10)
        }
        _ => {
            let vit = Vit {
                depth: 7,
                hidden: 384,
                mlp_hidden: 384,
                heads: 12,
                ..Vit::default()
            };
            (Architecture::Vit(vit), image, 100)
        }
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo bench` adds an argument of its own.
    let steps = arguments.iter().find_map(|a| a.parse().ok()).unwrap_or(5usize);
    let asked: Vec<&str> = CASES
        .into_iter()
        .filter(|case| arguments.iter().any(|a| a == case))
        .collect();
    for name in if asked.is_empty() { CASES.to_vec() } else { asked } {
        let (architecture, image, classes) = case(name);
        let mut rng = seed::generator(0, "bench", &[]);
        let network = Network::initialise(&architecture, &image, classes, &mut rng, &Device::Cpu)
            .map_err(candle_core::Error::wrap)?;
        let x = Tensor::randn(0f32, 1f32, (BATCH, image[0], image[1], image[2]), &Device::Cpu)?;
        let labels: Vec<u32> = (0..BATCH as u32).map(|i| i % 10).collect();
        let labels = Tensor::new(labels, &Device::Cpu)?;
        let (trained, parameters) = network.trainable()?;
        let mut adam = Optimizer::new(&OptimizerSettings::default(), parameters);
        report(name, "train", steps, || {
            let mut training = Training {
                rng: &mut rng,
                statistics: Vec::new(),
                precision: runner::gpu::Precision::F32,
            };
            let logits = trained.forward_training(&x, &mut training)?;
            adam.step(&cross_entropy(&logits, &labels, 0.1)?.backward()?, 1e-3)
        })?;
        report(name, "inference", steps, || network.forward(&x).map(drop))?;
    }
    Ok(())
}

/// Prints images per second of the median step; two more warm up.
fn report(case: &str, phase: &str, steps: usize, mut step: impl FnMut() -> Result<()>) -> Result<()> {
    let mut seconds = Vec::with_capacity(steps);
    for turn in 0..steps + 2 {
        let start = Instant::now();
        step()?;
        if turn >= 2 {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    seconds.sort_by(f64::total_cmp);
    let rate = BATCH as f64 / seconds[steps / 2];
    println!(r#"{{"case": "{case}", "phase": "{phase}", "batch": {BATCH}, "images_per_second": {rate:.1}}}"#);
    Ok(())
}
