//! Layer `DeepLIFT` (Shrikumar et al., 2017), zero input as baseline, rescale rule.
//!
//! The attribution of a neuron is its multiplier times its difference from the baseline. The multiplier is what
//! back-propagation gives when the slope of every ReLU is replaced by `(relu(x) - relu(x0)) / (x - x0)`; where the
//! input hardly differs (below 1e-10) the slope stays the gradient. It is computed by just that back-propagation:
//! each ReLU returns its true value, but carries the replaced slope. Pooling, GELU, `LayerNorm` and attention keep their
//! plain gradients.

use candle_core::{Result, Tensor};

use super::probe::{Place, absolute_sums, outputs, slopes};
use super::score::{Score, ScoreInfo};
use crate::arch::Network;
use crate::nn;
use crate::tick::Tick;

/// Below this difference of inputs the plain gradient is taken.
const SMALLEST_DIFFERENCE: f64 = 1e-10;

/// The score `deeplift`.
pub(super) struct Deeplift;

impl Score for Deeplift {
    const INFO: ScoreInfo = ScoreInfo {
        name: "deeplift",
        label: "DeepLIFT",
        summary: "Layer `DeepLIFT` with the zero input as baseline, rescale rule.",
        version: 1,
    };

    fn sums(
        network: &Network,
        images: &Tensor,
        labels: &Tensor,
        place: Place,
        on_tick: &mut Tick,
    ) -> Result<Vec<Vec<f64>>> {
        // The inputs of all ReLUs in the baseline's pass, in order.
        let mut inputs = Vec::new();
        let zero = images.narrow(0, 0, 1)?.zeros_like()?;
        let mut noted = |_, x: &Tensor| {
            inputs.push(x.clone());
            nn::relu(x)
        };
        let baseline = outputs(network, &zero, place, &mut noted, on_tick)?;
        let mut rescaled = |i: usize, x: &Tensor| match inputs.get(i) {
            Some(x0) => rescaled_relu(x, x0),
            None => nn::relu(x),
        };
        let (here, multipliers) = slopes(network, images, labels, place, &mut rescaled, on_tick)?;
        let attributions = here.iter().zip(&baseline).zip(&multipliers);
        attributions
            .map(|((here, baseline), multiplier)| {
                absolute_sums(&(multiplier * here.broadcast_sub(baseline)?)?)
            })
            .collect()
    }
}

/// ReLU's value with the rescale rule's slope.
fn rescaled_relu(x: &Tensor, x0: &Tensor) -> Result<Tensor> {
    let fixed = x.detach();
    let difference = fixed.broadcast_sub(x0)?;
    let change = nn::relu(&fixed)?.broadcast_sub(&nn::relu(x0)?)?;
    let small = difference.abs()?.lt(SMALLEST_DIFFERENCE)?;
    let plain = fixed.gt(0f64)?.to_dtype(x.dtype())?;
    let slope = small.where_cond(
        &plain,
        &(change / small.where_cond(&difference.ones_like()?, &difference)?)?,
    )?;
    nn::relu(&fixed)? + ((x - &fixed)? * slope)?
}
