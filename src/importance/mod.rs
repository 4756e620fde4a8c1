//! Importance scores: how much each neuron of a layer or level matters for the true class' logit.
//!
//! | score | per sample and neuron | file |
//! | --- | --- | --- |
//! | uniform | 1 | here |
//! | conductance | integral from the zero input to x of the logit's change through the neuron | `conductance` |
//! | DeepLIFT | multiplier times the neuron's difference from the zero input | `deeplift` |
//! | feature ablation | logit minus the logit with the neuron's output set to 0 | `ablation` |
//!
//! A neuron's score is the mean over samples of the absolute values (summed over positions), plus 1e-8, so that none
//! is zero: means weighted by scores are always defined. The passes through an MLP are in f64: in f32 a pre-activation
//! within rounding of 0 may fall on the other side of a ReLU than in the reference, which changes a neuron's
//! conductance by some 1e-4. With convolutions a neuron's score is a sum over many positions and f32 is within 2e-5 of
//! the reference, at half the time; sums over positions and samples are in f64 everywhere.

mod ablation;
mod conductance;
mod deeplift;
mod probe;

pub use probe::Place;

use std::ops::ControlFlow;

use candle_core::{DType, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::arch::{LayerKind, Network};
use crate::gpu;

/// Added to every score, as in the reference.
const EPSILON: f64 = 1e-8;

/// Which score.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Importance {
    /// 1 for every neuron.
    #[default]
    Uniform,
    /// Layer conductance from the zero input, 11 Gauss-Legendre nodes.
    Conductance,
    /// Layer `DeepLIFT` with the zero input as baseline, rescale rule.
    Deeplift,
    /// Change of the logit when a neuron's output is set to 0.
    FeatureAblation,
}

impl Importance {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Uniform,
        Self::Conductance,
        Self::Deeplift,
        Self::FeatureAblation,
    ];

    /// As in the manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Conductance => "conductance",
            Self::Deeplift => "deeplift",
            Self::FeatureAblation => "feature-ablation",
        }
    }

    /// Raised when the score's arithmetic changes, so that what it was used for is computed anew.
    pub const fn version(self) -> u32 {
        match self {
            Self::Uniform | Self::Conductance | Self::Deeplift | Self::FeatureAblation => 1,
        }
    }

    /// Scores of every layer's or level's neurons on `images [N, C, H, W]` with `labels [N]` (u32), one list per layer.
    ///
    /// # Errors
    /// What candle says, for instance when a label is not below the number of classes.
    pub fn scores(
        self,
        network: &Network,
        images: &Tensor,
        labels: &Tensor,
        place: Place,
    ) -> candle_core::Result<Vec<Vec<f64>>> {
        self.scores_watched(network, images, labels, place, &mut || ControlFlow::Continue(()))
    }

    /// The same, asking at every layer of a pass whether to go on.
    ///
    /// # Errors
    /// As those of [`Importance::scores`], and one where it is told to stop.
    pub fn scores_watched(
        self,
        network: &Network,
        images: &Tensor,
        labels: &Tensor,
        place: Place,
        on_tick: &mut Tick,
    ) -> candle_core::Result<Vec<Vec<f64>>> {
        let samples = images.dim(0)?;
        let widths = place.widths(network);
        if self == Self::Uniform {
            return Ok(widths.iter().map(|&width| vec![1.0; width]).collect());
        }
        let dtype = precision(network);
        let network = &network.to_dtype(dtype)?;
        let mut totals: Vec<Vec<f64>> = widths.iter().map(|&width| vec![0.0; width]).collect();
        let batch = batch_size(network, images)?;
        for first in (0..samples).step_by(batch) {
            let count = batch.min(samples - first);
            let images = &images.narrow(0, first, count)?.to_dtype(dtype)?;
            let labels = &labels.narrow(0, first, count)?;
            let sums = match self {
                Self::Uniform => Vec::new(),
                Self::Conductance => conductance::sums(network, images, labels, place, on_tick)?,
                Self::Deeplift => deeplift::sums(network, images, labels, place, on_tick)?,
                Self::FeatureAblation => ablation::sums(network, images, labels, place, on_tick)?,
            };
            for (total, sum) in totals.iter_mut().flatten().zip(sums.iter().flatten()) {
                *total += sum;
            }
        }
        for total in totals.iter_mut().flatten() {
            *total = *total / samples as f64 + EPSILON;
        }
        Ok(totals)
    }
}

/// Asks whether to go on.
pub type Tick<'a> = dyn FnMut() -> ControlFlow<()> + 'a;

/// An error where the answer is no.
fn go_on(on_tick: &mut Tick) -> candle_core::Result<()> {
    match on_tick() {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => candle_core::bail!("stopped"),
    }
}

/// f64 where the layers are linear maps only, f32 where convolutions or attention make the passes long.
fn precision(network: &Network) -> DType {
    let plan = &network.plan;
    if plan.chain && plan.layers.iter().all(|layer| layer.kind == LayerKind::Linear) {
        DType::F64
    } else {
        DType::F32
    }
}

/// Samples per pass: as many as keep the outputs of all levels below some hundred megabytes.
fn batch_size(network: &Network, images: &Tensor) -> candle_core::Result<usize> {
    const VALUES: usize = 1 << 24;
    let outputs = network.level_outputs(&images.narrow(0, 0, 1)?.to_dtype(precision(network))?)?;
    let values: usize = outputs.iter().map(Tensor::elem_count).sum();
    Ok((gpu::chunk(VALUES) / values.max(1)).clamp(1, 1000))
}

/// What becomes of the scores of a layer or level before they are used: rescaled first, then normalised.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Preparation {
    /// Scale them to sum 1.
    pub normalise: bool,
    /// Map them linearly onto `[r, 1]`.
    pub rescale: Option<f64>,
}

impl Preparation {
    /// Prepares the scores of one layer or level.
    pub fn apply(self, scores: &mut [f64]) {
        if let Some(lowest) = self.rescale {
            rescale(scores, lowest);
        }
        if self.normalise {
            normalise(scores);
        }
    }
}

/// Scales scores to sum 1.
pub fn normalise(scores: &mut [f64]) {
    let total: f64 = scores.iter().sum();
    for score in scores {
        *score /= total;
    }
}

/// Maps scores linearly onto `[lowest, 1]`, but none to less than 1e-8: means weighted by scores stay defined. Equal
/// scores all become 1: there is nothing to tell them apart by.
fn rescale(scores: &mut [f64], lowest: f64) {
    let min = scores.iter().copied().fold(f64::INFINITY, f64::min);
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let range = max - min;
    for score in scores {
        *score = if range > 0.0 {
            ((*score - min) / range * (1.0 - lowest) + lowest).max(EPSILON)
        } else {
            1.0
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rescaling_spans_the_range_and_keeps_equal_scores_equal() {
        let mut scores = [2.0, 4.0, 3.0];
        rescale(&mut scores, 0.1);
        assert_eq!(scores, [0.1, 1.0, 0.55]);
        rescale(&mut scores, 0.0);
        assert_eq!([scores[0], scores[1]], [EPSILON, 1.0]);
        let mut equal = [0.3, 0.3];
        rescale(&mut equal, 0.1);
        assert_eq!(equal, [1.0, 1.0]);
        let mut both = [2.0, 4.0];
        let preparation = Preparation {
            normalise: true,
            rescale: Some(0.25),
        };
        preparation.apply(&mut both);
        assert_eq!(both, [0.2, 0.8]);
    }
}
