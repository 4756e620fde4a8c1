//! Training steps of the reference's vision transformer on CIFAR (7 blocks, hidden and MLP width 384, 12 heads,
//! 65 tokens, batches of 128): forward, backward, Adam. One line of JSON, as PyTorch's; `benches/transformer.sh`
//! compares the two. An argument is the number of steps.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use candle_core::{DType, Device, Result, Tensor, Var};
use runner::nn::{gelu, layer_norm, linear, multi_head_attention};
use runner::train::{Optimizer, OptimizerSettings, cross_entropy};

const BLOCKS: usize = 7;
const HIDDEN: usize = 384;
const HEADS: usize = 12;
const TOKENS: usize = 65;
const PATCH: usize = 48;
const CLASSES: usize = 10;
const BATCH: usize = 128;

struct Layer {
    weight: Var,
    bias: Var,
}

impl Layer {
    fn new(outputs: usize, inputs: usize, parameters: &mut Vec<Var>) -> Result<Self> {
        let bound = 1.0 / (inputs as f64).sqrt();
        let weight = Var::rand_f64(-bound, bound, (outputs, inputs), DType::F32, &Device::Cpu)?;
        let bias = Var::zeros(outputs, DType::F32, &Device::Cpu)?;
        parameters.extend([weight.clone(), bias.clone()]);
        Ok(Self { weight, bias })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        linear(x, &self.weight, Some(&self.bias))
    }
}

struct Norm {
    gamma: Var,
    beta: Var,
}

impl Norm {
    fn new(parameters: &mut Vec<Var>) -> Result<Self> {
        let gamma = Var::ones(HIDDEN, DType::F32, &Device::Cpu)?;
        let beta = Var::zeros(HIDDEN, DType::F32, &Device::Cpu)?;
        parameters.extend([gamma.clone(), beta.clone()]);
        Ok(Self { gamma, beta })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        layer_norm(x, &self.gamma, &self.beta, 1e-5)
    }
}

struct Block {
    norms: [Norm; 2],
    /// Queries, keys, values, output, and the two of the MLP.
    layers: [Layer; 6],
}

impl Block {
    fn new(parameters: &mut Vec<Var>) -> Result<Self> {
        let norms = [Norm::new(parameters)?, Norm::new(parameters)?];
        let mut layer = || Layer::new(HIDDEN, HIDDEN, parameters);
        Ok(Self {
            norms,
            layers: [layer()?, layer()?, layer()?, layer()?, layer()?, layer()?],
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let [q, k, v, output, first, second] = &self.layers;
        let h = self.norms[0].forward(x)?;
        let scale = 1.0 / (HIDDEN as f64).sqrt();
        let heads = multi_head_attention(&q.forward(&h)?, &k.forward(&h)?, &v.forward(&h)?, HEADS, scale)?;
        let x = (output.forward(&heads)? + x)?;
        let h = gelu(&first.forward(&self.norms[1].forward(&x)?)?)?;
        gelu(&second.forward(&h)?)? + x
    }
}

struct Network {
    embedding: Layer,
    blocks: Vec<Block>,
    norm: Norm,
    head: Layer,
    parameters: Vec<Var>,
}

impl Network {
    fn new() -> Result<Self> {
        let mut parameters = Vec::new();
        let embedding = Layer::new(HIDDEN, PATCH, &mut parameters)?;
        let blocks = (0..BLOCKS)
            .map(|_| Block::new(&mut parameters))
            .collect::<Result<_>>()?;
        let (norm, head) = (
            Norm::new(&mut parameters)?,
            Layer::new(CLASSES, HIDDEN, &mut parameters)?,
        );
        Ok(Self {
            embedding,
            blocks,
            norm,
            head,
            parameters,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = self.embedding.forward(x)?;
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        let first = x.narrow(1, 0, 1)?.squeeze(1)?;
        self.head.forward(&self.norm.forward(&first)?)
    }
}

fn main() -> Result<()> {
    // `cargo bench` adds an argument of its own.
    let steps = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(10usize);
    let network = Network::new()?;
    let x = Tensor::randn(0f32, 1f32, (BATCH, TOKENS, PATCH), &Device::Cpu)?;
    let labels: Vec<u32> = (0..BATCH as u32).map(|i| i % CLASSES as u32).collect();
    let labels = Tensor::from_vec(labels, BATCH, &Device::Cpu)?;
    let mut adam = Optimizer::new(&OptimizerSettings::default(), network.parameters.clone());
    let mut seconds = Vec::new();
    for _ in 0..steps + 2 {
        let start = Instant::now();
        let loss = cross_entropy(&network.forward(&x)?, &labels, 0.1)?;
        let forward = start.elapsed().as_secs_f64();
        let gradients = loss.backward()?;
        let backward = start.elapsed().as_secs_f64();
        adam.step(&gradients, 1e-3)?;
        seconds.push([start.elapsed().as_secs_f64(), forward, backward - forward]);
    }
    // The first two warm up.
    let mut seconds = seconds.split_off(2);
    seconds.sort_by(|a, b| a[0].total_cmp(&b[0]));
    let [step, forward, backward] = seconds[steps / 2];
    println!(
        r#"{{"case": "vit", "phase": "train", "batch": {BATCH}, "images_per_second": {:.1}, "forward": {forward:.3}, "backward": {backward:.3}, "step": {step:.3}}}"#,
        BATCH as f64 / step
    );
    Ok(())
}
