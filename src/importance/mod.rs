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
//! is zero: means weighted by scores are always defined. The passes through the network are in f64: in f32 a
//! pre-activation within rounding of 0 may fall on the other side of a ReLU than in the reference, which changes a
//! neuron's conductance by some 1e-4.

mod ablation;
mod conductance;
mod deeplift;
mod point;

pub use point::Place;

use candle_core::{DType, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::arch::Network;

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
    /// As in the manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Conductance => "conductance",
            Self::Deeplift => "deeplift",
            Self::FeatureAblation => "feature-ablation",
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
        let samples = images.dim(0)? as f64;
        let (network, images) = (&network.to_dtype(DType::F64)?, &images.to_dtype(DType::F64)?);
        let sums = match self {
            Self::Uniform => {
                return Ok(network
                    .layers
                    .iter()
                    .map(|layer| vec![1.0; layer.plan.weight[0]])
                    .collect());
            }
            Self::Conductance => conductance::sums(network, images, labels, place)?,
            Self::Deeplift => deeplift::sums(network, images, labels, place)?,
            Self::FeatureAblation => ablation::sums(network, images, labels, place)?,
        };
        let mean = |sum: f64| sum / samples + EPSILON;
        Ok(sums
            .into_iter()
            .map(|layer| layer.into_iter().map(mean).collect())
            .collect())
    }
}

/// Scales scores to sum 1.
pub fn normalise(scores: &mut [f64]) {
    let total: f64 = scores.iter().sum();
    for score in scores {
        *score /= total;
    }
}

/// Maps scores linearly onto `[lowest, 1]`. Equal scores all become 1: there is nothing to tell them apart by.
pub fn rescale(scores: &mut [f64], lowest: f64) {
    let min = scores.iter().copied().fold(f64::INFINITY, f64::min);
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let range = max - min;
    for score in scores {
        *score = if range > 0.0 {
            (*score - min) / range * (1.0 - lowest) + lowest
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
        let mut equal = [0.3, 0.3];
        rescale(&mut equal, 0.1);
        assert_eq!(equal, [1.0, 1.0]);
    }
}
