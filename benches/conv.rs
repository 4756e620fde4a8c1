//! Times the convolutions of VGG11, one by one and together with ReLU and pooling, on random images: lines of
//! `name<tab>forward (ms)<tab>backward (ms)`, the fastest of `ROUNDS` each. `nn.sh` puts PyTorch's beside them.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use candle_core::{DType, Device, Result, Tensor, Var};
use runner::nn::{conv2d, max_pool2d, relu};

const BATCH: usize = 128;
const ROUNDS: usize = 12;
/// Channels of the convolutions, 0 for a pooling by two.
const LAYERS: [usize; 13] = [64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0];

struct Layer {
    weight: Tensor,
    bias: Tensor,
}

fn layer(inputs: usize, outputs: usize) -> Result<Layer> {
    let deviation = (2.0 / (9.0 * inputs as f64)).sqrt();
    let weight = (Tensor::randn(0f32, 1.0, (outputs, inputs, 3, 3), &Device::Cpu)? * deviation)?;
    let bias = Tensor::zeros(outputs, DType::F32, &Device::Cpu)?;
    Ok(Layer {
        weight: Var::from_tensor(&weight)?.into_inner(),
        bias: Var::from_tensor(&bias)?.into_inner(),
    })
}

/// Milliseconds that `forward` and the gradients of its result take at least.
fn fastest(forward: impl Fn() -> Result<Tensor>) -> Result<(f64, f64)> {
    let mut fastest = (f64::INFINITY, f64::INFINITY);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let y = forward()?;
        let middle = Instant::now();
        let gradients = y.backward()?;
        let end = Instant::now();
        drop(gradients);
        fastest.0 = fastest.0.min((middle - start).as_secs_f64() * 1e3);
        fastest.1 = fastest.1.min((end - middle).as_secs_f64() * 1e3);
    }
    Ok(fastest)
}

fn network(x: &Tensor, layers: &[Layer]) -> Result<Tensor> {
    let (mut x, mut layers) = (x.clone(), layers.iter());
    for outputs in LAYERS {
        x = match (outputs, layers.as_slice().first()) {
            (1.., Some(layer)) => {
                layers.next();
                relu(&conv2d(&x, &layer.weight, Some(&layer.bias), 1, 1)?)?
            }
            _ => max_pool2d(&x, 2, 2, 0)?,
        };
    }
    Ok(x)
}

fn main() -> Result<()> {
    let images = Tensor::randn(0f32, 1.0, (BATCH, 3, 32, 32), &Device::Cpu)?;
    let (mut channels, mut size) = (3, 32);
    let mut layers = Vec::new();
    for outputs in LAYERS {
        if outputs == 0 {
            size /= 2;
            continue;
        }
        let layer = layer(channels, outputs)?;
        let shape = (BATCH, channels, size, size);
        let x = match layers.is_empty() {
            true => images.clone(),
            false => Var::from_tensor(&Tensor::randn(0f32, 1.0, shape, &Device::Cpu)?)?.into_inner(),
        };
        let (forward, backward) = fastest(|| conv2d(&x, &layer.weight, Some(&layer.bias), 1, 1))?;
        println!("{channels}-{outputs}, {size}x{size}\t{forward:.1}\t{backward:.1}");
        layers.push(layer);
        channels = outputs;
    }
    let (forward, backward) = fastest(|| network(&images, &layers))?;
    println!("all, with ReLU and pooling\t{forward:.1}\t{backward:.1}");
    Ok(())
}
