//! Where trainings of `bars-vgg.toml` start: for each seed among the arguments, `FOLDER/SEED.safetensors` with the first
//! weights, as the state dict names them, and `order` `[epochs, samples]`, the training samples in the order in which each
//! epoch takes them. `bars.py --starts FOLDER` trains from there in PyTorch: what is left between the two is how they
//! compute.
#![allow(clippy::print_stderr)]

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use rand::seq::SliceRandom;
use runner::arch::{Architecture, Network, Vgg, VggKind};
use runner::seed;

const SAMPLES: u32 = 50_000;
const EPOCHS: usize = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // `cargo bench` adds an argument of its own.
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let Some(folder) = arguments.next() else {
        return Err("usage: starts FOLDER SEED ...".into());
    };
    let architecture = Architecture::Vgg(VggKind::Vgg11Half, Vgg::default());
    for argument in arguments {
        let seed: u64 = argument.parse()?;
        // As a job of one part does.
        let mut rng = seed::generator(seed, "initialisation", &[0]);
        let network = Network::initialise(&architecture, &[3, 32, 32], 10, &mut rng, &Device::Cpu)?;
        let mut rng = seed::generator(seed, "batches", &[0]);
        let mut order: Vec<u32> = (0..SAMPLES).collect();
        let mut orders = Vec::new();
        for _ in 0..EPOCHS {
            order.shuffle(&mut rng);
            orders.extend_from_slice(&order);
        }
        let orders = Tensor::from_vec(orders, (EPOCHS, SAMPLES as usize), &Device::Cpu)?;
        let tensors: HashMap<_, _> = network
            .state()
            .into_iter()
            .chain([("order".to_string(), orders)])
            .collect();
        let path = Path::new(&folder).join(format!("{seed}.safetensors"));
        candle_core::safetensors::save(&tensors, &path)?;
        eprintln!("{}", path.display());
    }
    Ok(())
}
