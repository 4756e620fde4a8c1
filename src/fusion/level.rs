//! Training one level alone towards given targets.
//!
//! What comes before the level's first parameters is applied once. The gradient of the loss is written down, and for
//! a level of one linear map the rest too: for small levels, tracing is what takes the time. Other levels are traced.
//! Dropout is off, and a `BatchNorm` keeps its statistics.

use std::ops::Range;

use candle_core::{D, DType, Result, Tensor, Var};
use candle_nn::ops::softmax;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::FusionError;
use super::pull::pull;
use super::report::LevelTraining;
use crate::arch::{Layer, LayerKind, Module, Network, Plain};
use crate::gpu;
use crate::tick::{Tick, go_on};
use crate::train::{Optimizer, OptimizerKind, OptimizerSettings};

/// How a level is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LevelSettings {
    /// Which optimiser; `sgd` is without momentum here.
    pub optimizer: OptimizerKind,
    /// Learning rate.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// Weight decay: an L2 penalty added to the gradient, with `adamw` apart from it.
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// Longest training.
    pub epochs: usize,
}

impl Default for LevelSettings {
    fn default() -> Self {
        Self {
            optimizer: OptimizerKind::Adam,
            lr: 1e-3,
            weight_decay: 1e-4,
            epochs: 100,
        }
    }
}

/// What is minimised.
#[derive(Debug)]
pub(super) enum Loss {
    /// Mean over samples and neurons of the squared error, each neuron weighted: `[n]`; `None` for 1.
    Squared(Option<Tensor>),
    /// KL divergence from the targets to softmax(output / temperature), mean over samples.
    Divergence { temperature: f64 },
    /// The reference's: as the one before, but with raw outputs where log-probabilities belong.
    RawDivergence,
}

impl Loss {
    /// The loss, and its gradient with respect to the output `y [B, n, ...]`.
    fn of(&self, y: &Tensor, t: &Tensor) -> Result<(Tensor, Tensor)> {
        let batch = y.dim(0)?;
        let entropy = || t.clamp(1e-30, 1.0)?.log()?.mul(t)?.sum_all()? / batch as f64;
        match self {
            Self::Squared(weights) if gpu::active(y) => {
                let weights = match weights {
                    Some(weights) => weights.clone(),
                    None => Tensor::ones(y.dim(1)?, DType::F32, y.device())?,
                };
                let (loss, slope) = gpu::weighted_error(y, t, &weights)?;
                Ok((loss.to_dtype(DType::F32)?, slope))
            }
            Self::Squared(weights) => {
                let error = (y - t)?;
                let weighted = match weights {
                    Some(weights) => {
                        let mut shape = vec![1; y.rank()];
                        shape[1] = weights.elem_count();
                        error.broadcast_mul(&weights.reshape(shape)?)?
                    }
                    None => error.clone(),
                };
                let scale = 1.0 / y.elem_count() as f64;
                let loss = ((&weighted * &error)?.sum_all()? * scale)?;
                Ok((loss, (weighted * (2.0 * scale))?))
            }
            Self::Divergence { temperature } => {
                let scaled = (y / *temperature)?;
                let log_p = candle_nn::ops::log_softmax(&scaled, D::Minus1)?;
                let loss = (entropy()? - ((t * log_p)?.sum_all()? / batch as f64)?)?;
                let gradient = ((softmax(&scaled, D::Minus1)? - t)? / (batch as f64 * temperature))?;
                Ok((loss, gradient))
            }
            Self::RawDivergence => {
                let loss = (entropy()? - ((t * y)?.sum_all()? / batch as f64)?)?;
                Ok((loss, (t / -(batch as f64))?))
            }
        }
    }
}

/// One level's training.
pub(super) struct LevelTrainer<'a> {
    pub settings: &'a LevelSettings,
    pub batch_size: usize,
    pub patience: usize,
    pub cosine: bool,
    pub loss: Loss,
}

/// Share of the samples that is trained on; the rest is for early stopping.
const TRAIN_SHARE: f64 = 0.8;

