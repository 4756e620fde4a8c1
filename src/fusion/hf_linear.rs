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

use candle_core::{DType, Tensor};
use faer::{Mat, MatRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Fused, FusionError, Inputs, require_equal_shapes};
use crate::importance::Importance;
use crate::linalg::{Cutoff, LeastSquares, LinalgError, assign, product};

/// Parameters of `hf-linear`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct HfLinear {
    /// Score of the neurons.
    pub importance: Importance,
    /// Scale each neuron's activations to unit norm before matching and solving.
    pub norm_acts: bool,
    /// Singular values below this share of the largest are dropped. Default: `max(m, d) * 2^-23`, as in PyTorch.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub cutoff: Option<f64>,
}

/// What was found in one layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct HfLayer {
    /// The layer's name.
    pub layer: String,
    /// Rank kept in the least squares.
    pub rank: usize,
    /// Total cost of the chosen pairs.
    pub cost: f64,
    /// The neuron of model 1 paired with each neuron of model 0.
    pub assignment: Vec<usize>,
    /// Cost matrix, row-major `[n, n]`; kept for tests, not recorded.
    #[serde(skip)]
    pub costs: Vec<f64>,
}

impl HfLinear {
    pub(super) fn fuse(&self, inputs: &Inputs) -> Result<Fused, FusionError> {
        require_equal_shapes("hf-linear", inputs.models)?;
        let images = inputs.images.ok_or(FusionError::Missing {
            method: "hf-linear",
            what: "a fusion set",
        })?;
        let device = images.device().clone();
        let activations = [
            inputs.models[0].preactivations(images)?,
            inputs.models[1].preactivations(images)?,
        ];
        let mut network = inputs.models[0].clone();
        let mut found = Vec::new();
        let mut x = images.clone();
        let last = network.layers.len() - 1;
        for l in 0..=last {
            let layer = &mut network.layers[l];
            let name = layer.plan.name.clone();
            let linalg = |source| FusionError::Linalg {
                layer: name.clone(),
                source,
            };
            let input = layer.input(&x)?;
            let z = with_ones(&input, layer.plan.bias)?;
            let [a0, a1] = [0, 1].map(|model| self.target(&activations[model][l], &name, model));
            let targets = [a0?, a1?];
            let cutoff = self.cutoff.map_or(Cutoff::Default, Cutoff::Relative);
            let solver = LeastSquares::new(z.as_ref(), cutoff).map_err(&linalg)?;
            let [w0, w1] = [0, 1].map(|k| solver.solve(targets[k].as_ref()).map_err(&linalg));
            let weights = [w0?, w1?];
            let n = targets[0].ncols();
            let scores = self.importance.scores(n);
            let costs = pair_costs(z.as_ref(), &targets, &weights, &scores).map_err(&linalg)?;
            // The last layer's outputs are classes: they are matched by name, whatever they cost.
            let assignment = if l == last {
                (0..n).collect()
            } else {
                assign(&costs, n).map_err(&linalg)?
            };
            let (weight, bias) = fused_layer(&weights, &scores, &assignment, layer.plan.weight);
            layer.weight = Tensor::from_vec(weight, &layer.plan.weight, &device)?;
            if let Some(slot) = &mut layer.bias {
                *slot = Tensor::from_vec(bias, n, &device)?;
            }
            x = layer.output(&layer.linear(&input)?)?;
            found.push(HfLayer {
                layer: name,
                rank: solver.rank(),
                cost: assignment
                    .iter()
                    .enumerate()
                    .map(|(i, &j)| costs[i * n + j])
                    .sum(),
                assignment,
                costs,
            });
        }
        Ok(Fused::Network {
            network,
            layers: found,
        })
    }

    /// Pre-activations of one model as an f64 matrix, unit columns if asked for.
    fn target(&self, activation: &Tensor, layer: &str, model: usize) -> Result<Mat<f64>, FusionError> {
        let mut a = matrix(activation)?;
        if (0..a.ncols()).any(|j| a.col(j).iter().any(|v| !v.is_finite())) {
            return Err(FusionError::NotFinite {
                layer: layer.to_string(),
                model,
            });
        }
        if self.norm_acts {
            for j in 0..a.ncols() {
                // A dead neuron has no direction; it stays zero.
                let norm = a.col(j).norm_l2().max(f64::MIN_POSITIVE);
                a.col_mut(j).iter_mut().for_each(|v| *v /= norm);
            }
        }
        Ok(a)
    }
}

/// An f32 tensor `[m, n]` as an f64 matrix.
fn matrix(tensor: &Tensor) -> Result<Mat<f64>, FusionError> {
    let rows = tensor.to_dtype(DType::F64)?.to_vec2::<f64>()?;
    let n = tensor.dim(1)?;
    Ok(Mat::from_fn(rows.len(), n, |i, j| rows[i][j]))
}

/// The layer's inputs, and a column of ones where it has a bias.
fn with_ones(input: &Tensor, bias: bool) -> Result<Mat<f64>, FusionError> {
    let z = matrix(input)?;
    let (m, d) = z.shape();
    Ok(Mat::from_fn(m, d + usize::from(bias), |i, j| {
        if j < d { z[(i, j)] } else { 1.0 }
    }))
}

/// Cost of every pair, row-major.
fn pair_costs(
    z: MatRef<f64>,
    targets: &[Mat<f64>; 2],
    weights: &[Mat<f64>; 2],
    scores: &[f64],
) -> Result<Vec<f64>, LinalgError> {
    let n = targets[0].ncols();
    let projected = [product(z, weights[0].as_ref())?, product(z, weights[1].as_ref())?];
    let residual = [0, 1].map(|k| {
        let r = &targets[k] - &projected[k];
        (0..n).map(|j| r.col(j).squared_norm_l2()).collect::<Vec<_>>()
    });
    let square = [0, 1].map(|k| {
        (0..n)
            .map(|j| projected[k].col(j).squared_norm_l2())
            .collect::<Vec<_>>()
    });
    let gram = product(projected[0].transpose(), projected[1].as_ref())?;
    let mut costs = Vec::with_capacity(n * n);
    for i in 0..n {
        for j in 0..n {
            let distance = (square[0][i] + square[1][j] - 2.0 * gram[(i, j)]).max(0.0);
            let (si, sj) = (scores[i], scores[j]);
            let (toward_1, toward_0) = (sj / (si + sj), si / (si + sj));
            costs.push(
                si * (toward_1 * toward_1 * distance + residual[0][i]).sqrt()
                    + sj * (toward_0 * toward_0 * distance + residual[1][j]).sqrt(),
            );
        }
    }
    Ok(costs)
}

/// Weight `[n, d]` row-major and bias `[n]` of the fused layer.
fn fused_layer(
    weights: &[Mat<f64>; 2],
    scores: &[f64],
    assignment: &[usize],
    [n, d]: [usize; 2],
) -> (Vec<f32>, Vec<f32>) {
    let mix = |i: usize, row: usize| {
        let j = assignment[i];
        let (si, sj) = (scores[i], scores[j]);
        ((si * weights[0][(row, i)] + sj * weights[1][(row, j)]) / (si + sj)) as f32
    };
    let weight = (0..n)
        .flat_map(|i| (0..d).map(move |row| (i, row)))
        .map(|(i, row)| mix(i, row))
        .collect();
    let has_bias = weights[0].nrows() > d;
    let bias = (0..n).filter(|_| has_bias).map(|i| mix(i, d)).collect();
    (weight, bias)
}
