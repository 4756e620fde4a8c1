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

use super::probe::{Place, absolute_sums, outputs, plain, slopes};
use super::score::{Score, ScoreInfo};
use crate::arch::Network;
use crate::gpu;
use crate::tick::Tick;

/// Nodes of the 11-point rule on `[-1, 1]`, non-negative half (Abramowitz and Stegun, table 25.4).
const NODES: [f64; 6] = [
    0.0,
    0.269_543_155_952_344_97,
    0.519_096_129_206_811_8,
    0.730_152_005_574_049_3,
    0.887_062_599_768_095_3,
    0.978_228_658_146_057,
];

/// The score `conductance`.
pub(super) struct Conductance;

impl Score for Conductance {
    const INFO: ScoreInfo = ScoreInfo {
        name: "conductance",
        label: "Conductance",
        summary: "Layer conductance from the zero input, 11 Gauss-Legendre nodes.",
        version: 1,
    };

    fn sums(
        network: &Network,
        images: &Tensor,
        labels: &Tensor,
        place: Place,
        on_tick: &mut Tick,
    ) -> Result<Vec<Vec<f64>>> {
        let halves = NODES.iter().rev().map(|x| -x);
        let mut nodes: Vec<f64> = halves
            .chain(NODES.iter().skip(1).copied())
            .map(|x| (1.0 + x) / 2.0)
            .collect();
        let last = nodes.pop().unwrap_or(1.0);
        let mut previous: Option<(Vec<Tensor>, Vec<Tensor>)> = None;
        let mut totals: Vec<Tensor> = Vec::new();
        let mut step = |here: &mut Option<(Vec<Tensor>, Vec<Tensor>)>, next: &[Tensor]| -> Result<()> {
            let Some((outputs, slopes)) = here.take() else {
                return Ok(());
            };
            for (l, ((output, slope), next)) in outputs.iter().zip(&slopes).zip(next).enumerate() {
                let part = || slope * (next - output)?;
                match totals.get_mut(l) {
                    Some(total) if gpu::active(total) => {
                        *total = gpu::conductance(total, slope, next, output)?;
                    }
                    Some(total) => *total = (&*total + part()?)?,
                    None => totals.push(part()?),
                }
            }
            Ok(())
        };
        for node in nodes {
            let found = slopes(network, &(images * node)?, labels, place, &mut plain, on_tick)?;
            step(&mut previous, &found.0)?;
            previous = Some(found);
        }
        // At the last node only the outputs count.
        let end = outputs(network, &(images * last)?, place, &mut plain, on_tick)?;
        step(&mut previous, &end)?;
        totals.iter().map(absolute_sums).collect()
    }
}
