//! HF linear: Hungarian matching of two models' neurons, each layer of the fused network solved by least squares.
//!
//! Layer by layer, on the network fused so far:
//!
//! ```text
//! W_j = pinv(Z) A_j                            each model's pre-activations, seen from the fused inputs
//! w   = (s_i w0_i + s_j w1_j) / (s_i + s_j)    the neuron that would stand for the pair (i, j)
//! cost(i, j) = s_i ||Z w - a0_i|| + s_j ||Z w - a1_j||
//! ```
//!
//! The assignment of least total cost pairs neuron i of model 0 with neuron `pi(i)` of model 1; in the last layer it is
//! the identity, since classes have names. The fused neuron i is w for its pair: model 0's order is kept.
//!
//! | paper | here | shape |
//! | --- | --- | --- |
//! | X, the fusion set | `inputs.images` | `[N, C, H, W]` |
//! | Z, inputs of the layer in the fused network, with a column of ones for the bias | `z` | `[m, d]` |
//! | `A_0`, `A_1` | `targets` | `[m, n]` |
//! | s, importance scores | `scores` | `[n]` |
//!
//! Cost: one eigen-decomposition of the smaller Gram matrix of Z, `O(m d min(m, d))`, and the costs from one `n x n`
//! product instead of `n^2` predictions: with `P = Z pinv(Z)`, `r = (I - P) a` and `beta = s_j / (s_i + s_j)`,
//!
//! ```text
//! ||Z w - a0_i||^2 = beta^2 ||P a1_j - P a0_i||^2 + ||r0_i||^2
//! ```
//!
//! and likewise for model 1 with `1 - beta`. Everything is in f64: the squared distances of projections are
//! differences of nearly equal numbers. The reference predicts every pair in f32; its costs agree to 1e-5 of the
//! largest entry.

use faer::{Mat, MatRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::layers::{Preparation, inputs_with_ones, preactivations, replace, scores, unit_columns};
use super::report::{LayerReport, fill_errors};
use super::{Fused, FusionError, Inputs, require_equal_shapes};
use crate::arch::Network;
use crate::importance::{Importance, Place};
use crate::linalg::{Cutoff, LeastSquares, LinalgError, assign, product};

/// Parameters of `hf-linear`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct HfLinear {
    /// Score of the neurons.
    pub importance: Importance,
    /// Scale each layer's scores to sum 1.
    pub normalize_importance: bool,
    /// Map each layer's scores linearly onto `[r, 1]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub rescale_importance: Option<f64>,
    /// Scale each neuron's activations to unit norm before matching and solving.
    pub norm_acts: bool,
    /// Singular values below this share of the largest are dropped. Default: `max(m, d) * 2^-23`, as in PyTorch.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub cutoff: Option<f64>,
}

impl HfLinear {
    pub(super) fn fuse(&self, inputs: &Inputs) -> Result<Fused, FusionError> {
        let (network, layers) = self.fuse_layers(inputs)?;
        Ok(Fused::Network {
            network,
            diagnostics: json!({ "layers": layers }),
        })
    }

    /// The fused network and what was matched in each layer.
    pub fn fuse_layers(&self, inputs: &Inputs) -> Result<(Network, Vec<LayerReport>), FusionError> {
        const METHOD: &str = "hf-linear";
        require_equal_shapes(METHOD, inputs.models)?;
        let preparation = Preparation {
            normalise: self.normalize_importance,
            rescale: self.rescale_importance,
        };
        let scores = scores(METHOD, inputs, self.importance, Place::Layer, preparation)?;
        let activations = preactivations(METHOD, inputs)?;
        let images = inputs.images.ok_or(FusionError::Missing {
            method: METHOD,
            what: "a fusion set",
        })?;
        let mut network = inputs.models[0].clone();
        let mut found = Vec::with_capacity(network.layers.len());
        let mut x = images.clone();
        let last = network.layers.len() - 1;
        for (l, layer) in network.layers.iter_mut().enumerate() {
            let name = layer.plan.name.clone();
            let linalg = |source| FusionError::Linalg {
                layer: name.clone(),
                source,
            };
            let input = layer.input(&x)?;
            let z = inputs_with_ones(&input, layer.plan.bias)?;
            let targets = [0, 1].map(|model| activations[model][l].clone()).map(|mut a| {
                if self.norm_acts {
                    unit_columns(&mut a);
                }
                a
            });
            let cutoff = self.cutoff.map_or(Cutoff::Default, Cutoff::Relative);
            let solver = LeastSquares::new(z.as_ref(), cutoff).map_err(linalg)?;
            let [w0, w1] = [0, 1].map(|k| solver.solve(targets[k].as_ref()).map_err(linalg));
            let weights = [w0?, w1?];
            let (s0, s1) = (&scores[0][l], &scores[1][l]);
            let n = s0.len();
            let costs = pair_costs(z.as_ref(), &targets, &weights, s0, s1).map_err(linalg)?;
            // The last layer's outputs are classes: they are matched by name, whatever they cost.
            let assignment = if l == last {
                (0..n).collect()
            } else {
                assign(&costs, n).map_err(linalg)?
            };
            let width = layer.plan.weight[1];
            let mix = |i: usize, row: usize| {
                let j = assignment[i];
                (s0[i] * weights[0][(row, i)] + s1[j] * weights[1][(row, j)]) / (s0[i] + s1[j])
            };
            replace(layer, mix, |i| mix(i, width))?;
            x = layer.output(&layer.linear(&input)?)?;
            found.push(LayerReport {
                rank: Some(solver.rank()),
                ..LayerReport::pairs(&name, &assignment, costs)
            });
        }
        fill_errors(&mut found, &network, inputs, &activations, &scores)?;
        Ok((network, found))
    }
}

/// Cost of every pair, row-major.
fn pair_costs(
    z: MatRef<f64>,
    targets: &[Mat<f64>; 2],
    weights: &[Mat<f64>; 2],
    s0: &[f64],
    s1: &[f64],
) -> Result<Vec<f64>, LinalgError> {
    let n = s0.len();
    let projected = [product(z, weights[0].as_ref())?, product(z, weights[1].as_ref())?];
    let residual = [0, 1].map(|k| {
        let r = &targets[k] - &projected[k];
        (0..r.ncols())
            .map(|j| r.col(j).squared_norm_l2())
            .collect::<Vec<_>>()
    });
    let distances = super::layers::squared_distances(&projected[0], &projected[1])?;
    let cost = |(at, distance): (usize, f64)| {
        let (i, j) = (at / n, at % n);
        let (si, sj) = (s0[i], s1[j]);
        let (toward_1, toward_0) = (sj / (si + sj), si / (si + sj));
        si * (toward_1 * toward_1 * distance + residual[0][i]).sqrt()
            + sj * (toward_0 * toward_0 * distance + residual[1][j]).sqrt()
    };
    Ok(distances.into_iter().enumerate().map(cost).collect())
}