impl LevelTrainer<'_> {
    /// Trains level `l` to map `previous` (the output of the level before) to `targets [N, n, ...]`.
    pub fn train(
        &self,
        network: &mut Network,
        l: usize,
        previous: &Tensor,
        targets: &Tensor,
        rng: &mut ChaCha8Rng,
        on_tick: &mut Tick,
    ) -> std::result::Result<LevelTraining, FusionError> {
        let level = network.levels()[l].clone();
        let (before, modules) = level.modules.split_at(fixed(&level.modules));
        // The class tokens of transformers are a view of all tokens.
        let x = network.run(before, previous, &mut Plain)?.contiguous()?;
        let samples = x.dim(0)?;
        let mut order: Vec<u32> = (0..samples as u32).collect();
        order.shuffle(rng);
        let train_size = ((samples as f64 * TRAIN_SHARE) as usize).clamp(1, samples);
        let (train, val) = order.split_at_mut(train_size);
        // With so few samples that none is left over, the training samples decide when to stop.
        let val = Tensor::new(if val.is_empty() { &*train } else { &*val }, x.device())?;
        let (x_val, t_val) = (x.index_select(&val, 0)?, targets.index_select(&val, 0)?);

        let (trained, vars) = network.trainable_in(level.parameters.clone())?;
        let optimizer = OptimizerSettings {
            name: self.settings.optimizer,
            lr: self.settings.lr,
            weight_decay: self.settings.weight_decay,
            ..OptimizerSettings::default()
        };
        let mut optimizer = Optimizer::new(&optimizer, vars);
        let mut report = LevelTraining {
            train_loss: Vec::new(),
            val_loss: Vec::new(),
            weight_change: 0.0,
        };
        let (mut best, mut patience) = (f64::INFINITY, self.patience);
        for epoch in 0..self.settings.epochs {
            let progress = epoch as f64 / self.settings.epochs as f64;
            let factor = if self.cosine {
                (1.0 + (std::f64::consts::PI * progress).cos()) / 2.0
            } else {
                1.0
            };
            train.shuffle(rng);
            // One copy to the device, and one back, in an epoch: waiting for either takes a GPU longer than a step.
            let order = Tensor::new(&*train, x.device())?;
            let mut losses = Vec::with_capacity(train.len().div_ceil(self.batch_size));
            for first in (0..train.len()).step_by(self.batch_size) {
                go_on(on_tick)?;
                let index = order.narrow(0, first, self.batch_size.min(train.len() - first))?;
                let (loss, gradients) = step(
                    &trained,
                    modules,
                    optimizer.vars(),
                    &x.index_select(&index, 0)?,
                    &targets.index_select(&index, 0)?,
                    &self.loss,
                )?;
                losses.push(loss);
                optimizer.apply(&gradients, self.settings.lr * factor)?;
            }
            let losses = Tensor::stack(&losses, 0)?.to_vec1::<f32>()?;
            let total: f64 = losses.iter().map(|&loss| f64::from(loss)).sum();
            let output = trained.detached().run(modules, &x_val, &mut Plain)?;
            let val_loss = f64::from(self.loss.of(&output, &t_val)?.0.to_scalar::<f32>()?);
            report.train_loss.push(total / losses.len() as f64);
            report.val_loss.push(val_loss);
            if !(total.is_finite() && val_loss.is_finite()) {
                return Err(FusionError::Diverged {
                    layer: level.name.clone(),
                    epoch,
                });
            }
            if val_loss < best {
                (best, patience) = (val_loss, self.patience);
            } else {
                patience -= 1;
                if patience == 0 {
                    break;
                }
            }
        }
        let start = std::mem::replace(network, trained.detached());
        report.weight_change = distance(&start, network, level.parameters)?;
        Ok(report)
    }
}

/// How many modules at the start of a level have no parameters.
fn fixed(modules: &[Module]) -> usize {
    let has_none = |module: &Module| {
        matches!(
            module,
            Module::Flatten
                | Module::Relu
                | Module::Gelu
                | Module::Dropout(_)
                | Module::MaxPool { .. }
                | Module::AvgPool { .. }
                | Module::Transpose
                | Module::FirstToken
        )
    };
    modules.iter().take_while(|module| has_none(module)).count()
}

/// The layer of a level that is one linear map with nothing but ReLUs behind it, and whether there are any.
fn single_linear<'a>(network: &'a Network, modules: &[Module]) -> Option<(&'a Layer, bool)> {
    let (Module::Layer(l), rest) = modules.split_first()? else {
        return None;
    };
    let layer = &network.layers()[*l];
    let simple = layer.kind == LayerKind::Linear && layer.norm.is_none();
    (simple && rest.iter().all(|module| *module == Module::Relu)).then_some((layer, !rest.is_empty()))
}

