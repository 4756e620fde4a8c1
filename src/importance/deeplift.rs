//! Layer `DeepLIFT` (Shrikumar et al., 2017), zero input as baseline, rescale rule.
//!
//! The attribution of a neuron is its multiplier times its difference from the baseline. The multiplier is what
//! back-propagation gives when the slope of every ReLU is replaced by `(relu(x) - relu(x0)) / (x - x0)`; where the
//! input hardly differs (below 1e-10) the slope stays the gradient. It is computed by just that back-propagation:
//! each ReLU returns its true value, but carries the replaced slope.

use candle_core::{Result, Tensor};

use super::point::{Place, absolute_sums, gradient, logits_from, outputs};
use crate::arch::Network;

/// Below this difference of inputs the plain gradient is taken.
const SMALLEST_DIFFERENCE: f64 = 1e-10;

/// Sums of absolute attributions over samples, per layer and neuron.
pub(super) fn sums(
    network: &Network,
    images: &Tensor,
    labels: &Tensor,
    place: Place,
) -> Result<Vec<Vec<f64>>> {
    let here = outputs(network, images, place)?;
    let baseline = outputs(network, &images.narrow(0, 0, 1)?.zeros_like()?, place)?;
    (0..network.layers.len())
        .map(|l| {
            // The inputs of all ReLUs on the baseline's way, in order.
            let mut inputs = Vec::new();
            logits_from(network, l, &baseline[l], place, &mut |x| {
                inputs.push(x.clone());
                x.relu()
            })?;
            let mut inputs = inputs.into_iter();
            let multiplier = gradient(
                network,
                l,
                &here[l],
                labels,
                place,
                &mut |x| match inputs.next() {
                    Some(x0) => rescaled_relu(x, &x0),
                    None => x.relu(),
                },
            )?;
            let difference = here[l].broadcast_sub(&baseline[l])?;
            absolute_sums(&(multiplier * difference)?)
        })
        .collect()
}

/// ReLU's value with the rescale rule's slope.
fn rescaled_relu(x: &Tensor, x0: &Tensor) -> Result<Tensor> {
    let fixed = x.detach();
    let difference = fixed.broadcast_sub(x0)?;
    let change = fixed.relu()?.broadcast_sub(&x0.relu()?)?;
    let small = difference.abs()?.lt(SMALLEST_DIFFERENCE)?;
    let plain = fixed.gt(0f64)?.to_dtype(x.dtype())?;
    let slope = small.where_cond(
        &plain,
        &(change / small.where_cond(&difference.ones_like()?, &difference)?)?,
    )?;
    fixed.relu()? + ((x - &fixed)? * slope)?
}
