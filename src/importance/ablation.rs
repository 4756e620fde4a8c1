//! Feature ablation: target logit minus the target logit with one unit's output set to 0, unit by unit.

use candle_core::{Result, Tensor};

use super::point::{Place, logits_from, outputs, target};
use crate::arch::Network;

/// Rows of one batch of ablated outputs; bounds memory.
const ROWS: usize = 16_384;

/// Sums of absolute changes over samples, per layer and neuron.
pub(super) fn sums(
    network: &Network,
    images: &Tensor,
    labels: &Tensor,
    place: Place,
) -> Result<Vec<Vec<f64>>> {
    let outputs = outputs(network, images, place)?;
    let samples = images.dim(0)?;
    let mut all = Vec::with_capacity(outputs.len());
    for (l, output) in outputs.iter().enumerate() {
        let width = output.dim(1)?;
        let whole = target(
            &logits_from(network, l, output, place, &mut |x| x.relu())?,
            labels,
        )?;
        let mut sums = Vec::with_capacity(width);
        for first in (0..width).step_by((ROWS / samples).max(1)) {
            let units = (ROWS / samples).max(1).min(width - first);
            // Row u * N + i is sample i with unit `first + u` at 0.
            let mask: Vec<f32> = (0..units)
                .flat_map(|u| (0..width).map(move |j| f32::from(u8::from(j != first + u))))
                .collect();
            let mask =
                Tensor::from_vec(mask, (units, 1, width), output.device())?.to_dtype(output.dtype())?;
            let ablated = output
                .unsqueeze(0)?
                .broadcast_mul(&mask)?
                .reshape((units * samples, width))?;
            let logits = logits_from(network, l, &ablated, place, &mut |x| x.relu())?;
            let changed = target(&logits, &labels.repeat(units)?)?.reshape((units, samples))?;
            let change = whole.unsqueeze(0)?.broadcast_sub(&changed)?.abs()?;
            sums.extend(change.sum(1)?.to_vec1::<f64>()?);
        }
        all.push(sums);
    }
    Ok(all)
}
