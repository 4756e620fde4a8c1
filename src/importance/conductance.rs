//! Layer conductance (Dhamdhere et al., 2018) from the zero input.
//!
//! With the nodes `a_0 < ... < a_10` of Gauss-Legendre quadrature on `[0, 1]`, the layer's output `y_k` on `a_k x`, and
//! the gradient `g_k` of the target logit with respect to the layer's output at `a_k x`:
//!
//! ```text
//! conductance = sum_{k=0}^{9} g_k (y_{k+1} - y_k)
//! ```
//!
//! Captum's `LayerConductance` with `n_steps = 10` computes this; it uses the quadrature's nodes, not its weights.

use candle_core::{Result, Tensor};

use super::point::{Place, absolute_sums, gradient, outputs};
use crate::arch::Network;

/// Nodes of the 11-point rule on `[-1, 1]`, non-negative half (Abramowitz and Stegun, table 25.4).
const NODES: [f64; 6] = [
    0.0,
    0.269_543_155_952_344_97,
    0.519_096_129_206_811_8,
    0.730_152_005_574_049_3,
    0.887_062_599_768_095_3,
    0.978_228_658_146_057,
];

/// Sums of absolute conductances over samples, per layer and neuron.
pub(super) fn sums(
    network: &Network,
    images: &Tensor,
    labels: &Tensor,
    place: Place,
) -> Result<Vec<Vec<f64>>> {
    let nodes = NODES
        .iter()
        .rev()
        .map(|x| -x)
        .chain(NODES.iter().skip(1).copied())
        .map(|x| (1.0 + x) / 2.0);
    let trace: Vec<Vec<Tensor>> = nodes
        .map(|node| outputs(network, &(images * node)?, place))
        .collect::<Result<_>>()?;
    (0..network.layers.len())
        .map(|l| {
            let mut total: Option<Tensor> = None;
            for pair in trace.windows(2) {
                let (here, next) = (&pair[0][l], &pair[1][l]);
                let slope = gradient(network, l, here, labels, place, &mut |x| x.relu())?;
                let step = (slope * (next - here)?)?;
                total = Some(match total {
                    Some(total) => (total + step)?,
                    None => step,
                });
            }
            total.as_ref().map_or(Ok(Vec::new()), absolute_sums)
        })
        .collect()
}
