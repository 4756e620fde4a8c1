//! Uniform scores: 1 for every neuron. No data is looked at.

use candle_core::{Result, Tensor};

use super::Place;
use super::score::{Score, ScoreInfo};
use crate::arch::Network;
use crate::tick::Tick;

/// The score `uniform`.
pub(super) struct Uniform;

impl Score for Uniform {
    const INFO: ScoreInfo = ScoreInfo {
        name: "uniform",
        label: "Uniform",
        summary: "1 for every neuron.",
        version: 1,
    };

    fn sums(
        network: &Network,
        images: &Tensor,
        _labels: &Tensor,
        place: Place,
        _on_tick: &mut Tick,
    ) -> Result<Vec<Vec<f64>>> {
        let samples = images.dim(0)? as f64;
        Ok(place
            .widths(network)
            .into_iter()
            .map(|width| vec![samples; width])
            .collect())
    }

    /// 1 exactly.
    fn scores(
        network: &Network,
        _images: &Tensor,
        _labels: &Tensor,
        place: Place,
        _on_tick: &mut Tick,
    ) -> Result<Vec<Vec<f64>>> {
        let ones = |width| vec![1.0; width];
        Ok(place.widths(network).into_iter().map(ones).collect())
    }
}
