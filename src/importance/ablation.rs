//! Feature ablation: target logit minus the target logit with one element of the output set to 0, element by element.
//!
//! A neuron with several positions (a channel, a hidden unit of tokens) has one element for each; their absolute
//! changes are added.

use candle_core::{DType, Result, Tensor};

use super::probe::{Place, go_on, outputs, plain, target};
use super::score::{Score, ScoreInfo};
use crate::arch::{Network, Plain, Visitor};
use crate::tick::Tick;

/// Values in one batch of ablated outputs; bounds memory.
const VALUES: usize = 1 << 22;

/// The score `feature-ablation`.
pub(super) struct FeatureAblation;

impl Score for FeatureAblation {
    const INFO: ScoreInfo = ScoreInfo {
        name: "feature-ablation",
        label: "Feature ablation",
        summary: "Change of the logit when a neuron's output is set to 0.",
        version: 1,
    };

    fn sums(
        network: &Network,
        images: &Tensor,
        labels: &Tensor,
        place: Place,
        on_tick: &mut Tick,
    ) -> Result<Vec<Vec<f64>>> {
        let at_places = outputs(network, images, place, &mut plain, on_tick)?;
        let level_outputs = match place {
            Place::Layer => outputs(network, images, Place::Level, &mut plain, on_tick)?,
            Place::Level => at_places.clone(),
        };
        let logits = level_outputs.last().unwrap_or(images);
        let whole = target(logits, labels)?.unsqueeze(0)?;
        let samples = images.dim(0)?;
        let mut all = Vec::with_capacity(at_places.len());
        for (p, output) in at_places.iter().enumerate() {
            let width = output.dim(1)?;
            let elements = output.elem_count() / samples;
            let group = (VALUES / (samples * elements)).max(1);
            let mut sums = vec![0.0; width];
            for first in (0..elements).step_by(group) {
                go_on(on_tick)?;
                let units = group.min(elements - first);
                // Row u * N + i is sample i with element `first + u` at 0.
                let mask: Vec<f32> = (0..units)
                    .flat_map(|u| (0..elements).map(move |j| f32::from(u8::from(j != first + u))))
                    .collect();
                let mask = Tensor::from_vec(mask, (units, 1, elements), output.device())?
                    .to_dtype(output.dtype())?;
                let mut shape = output.dims().to_vec();
                shape[0] = units * samples;
                let ablated = output
                    .reshape((1, samples, elements))?
                    .broadcast_mul(&mask)?
                    .reshape(shape)?;
                let logits = continued(network, place, p, ablated, images, &level_outputs, units)?;
                let changed = target(&logits, &labels.repeat(units)?)?.reshape((units, samples))?;
                let change = whole.broadcast_sub(&changed)?.abs()?.to_dtype(DType::F64)?;
                let change = change.sum(1)?.to_vec1::<f64>()?;
                for (u, change) in change.into_iter().enumerate() {
                    sums[(first + u) / (elements / width)] += change;
                }
            }
            all.push(sums);
        }
        Ok(all)
    }
}

/// Logits, given the output at place `p` of `units` copies of the samples.
fn continued(
    network: &Network,
    place: Place,
    p: usize,
    output: Tensor,
    images: &Tensor,
    level_outputs: &[Tensor],
    units: usize,
) -> Result<Tensor> {
    if place == Place::Level {
        return network.forward_from(p + 1, &output, &mut Plain);
    }
    let Some((level, position)) = network.plan.find_layer(p) else {
        candle_core::bail!("layer {p} is in no level")
    };
    if let Some(position) = position {
        let rest = &network.levels()[level].modules[position + 1..];
        let output = network.run(rest, &output, &mut Plain)?;
        return network.forward_from(level + 1, &output, &mut Plain);
    }
    // Within a residual block: the block runs again, with the layer's output replaced.
    let input = match level.checked_sub(1) {
        Some(before) => &level_outputs[before],
        None => images,
    };
    let mut copies = vec![1; input.rank()];
    copies[0] = units;
    let mut replace = Replace { layer: p, output };
    network.forward_from(level, &input.repeat(copies)?, &mut replace)
}

struct Replace {
    layer: usize,
    output: Tensor,
}

impl Visitor for Replace {
    fn layer(&mut self, layer: usize, input: &Tensor, network: &Network) -> Result<Tensor> {
        if layer == self.layer {
            Ok(self.output.clone())
        } else {
            network.layer_output(layer, input)
        }
    }
}
