//! The loop over epochs and batches.

use std::ops::ControlFlow;

use candle_core::{D, Tensor};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Optimizer, OptimizerSettings, cross_entropy, learning_rate};
use crate::arch::{Network, Training};

/// Which epoch's weights are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Select {
    /// The epoch of the best validation accuracy, the latest of equals; the last where nothing is held out.
    Validation,
    /// The last epoch.
    Last,
}

/// Settings of a training run.
#[derive(Debug)]
pub struct Fit<'a> {
    /// Epochs.
    pub epochs: usize,
    /// Samples per step; the last batch of an epoch may be smaller.
    pub batch_size: usize,
    /// The optimiser.
    pub optimizer: &'a OptimizerSettings,
    /// Epochs of linear warm-up.
    pub warmup_epochs: usize,
    /// Where the cosine tends to.
    pub min_lr: f64,
    /// Label smoothing.
    pub label_smoothing: f64,
    /// Which epoch to keep.
    pub select: Select,
}

/// What one epoch gave.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Epoch {
    /// From 0.
    pub epoch: usize,
    /// Mean training loss over the epoch's batches, weighted by their size.
    pub train_loss: f64,
    /// Accuracy on the held-out samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_accuracy: Option<f64>,
}

/// What the loop reports; the answer says whether to go on.
#[derive(Debug)]
pub enum Progress<'a> {
    /// A step is done.
    Step,
    /// An epoch is done.
    Epoch(&'a Epoch),
}

/// A trained network.
#[derive(Debug)]
pub struct Fitted {
    /// With the weights of the selected epoch.
    pub network: Network,
    /// Which epoch that was, from 0.
    pub epoch: usize,
    /// All epochs.
    pub history: Vec<Epoch>,
}

/// Training stopped.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The caller said so.
    #[error("training was stopped")]
    Stopped,
    /// The loss is not a number any more.
    #[error("the training loss is not finite in epoch {epoch}: a smaller learning rate may help")]
    Diverged {
        /// From 0.
        epoch: usize,
    },
    /// Candle failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// Trains `network` on `images [N, C, H, W]` and `labels [N]`; `validation` likewise.
pub fn fit(
    network: &Network,
    (images, labels): (&Tensor, &Tensor),
    validation: Option<(&Tensor, &Tensor)>,
    settings: &Fit,
    rng: &mut ChaCha8Rng,
    on_progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Fitted, TrainError> {
    let (mut network, vars) = network.trainable()?;
    let mut optimizer = Optimizer::new(settings.optimizer, vars);
    let mut order: Vec<u32> = (0..images.dim(0)? as u32).collect();
    let mut history = Vec::with_capacity(settings.epochs);
    let mut best: Option<(f64, usize, Network)> = None;
    for epoch in 0..settings.epochs {
        let lr = learning_rate(
            settings.optimizer.lr,
            settings.min_lr,
            settings.warmup_epochs,
            settings.epochs,
            epoch,
        );
        order.shuffle(rng);
        let mut total = 0.0;
        for batch in order.chunks(settings.batch_size) {
            let index = Tensor::new(batch, images.device())?;
            let mut training = Training {
                rng: &mut *rng,
                statistics: Vec::new(),
            };
            let logits = network.forward_training(&images.index_select(&index, 0)?, &mut training)?;
            for (at, statistic) in training.statistics {
                network.tensors[at] = statistic;
            }
            let loss = cross_entropy(
                &logits,
                &labels.index_select(&index, 0)?,
                settings.label_smoothing,
            )?;
            total += f64::from(loss.to_scalar::<f32>()?) * batch.len() as f64;
            optimizer.step(&loss.backward()?, lr)?;
            if on_progress(Progress::Step).is_break() {
                return Err(TrainError::Stopped);
            }
        }
        let train_loss = total / order.len() as f64;
        if !train_loss.is_finite() {
            return Err(TrainError::Diverged { epoch });
        }
        let val_accuracy = validation
            .map(|(x, y)| accuracy(&network.detached(), x, y))
            .transpose()?;
        history.push(Epoch {
            epoch,
            train_loss,
            val_accuracy,
        });
        if let (Select::Validation, Some(accuracy)) = (settings.select, val_accuracy) {
            // Of equals the later one: it has seen more of the data.
            if best.as_ref().is_none_or(|(top, ..)| accuracy >= *top) {
                best = Some((accuracy, epoch, network.trainable()?.0.detached()));
            }
        }
        if on_progress(Progress::Epoch(&history[epoch])).is_break() {
            return Err(TrainError::Stopped);
        }
    }
    let (epoch, network) = match best {
        Some((_, epoch, network)) => (epoch, network),
        None => (settings.epochs.saturating_sub(1), network.detached()),
    };
    Ok(Fitted {
        network,
        epoch,
        history,
    })
}

fn accuracy(network: &Network, images: &Tensor, labels: &Tensor) -> candle_core::Result<f64> {
    const BATCH: usize = 250;
    let samples = images.dim(0)?;
    let mut correct = 0.0;
    for first in (0..samples).step_by(BATCH) {
        let count = BATCH.min(samples - first);
        let predicted = network
            .forward(&images.narrow(0, first, count)?)?
            .argmax(D::Minus1)?;
        let hits = predicted.eq(&labels.narrow(0, first, count)?)?;
        correct += hits
            .to_dtype(candle_core::DType::F64)?
            .sum_all()?
            .to_scalar::<f64>()?;
    }
    Ok(correct / samples as f64)
}
