//! Everything a training needs to go on as if it had not been interrupted.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::Epoch;

/// A training between two steps. Tensors are shared with the training, whose next step changes them.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// What is not a tensor.
    pub progress: Progress,
    /// The order of the epoch's samples.
    pub order: Vec<u32>,
    /// Tensors by name: `weight.0` (all of the network's), `first.0` (the optimiser's moments), `best.0`.
    pub tensors: Vec<(String, Tensor)>,
}

/// Where it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Progress {
    /// The epoch it is in, from 0; the number of epochs once all are done.
    pub epoch: usize,
    /// How many of its batches are done; 0 before its samples are put in order, all before it is measured.
    pub batch: usize,
    /// Sum over the epoch's samples of the training loss so far.
    pub total: f64,
    /// Steps of the optimiser.
    pub steps: i32,
    /// Position of the random generator, in words of 32 bits.
    pub generator: u64,
    /// What the epochs gave so far.
    pub history: Vec<Epoch>,
    /// Accuracy and number of the best epoch.
    pub best: Option<(f64, usize)>,
}

impl Snapshot {
    /// The tensor of this name.
    pub(super) fn tensor(&self, kind: &str, index: usize) -> Option<&Tensor> {
        let name = name(kind, index);
        let mut named = self.tensors.iter();
        named.find(|(other, _)| *other == name).map(|(_, tensor)| tensor)
    }
}

/// `weight.0`.
pub(super) fn name(kind: &str, index: usize) -> String {
    format!("{kind}.{index}")
}