/// Loss and gradients of the variables on one batch of what enters the modules.
fn step(
    network: &Network,
    modules: &[Module],
    vars: Vec<&Var>,
    x: &Tensor,
    t: &Tensor,
    loss: &Loss,
) -> Result<(Tensor, Vec<Option<Tensor>>)> {
    if let Some((layer, relu)) = single_linear(network, modules) {
        let weight = network.tensors[layer.weight].detach();
        let bias = layer.bias.map(|bias| network.tensors[bias].detach());
        let preactivation = crate::nn::linear(x, &weight, bias.as_ref())?;
        let output = if relu {
            crate::nn::relu(&preactivation)?
        } else {
            preactivation.clone()
        };
        let (loss, mut slope) = loss.of(&output, t)?;
        if relu {
            slope = (slope * preactivation.gt(0f32)?.to_dtype(DType::F32)?)?;
        }
        let mut gradients = vec![Some(slope.t()?.matmul(x)?)];
        if bias.is_some() {
            gradients.push(Some(slope.sum(0)?));
        }
        return Ok((loss, gradients));
    }
    let output = network.run(modules, x, &mut Plain)?;
    let (loss, slope) = loss.of(&output.detach(), t)?;
    let gradients = pull(&output, &slope)?;
    let of = |var: &Var| gradients.get(var.as_tensor()).map(Tensor::detach);
    Ok((loss, vars.into_iter().map(of).collect()))
}

/// L2 distance between the parameters of two networks in a range.
fn distance(a: &Network, b: &Network, range: Range<usize>) -> Result<f64> {
    let mut total = 0.0;
    for at in range.filter(|&at| a.plan.parameters[at].trainable) {
        let difference = (&a.tensors[at] - &b.tensors[at])?.to_dtype(DType::F64)?;
        total += difference.sqr()?.sum_all()?.to_scalar::<f64>()?;
    }
    Ok(total.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::{Architecture, Mlp, Vgg, VggKind};
    use candle_core::Device;

    /// The written gradients against traced ones, and the traced ones of a convolution against those of the loss.
    #[test]
    fn gradients_are_those_of_the_loss() {
        let mut rng = crate::seed::generator(3, "gradients", &[]);
        let device = Device::Cpu;
        let mlp = Architecture::Mlp(Mlp {
            hidden: vec![5],
            bias: true,
            level_activations: true,
        });
        let vgg = Architecture::Vgg(VggKind::Vgg11Half, Vgg::default());
        let mlp = Network::initialise(&mlp, &[1, 2, 3], 4, &mut rng, &device).expect("network");
        let vgg = Network::initialise(&vgg, &[1, 32, 32], 4, &mut rng, &device).expect("network");
        let mut random = |shape: &[usize]| {
            crate::arch::Init::Normal(1.0)
                .sample(shape, &mut rng, &device)
                .expect("tensor")
        };
        let weights = random(&[64]).abs().expect("weights");
        let first_five = weights.narrow(0, 0, 5).expect("weights");
        let targets = candle_nn::ops::softmax(&random(&[2, 5]), D::Minus1).expect("targets");
        let image = (random(&[2, 1, 4, 4]), random(&[2, 64, 4, 4]));
        let cases = [
            (&mlp, random(&[2, 6]), targets.clone(), Loss::Squared(None)),
            (
                &mlp,
                random(&[2, 6]),
                targets.clone(),
                Loss::Squared(Some(first_five)),
            ),
            (
                &mlp,
                random(&[2, 6]),
                targets.clone(),
                Loss::Divergence { temperature: 2.0 },
            ),
            (&mlp, random(&[2, 6]), targets, Loss::RawDivergence),
            (&vgg, image.0, image.1, Loss::Squared(Some(weights))),
        ];
        for (network, x, t, loss) in cases {
            let level = network.levels()[0].clone();
            let (trained, vars) = network.trainable_in(level.parameters).expect("vars");
            let modules = &level.modules[fixed(&level.modules)..];
            let output = trained.run(modules, &x, &mut Plain).expect("output");
            let traced = loss
                .of(&output, &t)
                .expect("loss")
                .0
                .backward()
                .expect("gradients");
            let (_, found) = step(&trained, modules, vars.iter().collect(), &x, &t, &loss).expect("step");
            for (var, found) in vars.iter().zip(&found) {
                let traced = traced.get(var.as_tensor()).expect("gradient");
                let difference = (traced - found.as_ref().expect("gradient")).expect("difference");
                let largest = difference
                    .abs()
                    .and_then(|d| d.max_all())
                    .and_then(|d| d.to_scalar::<f32>());
                assert!(largest.expect("number") < 1e-5, "{loss:?}");
            }
        }
    }
}
