//! What a training is given and what it returns.

use serde::{Deserialize, Serialize};

use super::{Epoch, OptimizerSettings, Schedule, Snapshot, Source};
use crate::arch::Network;
use crate::gpu::Precision;

/// Which epoch's weights are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Select {
    /// The epoch of the best validation accuracy, the latest of equals; the last where nothing is held out.
    Validation,
    /// The epoch of the best test accuracy, the first of equals, as in the reference: its test accuracy is no estimate
    /// of the accuracy on new images. The record says so.
    Test,
    /// The last epoch.
    Last,
}

/// Settings of a training run.
#[derive(Debug)]
pub struct Fit<'a> {
    /// Epochs.
    pub epochs: usize,
    /// Samples per batch; the last batch of an epoch may be smaller.
    pub batch_size: usize,
    /// Batches per step, whose gradients are averaged; the last step of an epoch may have fewer.
    pub accumulate: usize,
    /// The optimiser.
    pub optimizer: &'a OptimizerSettings,
    /// How the learning rate goes on after the warm-up.
    pub schedule: &'a Schedule,
    /// Epochs of linear warm-up.
    pub warmup_epochs: usize,
    /// Where cosines tend to.
    pub min_lr: f64,
    /// Largest norm of a step's gradients, as one vector; larger ones are scaled down.
    pub clip_norm: Option<f64>,
    /// Label smoothing.
    pub label_smoothing: f64,
    /// Which epoch to keep.
    pub select: Select,
    /// In what products are computed on a GPU.
    pub precision: Precision,
    /// Threads that make batches.
    pub workers: usize,
}

/// The data of a training run.
#[derive(Clone, Copy)]
pub struct Data<'a> {
    /// What is learned from.
    pub train: &'a dyn Source,
    /// What decides which epoch is kept: validation or test samples, as [`Fit::select`] says.
    pub measure: Option<&'a dyn Source>,
}

/// What the observer of a training wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Next {
    /// Going on.
    Go,
    /// A snapshot after the step, then going on.
    Keep,
    /// A snapshot after the step, then the end.
    Stop,
}

/// Whom a training reports to.
pub trait Observer {
    /// A batch is done.
    fn batch(&mut self) -> Next;
    /// An epoch is done.
    fn epoch(&mut self, done: &Epoch) -> Next;
    /// Takes a snapshot that was asked for; its numbers are finite.
    fn keep(&mut self, snapshot: &Snapshot);
    /// The training has diverged; `network` is what it was after `epoch` (from 0), the last that was good. Not called where
    /// there is none.
    fn diverged(&mut self, epoch: usize, network: &Network);
}

/// A trained network.
#[derive(Debug)]
pub struct Fitted {
    /// With the weights of the selected epoch.
    pub network: Network,
    /// Which epoch that was, from 0.
    pub epoch: usize,
    /// The accuracy that selected it.
    pub accuracy: Option<f64>,
    /// All epochs.
    pub history: Vec<Epoch>,
}
