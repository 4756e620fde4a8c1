//! Where in a network neurons are scored, and the way from there to the logits.

use candle_core::{D, Result, Tensor, Var};

use crate::arch::{Network, Op};

/// Whose output is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A linear map's: the pre-activation.
    Layer,
    /// A level's, which may include the nonlinearity after the linear map.
    Level,
}

/// Outputs at the place of every layer, `[N, width]` each.
pub(super) fn outputs(network: &Network, images: &Tensor, place: Place) -> Result<Vec<Tensor>> {
    match place {
        Place::Layer => network.preactivations(images),
        Place::Level => network.level_outputs(images),
    }
}

/// Logits, given the output of layer `l` at the place; `relu` stands in for every ReLU on the way, in order.
pub(super) fn logits_from(
    network: &Network,
    l: usize,
    output: &Tensor,
    place: Place,
    relu: &mut dyn FnMut(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let mut apply = |x: Tensor, ops: &[Op]| {
        ops.iter().try_fold(x, |x, op| match op {
            Op::Relu => relu(&x),
            Op::Flatten => x.flatten_from(1),
        })
    };
    let mut x = output.clone();
    if place == Place::Layer {
        x = apply(x, &network.layers[l].plan.after)?;
    }
    for layer in &network.layers[l + 1..] {
        x = apply(x, &layer.plan.before)?;
        x = apply(layer.linear(&x)?, &layer.plan.after)?;
    }
    Ok(x)
}

/// The logit of each sample's class, `[N]`.
pub(super) fn target(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    logits.gather(&labels.unsqueeze(1)?, 1)?.squeeze(1)
}

/// Gradient of the sum of target logits with respect to the output of layer `l`.
pub(super) fn gradient(
    network: &Network,
    l: usize,
    output: &Tensor,
    labels: &Tensor,
    place: Place,
    relu: &mut dyn FnMut(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let variable = Var::from_tensor(&output.detach())?;
    let logits = logits_from(network, l, variable.as_tensor(), place, relu)?;
    let gradients = target(&logits, labels)?.sum_all()?.backward()?;
    match gradients.get(variable.as_tensor()) {
        Some(gradient) => Ok(gradient.detach()),
        None => variable.as_tensor().zeros_like(),
    }
}

/// Sum over samples of absolute values, per neuron.
pub(super) fn absolute_sums(attribution: &Tensor) -> Result<Vec<f64>> {
    attribution.abs()?.flatten_to(D::Minus2)?.sum(0)?.to_vec1()
}
