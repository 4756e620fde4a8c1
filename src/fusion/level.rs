//! Training one level alone towards given targets.
//!
//! What comes before the level's linear map has no parameters, so it is applied once; the gradient of the rest is
//! written down instead of traced: for small levels, tracing is what takes the time.

use std::ops::ControlFlow;

use candle_core::{D, DType, Result, Tensor};
use candle_nn::ops::softmax;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::FusionError;
use super::report::LevelTraining;
use crate::arch::{Layer, Op};
use crate::train::{Optimizer, OptimizerKind, OptimizerSettings};

/// How a level is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LevelSettings {
    /// Which optimiser.
    pub optimizer: OptimizerKind,
    /// Learning rate.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// L2 penalty, added to the gradient.
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
    /// The loss, and its gradient with respect to the output `y [B, n]`.
    fn of(&self, y: &Tensor, t: &Tensor) -> Result<(Tensor, Tensor)> {
        let (batch, n) = y.dims2()?;
        let entropy = || t.clamp(1e-30, 1.0)?.log()?.mul(t)?.sum_all()? / batch as f64;
        match self {
            Self::Squared(weights) => {
                let error = (y - t)?;
                let weighted = match weights {
                    Some(weights) => error.broadcast_mul(weights)?,
                    None => error.clone(),
                };
                let scale = 1.0 / (batch * n) as f64;
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
    /// Trains `layer` to map `previous` (the output of the level before) to `targets [N, n]`.
    pub fn train(
        &self,
        layer: &mut Layer,
        previous: &Tensor,
        targets: &Tensor,
        rng: &mut ChaCha8Rng,
        on_tick: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> std::result::Result<LevelTraining, FusionError> {
        let x = layer.input(previous)?;
        let samples = x.dim(0)?;
        let mut order: Vec<u32> = (0..samples as u32).collect();
        order.shuffle(rng);
        let train_size = ((samples as f64 * TRAIN_SHARE) as usize).clamp(1, samples);
        let (train, val) = order.split_at_mut(train_size);
        // With so few samples that none is left over, the training samples decide when to stop.
        let val = Tensor::new(if val.is_empty() { &*train } else { &*val }, x.device())?;
        let (x_val, t_val) = (x.index_select(&val, 0)?, targets.index_select(&val, 0)?);

        let mut vars = vec![candle_core::Var::from_tensor(&layer.weight.copy()?)?];
        if let Some(bias) = &layer.bias {
            vars.push(candle_core::Var::from_tensor(&bias.copy()?)?);
        }
        let before = layer.clone();
        layer.weight = vars[0].as_tensor().clone();
        layer.bias = vars.get(1).map(|bias| bias.as_tensor().clone());
        let optimizer = OptimizerSettings {
            name: self.settings.optimizer,
            lr: self.settings.lr,
            weight_decay: self.settings.weight_decay,
            momentum: None,
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
            let (mut total, mut batches) = (0.0, 0.0);
            for batch in train.chunks(self.batch_size) {
                let index = Tensor::new(batch, x.device())?;
                let (loss, gradients) = step(
                    layer,
                    &x.index_select(&index, 0)?,
                    &targets.index_select(&index, 0)?,
                    &self.loss,
                )?;
                total += f64::from(loss.to_scalar::<f32>()?);
                batches += 1.0;
                optimizer.apply(&gradients, self.settings.lr * factor)?;
            }
            let output = layer.output(&layer.linear(&x_val)?)?;
            let val_loss = f64::from(self.loss.of(&output, &t_val)?.0.to_scalar::<f32>()?);
            report.train_loss.push(total / batches);
            report.val_loss.push(val_loss);
            if !(total.is_finite() && val_loss.is_finite()) {
                return Err(FusionError::Diverged {
                    layer: layer.plan.name.clone(),
                    epoch,
                });
            }
            if on_tick().is_break() {
                return Err(FusionError::Stopped);
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
        layer.weight = layer.weight.detach();
        layer.bias = layer.bias.as_ref().map(Tensor::detach);
        report.weight_change = distance(&before, layer)?;
        Ok(report)
    }
}

/// Loss and gradients of weight and bias on one batch of inputs of the linear map.
fn step(layer: &Layer, x: &Tensor, t: &Tensor, loss: &Loss) -> Result<(Tensor, Vec<Option<Tensor>>)> {
    let preactivation = layer.linear(x)?.detach();
    let output = layer.output(&preactivation)?;
    let (loss, mut slope) = loss.of(&output, t)?;
    for op in &layer.plan.after {
        slope = match op {
            // Between the linear map and the level's end only ReLUs stand, and one is as good as several.
            Op::Relu => (slope * preactivation.gt(0f32)?.to_dtype(DType::F32)?)?,
            Op::Flatten => slope,
        };
    }
    let weight = slope.t()?.matmul(x)?;
    let bias = layer.bias.is_some().then(|| slope.sum(0)).transpose()?;
    let gradients = match bias {
        Some(bias) => vec![Some(weight), Some(bias)],
        None => vec![Some(weight)],
    };
    Ok((loss, gradients))
}

/// L2 distance between two layers' parameters.
fn distance(a: &Layer, b: &Layer) -> Result<f64> {
    let square = |a: &Tensor, b: &Tensor| {
        (a - b)?
            .to_dtype(DType::F64)?
            .sqr()?
            .sum_all()?
            .to_scalar::<f64>()
    };
    let mut total = square(&a.weight, &b.weight)?;
    if let (Some(a), Some(b)) = (&a.bias, &b.bias) {
        total += square(a, b)?;
    }
    Ok(total.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    /// The written gradients against traced ones.
    #[test]
    fn gradients_are_those_of_the_loss() {
        let mut rng = crate::seed::generator(3, "gradients", &[]);
        let mlp = crate::arch::Architecture::Mlp(crate::arch::Mlp {
            hidden: vec![5],
            bias: true,
            level_activations: true,
        });
        let device = Device::Cpu;
        let network =
            crate::arch::Network::initialise(&mlp, &[1, 2, 3], 4, &mut rng, &device).expect("network");
        let x = Tensor::new(
            &[
                [0.3f32, -1.0, 2.0, 0.7, 0.1, -0.4],
                [1.5, 0.2, -0.3, 0.0, 1.0, 1.0],
            ],
            &device,
        )
        .expect("x");
        let weights = Tensor::new(&[1f32, 0.5, 2.0, 3.0, 0.1], &device).expect("weights");
        let raw = Tensor::new(
            &[[0.2f32, 0.1, 0.3, 0.2, 0.2], [0.6, 0.1, 0.1, 0.1, 0.1]],
            &device,
        )
        .expect("targets");
        for loss in [
            Loss::Squared(None),
            Loss::Squared(Some(weights)),
            Loss::Divergence { temperature: 2.0 },
            Loss::RawDivergence,
        ] {
            let mut layer = network.layers[0].clone();
            let weight = Var::from_tensor(&layer.weight).expect("var");
            let bias = Var::from_tensor(layer.bias.as_ref().expect("bias")).expect("var");
            layer.weight = weight.as_tensor().clone();
            layer.bias = Some(bias.as_tensor().clone());
            let output = layer.output(&layer.linear(&x).expect("linear")).expect("output");
            let traced = loss
                .of(&output, &raw)
                .expect("loss")
                .0
                .backward()
                .expect("gradients");
            let (_, written) = step(&layer, &x, &raw, &loss).expect("step");
            for (var, written) in [&weight, &bias].into_iter().zip(&written) {
                let traced = traced.get(var.as_tensor()).expect("gradient");
                let difference = (traced - written.as_ref().expect("gradient")).expect("difference");
                let largest = difference
                    .abs()
                    .and_then(|d| d.max_all())
                    .and_then(|d| d.to_scalar::<f32>());
                assert!(largest.expect("number") < 1e-6, "{loss:?}");
            }
        }
    }
}
